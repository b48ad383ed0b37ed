"""Files of records, each replaced as a whole, and the locks that tell whether somebody lives."""

import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

_LOOK = 0.01  # seconds: much more than a look takes
_TRIES = 100


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Writes or replaces a file."""
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(dict(record), indent=1), "utf-8")
    partial.replace(path)


def read_record(path: Path) -> dict[str, Any]:
    """What a file holds; empty where there is none."""
    try:
        record = json.loads(path.read_text("utf-8"))
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return {}
    return record if isinstance(record, dict) else {}


@contextmanager
def try_lock(path: Path) -> Iterator[bool]:
    """Takes the lock for the length of a block; False where another process has it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        yield _take(fd)
    finally:
        os.close(fd)


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Takes the lock for the length of a block, after the other processes that want it."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def is_locked(path: Path) -> bool:
    """Whether a living process holds this lock; the look leaves nothing behind."""
    try:
        fd = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return False
    try:
        return not _lock(fd, fcntl.LOCK_SH)  # shared, so that two looks don't see each other
    finally:
        os.close(fd)


def _take(fd: int) -> bool:
    """Take a lock that nobody holds; those who only look at it (is_locked) share it for a moment."""
    for _ in range(_TRIES):
        if _lock(fd, fcntl.LOCK_EX):
            return True
        if not _lock(fd, fcntl.LOCK_SH):
            return False
        fcntl.flock(fd, fcntl.LOCK_UN)
        time.sleep(_LOOK)
    return False


def _lock(fd: int, kind: int) -> bool:
    try:
        fcntl.flock(fd, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
