"""The environments that nothing needs any more, and their removal."""

import fcntl
import os
import re
import shutil
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environments.job import job_at_it
from hpcsubmit.environments.layout import (
    BUILT,
    LINK,
    is_finished,
    job_of,
    lock_of,
    log_of,
    read_stamp,
    script_of,
    was_finished,
)
from hpcsubmit.environments.lock import take_lock
from hpcsubmit.environments.sources import find_source
from hpcsubmit.environments.wanted import digest
from hpcsubmit.host import Host
from hpcsubmit.project import Project

_NAME = r"[0-9a-f]{16}(?:\.[1-9][0-9]*)?"
_BESIDE = r"\.(?:log|archives|manifest)(?:\.[0-9]+)?"
"""What lies beside an environment; with a number behind it was cut short."""


class OldEnvironment(NamedTuple):
    """An environment that nothing needs.

    paths: it and what belongs to it. size: bytes. why: in one word or two.
    """

    path: Path
    paths: tuple[Path, ...]
    size: int
    why: str


def old_environments(project: Project, needed: Collection[Path], host: Host) -> list[OldEnvironment]:
    """List the environments of .virtual_envs that may go, by their path.

    One stays that virtual_env links to, that is the newest generation made from the files as they are, that
    is being built, or that `needed` names: the environments of pending and running jobs.
    """
    kept = {path.resolve() for path in needed} | _current(project)
    return [
        OldEnvironment(path, paths, sum(map(size_of, paths)), _why(path))
        for path, paths in sorted(_all(project).items())
        if path.resolve() not in kept and not _is_being_built(path, host)
    ]


def remove(
    old: Sequence[OldEnvironment], needed: Callable[[], Collection[Path]], host: Host
) -> list[OldEnvironment]:
    """Remove environments; return those that are gone.

    Each is first moved aside, and moved back where `needed`, asked once more, or virtual_env now names it: a
    submission may have begun to use it. Raises OSError for what cannot be removed.
    """
    gone = []
    for each in old:
        try:
            lock = take_lock(each.path, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        try:
            if job_at_it(each.path, host) is None and _remove(each, needed):
                gone.append(each)
        finally:
            os.close(lock)
    return gone


def _remove(each: OldEnvironment, needed: Callable[[], Collection[Path]]) -> bool:
    aside = each.path.with_name(f".removing-{os.getpid()}-{each.path.name}")
    with suppress(FileNotFoundError):
        each.path.rename(aside)
    stays = True  # also where there is no answer: a Ctrl-C, or a record that cannot be read
    try:
        here = each.path.resolve()
        stays = here in {path.resolve() for path in needed()} or _linked(each.path.parents[1]) == here
    finally:
        if stays:
            with suppress(FileNotFoundError):
                aside.rename(each.path)
    if stays:
        return False
    for path in (aside, *each.paths):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
    lock_of(each.path).unlink(missing_ok=True)
    return True


def _all(project: Project) -> dict[Path, tuple[Path, ...]]:
    """Every environment, whole or not, with the paths that belong to it."""
    found: dict[Path, list[Path]] = {}
    for name, path in _entries(project.root / BUILT):
        match = re.fullmatch(rf"({_NAME})(?:{_BESIDE})?|\.removing-[0-9]+-({_NAME})", name)
        if match:
            found.setdefault(path.with_name(match[1] or match[2]), []).append(path)
    return {
        path: (*paths, *(extra for extra in (job_of(path), script_of(path)) if extra.exists()))
        for path, paths in found.items()
    }


def _entries(folder: Path) -> Iterator[tuple[str, Path]]:
    with suppress(OSError):
        yield from ((path.name, path) for path in folder.iterdir())


def _current(project: Project) -> set[Path]:
    """The environment that virtual_env links to, and those made from the project's files as they are."""
    source = find_source(project.root)
    now = digest(source) if source else None
    newest: dict[str, tuple[int, Path]] = {}
    for path in _all(project):
        stamp = read_stamp(path) if is_finished(path) else None
        key, _, number = path.name.partition(".")
        if stamp is not None and stamp.get("files") == now:
            newest[key] = max(newest.get(key, (0, path)), (int(number or 1), path))
    linked = _linked(project.root)
    return {path.resolve() for _, path in newest.values()} | ({linked} if linked else set())


def _linked(root: Path) -> Path | None:
    return (root / LINK).resolve() if (root / LINK).is_symlink() else None


def _is_being_built(path: Path, host: Host) -> bool:
    if job_at_it(path, host):
        return True
    if not lock_of(path).exists():
        return False
    try:
        os.close(take_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB))
    except BlockingIOError:
        return True
    return False


def _why(path: Path) -> str:
    if was_finished(path):
        return "superseded" if is_finished(path) else "unusable"
    return "not finished" if path.exists() or log_of(path).exists() else "left behind"


def size_of(path: Path) -> int:
    """The bytes that a file, or a folder with all that is in it, takes on the disk."""
    try:
        total = path.lstat().st_blocks * 512
    except OSError:
        return 0
    if path.is_symlink() or not path.is_dir():
        return total
    for folder, folders, files in os.walk(path):
        for name in (*folders, *files):
            with suppress(OSError):
                total += os.lstat(os.path.join(folder, name)).st_blocks * 512  # noqa: PTH118 - thousands
    return total
