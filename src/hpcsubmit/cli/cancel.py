"""`hpcsubmit cancel RUN|JOB...`."""

import os

import click

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import Target, find_target
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobStatus
from hpcsubmit.queue import cancel, statuses
from hpcsubmit.scheduler import Scheduler, scheduler_for
from hpcsubmit.slurm import JobId


def _cancel(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    folder = host.folder()
    found = [_look_up(find_target(word, host, folder), host) for word in words]  # all, before any is ended
    for scheduler, job, status in found:
        if status and status.state.ended:
            click.echo(f"job {job} had already ended: {status.state.value}")
        else:
            cancel(scheduler, job)
            click.echo(f"cancelled job {job}")


def _look_up(target: Target, host: Host) -> tuple[Scheduler, JobId, JobStatus | None]:
    """Ask the queue of a job for its status; raises HpcSubmitError where there is no such job."""
    run, job = target.run, target.job
    if job is None:
        raise HpcSubmitError(
            f"run {run.run_id if run else ''} has no job that is known",
            "sbatch refused it"
            if run and run.refused
            else "squeue --me lists your jobs; scancel JOB ends one",
        )
    scheduler = scheduler_for(target.scheduler, host)
    status = statuses(scheduler, [job]).get(job)
    if status is None and run is None:
        raise HpcSubmitError(
            f"there is no job {job}: neither hpcsubmit nor the cluster here knows it",
            "hpcsubmit runs lists what was submitted, squeue --me what is in the queue",
        )
    return scheduler, job, status


command = click.Command(
    "cancel",
    callback=_cancel,
    params=[click.Argument(["words"], nargs=-1, required=True, metavar="RUN|JOB...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="End jobs. Their processes get TERM, and KILL a little later; folders on the nodes are removed.",
)
