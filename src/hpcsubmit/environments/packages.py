"""What is installed into an environment: lines of requirement files, from whatever the project has."""

import re
import shlex
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environments.pipfile import (
    is_locked,
    lock_lines,
    pipfile_lines,
    required_python,
    without_hashes,
)
from hpcsubmit.environments.sources import (
    PIPFILE,
    UV_LOCK,
    Source,
    beside,
    include,
    logical_lines,
    name_of,
    text_of,
)
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host

EXPORT = ("export", "--frozen", "--no-dev", "--format", "requirements-txt", "--no-header", "--no-annotate")
OUTDATED = "the Pipfile has changed since its lock was made, and the lock counts: pipenv lock makes it anew"
EXPORT_TIMEOUT = 120.0
"""Seconds that uv may take to read a lock."""
_OF_INDEXES = ("-i", "--index-url", "--extra-index-url", "--no-index", "--require-hashes", "--trusted-host")
_FIND_LINKS = ("-f", "--find-links")


class Packages(NamedTuple):
    """What is installed: files of requirements, one after the other, and the constraints on all of them.

    python: the version that they are for, "" where the project does not say. note: what to tell the user of
    them, "" for nothing.
    """

    requirements: tuple[tuple[str, ...], ...]
    constraints: tuple[str, ...] = ()
    python: str = ""
    note: str = ""


def packages_of(source: Source, root: Path, host: Host, *, uv: str, wheelhouse: bool) -> Packages:
    """Read the packages of a project.

    wheelhouse: whether they come from a wheelhouse alone: its wheels have other hashes than those of PyPI, so
    the hashes are dropped, and the indexes with them. Raises HpcSubmitError for files that cannot be read.
    """
    if source.path.name == PIPFILE:
        found = _of_pipenv(source)
    elif source.path.name == UV_LOCK:
        found = Packages((tuple(_of_uv(root, host, uv, wheelhouse=wheelhouse)),))
    else:
        found = _of_requirements(source, root)
    if wheelhouse:
        requirements = tuple(map(_for_wheelhouse, found.requirements))
        return found._replace(requirements=requirements, constraints=_for_wheelhouse(found.constraints))
    return found


def _of_pipenv(source: Source) -> Packages:
    python = required_python(source.files[0][1])
    if len(source.files) == 1:
        return Packages((tuple(pipfile_lines(source.files[0][1])),), python=python)
    (_, pipfile), (_, lock) = source.files
    indexes, hashed, others = lock_lines(lock)
    requirements = tuple((*indexes, *lines) for lines in (hashed, others) if lines) or ((),)
    return Packages(requirements, python=python, note="" if is_locked(pipfile, lock) else OUTDATED)


def _of_uv(root: Path, host: Host, uv: str, *, wheelhouse: bool) -> list[str]:
    if not uv:
        raise HpcSubmitError(
            f"{root / UV_LOCK} can be read by uv alone, and there is no uv",
            "pip install 'hpcsubmit[uv]', or write the packages into requirements.txt",
        )
    options = ("--no-hashes",) if wheelhouse else ("--emit-index-url", "--emit-find-links")
    done = host.run((uv, *EXPORT, *options, "--project", str(root)), timeout=EXPORT_TIMEOUT)
    if done.code != 0:
        said = "; ".join(line.strip() for line in done.stderr.splitlines() if line.strip())
        raise HpcSubmitError(
            f"uv cannot read {root / UV_LOCK}: {said}", "mend it with uv lock, and submit again"
        )
    return list(logical_lines(done.stdout))


def _of_requirements(source: Source, root: Path) -> Packages:
    files = dict(source.files)
    lines = {"r": [], "c": []}  # type: dict[str, list[str]]
    _flatten(source.path, "r", root, files, lines, set())
    return Packages((tuple(lines["r"]),), tuple(lines["c"]))


def _flatten(
    path: Path, kind: str, root: Path, files: dict[str, bytes], lines: dict[str, list[str]], seen: set[Path]
) -> None:
    """Add the lines of a file, and of those that it includes in their place."""
    if path in seen:
        return
    seen.add(path)
    for line in logical_lines(text_of(files[name_of(path, root)])):
        included_as, name = include(line)
        if name and "://" not in name:
            _flatten(beside(path, name), "c" if kind == "c" else included_as, root, files, lines, seen)
        else:
            lines["c" if included_as == "c" else kind].append(_with_absolute_links(line, path.parent))


def _with_absolute_links(line: str, folder: Path) -> str:
    """A --find-links of a folder beside the file: the file's lines are installed from another one."""
    name, _, value = line.replace("=", " ", 1).partition(" ")
    if name not in _FIND_LINKS:
        return line
    path = folder / value.strip().strip("\"'")
    return f"--find-links {shlex.quote(str(path))}" if path.exists() else line


def _for_wheelhouse(lines: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(without_hashes([line for line in lines if re.split(r"[= ]", line)[0] not in _OF_INDEXES]))


class Hidden(NamedTuple):
    """Lines without user names and passwords, and the variables that stand in their place."""

    requirements: tuple[tuple[str, ...], ...]
    constraints: tuple[str, ...]
    wheelhouse: tuple[str, ...]
    credentials: tuple[tuple[str, str], ...]


def hide_credentials(packages: Packages, wheelhouse: tuple[str, ...]) -> Hidden:
    """Put a variable in the place of what stands before the @ of an address.

    pip and uv both fill in ${NAME} when they read a requirements file, so neither a script nor a file of ours
    holds a secret. What is a variable already, and ssh's `git`, stays.
    """
    found: dict[str, str] = {}

    def hide(match: re.Match[str]) -> str:
        user = match[1]
        if user == "git" or re.fullmatch(r"(\$\{[A-Z0-9_]+\}:?)+", user):
            return match[0]
        return f"://${{{found.setdefault(user, f'HPCSUBMIT_CREDENTIALS_{len(found) + 1}')}}}@"

    def hidden(lines: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(re.sub(r"://([^/@\s]+)@", hide, line) for line in lines)

    requirements = tuple(map(hidden, packages.requirements))
    constraints, links = hidden(packages.constraints), hidden(wheelhouse)
    return Hidden(requirements, constraints, links, tuple((name, secret) for secret, name in found.items()))
