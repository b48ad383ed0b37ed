"""One command while it runs: the part of the standard library's subprocess that a submission needs.

Importing and using subprocess takes 3 ms longer than this, of the 55 until sbatch begins.
"""

import os
import select
import shutil
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Self

from hpcsubmit.frozen import frozen

IGNORED_BY_PYTHON = (signal.SIGPIPE, signal.SIGXFSZ)
"""What Python ignores for itself, and a program it starts should not."""


@frozen
class Completed:
    """A command that ended: its exit code (negative: the signal that ended it) and what it wrote."""

    code: int
    stdout: str
    stderr: str


class Running:
    """A command that was started, and what it has written so far."""

    def __init__(self, pid: int, stdout: int, stderr: int) -> None:
        self._pid = pid
        self._pipes = {stdout: bytearray(), stderr: bytearray()}
        self._written = tuple(self._pipes.values())
        self._status: int | None = None

    @classmethod
    def start(cls, argv: Sequence[str], environ: Mapping[str, str], source: int | None = None) -> "Running":
        """Start a program of the PATH in a process group of its own; raises OSError where that fails.

        source: an open file that it reads; None for nothing.
        """
        program = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
        if program is None:
            raise FileNotFoundError(2, "there is no such program on the PATH", argv[0])
        (out, out_end), (err, err_end) = os.pipe(), os.pipe()
        nothing = (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0)
        files = (
            nothing if source is None else (os.POSIX_SPAWN_DUP2, source, 0),
            (os.POSIX_SPAWN_DUP2, out_end, 1),
            (os.POSIX_SPAWN_DUP2, err_end, 2),
        )
        try:
            pid = os.posix_spawn(
                program, list(argv), environ, file_actions=files, setpgroup=0, setsigdef=IGNORED_BY_PYTHON
            )
        except OSError:
            os.close(out)
            os.close(err)
            raise
        finally:
            os.close(out_end)
            os.close(err_end)
        return cls(pid, out, err)

    def wait(self, timeout: float) -> bool:
        """Wait for the end of the command and of its output; after `timeout` seconds kill it.

        Returns whether it ended by itself. A child that it left behind, and that holds its output open,
        counts as the command.
        """
        deadline = time.monotonic() + timeout
        try:
            while self._pipes or not self._ended():
                left = deadline - time.monotonic()
                if left <= 0:
                    os.killpg(self._pid, signal.SIGKILL)
                    os.waitpid(self._pid, 0)
                    return False
                self._read(min(left, 0.01 if not self._pipes else left))
        finally:
            for pipe in self._pipes:
                os.close(pipe)
        return True

    def completed(self) -> Completed:
        """Return how the command ended."""
        stdout, stderr = (bytes(text).decode(errors="replace") for text in self._written)
        return Completed(code=os.waitstatus_to_exitcode(self._status or 0), stdout=stdout, stderr=stderr)

    def _ended(self) -> bool:
        if self._status is None:
            pid, status = os.waitpid(self._pid, os.WNOHANG)
            self._status = status if pid else None
        return self._status is not None

    def _read(self, seconds: float) -> None:
        """Take what the command has written within some seconds."""
        readable, _, _ = select.select(list(self._pipes), [], [], seconds)
        for pipe in readable:
            chunk = os.read(pipe, 1 << 16)
            if chunk:
                self._pipes[pipe] += chunk
            else:
                os.close(pipe)
                del self._pipes[pipe]


class Filter:
    """A program that reads one open file and writes another."""

    def __init__(self, pid: int) -> None:
        self._pid = pid

    @classmethod
    def start(cls, argv: Sequence[str], environ: Mapping[str, str], source: int, target: int) -> "Filter":
        """Start a program of the PATH between two open files; raises OSError where that fails."""
        program = shutil.which(argv[0], path=environ.get("PATH", os.defpath))
        if program is None:
            raise FileNotFoundError(2, "there is no such program on the PATH", argv[0])
        files = ((os.POSIX_SPAWN_DUP2, source, 0), (os.POSIX_SPAWN_DUP2, target, 1))
        return cls(
            os.posix_spawn(program, list(argv), environ, file_actions=files, setsigdef=IGNORED_BY_PYTHON)
        )

    def wait(self) -> int:
        """Wait for its end; return its exit code (negative: the signal that ended it)."""
        return os.waitstatus_to_exitcode(os.waitpid(self._pid, 0)[1])


class Workers:
    """Copies of this process that work side by side, and the lines that they write.

    Leaving the `with` block kills those that still work. One whose parent was killed ends when it writes.
    """

    def __init__(self) -> None:
        self.pids: list[int] = []
        self._at_work: list[int] = []
        self._lines, self._lines_end = os.pipe()

    @staticmethod
    def cores() -> int:
        """Return the cores that this process may use, where the system tells."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for pid in self._at_work:
            os.kill(pid, signal.SIGKILL)  # not reaped yet: the number is still its own
        self.codes()
        os.close(self._lines)
        if self._lines_end >= 0:
            os.close(self._lines_end)

    def start(self, count: int, work: Callable[[int], None]) -> None:
        """Let `count` copies work; `work` writes lines of at most select.PIPE_BUF bytes to the open file."""
        for _ in range(count):
            pid = os.fork()
            if pid == 0:
                self._work(work)
            self.pids.append(pid)
            self._at_work.append(pid)
        os.close(self._lines_end)
        self._lines_end = -1

    def lines(self) -> Iterator[bytes]:
        """Wait for the lines of all, until the last has ended."""
        rest = b""
        while chunk := os.read(self._lines, 1 << 16):
            *lines, rest = (rest + chunk).split(b"\n")
            yield from lines

    def output(self) -> bytes:
        """Wait for all that they write, which need not be lines."""
        return b"".join(iter(lambda: os.read(self._lines, 1 << 20), b""))

    def codes(self) -> list[int]:
        """Wait for the end of those at work; return their exit codes (negative: a signal's number)."""
        codes = [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in self._at_work]
        self._at_work.clear()
        return codes

    def _work(self, work: Callable[[int], None]) -> None:
        """Be a copy: never return into what the process was doing."""
        code = 1
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is the parent's: it ends its workers
            os.close(self._lines)
            work(self._lines_end)
            code = 0
        except BrokenPipeError:  # nobody reads any more: the parent was killed
            pass
        finally:
            os._exit(code)
