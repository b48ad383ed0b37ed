"""`hpcsubmit status [RUN|JOB...]`."""

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from hpcsubmit.cli.array_rows import Line, array_lines, exit_text
from hpcsubmit.cli.runs import job_text
from hpcsubmit.cli.table import align
from hpcsubmit.history import Target, find_target, history, reruns_of, where_nothing_was_looked_for
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState
from hpcsubmit.standing import Standing, stand

_TITLES = ("JOB", "STATE", "EXIT", "RUN", "WHERE OR WHY")


def _status(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    here = host.folder()
    if words:
        targets = [find_target(word, host, here) for word in words]
    else:
        targets = [Target(scheduler=run.scheduler, jobs=run.jobs, run=run) for run in history(host, here)]
        if note := where_nothing_was_looked_for(host):
            click.echo(note, err=True)
    reruns = reruns_of(targets)
    standings = stand([*targets, *reruns], host)
    standings = [each for each in standings if each.statuses or each.target not in reruns]
    lines: list[Line] = [_TITLES]
    owners = {str(job): target.run.run_id for target in targets if target.run for job in target.run.reruns}
    for standing in standings:
        own = array_lines(standing, whole=bool(words)) if standing.is_array else [_row(standing)]
        lines += [_owned(line, owners.get(str(standing.target.job))) for line in own]
    click.echo("\n".join(_aligned(lines)) if targets else "no runs yet")
    if words:
        _tell_failed_builds(standings, host)


def _owned(line: Line, run_id: str | None) -> Line:
    """A line that names the run whose trials run again; run_id: None for other lines."""
    return line if run_id is None or isinstance(line, str) else (*line[:3], run_id, *line[4:])


def _aligned(lines: Sequence[Line]) -> list[str]:
    rows = iter(align([line for line in lines if not isinstance(line, str)]))
    return [line if isinstance(line, str) else next(rows) for line in lines]


def _row(standing: Standing) -> tuple[str, ...]:
    """The line of a job, or of a task."""
    run, job = standing.target.run, str(standing.target.job)
    name = run.run_id if run else "-"
    for status in standing.statuses:
        if status.state is not JobState.UNKNOWN or not (run and run.array):
            return job, status.state.value, exit_text(status), name, status.detail
    if run is None or (run.array and run.jobs):
        return job, "unknown", "-", name, ""
    if run.exit_code is not None:
        return job_text(run), "ended", str(run.exit_code), name, "as its script recorded"
    return job_text(run), "refused" if run.refused else "unknown", "-", name, ""


def _tell_failed_builds(standings: Iterable[Standing], host: Host) -> None:
    """Show why jobs never ran whose environment could not be built."""
    for standing in standings:
        run = standing.target.run
        if run is None or not run.build or not run.virtualenv or _ran_or_waits(standing):
            continue
        from hpcsubmit.environments.job import failure  # late: for builds alone

        failed = failure(Path(run.virtualenv), run.build, host)
        if failed:
            lines = "".join(f"  {line}\n" for line in failed.lines)
            click.echo(f"job {job_text(run)} did not run: {failed.message}:\n{lines}{failed.hint}")


def _ran_or_waits(standing: Standing) -> bool:
    run = standing.target.run
    if run and run.array:
        never = (JobState.PENDING, JobState.CANCELLED, JobState.UNKNOWN)
        if any(status.state not in never for status in standing.statuses):
            return True
    elif run and run.started:
        return True
    waiting = [status for status in standing.statuses if status.state is JobState.PENDING]
    return any(status.detail != "DependencyNeverSatisfied" for status in waiting)


command = click.Command(
    "status",
    callback=_status,
    params=[click.Argument(["words"], nargs=-1, metavar="[RUN|JOB]...")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say what squeue, scontrol and sacct, or the embedded cluster, know of jobs: one line each. "
    "Without arguments, of all runs of the current project. An array is one line, and where it is named, one "
    "more for each of its tasks that failed or run. JOB may be a task, such as 4242_7.",
)
