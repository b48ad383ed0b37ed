"""`hpcsubmit cancel RUN|JOB...`."""

import os
from collections.abc import Iterator

import click

from hpcsubmit.array_status import summary
from hpcsubmit.cli.runs import array_text
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import Target, find_target, reruns_of
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import cancel
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId
from hpcsubmit.standing import Standing, stand


def _cancel(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    folder = host.folder()
    targets = [find_target(word, host, folder) for word in words]
    reruns = reruns_of(targets)
    standings = stand([*targets, *reruns], host)
    # Of trials that ran again, only what has not ended is of interest.
    standings = [each for each in standings if each.target not in reruns or _goes_on(each)]
    for standing in standings:  # all, before any is ended
        _check(standing)
    for standing in standings:
        _end(standing, host)


def _goes_on(standing: Standing) -> bool:
    return bool(standing.statuses) and not standing.has_ended


def _check(standing: Standing) -> None:
    """Raise HpcSubmitError where there is no such job."""
    run, job = standing.target.run, standing.target.job
    if job is None:
        raise HpcSubmitError(
            f"run {run.run_id if run else ''} has no job that is known",
            "sbatch refused it"
            if run and run.refused
            else "squeue --me lists your jobs; scancel JOB ends one",
        )
    if not standing.statuses and run is None:
        raise HpcSubmitError(
            f"there is no job {job}: neither hpcsubmit nor the cluster here knows it",
            "hpcsubmit runs lists what was submitted, squeue --me what is in the queue",
        )


def _end(standing: Standing, host: Host) -> None:
    scheduler = scheduler_for(standing.target.scheduler, host)
    for job, tasks in _parts(standing):
        array = standing.is_array
        name = array_text(job, _indices(tasks)) if array else str(job)
        if tasks and all(status.state.ended for status in tasks):
            how = summary(tasks) if array else tasks[0].state.value
            click.echo(f"{'array' if array else 'job'} {name} had already ended: {how}")
        else:
            cancel(scheduler, job)
            click.echo(f"cancelled {'array' if array else 'job'} {name}")
    _tell_others(standing.target)


def _parts(standing: Standing) -> Iterator[tuple[JobId, list[JobStatus]]]:
    """Each job to end, or each array, with how it or its tasks stand."""
    for job in standing.target.jobs:
        own = (status for status in standing.statuses if status.job.number == job.number)
        yield job, [status for status in own if status.state is not JobState.UNKNOWN or standing.is_array]


def _indices(tasks: list[JobStatus]) -> list[int]:
    return [status.job.task for status in tasks if status.job.task is not None]


def _tell_others(target: Target) -> None:
    """Say that a run goes on of whose arrays one alone was named."""
    run = target.run
    others = len(run.jobs) - len(target.jobs) if run and target.is_array else 0
    if run and others:
        arrays = "another array" if others == 1 else f"{others} other arrays"
        click.echo(f"run {run.run_id} has {arrays}: hpcsubmit cancel {run.run_id} ends all of it")


command = click.Command(
    "cancel",
    callback=_cancel,
    params=[click.Argument(["words"], nargs=-1, required=True, metavar="RUN|JOB...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="End jobs. Their processes get TERM, and KILL a little later; folders on the nodes are removed. "
    "RUN ends all arrays of a run, JOB one job or one array with all its tasks, 4242_7 a single task.",
)
