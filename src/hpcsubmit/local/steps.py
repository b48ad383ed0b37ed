"""The steps of a job: one folder per srun, `steps/N`, with its process id and a lock that it holds."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcsubmit.local.job import JobFolder
from hpcsubmit.local.records import is_locked


@contextmanager
def claim_step(job: JobFolder) -> Iterator[int]:
    """Takes the job's next step id, counted from 0, and is alive under it for the length of a block."""
    number = _claim(job.steps)
    folder = job.steps / str(number)
    lock = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX)
        partial = folder / ".pid"
        partial.write_text(str(os.getpid()), "ascii")
        partial.replace(folder / "pid")
        yield number
    finally:
        os.close(lock)


def _claim(steps: Path) -> int:
    number = sum(1 for _ in steps.iterdir())
    while True:
        try:
            (steps / str(number)).mkdir(mode=0o700)
        except FileExistsError:
            number += 1
        else:
            return number


def live_steps(job: JobFolder) -> dict[int, int]:
    """The process id of every srun that runs, by step id."""
    found: dict[int, int] = {}
    for folder in job.steps.iterdir():
        if is_locked(folder / "lock") and (folder / "pid").exists():
            found[int(folder.name)] = int((folder / "pid").read_text("ascii"))
    return found


def ask_to_end(job: JobFolder, step: int) -> None:
    """Marks a step as cancelled: the TERM that its srun gets next is followed by KILL after KillWait."""
    (job.steps / str(step) / "cancelled").touch()


def is_asked_to_end(job: JobFolder, step: int) -> bool:
    """Whether the step was cancelled."""
    return (job.steps / str(step) / "cancelled").exists()
