"""The job that builds an environment: which one it is, whether it is at it, and how it failed."""

import os
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environments.layout import is_finished, is_same, job_of, log_of, was_finished
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import statuses
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId

LAST_LINES = 15
"""Lines of a failed build's log that are shown."""


class Failure(NamedTuple):
    """A build that failed, for the user: one line; the last lines of its log; the command to see all."""

    message: str
    lines: tuple[str, ...]
    hint: str


def last_job(path: Path) -> JobId | None:
    """The job that was last submitted to build an environment; None where none was.

    Of a project that was copied or moved it builds the one that is elsewhere, which its second line names.
    """
    try:
        job, _, place = job_of(path).read_text().partition("\n")
        here = not place or is_same(os.path.dirname(place), path.parent)  # noqa: PTH120 - a text
        return JobId.parse(job.strip()) if here else None
    except (OSError, ValueError, HpcSubmitError):
        return None


def job_at_it(path: Path, host: Host) -> JobId | None:
    """The job that is building an environment, or waits to; None where none is.

    A job that no command of Slurm knows has ended: at worst a second one is submitted, which begins after the
    first (singleton) and does nothing where that was successful.
    """
    job = last_job(path)
    status = status_of(job, host) if job else None
    return job if status and not status.state.ended else None


def status_of(job: JobId, host: Host) -> JobStatus | None:
    """What Slurm knows of a job that builds: only Slurm has such jobs."""
    return statuses(scheduler_for("slurm", host), [job]).get(job)


def failure(path: Path, job: JobId | None, host: Host) -> Failure | None:
    """Tell how the build of an environment failed, by a job or, with None, in the foreground.

    Returns None where it is finished, or the job has not ended.
    """
    if is_finished(path):
        return None
    status = status_of(job, host) if job else None
    if status and not status.state.ended:
        return None
    if was_finished(path) and not (status and status.state is not JobState.COMPLETED):
        return None  # what it built can no longer be used
    state = f" by job {job} ({status.state.value if status else 'ended'})" if job else ""
    log = log_of(path)
    return Failure(
        f"the environment {path} could not be built{state}",
        last_lines(log),
        f"mend what the last lines of its log name and submit again; all of it: less {log}",
    )


def last_lines(log: Path) -> tuple[str, ...]:
    """The last lines of a log; none where it is not there."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, file.seek(0, 2) - LAST_LINES * 400))
            text = file.read().decode(errors="replace")
    except OSError:
        return ()
    return tuple(text.splitlines()[-LAST_LINES:])
