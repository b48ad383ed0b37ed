"""System calls of a command and its children, by strace: what it reads, opens, asks about and starts."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_TRACED = (
    "trace=read,pread64,readv,preadv,sendfile,copy_file_range,splice,mmap,"
    "?open,?openat,?stat,?lstat,?newfstatat,?statx,clone,?clone3,?fork,?vfork,execve"
)
_READ = re.compile(r"^(?:read|pread64|readv|preadv)\(\d+<(?P<path>[^>]*)>.* = (?P<count>\d+)$")
_COPIED = re.compile(
    r"^(?:sendfile\([^,]*, \d+|copy_file_range\(\d+|splice\(\d+)<(?P<path>[^>]*)>.* = (?P<count>\d+)$"
)
_MAPPED = re.compile(r"^mmap\([^,]*, (?P<count>\d+), .*, \d+<(?P<path>[^>]*)>")
OPENED = re.compile(r"^open(?:at)?\(")
OPENED_FILE = re.compile(r"^open(?:at)?\((?!.*O_DIRECTORY)")
STATTED = re.compile(r'^(?:stat|lstat|newfstatat|statx)\((?!\d+[^,]*, "",)')
STARTED = re.compile(r"^(?:clone3?|v?fork|execve)\(")


def is_possible() -> bool:
    """Whether this machine has strace."""
    return shutil.which("strace") is not None


def calls_of(argv: Sequence[str | Path], environ: Mapping[str, str], folder: Path) -> list[str]:
    """Return the calls of a command and of all its children, each process's in order.

    Raises CalledProcessError where the command fails.
    """
    with tempfile.TemporaryDirectory(prefix="hpcsubmit-bench-calls-") as logs:
        log = Path(logs) / "log"
        strace = ("strace", "-ff", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", _TRACED, "-o", str(log))
        subprocess.run((*strace, *argv), cwd=folder, env=environ, check=True, capture_output=True, text=True)
        return [line for path in sorted(log.parent.iterdir()) for line in path.read_text().splitlines()]


def between(calls: Sequence[str], begin: str, end: str) -> list[str]:
    """Return the calls between the first that names `begin` and the one that names `end`."""
    first = next(at for at, call in enumerate(calls) if begin in call)
    last = next(at for at, call in enumerate(calls) if end in call)
    return list(calls[first + 1 : last])


def bytes_read(calls: Sequence[str], below: Path) -> int:
    """Return the bytes of files below a folder that calls read, copied or mapped."""
    return sum(count for path, count in _reads(calls) if path.startswith(f"{below}/"))


def matching(calls: Sequence[str], form: re.Pattern[str]) -> int:
    """Return how many calls have a form."""
    return sum(1 for call in calls if form.match(call))


def _reads(calls: Sequence[str]) -> Iterator[tuple[str, int]]:
    for call in calls:
        for form in (_READ, _COPIED, _MAPPED):
            if found := form.match(call):
                yield found["path"], int(found["count"])
