"""Whether the environment of a sweep's agents has wandb, as far as its files tell without starting it."""

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

from hpcsubmit.conda import CondaEnv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.virtualenv import Virtualenv

_PACKAGES = "lib/python3*/site-packages"
_HAS_NONE = "has no wandb, which the agents of a sweep need"


def check_wandb(environment: Virtualenv | CondaEnv | None, environ: Mapping[str, str]) -> tuple[str, ...]:
    """Return a note where it cannot be told; raises HpcSubmitError where the environment lacks wandb.

    environment: of the job, None for the node's own or an image's; one that is still to be built is not
    looked at. environ: the caller's, which the job has too: packages may also lie on its PYTHONPATH, and for
    conda in the user's own folder, which a virtual environment does not know.
    """
    if environment is None or not environment.path.is_dir():
        return ()
    path, places = environment.path, [*environment.path.glob(_PACKAGES), *_on_the_path(environ)]
    if isinstance(environment, CondaEnv):
        if not _hold_wandb([*places, *_users_own(environ)]):
            hint = f"conda install --prefix {path} --channel conda-forge wandb"
            raise HpcSubmitError(f"the conda environment {path} {_HAS_NONE}", hint)
    elif not (environment.build or _hold_wandb(places)):
        if _takes_the_systems(path):
            what = f"{path} has none itself, and takes the packages of the node's own Python too"
            return (f"whether the agents of the sweep will have wandb was not looked up: {what}",)
        raise HpcSubmitError(
            f"the environment {path} {_HAS_NONE}",
            "add wandb to requirements.txt (or the file your environment is made from) and submit again",
        )
    return ()


def _hold_wandb(places: Iterable[Path]) -> bool:
    """Whether one of the folders has it; an editable installation has the second name alone."""
    folders = (each for place in places for each in (place, *_added_to(place)))
    return any(re.fullmatch(r"wandb|wandb-.*\.dist-info", name) for each in folders for name in _names(each))


def _added_to(place: Path) -> Iterator[Path]:
    """The folders that Python also looks into, since a .pth file names them."""
    for name in _names(place):
        with suppress(OSError):
            lines = (
                (place / name).read_text("utf-8", errors="replace").splitlines()
                if name[-4:] == ".pth"
                else ()
            )
            yield from (place / line.strip() for line in lines if line.strip())


def _names(folder: Path) -> list[str]:
    try:
        return os.listdir(folder)  # noqa: PTH208 - any text of a .pth file or a variable
    except (OSError, ValueError):
        return []


def _takes_the_systems(path: Path) -> bool:
    """Whether a virtual environment also has the packages of the Python that it was made with."""
    try:
        written = (path / "pyvenv.cfg").read_text("utf-8", errors="replace")
    except OSError:
        return False
    return re.search(r"^\s*include-system-site-packages\s*=\s*true\s*$", written, re.I | re.M) is not None


def _on_the_path(environ: Mapping[str, str]) -> Iterator[Path]:
    yield from map(Path, filter(os.path.isabs, environ.get("PYTHONPATH", "").split(":")))


def _users_own(environ: Mapping[str, str]) -> Iterator[Path]:
    """What `pip install --user` fills."""
    home = Path(environ.get("HOME") or "/nonexistent")
    yield from (home / ".local").glob(_PACKAGES)
