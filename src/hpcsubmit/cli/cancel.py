"""`hpcsubmit cancel RUN|JOB...`."""

import os

import click

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import find_run
from hpcsubmit.host import Host
from hpcsubmit.queue import cancel, statuses
from hpcsubmit.run import Run
from hpcsubmit.scheduler import scheduler_for


def _cancel(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    runs = [find_run(word, host, host.folder()) for word in words]  # all of them, before any is cancelled
    for run in runs:
        _cancel_one(run, host)


def _cancel_one(run: Run, host: Host) -> None:
    if run.job is None:
        raise HpcSubmitError(
            f"run {run.run_id} has no job that is known",
            "sbatch refused it" if run.refused else "squeue --me lists your jobs; scancel JOB ends one",
        )
    scheduler = scheduler_for(run.scheduler, host)
    status = statuses(scheduler, [run.job]).get(run.job)
    if status and status.state.ended:
        click.echo(f"job {run.job} had already ended: {status.state.value}")
        return
    cancel(scheduler, run.job)
    click.echo(f"cancelled job {run.job}")


command = click.Command(
    "cancel",
    callback=_cancel,
    params=[click.Argument(["words"], nargs=-1, required=True, metavar="RUN|JOB...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="End jobs. Their processes get TERM, and KILL a little later; folders on the nodes are removed.",
)
