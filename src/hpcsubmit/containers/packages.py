"""What the project's files say of its packages that the definition of an image must know; pure."""

import json
import re
import tomllib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from hpcsubmit.errors import HpcSubmitError

PIPFILE, UV_LOCK = "Pipfile", "uv.lock"
TORCH = frozenset({"torch", "torchvision", "torchaudio", "lightning", "pytorch-lightning"})
"""Packages that are PyTorch or bring it."""
_FOLDER = re.compile(r"\s*(?:-e\b|--editable\b|\.|/)(?!.*://)")
_PLAIN_NAME = re.compile(r"[A-Za-z0-9._+@=,/ -]+")


class Packages(NamedTuple):
    """The packages that an image gets.

    files: the files that list them, relative to the project's folder; the one that counts comes first.
    tool: what must turn that one into a list for pip, `pipenv` or `uv`; "" where pip reads it.
    locked: whether a Pipfile has its lock. hashed: whether that lock has a hash for every package.
    folders: what is to be installed from a folder of the project, which no image holds.
    torch, git: whether PyTorch is among the packages, and whether one comes from a git repository.
    python: which Python the files ask for, as they write it; "" where they do not.
    """

    files: tuple[str, ...]
    tool: str = ""
    locked: bool = False
    hashed: bool = False
    folders: tuple[str, ...] = ()
    torch: bool = False
    git: bool = False
    python: str = ""


def packages_in(files: Sequence[tuple[str, bytes]]) -> Packages:
    """Look at a project's files, by their name and content; the one that counts comes first.

    Raises HpcSubmitError for one that cannot be read, or that a definition cannot name.
    """
    names = tuple(_checked(name) for name, _ in files)
    if names[0] == PIPFILE:
        found = _of_pipenv(files)
    elif names[0] == UV_LOCK:
        found = _of_uv(files[0][1])
    else:
        found = _of_pip(b"\n".join(content for _, content in files).decode(errors="replace"))
    return found._replace(files=names)


def _checked(name: str) -> str:
    """A name that %files takes as it is: it expands $ and *, as a shell does, and cuts at quotes."""
    if name.startswith("/") or ".." in name.split("/"):
        raise HpcSubmitError(
            f"packages are also listed in {name}, which is outside the project",
            "copy that file into the project, and include it from there",
        )
    if not _PLAIN_NAME.fullmatch(name):
        raise HpcSubmitError(
            f"a definition cannot name the file {name!r}",
            "rename it: letters, digits, blanks and . _ - + @ = , are fine",
        )
    return name


def _of_pip(text: str) -> Packages:
    lines = text.splitlines()
    names = {match[0] for line in lines if (match := re.match(r"\s*([A-Za-z0-9._-]+)", line))}
    return Packages(
        (),
        folders=tuple(line.strip() for line in lines if _FOLDER.match(line)),
        torch=_has_torch(name.strip() for name in names),
        git="git+" in text,
    )


def _of_pipenv(files: Sequence[tuple[str, bytes]]) -> Packages:
    values = _read(PIPFILE, files[0][1])
    packages, requires = _table(values.get("packages")), _table(values.get("requires"))
    locks = [_read(name, content) for name, content in files[1:]]
    locked = _table(locks[0].get("default")) if locks else {}
    every = [_table(value) for value in (*packages.values(), *locked.values())]
    return Packages(
        (),
        tool="pipenv",
        locked=bool(locks),
        hashed=all(_table(value).get("hashes") for value in locked.values()),
        folders=tuple(f"{name} = {value!r}" for name, value in packages.items() if "path" in _table(value)),
        torch=_has_torch((*packages, *locked)),
        git=any("git" in value for value in every),
        python=str(requires.get("python_full_version") or requires.get("python_version") or ""),
    )


def _of_uv(content: bytes) -> Packages:
    values = _read(UV_LOCK, content)
    packages = [_table(each) for each in values.get("package", [])]
    sources = {str(each.get("name")): _table(each.get("source")) for each in packages}
    return Packages(
        (),
        tool="uv",
        folders=tuple(name for name, source in sources.items() if {"editable", "directory"} & set(source)),
        torch=_has_torch(sources),
        git=any("git" in source for source in sources.values()),
        python=str(values.get("requires-python", "")),
    )


def _has_torch(names: Iterable[str]) -> bool:
    return not TORCH.isdisjoint(re.sub(r"[-_.]+", "-", name).lower() for name in names)


def _read(name: str, content: bytes) -> dict[str, Any]:
    """A file of TOML or, where its name is not known for that, of JSON."""
    try:
        text = content.decode()
        return tomllib.loads(text) if name in (PIPFILE, UV_LOCK) else _table(json.loads(text))
    except ValueError as error:
        raise HpcSubmitError(f"{name} cannot be read: {error}", "mend it, or write it anew") from error


def _table(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
