"""What pending and running jobs need: nothing of it may be removed, and in doubt a job is one of them."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.array_status import task_statuses, tasks_of
from hpcsubmit.history import all_runs
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import queued, statuses
from hpcsubmit.run import Run
from hpcsubmit.scheduler import Scheduler, scheduler_for
from hpcsubmit.slurm import JobId

GRACE = timedelta(hours=24)
"""How long a run without a job is taken for a submission that is still being made."""
ASKED_AT_ONCE = 1000
"""Jobs in one question: their ids are one argument, and the system takes 128 KiB of it."""


class InUse(NamedTuple):
    """What a run that has not ended needs: its environment and the manifest of its data, None without one.

    certain: whether its scheduler says that it has not ended; else nobody knows how it ended.
    """

    run_id: str
    virtualenv: Path | None
    data: Path | None
    certain: bool


def jobs_in_use(host: Host, now: datetime | None = None, also: Iterable[Path] = ()) -> tuple[InUse, ...]:
    """Return what the runs need that have not ended, of every project below $SCRATCH and of this machine.

    A run has ended where its scheduler says so, or knows nothing more of it and its script wrote its exit
    code, or sbatch refused it. A scheduler that gives no answer ends no run, whatever the files say: a job
    that was requeued has an exit code too. now: an aware time, by default the present one. also: scratch
    folders to look below besides.
    """
    runs = [run for run in all_runs(host, also) if run.jobs or not run.refused]
    moment = now or datetime.now(UTC)
    found: list[InUse] = []
    for kind in sorted({run.scheduler for run in runs}):
        found += _in_use([run for run in runs if run.scheduler == kind], scheduler_for(kind, host), moment)
    return tuple(found)


def _in_use(runs: Sequence[Run], scheduler: Scheduler, now: datetime) -> list[InUse]:
    known = _statuses(scheduler, [job for run in runs for job in run.jobs], tasks_of(runs))
    queue = queued(scheduler)
    answering = queue is not None
    alive = {status.job.number for status in queue or ()}
    found = []
    for run in runs:
        if run.array and run.jobs:
            again = any(not answering or job.number in alive for job in run.reruns)
            found += (
                [_needs(run, certain=answering)]
                if again
                else _arrays_in_use(run, known, now, answering=answering)
            )
            continue
        status = known.get(run.job) if run.job else None
        # Two clusters that share a scratch give out the same numbers: the comment tells whose job it is.
        if status and status.comment not in ("", "(null)", run.run_id):
            status = None
        if not (status.state.ended if status else _is_over(run, now, answering=answering)):
            found.append(_needs(run, certain=status is not None))
    return found


def _arrays_in_use(
    run: Run, known: Mapping[JobId, JobStatus], now: datetime, *, answering: bool
) -> list[InUse]:
    """What a run of arrays needs while any of its tasks waits or runs, or another array is being submitted.

    As with single jobs, what a task wrote at its end counts only where the scheduler answers.
    """
    tasks = task_statuses(run, run.jobs, known)
    going = [task for task in tasks if not task.state.ended]
    doubtful = not answering and any(task.job not in known for task in tasks)
    unfinished = not (run.is_submitted or run.refused or _older_than_grace(run.created, now))
    if not (going or doubtful or unfinished):
        return []
    certain = any(task.state is not JobState.UNKNOWN for task in going)
    return [_needs(run, certain=certain)]


def _statuses(
    scheduler: Scheduler, jobs: Sequence[JobId], tasks: Mapping[JobId, Collection[int]]
) -> dict[JobId, JobStatus]:
    found: dict[JobId, JobStatus] = {}
    for first in range(0, len(jobs), ASKED_AT_ONCE):
        found |= statuses(scheduler, jobs[first : first + ASKED_AT_ONCE], tasks)
    return found


def _is_over(run: Run, now: datetime, *, answering: bool) -> bool:
    """Whether a run of whose job the scheduler says nothing has ended, or has never begun."""
    if not answering:
        return False
    return _older_than_grace(run.created, now) if run.job is None else run.exit_code is not None


def _older_than_grace(created: str, now: datetime) -> bool:
    try:
        made = datetime.fromisoformat(created)
    except ValueError:
        return False
    return now - (made if made.tzinfo else made.replace(tzinfo=UTC)) > GRACE


def _needs(run: Run, *, certain: bool) -> InUse:
    return InUse(run.run_id, _path(run.virtualenv), _path(run.data), certain=certain)


def _path(text: str) -> Path | None:
    return Path(text) if text else None
