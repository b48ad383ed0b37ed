"""How the tasks of job arrays stand: what Slurm says of each, or else what the job itself wrote."""

from collections.abc import Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import replace

from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.record import EXIT, TASKS, TRIAL
from hpcsubmit.run import Run, read_fields
from hpcsubmit.slurm import JobId

RECORDED = "as its script recorded"
"""The detail of a task that Slurm has forgotten."""
NEVER_BEGAN = "before it began"
"""The detail of a task that was cancelled while it waited: Slurm keeps no line of it (22.05)."""

_WORDS = {
    "done": frozenset({JobState.COMPLETED}),
    "failed": frozenset(
        {
            JobState.FAILED,
            JobState.TIMEOUT,
            JobState.OUT_OF_MEMORY,
            JobState.NODE_FAIL,
            JobState.BOOT_FAIL,
            JobState.DEADLINE,
            JobState.PREEMPTED,
        }
    ),
    "cancelled": frozenset({JobState.CANCELLED}),
    "running": frozenset({JobState.RUNNING, JobState.COMPLETING, JobState.SUSPENDED, JobState.CONFIGURING}),
    "pending": frozenset({JobState.PENDING, JobState.REQUEUED}),
    "unknown": frozenset({JobState.UNKNOWN}),
}


def tasks_of(runs: Iterable[Run]) -> dict[JobId, Collection[int]]:
    """Return the indices of the tasks of every array of some runs, as `queue.statuses` takes them."""
    return {job: run.tasks_of(job) for run in runs if run.array for job in run.jobs}


def task_statuses(run: Run, jobs: Iterable[JobId], known: Mapping[JobId, JobStatus]) -> tuple[JobStatus, ...]:
    """Return how the tasks stand of some of a run's arrays, or single tasks of them, in order.

    known: what Slurm says, by `4242_7`. A task that it has forgotten ended as its files tell. One that left
    none is as Slurm says of the array itself, or was cancelled before it began where Slurm still knows other
    tasks of it; else it is UNKNOWN.
    """
    tasks = [task for job in jobs for task in _tasks(run, job)]
    own = {job: status for job, status in known.items() if _is_own(status, run)}
    arrays = {job.number for job in own}
    missing = not all(task in own for task in tasks)
    began = _folders(run) if missing else frozenset()
    found = []
    for task in tasks:
        status = own.get(task) or _recorded(run, task, began)
        if status is None and task.number in arrays and str(run.trials_of(task).start) not in began:
            status = _never_began(task, own)
        found.append(status or JobStatus(job=task, state=JobState.UNKNOWN))
    return tuple(found)


def _tasks(run: Run, job: JobId) -> list[JobId]:
    if job.task is not None:
        return [job]
    return [JobId(number=job.number, task=index) for index in run.tasks_of(job)]


def _is_own(status: JobStatus, run: Run) -> bool:
    """Two clusters that share a scratch give out the same numbers: the comment tells whose job it is."""
    return status.comment in ("", "(null)", run.run_id)


def _folders(run: Run) -> frozenset[str]:
    """The trials that have a folder: one look for all of them, however many there are."""
    try:
        return frozenset(path.name for path in (run.folder / TASKS).iterdir())
    except OSError:
        return frozenset()


def _recorded(run: Run, task: JobId, began: Collection[str]) -> JobStatus | None:
    trials = run.trials_of(task)
    code = recorded_code(run, task) if trials and str(trials.start) in began else None
    if code is None:
        return None
    state = JobState.FAILED if code else JobState.COMPLETED
    return JobStatus(job=task, state=state, exit_code=code, detail=RECORDED)


def _never_began(task: JobId, known: Mapping[JobId, JobStatus]) -> JobStatus:
    """Of an array that was cancelled as a whole while it waited, sacct keeps a line without its tasks."""
    array = known.get(JobId(number=task.number))
    if array is not None:
        return replace(array, job=task)
    return JobStatus(job=task, state=JobState.CANCELLED, exit_code=0, detail=NEVER_BEGAN)


def recorded_code(run: Run, task: JobId) -> int | None:
    """Return the exit code that a task wrote down, or that its trials make up; None while it has none."""
    trials = run.trials_of(task)
    with suppress(OSError, ValueError):
        return int((run.task_folder(trials.start) / EXIT).read_text("ascii"))
    codes = [read_fields(run.task_folder(trial) / TRIAL).get("code", "") for trial in trials]
    if not all(code.isdecimal() for code in codes):
        return None
    return next((int(code) for code in codes if int(code)), 0) if codes else None


def summary(statuses: Iterable[JobStatus]) -> str:
    """Count tasks by how they stand: `5 done, 1 failed, 2 running, 92 pending`; "" for no task."""
    counts = dict.fromkeys(_WORDS, 0)
    for status in statuses:
        counts[word_of(status)] += 1
    return ", ".join(f"{count} {word}" for word, count in counts.items() if count)


def word_of(status: JobStatus) -> str:
    """Return the summary's word for a task: done, failed, cancelled, running, pending or unknown."""
    return next(word for word, states in _WORDS.items() if status.state in states)


def overall(statuses: Iterable[JobStatus]) -> JobState:
    """Return the one state that stands for all: what still happens first, then what went wrong."""
    words = {word_of(status) for status in statuses}
    order = {
        "running": JobState.RUNNING,
        "pending": JobState.PENDING,
        "unknown": JobState.UNKNOWN,
        "failed": JobState.FAILED,
        "cancelled": JobState.CANCELLED,
        "done": JobState.COMPLETED,
    }
    return next((state for word, state in order.items() if word in words), JobState.UNKNOWN)


def first_failed(statuses: Iterable[JobStatus]) -> JobStatus | None:
    """Return the first task that failed, or else that was cancelled; None where no task was either."""
    kept = list(statuses)
    for word in ("failed", "cancelled"):
        for status in kept:
            if word_of(status) == word:
                return status
    return None
