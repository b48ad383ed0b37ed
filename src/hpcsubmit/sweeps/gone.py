"""Trials that seem to run and do not: their task left the queue without writing down its end."""

from collections.abc import Collection
from dataclasses import replace

from hpcsubmit.run import Run
from hpcsubmit.slurm import JobId
from hpcsubmit.sweeps.rows import State, SweepResults


def without_gone(results: SweepResults, run: Run, queue: Collection[JobId]) -> SweepResults:
    """Return the results with those trials stopped that run in no task of the queue.

    queue: the jobs that have not ended, asked for before the results were read.
    """
    alive = frozenset(queue)
    trials = [
        trial._replace(state=State.STOPPED)
        if trial.state is State.RUNNING and not _tasks(trial.number, run) & alive
        else trial
        for trial in results.trials
    ]
    return replace(results, trials=tuple(trials))


def _tasks(number: int, run: Run) -> frozenset[JobId]:
    """The tasks that may run a trial: that of its own array, and of each array that ran trials again."""
    if run.array is None:
        return frozenset(run.jobs)
    _, index = run.array.place(number)
    own = run.job_of(number)
    again = [JobId(number=job.number, task=index) for job in run.reruns]
    return frozenset([*([own] if own else []), *again])
