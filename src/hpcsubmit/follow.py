"""Stays with a job until it ends, prints its log, and tells how it ended."""

import os
import time
from pathlib import Path
from typing import BinaryIO

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import is_forgotten, statuses
from hpcsubmit.record import EXIT
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId

LOOK = 0.2
"""Seconds between two looks at the log and the run folder."""
FIRST_ASK, LONGEST_ASK = 1.0, 15.0
"""Seconds between two questions to the scheduler: the interval doubles, so that a queue is not flooded."""
SETTLE = 1.0
"""Seconds in which a log on a network file system may still grow after its job has ended."""
GIVE_UP = 30.0
"""Seconds after which a job that no command knows has ended, if its script or squeue says so too."""


@frozen
class Followed:
    """How a job ended.

    status: what the scheduler said last; None where no command knew the job, and the script's own exit file
    gave the code.
    code: what hpcsubmit's process ends with, as A2 of the contract orders it.
    """

    status: JobStatus | None
    code: int


def follow(
    job: JobId, *, log: Path, run_dir: Path, scheduler: Scheduler, output: BinaryIO, give_up: float = GIVE_UP
) -> Followed:
    """Copy the job's log to `output` while it grows; return when the job has ended.

    Raises HpcSubmitError where neither the scheduler nor the run folder knows how the job ended.
    """
    tail = _Tail(log, output)
    asked, interval, exit_seen, unknown_since = 0.0, FIRST_ASK, 0.0, 0.0
    while True:
        tail.copy()
        now = time.monotonic()
        if not exit_seen and read_exit_code(run_dir) is not None:
            asked, exit_seen = 0.0, now
        if now - asked >= (FIRST_ASK if exit_seen else interval):
            asked, interval = now, min(2 * interval, LONGEST_ASK)
            status = statuses(scheduler, [job]).get(job)
            if status and status.state.ended:
                tail.drain()
                return Followed(status=status, code=exit_code_of(status))
            unknown_since = (unknown_since or now) if status is None else 0.0
            waited = unknown_since and now - unknown_since > give_up
            if waited and (exit_seen or is_forgotten(scheduler, job)):
                tail.drain()
                return _from_exit_file(job, run_dir)
        time.sleep(LOOK)


def exit_code_of(status: JobStatus) -> int:
    """Return the exit code that stands for a job's end (A2).

    A time-out is 0:0 for Slurm, and a cancelled job 0:0 or 0:9: neither is a success.
    """
    code = status.exit_code or 0
    if status.state is JobState.COMPLETED:
        return code
    if status.state is JobState.FAILED and code == 0 and 1 <= status.signal <= 31:
        return 128 + status.signal
    return code or 1


def read_exit_code(run_dir: Path) -> int | None:
    """Return what the batch script wrote when it ended; None while it has not."""
    try:
        text = (run_dir / EXIT).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdecimal() else None


def _from_exit_file(job: JobId, run_dir: Path) -> Followed:
    code = read_exit_code(run_dir)
    if code is None:
        raise HpcSubmitError(f"how job {job} ended is not known", f"see hpcsubmit status {job}")
    return Followed(status=None, code=code)


class _Tail:
    """Copies what is new in a file that grows, and that may not be there yet."""

    def __init__(self, path: Path, output: BinaryIO) -> None:
        self._path = path
        self._output = output
        self._copied = 0

    def copy(self) -> bool:
        """Copy what is new; return whether there was anything."""
        try:
            with self._path.open("rb") as file:
                file.seek(self._copied)
                copied = 0
                while chunk := file.read(1 << 16):
                    self._output.write(chunk)
                    copied += len(chunk)
        except FileNotFoundError:
            return False
        if copied:
            self._output.flush()
        self._copied += copied
        return copied > 0

    def drain(self) -> None:
        """Copy until the file has been quiet for SETTLE seconds."""
        quiet_since = now = time.monotonic()
        while True:
            refresh(self._path)
            if self.copy():
                quiet_since = time.monotonic()
            elif (
                now - quiet_since >= SETTLE
            ):  # the last look is never before that, however slow the machine is
                return
            time.sleep(LOOK / 2)
            now = time.monotonic()


def refresh(path: Path) -> None:
    """List a file's folder: a network file system then asks its server for news."""
    try:
        os.listdir(path.parent)  # noqa: PTH208 - the listing itself is the point
    except OSError:
        return
