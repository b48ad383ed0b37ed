"""Asks a scheduler what became of jobs, and ends them."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

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
_WHOLE = {"SLURM_BITSTR_LEN": "0"}
"""Slurm cuts the numbers of an array's tasks off after 64 characters, unless this is 0 (squeue(1))."""


def statuses(
    scheduler: Scheduler, jobs: Sequence[JobId], tasks: Mapping[JobId, Collection[int]] | None = None
) -> dict[JobId, JobStatus]:
    """Ask squeue, then scontrol, then sacct; a job that none of them knows is left out.

    A job that has just ended is in none of squeue's lines, and sacct lags by seconds: each is asked for
    what the one before did not tell (Slurm 22.05). An array's id stands for its tasks: each of them is in
    the answer by its own id. tasks: the numbers of those that arrays have, where they are known; else all
    three are asked, since any may know further tasks.
    """
    found: dict[JobId, JobStatus] = {}
    if not jobs:
        return found
    said = (f"--format={SQUEUE_FORMAT}", f"--jobs={_ids(jobs)}")
    done = _ask(scheduler, "squeue", "--noheader", "--array", *said)
    found |= {s.job: s for s in parse_squeue(done.stdout) if not s.state.ended}
    missing = _missing(jobs, found, tasks or {})
    if len(missing) <= MOST_SHOWN and (done.code == 0 or "Invalid job id" in done.stderr):
        for job in missing:
            shown = _ask(scheduler, "scontrol", "--oneliner", "show", "job", str(job))
            known = _by_asked_id(parse_scontrol_jobs(shown.stdout), job)
            found |= {s.job: s for s in known if s.state.ended or s.job not in found}
        missing = _missing(jobs, found, tasks or {})
    if missing:
        said = (f"--format={SACCT_FORMAT}", f"--jobs={_ids(missing)}")
        done = _ask(scheduler, "sacct", "--allocations", "--parsable2", "--noheader", *said)
        wanted = set(missing)
        found = {s.job: s for s in parse_sacct(done.stdout) if _is_of(s.job, wanted)} | found
    return found


def is_forgotten(scheduler: Scheduler, job: JobId) -> bool:
    """Whether squeue answers, and answers that it does not know the job."""
    done = _ask(scheduler, "squeue", "--noheader", f"--format={SQUEUE_FORMAT}", f"--jobs={job}")
    return not parse_squeue(done.stdout) and (done.code == 0 or "Invalid job id" in done.stderr)


def queued(scheduler: Scheduler) -> tuple[JobStatus, ...] | None:
    """Return this user's jobs that have not ended, each as squeue tells of it; None where it does not."""
    done = _ask(scheduler, "squeue", "--noheader", "--me", f"--format={SQUEUE_FORMAT}")
    return parse_squeue(done.stdout) if done.code == 0 else None


def find_by_comment(scheduler: Scheduler, comments: Sequence[str]) -> dict[str, tuple[JobId, ...]]:
    """Find jobs of this user that Slurm still knows by their comments, oldest first; arrays as a whole."""
    done = _ask(scheduler, "squeue", "--noheader", "--me", "--states=all", f"--format={SQUEUE_FORMAT}")
    found: dict[str, set[int]] = {comment: set() for comment in comments}
    for status in parse_squeue(done.stdout):
        if status.comment in found:
            found[status.comment].add(status.job.number)
    return {
        comment: tuple(JobId(number=number) for number in sorted(numbers))
        for comment, numbers in found.items()
        if numbers
    }


def cancel(scheduler: Scheduler, job: JobId) -> None:
    """Ask for the end of a job, an array or a task of one; raises HpcSubmitError where Slurm refuses."""
    done = scheduler.run("scancel", str(job), timeout=QUERY_TIMEOUT)
    if done.code != 0:
        said = done.stderr.strip() or f"exit code {done.code}"
        raise HpcSubmitError(f"job {job} could not be cancelled: {said}", f"see hpcsubmit status {job}")


def _ask(scheduler: Scheduler, *argv: str) -> Completed:
    """Run a query; a command that is missing or gives no answer is an empty answer with code -1."""
    try:
        return scheduler._replace(environ={**scheduler.environ, **_WHOLE}).run(*argv, timeout=QUERY_TIMEOUT)
    except HpcSubmitError as error:
        return Completed(code=-1, stdout="", stderr=error.message)


def _ids(jobs: Sequence[JobId]) -> str:
    return ",".join(str(job) for job in jobs)


def _by_asked_id(shown: Sequence[JobStatus], job: JobId) -> list[JobStatus]:
    """What scontrol shows of a job, an array or a task; a task may be asked for by an id of its own, too."""
    if len(shown) == 1 and shown[0].job.number != job.number:
        return [replace(shown[0], job=job)]
    return [status for status in shown if _is_of(status.job, (job,))]


def _is_of(job: JobId, asked: Collection[JobId]) -> bool:
    """Whether a job, or the array whose task it is, is among those that were asked for."""
    return job in asked or JobId(number=job.number) in asked


def _missing(
    jobs: Sequence[JobId], found: Mapping[JobId, JobStatus], tasks: Mapping[JobId, Collection[int]]
) -> list[JobId]:
    return [
        job
        for job in jobs
        if not (
            all(JobId(number=job.number, task=task) in found for task in tasks[job])
            if job in tasks
            else job in found
        )
    ]
