"""One look at data: every entry's stat and nothing more, not a byte of content."""

import gc
import hashlib
import marshal
import os
import stat
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.staging.paths import cannot_read
from hpcsubmit.staging.reading import PIECE, Facts, Pace, Row, Task, facts_of

Folder = tuple[str, list[Row]]
"""A folder by its path relative to scratch_dir ("" for scratch_dir itself), and entries of it by name."""

FORMAT = 0o170000
FOLDER, FILE, SYMLINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK

_TICK = 20_000_000  # ns; Linux's clock of file times ticks every 1 to 10 ms
_COARSE_TICK = 1_100_000_000  # Lustre and some NFS servers keep whole seconds
_WHOLE_SECOND = 1_000_000_000


class Scan(NamedTuple):
    """What stood below some paths of scratch_dir at one time.

    named: the named paths, each in its parent folder; where one is a symlink, what it leads to.
    folders: what is inside, in order of the folders' paths, each with its entries in order of their names.
    parents: the folders above the named paths, and their st_mode.
    fingerprint: equal for two scans only where nothing changed, by any entry's stat.
    """

    scratch_dir: Path
    named: list[Folder]
    folders: list[Folder]
    parents: list[tuple[str, int]]
    fingerprint: bytes


def scan(paths: tuple[str, ...], scratch_dir: Path) -> Scan:
    """Look at everything below paths of scratch_dir (as find_data gives them).

    Raises HpcSubmitError where a folder cannot be read, and where something vanishes meanwhile.
    """
    with without_collector():
        named = [_look_at_named(path, scratch_dir) for path in paths]
        tops = [path for path, (_, [(_, facts)]) in zip(paths, named, strict=True) if is_folder(facts)]
        folders = _look_below(tops, Pace(str(scratch_dir)))
        parents = [
            (path, _stat(path, scratch_dir).st_mode)
            for path in sorted({parent for path in paths for parent in _parents(path)})
        ]
        # Version 2 of the format has no references: equal values are equal bytes.
        summary = marshal.dumps((named, folders, parents), 2)
    return Scan(scratch_dir, named, folders, parents, hashlib.sha256(summary).digest())


def settled_scan(first: Scan, began: int) -> Scan:
    """Return a scan that no later change can look like.

    A file that is written twice within one tick of the file system's clock has the same times after both:
    where the newest change is as near as that to the scan, which began at `began` (ns), wait and look again.
    """
    newest = max((facts[3] for _, rows in (*first.named, *first.folders) for _, facts in rows), default=0)
    tick = _TICK if newest % _WHOLE_SECOND else _COARSE_TICK
    if newest + tick < began:
        return first
    time.sleep(tick / 1e9)
    return scan(tuple(join(parent, rows[0][0]) for parent, rows in first.named), first.scratch_dir)


def is_folder(facts: Facts) -> bool:
    """Whether an entry is a folder."""
    return facts[0] & FORMAT == FOLDER


def join(folder: str, name: str) -> str:
    """The path of an entry of a folder, relative to scratch_dir."""
    return f"{folder}/{name}" if folder else name


def _parents(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path


def _stat(path: str, scratch_dir: Path) -> os.stat_result:
    try:
        return (scratch_dir / path).stat()
    except OSError as error:
        raise cannot_read(str(scratch_dir / path), error) from error


def _look_at_named(path: str, scratch_dir: Path) -> Folder:
    parent, _, name = path.rpartition("/")
    return parent, _without_folder_sizes([(name, facts_of(_stat(path, scratch_dir)))])


def _look_below(tops: Iterable[str], pace: Pace) -> list[Folder]:
    """All folders at and below some, level by level: one stat an entry."""
    folders: dict[str, list[Row]] = {}
    tasks: list[Task] = [(top, None) for top in tops]
    while tasks:
        found: list[Task] = []
        for (folder, _), (rows, rest) in zip(tasks, pace.read_all(tasks), strict=True):
            below = [name for name, facts in rows if facts[0] & FORMAT == FOLDER]
            if below:
                rows = _without_folder_sizes(rows)
            folders.setdefault(folder, []).extend(rows)
            found += [(folder, rest[at : at + PIECE]) for at in range(0, len(rest), PIECE)]
            found += [(f"{folder}/{name}", None) for name in below]
        tasks = found
    return sorted(folders.items())


def _without_folder_sizes(rows: list[Row]) -> list[Row]:
    """Some file systems let a folder grow and never shrink it: its size says nothing."""
    return [(name, (facts[0], 0, *facts[2:]) if is_folder(facts) else facts) for name, facts in rows]


@contextmanager
def without_collector() -> Iterator[None]:
    """Let the garbage collector rest: it would look through the growing lists again and again."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
