"""One look at data: every entry's stat and nothing more, not a byte of content."""

import gc
import hashlib
import marshal
import os
import stat
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from operator import attrgetter
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.staging.paths import cannot_read

Facts = tuple[int, int, int, int, int]
"""st_mode, st_size, st_mtime_ns, st_ctime_ns and st_ino of an entry; the size of a folder counts as 0."""
Row = tuple[str, Facts]
"""An entry by its name in its folder."""
Folder = tuple[str, list[Row]]
"""A folder by its path relative to scratch_dir ("" for scratch_dir itself), and entries of it by name."""

FORMAT = 0o170000
FOLDER, FILE, SYMLINK = stat.S_IFDIR, stat.S_IFREG, stat.S_IFLNK

_PIECE = 4096  # entries of one folder that are looked at in one go
_ENOUGH = 2000  # entries after which the pace is known
_SLOW = 30e-6  # seconds an entry: 3 on a local disk, 200 to 1000 on a busy shared one
_THREADS = 16
_TICK = 20_000_000  # ns; Linux's clock of file times ticks every 1 to 10 ms
_COARSE_TICK = 1_100_000_000  # Lustre and some NFS servers keep whole seconds
_WHOLE_SECOND = 1_000_000_000

facts_of: Callable[[os.stat_result], Facts] = attrgetter(
    "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"
)
"""What a stat says of an entry."""
_Task = tuple[str, list[str] | None]


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
        folders = _look_below(tops, _Pace(str(scratch_dir)))
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


def _look_below(tops: Iterable[str], pace: "_Pace") -> list[Folder]:
    """All folders at and below some, level by level: one stat an entry."""
    folders: dict[str, list[Row]] = {}
    tasks: list[_Task] = [(top, None) for top in tops]
    while tasks:
        found: list[_Task] = []
        for (folder, _), (rows, rest) in zip(tasks, pace.read_all(tasks), strict=True):
            below = [name for name, facts in rows if facts[0] & FORMAT == FOLDER]
            if below:
                rows = _without_folder_sizes(rows)
            folders.setdefault(folder, []).extend(rows)
            found += [(folder, rest[at : at + _PIECE]) for at in range(0, len(rest), _PIECE)]
            found += [(f"{folder}/{name}", None) for name in below]
        tasks = found
    return sorted(folders.items())


def _without_folder_sizes(rows: list[Row]) -> list[Row]:
    """Some file systems let a folder grow and never shrink it: its size says nothing."""
    return [(name, (facts[0], 0, *facts[2:]) if is_folder(facts) else facts) for name, facts in rows]


_Read = tuple[list[Row], list[str]]


class _Pace:
    """Reads folders one by one, and many at once where the file system takes its time to answer."""

    def __init__(self, scratch: str, *, entries: int = 0, seconds: float = 0.0) -> None:
        self._scratch = scratch
        self._entries = entries
        self._seconds = seconds

    def read_all(self, tasks: list[_Task]) -> list[_Read]:
        """The entries of folders, and the names of those that are left for the next time."""
        done: list[_Read] = []
        for at, task in enumerate(tasks):
            if self._slow:
                return done + _side_by_side(self._read, tasks[at:])
            began = time.perf_counter()
            done.append(self._read(task))
            self._seconds += time.perf_counter() - began
            self._entries += len(done[-1][0]) + 1
        return done

    @property
    def _slow(self) -> bool:
        return self._entries >= _ENOUGH and self._seconds > _SLOW * self._entries

    def _read(self, task: _Task) -> _Read:
        folder, names = task
        path = f"{self._scratch}/{folder}"
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise cannot_read(path, error) from error
        try:
            if names is None:
                names = os.listdir(descriptor)  # noqa: PTH208  # pathlib lists no descriptor
                names.sort()
            look = os.stat
            rows = [
                (name, facts_of(look(name, dir_fd=descriptor, follow_symlinks=False)))
                for name in names[:_PIECE]
            ]
        except OSError as error:
            raise cannot_read(path, error) from error
        finally:
            os.close(descriptor)
        return rows, names[_PIECE:]


def _side_by_side(read: Callable[[_Task], _Read], tasks: list[_Task]) -> list[_Read]:
    """Read folders with several threads; the results are in the order of the tasks."""
    import threading  # late: for slow file systems alone

    results: dict[int, _Read] = {}
    failures: list[BaseException] = []
    waiting, lock = iter(enumerate(tasks)), threading.Lock()

    def take() -> None:
        while not failures:
            with lock:
                at, task = next(waiting, (-1, ("", None)))
            if at < 0:
                return
            try:
                results[at] = read(task)
            except BaseException as failure:  # noqa: BLE001  # the thread that waits raises it
                failures.append(failure)

    threads = [threading.Thread(target=take, daemon=True) for _ in range(min(_THREADS, len(tasks)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return [results[at] for at in range(len(tasks))]


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
