"""`hpcsubmit status [RUN|JOB...]`."""

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import click

from hpcsubmit.cli.runs import job_text
from hpcsubmit.cli.table import align
from hpcsubmit.history import Target, find_target, history, where_nothing_was_looked_for
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import statuses
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId


def _status(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    here = host.folder()
    if words:
        targets = [find_target(word, host, here) for word in words]
    else:
        targets = [Target(scheduler=run.scheduler, job=run.job, run=run) for run in history(host, here)]
        if note := where_nothing_was_looked_for(host):
            click.echo(note, err=True)
    known = _ask_all(targets, host)
    rows = [("JOB", "STATE", "EXIT", "RUN", "WHERE OR WHY"), *(_row(target, known) for target in targets)]
    click.echo("\n".join(align(rows)) if targets else "no runs yet")
    if words:
        _tell_failed_builds(targets, known, host)


def _tell_failed_builds(
    targets: Iterable[Target], known: Mapping[tuple[str, JobId], JobStatus], host: Host
) -> None:
    """Show why jobs never ran whose environment could not be built."""
    for run in (target.run for target in targets if target.run and target.run.build):
        status = known.get((run.scheduler, run.job)) if run.job else None
        waits = status and status.state is JobState.PENDING and status.detail != "DependencyNeverSatisfied"
        if run.started or waits or not run.virtualenv:
            continue
        from hpcsubmit.environments.job import failure  # late: for builds alone

        failed = failure(Path(run.virtualenv), run.build, host)
        if failed:
            lines = "".join(f"  {line}\n" for line in failed.lines)
            click.echo(f"job {run.job} did not run: {failed.message}:\n{lines}{failed.hint}")


def _ask_all(targets: Iterable[Target], host: Host) -> dict[tuple[str, JobId], JobStatus]:
    """Ask each scheduler once for its jobs; the key is (scheduler, job)."""
    jobs: dict[str, list[JobId]] = {}
    for target in targets:
        if target.job is not None:
            jobs.setdefault(target.scheduler, []).append(target.job)
    return {
        (kind, job): status
        for kind, asked in jobs.items()
        for job, status in statuses(scheduler_for(kind, host), asked).items()
    }


def _row(target: Target, known: dict[tuple[str, JobId], JobStatus]) -> tuple[str, ...]:
    run, job = target.run, str(target.job)
    name = run.run_id if run else "-"
    status = known.get((target.scheduler, target.job)) if target.job else None
    if status is not None:
        code = "-" if status.exit_code is None else f"{status.exit_code}:{status.signal}"
        return job, status.state.value, code, name, status.detail
    if run is None:
        return job, "unknown", "-", name, ""
    if run.exit_code is not None:
        return job_text(run), "ended", str(run.exit_code), name, "as its script recorded"
    return job_text(run), "refused" if run.refused else "unknown", "-", name, ""


command = click.Command(
    "status",
    callback=_status,
    params=[click.Argument(["words"], nargs=-1, metavar="[RUN|JOB]...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say what squeue, scontrol and sacct, or the embedded cluster, know of jobs: one line each. "
    "Without arguments, of all runs of the current project.",
)
