"""Runs trials of a submission again: its own script, as an array of just their tasks.

Everything stays where it was: the trial's number, parameters, folder and record. What ended well in such a
task is not run again; the script itself sees to that.
"""

import json
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import groupby
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import write_atomically
from hpcsubmit.queue import queued
from hpcsubmit.record import RESULT, SCRIPT
from hpcsubmit.run import Run
from hpcsubmit.scheduler import Accepted, Scheduler
from hpcsubmit.slurm import JobId
from hpcsubmit.sweeps.rows import State, Trial


def trials_to_rerun(run: Run, trials: Sequence[Trial], scheduler: Scheduler, *, failed: bool) -> list[int]:
    """Choose the trials that have no result, and will get none by themselves.

    failed: only those that began. A trial whose task waits or runs, also to run another trial again, is left
    to it. Raises HpcSubmitError where there is none, and where nobody knows which tasks wait or run.
    """
    queue = _in_queue(run, scheduler)
    states = {State.FAILED, State.STOPPED}
    if not failed and not queue:
        states |= {State.MISSING, State.RUNNING}  # their tasks are gone: cancelled, or a node failed
    chosen = [each.number for each in trials if each.state in states and not _waits(each.number, run, queue)]
    if chosen:
        return chosen
    problem = f"run {run.run_id} has no trial to run again"
    if all(trial.state is State.FINISHED for trial in trials):
        raise HpcSubmitError(problem, "every trial has ended well")
    if queue:
        raise HpcSubmitError(problem, "its tasks are still in the queue: wait, or hpcsubmit cancel them")
    raise HpcSubmitError(problem, "the others never began: leave out --failed")


def _in_queue(run: Run, scheduler: Scheduler) -> frozenset[JobId]:
    """The tasks of the run that wait or run, also those of earlier reruns."""
    found = queued(scheduler)
    if found is None:
        raise HpcSubmitError(
            f"squeue gives no answer, and tasks of run {run.run_id} may still wait or run",
            "try again later: two tasks of one trial would write into one folder",
        )
    numbers = {job.number for job in (*run.jobs, *run.reruns)}
    own = (status for status in found if status.comment in ("", "(null)", run.run_id))
    return frozenset(status.job for status in own if status.job.number in numbers)


def _waits(trial: int, run: Run, queue: Collection[JobId]) -> bool:
    """Whether the task of a trial is in the queue; of a rerun only the task's index in its block is known."""
    if run.array is None or not queue:
        return False
    _, index = run.array.place(trial)
    again = {JobId(number=job.number, task=index) for job in run.reruns}
    return run.job_of(trial) in queue or bool(again.intersection(queue))


def rerun(
    run: Run, trials: Iterable[int], scheduler: Scheduler, options: Sequence[str]
) -> Iterator[Accepted]:
    """Submit the script of a run for the tasks of these trials; yield what sbatch said, for each block.

    options: further ones of sbatch, such as --time. A throttled array waits for the one before it, as the
    first time. Raises HpcSubmitError.
    """
    script = run.folder / SCRIPT
    _check_there(script, Path(run.virtualenv) if run.virtualenv else None)
    throttle, waits = _throttle(run), list[str]()
    for offset, indices in _blocks(run, trials):
        array = f"--array={_ranges(indices)}{throttle}"
        arguments = [str(offset)] if offset else []
        taken = scheduler.submit(script, array, *waits, *options, arguments=arguments)
        waits = [f"--dependency=afterany:{taken.job}"] if throttle else []
        yield _recorded(run, taken)


def _check_there(script: Path, virtualenv: Path | None) -> None:
    for path in filter(None, (script, virtualenv)):
        if not path.exists():
            raise HpcSubmitError(f"{path} is gone by now", "submit the sweep anew: hpcsubmit sweep run FILE")


def _blocks(run: Run, trials: Iterable[int]) -> list[tuple[int, list[int]]]:
    """For each block of the run's arrays: its offset, and the indices of the tasks that run these trials."""
    if run.array is None:
        return []
    places = sorted({run.array.place(trial) for trial in trials})
    grouped = groupby(places, key=lambda place: place[0])
    return [(run.array.blocks[block][0], [index for _, index in found]) for block, found in grouped]


def _ranges(indices: Sequence[int]) -> str:
    """Write numbers in order as Slurm does: `1-3,7`."""
    found: list[list[int]] = []
    for index in indices:
        if found and index == found[-1][-1] + 1:
            found[-1].append(index)
        else:
            found.append([index])
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in found)


def _throttle(run: Run) -> str:
    array = next((text for text in run.directives if text.startswith("--array=")), "")
    return "".join(array.partition("%")[1:])


def _recorded(run: Run, taken: Accepted) -> Accepted:
    """Add a job to the record of its run, at once; what goes wrong is a remark: the job is there."""
    path = run.folder / RESULT
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        values = {}
    values["reruns"] = [*values.get("reruns", []), str(taken.job)]
    try:
        write_atomically(path, json.dumps(values, indent=2) + "\n")
    except HpcSubmitError as error:
        warning = f"warning: the record does not name job {taken.job}: {error.message}"
        return replace(taken, remarks="\n".join(filter(None, (taken.remarks, warning))))
    return taken
