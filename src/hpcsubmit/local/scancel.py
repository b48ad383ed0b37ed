"""scancel: ends a job or a step, or passes a signal on to it."""

import os
import signal
import sys
from collections.abc import Sequence
from dataclasses import dataclass

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.job import JobFolder
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.processes import children, send
from hpcsubmit.local.signals import CANCEL, FORWARDED
from hpcsubmit.local.steps import ask_to_end, live_steps


@dataclass(frozen=True, slots=True, kw_only=True)
class _Request:
    """signal: None to end the job or the step; batch: only the batch script; full: it and all steps."""

    signal: signal.Signals | None
    batch: bool
    full: bool
    targets: tuple[str, ...]


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`scancel [--signal=NAME] [--batch|--full] JOB[.STEP] ...`: returns once the request is accepted.

    An unknown job is an error, also where an older Slurm is silent; ending a job that has ended is none.
    """
    request = _parse(arguments)
    worst = 0
    for target in request.targets:
        job_id, _, step = target.partition(".")
        try:
            _cancel(request, target, jobs.find(job_id), step)
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
        elif name.replace(".", "", 1).isdigit():
            targets.append(name)
        else:
            raise HpcSubmitError(
                f"scancel: error: Invalid job id {name}", "give the number that sbatch printed"
            )
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


def _cancel(request: _Request, target: str, folder: JobFolder | None, step: str) -> None:
    kind = "job step id" if step else "job id"
    standing = folder.standing() if folder else None
    if folder is None or standing is None:
        raise _refused(kind, target, "Invalid job id specified")
    ends_job = not step and not request.batch and request.signal in (None, signal.SIGKILL)
    if not standing.state.active:
        if ends_job:
            return
        raise _refused(kind, target, "Job/step already completing or completed")
    job = folder.job()
    if job and job.host != os.uname().nodename:
        raise _refused(kind, target, f"it runs on {job.host}: call scancel there")
    if ends_job:
        send([standing.runner] if standing.runner else [], CANCEL)
    elif step:
        _signal_steps(folder, live_steps(folder), int(step), request.signal, target)
    else:
        number = request.signal or signal.SIGTERM
        if request.batch or request.full:
            send([standing.batch] if standing.batch else [], number)
        if not request.batch:
            for process in live_steps(folder).values():
                _signal_tasks(process, number)


def _signal_steps(
    folder: JobFolder, live: dict[int, int], step: int, number: signal.Signals | None, target: str
) -> None:
    if step not in live:
        raise _refused("job step id", target, "Invalid job id specified")
    if number is None:
        ask_to_end(folder, step)
    _signal_tasks(live[step], number or signal.SIGTERM)


def _signal_tasks(process: int, number: signal.Signals) -> None:
    """By way of srun, which knows which of its tasks live; what srun can't catch goes to its children."""
    send([process] if number in FORWARDED else children(process), number)


def _refused(kind: str, target: str, why: str) -> HpcSubmitError:
    return HpcSubmitError(f"scancel: error: Kill job error on {kind} {target}: {why}")
