"""Runs trials of a submission again: its own script, as an array of just their tasks.

Everything stays where it was: the trial's number, parameters, folder and record. What ended well in such a
task is not run again; the script itself sees to that.
"""

import json
from collections.abc import Iterable, Sequence
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

    failed: only those that began. Raises HpcSubmitError where there is none.
    """
    states = {State.FAILED, State.STOPPED}
    waits = _in_queue(run, scheduler)
    if not failed and not waits:
        states |= {State.MISSING, State.RUNNING}  # their tasks are gone: cancelled, or a node failed
    chosen = [trial.number for trial in trials if trial.state in states]
    if not chosen:
        left = "its tasks are still in the queue" if waits else "every trial has ended well"
        raise HpcSubmitError(f"run {run.run_id} has no trial to run again", left)
    return chosen


def _in_queue(run: Run, scheduler: Scheduler) -> bool:
    """Whether a task of the run is pending or runs; also where the scheduler gives no answer."""
    found = queued(scheduler)
    numbers = {job.number for job in (*run.jobs, *run.reruns)}
    return found is None or any(status.job.number in numbers for status in found)


def rerun(run: Run, trials: Iterable[int], scheduler: Scheduler, options: Sequence[str]) -> list[Accepted]:
    """Submit the script of a run for the tasks of these trials; return what sbatch said, once for each block.

    options: further ones of sbatch, such as --time. Raises HpcSubmitError.
    """
    script = run.folder / SCRIPT
    _check_there(script, Path(run.virtualenv) if run.virtualenv else None)
    taken: list[Accepted] = []
    for offset, indices in _blocks(run, trials):
        array = f"--array={_ranges(indices)}{_throttle(run)}"
        taken.append(scheduler.submit(script, array, *options, arguments=[str(offset)] if offset else []))
        _record(run, taken[-1].job)
    return taken


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


def _record(run: Run, job: JobId) -> None:
    """Add a job to the record of its run, at once."""
    path = run.folder / RESULT
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        values = {}
    values["reruns"] = [*values.get("reruns", []), str(job)]
    write_atomically(path, json.dumps(values, indent=2) + "\n")
