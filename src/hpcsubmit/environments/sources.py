"""The file that names a project's packages: which one counts, and what stands in it."""

import os
import re
import shlex
from codecs import BOM_UTF8, BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import Iterator
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen

PIPFILE, PIPFILE_LOCK = "Pipfile", "Pipfile.lock"
REQUIREMENTS = "requirements.txt"
PYPROJECT, UV_LOCK = "pyproject.toml", "uv.lock"

_MARKS = {BOM_UTF8: "utf-8", BOM_UTF16_LE: "utf-16-le", BOM_UTF16_BE: "utf-16-be"}
DESCRIBING = (PYPROJECT, "setup.py", "setup.cfg")
"""The files of a folder that can be installed: what it needs stands in one of them."""

_LOCAL = re.compile(
    r"\s*((?P<editable>-e|--editable)[\s=]*|[\w.-]+\s*(\[[^]]*\])?\s*@\s*(?=file:))?(?P<place>.+)"
)
_INCLUDING = {"-r": "r", "--requirement": "r", "-c": "c", "--constraint": "c"}


@frozen
class Source:
    """The file that counts, with those that belong to it: a lock, or what a requirements.txt includes.

    To that belongs what names the packages that the project itself, or another folder of its lines, needs.
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
        for line in logical_lines(text_of(found[name])):
            _, included = include(line)
            if included and "://" not in included:
                _with_included(root, beside(path, included), found)
            for file in _describing(line, root):
                found.setdefault(name_of(file, root), _read(file))
    return found


def _describing(line: str, root: Path) -> list[Path]:
    """The files that name what the folder needs that a line installs; none for another line."""
    folder = local_folder(line, root)
    files = [folder / name for name in DESCRIBING] if folder else []
    return [file for file in files if os.path.isfile(file)]  # noqa: PTH113 - no error for a name that is too long


def local_folder(line: str, root: Path) -> Path | None:
    """The folder that a line installs, such as `-e .` or `./x[extra]`, there or not; None for another line.

    pip and uv look for it from the project's folder, in which they run. Without -e a path begins with a dot
    or has a slash (pip's _looks_like_path).
    """
    match = _LOCAL.fullmatch(line) if "/" in line or line.lstrip()[:1] in (".", "-") else None
    if match is None:
        return None
    place = re.split(r"\s#|;|\s--|#egg=", match["place"])[0].strip().strip("\"'")
    place = re.sub(r"\[[^]]*\]$", "", place).removeprefix("file:")
    if "://" in place or not (match["editable"] or place.startswith(".") or "/" in place):
        return None
    return beside(root / REQUIREMENTS, place.removeprefix("//"))


def logical_lines(text: str) -> Iterator[str]:
    r"""The lines of a requirements file without comments and blank lines, those that end in `\` joined."""
    for line in re.sub(r"\\\r?\n", "", text).splitlines():
        content = re.sub(r"(^|\s+)#.*$", "", line).strip()
        if content:
            yield content


def text_of(content: bytes) -> str:
    """The text of a requirements file, as pip reads it: Windows writes a mark of the encoding before it."""
    for mark, encoding in _MARKS.items():
        if content.startswith(mark):
            return content[len(mark) :].decode(encoding, errors="replace")
    return content.decode(errors="replace")


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
