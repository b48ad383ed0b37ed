"""scancel: ends a job or a step, or passes a signal on to it."""

import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import parse_numbers
from hpcsubmit.local.job import JobFolder, JobState, Standing
from hpcsubmit.local.job_array import JobArray
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.processes import children, send
from hpcsubmit.local.signals import CANCEL, FORWARDED
from hpcsubmit.local.steps import ask_to_end, live_steps

_TARGET = re.compile(r"([0-9]+)(?:_([0-9]+|\[[0-9,:-]+\]))?(?:\.([0-9]+))?", re.ASCII)
_RUNNER_SECONDS = 10.0
_PENDING, _ENDED = "Job is pending execution", "Job/step already completing or completed"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """signal: None to end the job or the step; batch: only the batch script; full: it and all steps."""

    signal: signal.Signals | None
    batch: bool
    full: bool
    targets: tuple["_Target", ...]

    @property
    def ends_jobs(self) -> bool:
        """Whether it is the end of a whole job that is asked for, where no step is named."""
        return not self.batch and self.signal in (None, signal.SIGKILL)


class _Target(NamedTuple):
    """`12`, `12_3`, `12_[2-4]`, each with a step behind a dot or without; tasks: None for no word of them."""

    text: str
    job: str
    tasks: tuple[int, ...] | None
    step: str

    @classmethod
    def parse(cls, text: str) -> "_Target":
        match = _TARGET.fullmatch(text)
        tasks = parse_numbers(match[2].strip("[]")) if match and match[2] else None
        if match is None or tasks == ():
            raise HpcSubmitError(
                f"scancel: error: Invalid job id {text}", "give the number that sbatch printed"
            )
        return cls(text, match[1], tasks, match[3] or "")


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`scancel [--signal=NAME] [--batch|--full] JOB[_TASK][.STEP] ...`: returns once the request is accepted.

    An unknown job is an error, also where an older Slurm is silent; ending a job that has ended is none.
    """
    request = _parse(arguments)
    worst = 0
    for target in request.targets:
        try:
            _cancel(request, target, jobs)
        except HpcSubmitError as error:
            sys.stderr.write(f"{error.message}\n")
            worst = max(worst, error.exit_code)
    return worst


def _parse(arguments: Sequence[str]) -> _Request:
    words = list(arguments)
    number, batch, full, targets = None, False, False, []
    while words:
        name, equals, value = words.pop(0).partition("=")
        if name in ("--signal", "-s"):
            number = _signal(value if equals or not words else words.pop(0))
        elif name in ("--batch", "-b", "--full", "-f"):
            batch, full = batch or name in ("--batch", "-b"), full or name in ("--full", "-f")
        elif name.startswith("-"):
            raise HpcSubmitError(
                f"scancel: error: unrecognized option '{name}'", "--signal, --batch and --full are known"
            )
        else:
            targets.append(_Target.parse(name))
    if not targets:
        raise HpcSubmitError(
            "scancel: error: No job identification provided", "give the number that sbatch printed"
        )
    return _Request(signal=number, batch=batch, full=full, targets=tuple(targets))


def _signal(text: str) -> signal.Signals:
    names = {number.name.removeprefix("SIG"): number for number in signal.Signals}
    found = names.get(text.upper().removeprefix("SIG"))
    if found is None and text.isdigit():
        found = next((number for number in signal.Signals if number == int(text)), None)
    if found is None:
        raise HpcSubmitError(f"scancel: error: Unknown job signal: {text}", "give a name such as USR1")
    return found


def _cancel(request: _Request, target: _Target, jobs: Jobs) -> None:
    array = jobs.array(target.job)
    if array:
        _check_host(target, array.records)
    if array and target.tasks:
        for number in target.tasks:
            _cancel_task(request, target, array, number)
    elif array and not target.step:
        _cancel_array(request, target, array)
    else:
        _cancel_job(request, target, None if target.tasks else jobs.find(target.job))


def _cancel_task(request: _Request, target: _Target, array: JobArray, number: int) -> None:
    ends = request.ends_jobs and not target.step
    if ends and array.take_out(number):
        return
    folder = array.task(number)
    if folder:
        _cancel_job(request, target, folder)
    elif number not in array.plan.spec.numbers:
        raise _refused(target, "Invalid job id specified")
    elif not ends:
        raise _refused(target, _PENDING if number in array.waiting() else _ENDED)


def _cancel_array(request: _Request, target: _Target, array: JobArray) -> None:
    """Ends all tasks, or passes a signal on to those that run."""
    if request.ends_jobs:
        array.cancel_waiting()
    running = [folder for folder in array.started() if folder.standing().state.active]
    if not running and not request.ends_jobs:
        raise _refused(target, _PENDING if array.waiting() else _ENDED)
    for folder in running:
        _cancel_job(request, target, folder)


def _cancel_job(request: _Request, target: _Target, folder: JobFolder | None) -> None:
    standing = _looked_after(folder) if folder else None
    if folder is None or standing is None:
        raise _refused(target, "Invalid job id specified")
    ends_job = request.ends_jobs and not target.step
    if not standing.state.active:
        if ends_job:
            return
        raise _refused(target, _ENDED)
    _check_host(target, folder)
    if ends_job:
        send([standing.runner] if standing.runner else [], CANCEL)
    elif standing.state is JobState.PENDING:
        raise _refused(target, _PENDING)
    elif target.step:
        _signal_steps(folder, live_steps(folder), request.signal, target)
    else:
        _signal_job(folder, request, standing)


def _check_host(target: _Target, folder: JobFolder) -> None:
    job = folder.job()
    if job and job.host != os.uname().nodename:
        raise _refused(target, f"it runs on {job.host}: call scancel there")


def _looked_after(folder: JobFolder) -> Standing:
    """How a job stands, once the runner is known that an array has just started for it."""
    deadline = time.monotonic() + _RUNNER_SECONDS
    while True:
        standing = folder.standing()
        if standing.runner or not standing.state.active or time.monotonic() > deadline:
            return standing
        time.sleep(0.01)


def _signal_job(folder: JobFolder, request: _Request, standing: Standing) -> None:
    number = request.signal or signal.SIGTERM
    if request.batch or request.full:
        send([standing.batch] if standing.batch else [], number)
    if not request.batch:
        for process in live_steps(folder).values():
            _signal_tasks(process, number)


def _signal_steps(
    folder: JobFolder, live: dict[int, int], number: signal.Signals | None, target: _Target
) -> None:
    step = int(target.step)
    if step not in live:
        raise _refused(target, "Invalid job id specified")
    if number is None:
        ask_to_end(folder, step)
    _signal_tasks(live[step], number or signal.SIGTERM)


def _signal_tasks(process: int, number: signal.Signals) -> None:
    """By way of srun, which knows which of its tasks live; what srun can't catch goes to its children."""
    send([process] if number in FORWARDED else children(process), number)


def _refused(target: _Target, why: str) -> HpcSubmitError:
    kind = "job step id" if target.step else "job id"
    return HpcSubmitError(f"scancel: error: Kill job error on {kind} {target.text}: {why}")
