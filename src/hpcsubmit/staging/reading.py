"""Reads folders: every entry's stat, by one process, by two, or by many threads."""

import marshal
import os
import time
from collections.abc import Callable
from itertools import zip_longest
from operator import attrgetter

from hpcsubmit.running import Workers
from hpcsubmit.staging.paths import cannot_read

Facts = tuple[int, int, int, int, int]
"""st_mode, st_size, st_mtime_ns, st_ctime_ns and st_ino of an entry; in a scan the size of a folder is 0."""
Row = tuple[str, Facts]
"""An entry by its name in its folder."""
Task = tuple[str, list[str] | None]
"""A folder to read, by its path, and the names that are left of it; None for all."""
Read = tuple[list[Row], list[str]]
"""Entries of a folder, in order of their names, and the names that are left for the next time."""

PIECE = 4096
"""Entries of one folder that are looked at in one go."""

_ENOUGH = 2000  # entries after which the pace is known
_SLOW = 30e-6  # seconds an entry: 3 on a local disk, 200 to 1000 on a busy shared one
_THREADS = 16
_WORTH_A_COPY = 0.03  # seconds of work: a copy of the process needs about 4 ms to start and to report

facts_of: Callable[[os.stat_result], Facts] = attrgetter(
    "st_mode", "st_size", "st_mtime_ns", "st_ctime_ns", "st_ino"
)
"""What a stat says of an entry."""


class Pace:
    """Reads folders one by one while they are few, then with two processes.

    Where the file system takes its time to answer, many folders are read at once.
    """

    def __init__(self, scratch: str, *, entries: int = 0, seconds: float = 0.0) -> None:
        self._scratch = scratch
        self._tasks = 0
        self._entries = entries
        self._seconds = seconds
        self._has_copy = False

    def read_all(self, tasks: list[Task]) -> list[Read]:
        """Return what each task finds. Raises HpcSubmitError where a folder cannot be read, or changes."""
        done: list[Read] = []
        for at, task in enumerate(tasks):
            if self._is_slow:
                return done + _side_by_side(self._read, tasks[at:])
            if self._is_worth_a_copy(len(tasks) - at):
                return done + self._read_with_a_copy(tasks[at:])
            began = time.perf_counter()
            done.append(self._read(task))
            self._seconds += time.perf_counter() - began
            self._entries += len(done[-1][0]) + 1
            self._tasks += 1
        return done

    @property
    def _is_slow(self) -> bool:
        return self._entries >= _ENOUGH and self._seconds > _SLOW * self._entries

    def _is_worth_a_copy(self, left: int) -> bool:
        """Whether as many tasks, at the pace so far, are work for another process too."""
        if self._has_copy or not self._tasks or self._entries < _ENOUGH:
            return False
        return left * self._seconds / self._tasks > _WORTH_A_COPY and Workers.cores() > 1

    def _read_with_a_copy(self, tasks: list[Task]) -> list[Read]:
        """Let a copy of this process read every second folder."""

        def work(report: int) -> None:
            rest = memoryview(marshal.dumps(self.read_all(tasks[1::2]), 2))
            while rest:
                rest = rest[os.write(report, rest) :]

        self._has_copy = True
        with Workers() as workers:
            workers.start(1, work)
            mine = self.read_all(tasks[::2])
            written = workers.output()
            failed = any(workers.codes())
        # What the copy could not read is read here, and fails with its error.
        others = self.read_all(tasks[1::2]) if failed else marshal.loads(written)  # noqa: S302
        self._has_copy = False
        return [each for pair in zip_longest(mine, others) for each in pair if each]

    def _read(self, task: Task) -> Read:
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
                for name in names[:PIECE]
            ]
        except OSError as error:
            raise cannot_read(path, error) from error
        finally:
            os.close(descriptor)
        return rows, names[PIECE:]


def _side_by_side(read: Callable[[Task], Read], tasks: list[Task]) -> list[Read]:
    """Read folders with several threads; the results are in the order of the tasks."""
    import threading  # late: for slow file systems alone

    results: dict[int, Read] = {}
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
