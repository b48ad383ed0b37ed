"""The start of a job's runner: its folder, its lock, its log, and its word that it lives."""

import errno
import fcntl
import os
import select
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.job import Job, JobFolder
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.processes import start
from hpcsubmit.local.standins import command_line, write_standins

LOCK_FILE, READY_FILE = 3, 4  # what a runner is given as files 3 and 4
_START_SECONDS = 30.0


def fill(folder: JobFolder, job: Job, script: bytes, jobs: Jobs) -> None:
    """Writes what a job needs into its folder."""
    folder.steps.mkdir(mode=0o700)
    write_standins(folder.commands, jobs.root)
    folder.script.write_bytes(script)
    folder.script.chmod(0o700)
    folder.write_job(job)


def open_log(path: Path) -> int:
    """Opens a job's log with what it holds: the job empties it when it begins. Raises HpcSubmitError."""
    # O_APPEND in either mode: the tasks write to one file at the same time.
    try:
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    except OSError as error:
        raise _no_log(path, error.errno) from error


def check_folder(log: Path) -> None:
    """Raises as open_log does where a log's folder is missing; makes no log."""
    if not log.parent.is_dir():
        raise _no_log(log, errno.ENOENT)


def _no_log(path: Path, why: int | None) -> HpcSubmitError:
    # Slurm would accept the job and fail it without a log; here the reason can be said.
    return HpcSubmitError(
        f"sbatch: error: can't write the job's log {path}: {os.strerror(why or 0)}",
        f"make the folder {path.parent}",
    )


def take_lock(folder: JobFolder) -> int:
    """Locks a job for its runner, which inherits this file: there is no moment in which the lock is free."""
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    return lock


def start_runner(kind: str, job_id: int, folder: JobFolder, log: int, jobs: Jobs) -> bool:
    """Starts `runner` or `array-runner`; whether it said in time that it lives. Closes the log."""
    lock = take_lock(folder)
    jobs.mark_active(folder)
    ready, alive = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    start((*command_line(jobs.root), kind, str(job_id)), os.environ, files=(nothing, log, log, lock, alive))
    for fd in (nothing, log, lock, alive):
        os.close(fd)
    readable, _, _ = select.select([ready], [], [], _START_SECONDS)
    return bool(readable) and bool(os.read(ready, 1))


def announce() -> None:
    """A runner's word to who started it, which waits for no second one."""
    os.write(READY_FILE, b"1")
    nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
    os.dup2(nowhere, READY_FILE, inheritable=False)
    os.close(nowhere)


def keep_files() -> None:
    """For a runner: what it was given is not for those that it starts."""
    for fd in (LOCK_FILE, READY_FILE):
        os.set_inheritable(fd, False)  # noqa: FBT003
