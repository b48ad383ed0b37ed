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
STARTED = re.compile(r"^(?:clone3?|v?fork|execve)\((?!.*CLONE_THREAD)")


def is_possible() -> bool:
    """Whether this machine has strace."""
    return shutil.which("strace") is not None


def calls_of(argv: Sequence[str | Path], environ: Mapping[str, str], folder: Path) -> list[list[str]]:
    """Return the calls of a command and of all its children, a list for each process and thread.

    Raises CalledProcessError where the command fails.
    """
    with tempfile.TemporaryDirectory(prefix="hpcsubmit-bench-calls-") as logs:
        log = Path(logs) / "log"
        strace = ("strace", "-ff", "-y", "-qq", "-s", "0", "-e", "signal=none", "-e", _TRACED, "-o", str(log))
        subprocess.run((*strace, *argv), cwd=folder, env=environ, check=True, capture_output=True, text=True)
        return [path.read_text().splitlines() for path in log.parent.iterdir()]


def between(calls: Sequence[Sequence[str]], begin: str, end: str) -> list[str]:
    """Return what is called after a call that names `begin`, until one that names `end`.

    Processes and threads that make neither were started meanwhile: all of theirs counts.
    """
    found: list[str] = []
    for each in calls:
        first = next((at + 1 for at, call in enumerate(each) if begin in call), 0)
        last = next((at for at, call in enumerate(each) if end in call), len(each))
        found += each[first:last]
    return found


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
