"""A job that waits for other jobs, until its dependency is fulfilled."""

import os
import time
from collections.abc import Callable
from dataclasses import replace
from enum import StrEnum

from hpcsubmit.local.dependency import Condition, Kind, parse_dependency
from hpcsubmit.local.job import Entry, Job, JobFolder, JobState, Standing
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.lookup import active, asked
from hpcsubmit.local.signals import SignalInbox
from hpcsubmit.local.starting import announce

_LOOK_SECONDS = 0.2


class Outlook(StrEnum):
    """What becomes of a condition, in Slurm's words."""

    FULFILLED = "fulfilled"
    UNFULFILLED = "unfulfilled"
    FAILED = "failed"


def outlook(condition: Condition, job: Job, jobs: Jobs) -> Outlook:
    """How a condition of this job stands now; a job that is not known is no obstacle, as in Slurm."""
    if condition.kind is Kind.SINGLETON:
        earlier = any(_is_before(entry, job) for entry in active(jobs))
        return Outlook.UNFULFILLED if earlier else Outlook.FULFILLED
    entries = asked(jobs, condition.job) or []
    if any(entry.standing.state.active for entry in entries):
        return Outlook.UNFULFILLED
    good = all(entry.standing.state is JobState.COMPLETED for entry in entries)
    return Outlook.FULFILLED if good or condition.kind is Kind.AFTERANY else Outlook.FAILED


def _is_before(entry: Entry, job: Job) -> bool:
    return entry.job.name == job.name and _submission(entry.job) < _submission(job)


def _submission(job: Job) -> int:
    """The id that sbatch printed: an array's tasks get theirs when they start."""
    return job.array.job if job.array else job.id


def describe(job: Job, jobs: Jobs) -> str:
    """What scontrol shows: `afterok:12(unfulfilled)`; `(null)` once nothing is left to wait for."""
    words = []
    for condition in parse_dependency(job.dependency):
        now = outlook(condition, job, jobs)
        if now is not Outlook.FULFILLED:
            whole = "_*" if jobs.array(condition.job) else ""
            target = f":{condition.job}{whole}" if condition.job else ""
            words.append(f"{condition.kind}{target}({now})")
    return ",".join(words) or "(null)"


def await_turn(
    job: Job, folder: JobFolder, jobs: Jobs, inbox: SignalInbox, given_up: Callable[[], bool] = lambda: False
) -> Standing | None:
    """Waits until nothing is in the way of a job; returns how it ended where it never begins.

    given_up: whether the job has been cancelled in another way than by a signal.
    """
    conditions = parse_dependency(job.dependency)
    standing = Standing(runner=os.getpid())
    while outlooks := {outlook(condition, job, jobs) for condition in conditions} - {Outlook.FULFILLED}:
        hopeless = Outlook.FAILED in outlooks
        reason = "DependencyNeverSatisfied" if hopeless else "Dependency"
        if reason != standing.reason:
            standing = replace(standing, reason=reason)
            folder.write_standing(standing)
            announce()
        signals, _ = inbox.wait(_LOOK_SECONDS)
        if signals or given_up() or (hopeless and job.ends_with_it):
            now = time.time()
            return replace(standing, state=JobState.CANCELLED, started=now, ended=now)
    return None
