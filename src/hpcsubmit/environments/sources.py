"""The file that names a project's packages: which one counts, and what stands in it."""

import os
import shlex
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen

PIPFILE, PIPFILE_LOCK = "Pipfile", "Pipfile.lock"
REQUIREMENTS = "requirements.txt"
PYPROJECT, UV_LOCK = "pyproject.toml", "uv.lock"

_INCLUDING = {"-r": "r", "--requirement": "r", "-c": "c", "--constraint": "c"}


@frozen
class Source:
    """The file that counts, with those that belong to it: a lock, or what a requirements.txt includes.

    files: what stands in each, by its path as the project's folder sees it; path itself comes first.
    """

    path: Path
    files: tuple[tuple[str, bytes], ...]


def find_source(root: Path) -> Source | None:
    """Find what the environment is made from: a Pipfile, else requirements.txt, else uv's lock.

    Returns None where the project has none of them. Raises HpcSubmitError for a file that cannot be read.
    """
    if (root / PIPFILE).is_file():
        names = [PIPFILE, PIPFILE_LOCK] if (root / PIPFILE_LOCK).is_file() else [PIPFILE]
        return Source(path=root / PIPFILE, files=tuple((name, _read(root / name)) for name in names))
    if (root / REQUIREMENTS).is_file():
        return Source(
            path=root / REQUIREMENTS, files=tuple(_with_included(root, root / REQUIREMENTS, {}).items())
        )
    if (root / UV_LOCK).is_file() and (root / PYPROJECT).is_file():
        return Source(
            path=root / UV_LOCK, files=tuple((name, _read(root / name)) for name in (UV_LOCK, PYPROJECT))
        )
    return None


def _with_included(root: Path, path: Path, found: dict[str, bytes]) -> dict[str, bytes]:
    """A requirements file with those that it includes, each once."""
    name = name_of(path, root)
    if name not in found:
        found[name] = _read(path)
        for line in found[name].decode(errors="replace").splitlines():
            _, included = include(line)
            if included and "://" not in included:
                _with_included(root, beside(path, included), found)
    return found


def name_of(path: Path, root: Path) -> str:
    """A file's path as it stands in Source.files."""
    return str(path.relative_to(root)) if path.is_relative_to(root) else str(path)


def beside(path: Path, name: str) -> Path:
    """The file that a requirements file names."""
    return Path(os.path.normpath(path.parent / name))


def include(line: str) -> tuple[str, str]:
    """What a line of a requirements file includes: `r` or `c`, and the file; empty texts for another line."""
    if not line.lstrip().startswith(("-r", "-c", "--requirement", "--constraint")):
        return "", ""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return "", ""
    name, equals, value = words[0].partition("=")
    if name in _INCLUDING:
        return _INCLUDING[name], value if equals else "".join(words[1:2])
    if name[:2] in _INCLUDING:
        return name[1], words[0][2:]
    return "", ""


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise HpcSubmitError(
            f"{path} cannot be read: {error.strerror}", "check that it is there, and its permissions"
        ) from error
