"""Where environments and what belongs to them lie in a project.

virtual_env is a link to the newest one; .virtual_envs/HASH is an environment, HASH.2, HASH.3 its later
generations. Beside each lie HASH.log (of its build), HASH.archives and HASH.manifest (for the nodes), and
.HASH.lock, .HASH.job and .HASH.sh, which a build needs. .scratch-* name where the records of jobs lie.
"""

import json
import os
from pathlib import Path
from typing import Any

LINK = "virtual_env"
BUILT = ".virtual_envs"
STAMP = ".hpcsubmit-finished"
"""Written last: an environment without it was cut short and counts for nothing.

Its first line is JSON, its second the path that the environment was built under, which its commands name.
"""


def log_of(path: Path) -> Path:
    """The output of an environment's build."""
    return path.with_name(f"{path.name}.log")


def manifest_of(path: Path) -> Path:
    """What the nodes must know of the archive; written after it."""
    return path.with_name(f"{path.name}.manifest")


def archives_of(path: Path) -> Path:
    """The folder of the archives that nodes unpack."""
    return path.with_name(f"{path.name}.archives")


def lock_of(path: Path) -> Path:
    """What a build on this machine holds."""
    return path.with_name(f".{path.name}.lock")


def job_of(path: Path) -> Path:
    """The id of the job that builds it."""
    return path.with_name(f".{path.name}.job")


def script_of(path: Path) -> Path:
    """The script that builds it."""
    return path.with_name(f".{path.name}.sh")


def is_users_own(link: Path) -> bool:
    """Whether virtual_env is there and is not a link of ours."""
    try:
        return link.readlink().parent != Path(BUILT)
    except FileNotFoundError:
        return False
    except OSError:  # no link
        return True


def read_stamp(path: Path) -> dict[str, Any] | None:
    """What the stamp of an environment says; None where it is not finished, or was built under another path.

    A stamp that holds no JSON is one all the same: the environment is whole, and nothing is known of it.
    """
    try:
        known, _, place = (path / STAMP).read_bytes().partition(b"\n")
    except OSError:
        return None
    if not is_same(os.fsdecode(place.rstrip(b"\n")), path):
        return None  # a copy, or what was moved here: its commands lead to where it was
    try:
        values = json.loads(known)
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def is_same(place: str, path: Path) -> bool:
    """Whether a text is a path of the same folder: a home may be reached by several, through symlinks."""
    try:
        return place == str(path) or os.path.samefile(place, path)  # noqa: PTH121 - as short as it gets
    except (OSError, ValueError):
        return False


def is_finished(path: Path) -> bool:
    """Whether an environment can be used as it is: it was built here, and its Python is still there."""
    return read_stamp(path) is not None and _has_python(path)


def _has_python(path: Path) -> bool:
    """Whether the Python of an environment is there; where that cannot be told, it is not said to be gone."""
    try:
        os.stat(path / "bin" / "python")  # noqa: PTH116 - exists() raises some of these
    except (FileNotFoundError, NotADirectoryError):
        return False
    except OSError:
        return True
    return True


def was_finished(path: Path) -> bool:
    """Whether a build ended well, be it elsewhere, or with a Python that is gone by now."""
    return os.path.exists(path / STAMP)  # noqa: PTH110 - exists() raises where a folder is closed


def generations(folder: Path, key: str) -> list[tuple[int, Path]]:
    """The environments of one key that are there, finished or not, oldest first, with their number from 1."""
    try:
        names = os.listdir(folder)  # noqa: PTH208 - at every start, and half as long as iterdir
    except OSError:
        return []
    numbers = {name: number_of(name, key) for name in names}
    return sorted((number, folder / name) for name, number in numbers.items() if number)


def number_of(name: str, key: str) -> int:
    """The generation that a folder's name stands for: HASH is 1, HASH.2 is 2; 0 for another name."""
    head, _, tail = name.partition(".")
    if head != key:
        return 0
    if not tail:
        return 1
    return int(tail) if tail.isdecimal() and int(tail) > 1 else 0
