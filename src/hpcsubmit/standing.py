"""How the jobs stand that a command names: single ones, arrays with all their tasks, and single tasks."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hpcsubmit.array_status import task_statuses, tasks_of
from hpcsubmit.history import Target
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobStatus
from hpcsubmit.queue import statuses
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId


class Standing(NamedTuple):
    """How a target stands.

    is_array: whether arrays are named as a whole. statuses: one for each of their tasks, in order, UNKNOWN
    where nobody knows; else that of the job or the task, and none where nobody knows it.
    """

    target: Target
    statuses: tuple[JobStatus, ...]
    is_array: bool

    @property
    def has_ended(self) -> bool:
        """Whether all of it is known to have ended."""
        return bool(self.statuses) and all(status.state.ended for status in self.statuses)


def stand(targets: Sequence[Target], host: Host) -> list[Standing]:
    """Ask each scheduler once for all jobs that are named, and say of each target how it stands."""
    jobs: dict[str, dict[JobId, None]] = {}
    for target in targets:
        if target.jobs:
            jobs.setdefault(target.scheduler, {}).update(dict.fromkeys(_asked(target)))
    tasks = tasks_of(target.run for target in targets if target.run)
    known = {kind: statuses(scheduler_for(kind, host), list(asked), tasks) for kind, asked in jobs.items()}
    return [_standing(target, known.get(target.scheduler, {})) for target in targets]


def _asked(target: Target) -> tuple[JobId, ...]:
    """What Slurm is asked for: of a task all of its array, which tells of it where Slurm has no line."""
    if target.run and target.run.array:
        return tuple(JobId(number=job.number) for job in target.jobs)
    return target.jobs


def _standing(target: Target, known: Mapping[JobId, JobStatus]) -> Standing:
    run = target.run
    if run and run.array:
        whole = target.is_array and bool(target.jobs)
        return Standing(target, task_statuses(run, target.jobs, known), is_array=whole)
    tasks = [] if target.job is None or target.job.task is not None else _tasks(target.job, known)
    if tasks:
        return Standing(target, tuple(tasks), is_array=True)
    found = known.get(target.job) if target.job else None
    return Standing(target, (found,) if found else (), is_array=False)


def _tasks(array: JobId, known: Mapping[JobId, JobStatus]) -> list[JobStatus]:
    """The tasks of an array without a record, as far as they are known, in order."""
    numbers = sorted(job.task for job in known if job.number == array.number and job.task is not None)
    return [known[JobId(number=array.number, task=number)] for number in numbers]
