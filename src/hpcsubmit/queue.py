"""Asks a scheduler what became of jobs, and ends them."""

from collections.abc import Mapping, Sequence

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.job_status import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    JobStatus,
    parse_sacct,
    parse_scontrol_jobs,
    parse_squeue,
)
from hpcsubmit.running import Completed
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId

QUERY_TIMEOUT = 20.0
"""Seconds that squeue, scontrol, sacct or scancel may take; without a controller they give up after 9."""
MOST_SHOWN = 8
"""Jobs that scontrol is asked for one by one; more of them are left to one sacct."""


def statuses(scheduler: Scheduler, jobs: Sequence[JobId]) -> dict[JobId, JobStatus]:
    """Ask squeue, then scontrol, then sacct; a job that none of them knows is left out.

    A job that has just ended is in none of squeue's lines, and sacct lags by seconds: each is asked for
    what the one before did not tell (Slurm 22.05).
    """
    found: dict[JobId, JobStatus] = {}
    if not jobs:
        return found
    done = _ask(scheduler, "squeue", "--noheader", f"--format={SQUEUE_FORMAT}", f"--jobs={_ids(jobs)}")
    found |= {s.job: s for s in parse_squeue(done.stdout) if not s.state.ended}
    missing = _missing(jobs, found)
    if len(missing) <= MOST_SHOWN and (done.code == 0 or "Invalid job id" in done.stderr):
        for job in missing:
            shown = _ask(scheduler, "scontrol", "--oneliner", "show", "job", str(job))
            found |= {s.job: s for s in parse_scontrol_jobs(shown.stdout) if s.job == job}
        missing = _missing(jobs, found)
    if missing:
        said = (f"--format={SACCT_FORMAT}", f"--jobs={_ids(missing)}")
        done = _ask(scheduler, "sacct", "--allocations", "--parsable2", "--noheader", *said)
        found |= {s.job: s for s in parse_sacct(done.stdout) if s.job in missing}
    return found


def is_forgotten(scheduler: Scheduler, job: JobId) -> bool:
    """Whether squeue answers, and answers that it does not know the job."""
    done = _ask(scheduler, "squeue", "--noheader", f"--format={SQUEUE_FORMAT}", f"--jobs={job}")
    return not parse_squeue(done.stdout) and (done.code == 0 or "Invalid job id" in done.stderr)


def queued(scheduler: Scheduler) -> tuple[JobStatus, ...] | None:
    """Return this user's jobs that have not ended, each as squeue tells of it; None where it does not."""
    done = _ask(scheduler, "squeue", "--noheader", "--me", f"--format={SQUEUE_FORMAT}")
    return parse_squeue(done.stdout) if done.code == 0 else None


def find_by_comment(scheduler: Scheduler, comments: Sequence[str]) -> dict[str, JobId]:
    """Find jobs of this user that Slurm still knows by their comments."""
    done = _ask(scheduler, "squeue", "--noheader", "--me", "--states=all", f"--format={SQUEUE_FORMAT}")
    wanted = set(comments)
    return {s.comment: s.job for s in parse_squeue(done.stdout) if s.comment in wanted}


def cancel(scheduler: Scheduler, job: JobId) -> None:
    """Ask for the end of a job; raises HpcSubmitError where Slurm refuses."""
    done = scheduler.run("scancel", str(job), timeout=QUERY_TIMEOUT)
    if done.code != 0:
        said = done.stderr.strip() or f"exit code {done.code}"
        raise HpcSubmitError(f"job {job} could not be cancelled: {said}", f"see hpcsubmit status {job}")


def _ask(scheduler: Scheduler, *argv: str) -> Completed:
    """Run a query; a command that is missing or gives no answer is an empty answer with code -1."""
    try:
        return scheduler.run(*argv, timeout=QUERY_TIMEOUT)
    except HpcSubmitError as error:
        return Completed(code=-1, stdout="", stderr=error.message)


def _ids(jobs: Sequence[JobId]) -> str:
    return ",".join(str(job) for job in jobs)


def _missing(jobs: Sequence[JobId], found: Mapping[JobId, JobStatus]) -> list[JobId]:
    return [job for job in jobs if job not in found]
