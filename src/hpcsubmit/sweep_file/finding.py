"""Where a sweep file lies."""

from collections.abc import Iterable
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError

DEFAULT_FILE = "sweeper.yml"


def find_sweep_file(name: str | None, folders: Iterable[Path]) -> Path:
    """Look a sweep file up in folders, one after another: the first that has it counts.

    name: None stands for DEFAULT_FILE. Raises HpcSubmitError.
    """
    wanted = Path(name or DEFAULT_FILE)
    places = tuple(dict.fromkeys(folders))
    found = next((place / wanted for place in places if (place / wanted).is_file()), None)
    if found is None:
        looked = ", then ".join(map(str, places))
        raise HpcSubmitError(f"there is no sweep file {wanted}", f"looked in {looked}")
    return found
