"""`hpcsubmit status [RUN|JOB...]`."""

import os
from collections.abc import Iterable

import click

from hpcsubmit.cli.runs import job_text
from hpcsubmit.cli.table import align
from hpcsubmit.history import find_run, history
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobStatus
from hpcsubmit.queue import statuses as ask
from hpcsubmit.run import Run
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId


def _status(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    here = host.folder()
    runs = [find_run(word, host, here) for word in words] if words else history(host, here)
    known = statuses(runs, host)
    rows = [("JOB", "STATE", "EXIT", "RUN", "WHERE OR WHY"), *(_row(run, known) for run in runs)]
    click.echo("\n".join(align(rows)) if runs else "no runs yet")


def statuses(runs: Iterable[Run], host: Host) -> dict[tuple[str, JobId], JobStatus]:
    """Ask each scheduler once for the jobs of its runs; the key is (scheduler, job)."""
    jobs: dict[str, list[JobId]] = {}
    for run in runs:
        if run.job is not None:
            jobs.setdefault(run.scheduler, []).append(run.job)
    return {
        (kind, job): status
        for kind, asked in jobs.items()
        for job, status in ask(scheduler_for(kind, host), asked).items()
    }


def _row(run: Run, known: dict[tuple[str, JobId], JobStatus]) -> tuple[str, ...]:
    status = known.get((run.scheduler, run.job)) if run.job else None
    if status is not None:
        code = "-" if status.exit_code is None else f"{status.exit_code}:{status.signal}"
        return str(status.job), status.state.value, code, run.run_id, status.detail
    if run.exit_code is not None:
        return job_text(run), "ended", str(run.exit_code), run.run_id, "as its script recorded"
    return job_text(run), "refused" if run.refused else "unknown", "-", run.run_id, ""


command = click.Command(
    "status",
    callback=_status,
    params=[click.Argument(["words"], nargs=-1, metavar="[RUN|JOB]...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say what squeue, scontrol and sacct, or the embedded cluster, know of jobs: one line each. "
    "Without arguments, of all runs of the current project.",
)
