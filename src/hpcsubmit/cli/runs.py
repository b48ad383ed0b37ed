"""`hpcsubmit runs` and `hpcsubmit runs show RUN`."""

import json
import os
from collections.abc import Sequence
from typing import Any

import click

from hpcsubmit.cli.table import align
from hpcsubmit.errors import UsageError
from hpcsubmit.history import find_run, history, where_nothing_was_looked_for
from hpcsubmit.host import Host
from hpcsubmit.record import SCRIPT
from hpcsubmit.run import Run
from hpcsubmit.slurm import JobId


def job_text(run: Run) -> str:
    """Return what a list shows as the run's job: its id, `refused` or `unknown`.

    Arrays are `4242_[1-8]`, and `4242_[1-1000]+9` where there are nine more.
    """
    if run.job is None:
        return "refused" if run.refused else "unknown"
    more = f"+{len(run.jobs) - 1}" if run.jobs[1:] else ""
    return array_text(run.job, run.tasks_of(run.job)) + more


def array_text(job: JobId, indices: Sequence[int]) -> str:
    """Return `4242_[1-8]` for an array whose tasks have these indices; a job that is none is its id."""
    if not indices:
        return str(job)
    first, last = min(indices), max(indices)
    return f"{job}_[{first}]" if first == last else f"{job}_[{first}-{last}]"


def _runs(words: tuple[str, ...], *, as_json: bool) -> None:
    host = Host(environ=dict(os.environ))
    if not words:
        runs = history(host, host.folder())
        if note := where_nothing_was_looked_for(host):
            click.echo(note, err=True)
        click.echo(_json([run.as_json() for run in runs]) if as_json else _table(runs))
        return
    if words[0] != "show" or len(words) != 2:
        raise UsageError(
            f"hpcsubmit runs does not know '{' '.join(words)}'", "write hpcsubmit runs, or runs show RUN"
        )
    run = find_run(words[1], host, host.folder())
    click.echo(_json(run.as_json()) if as_json else _one(run))


def _table(runs: list[Run]) -> str:
    if not runs:
        return "no runs yet"
    rows = [("RUN", "JOB", "CLUSTER", "KIND", "EXPERIMENT", "WHEN (UTC)", "COMMAND")]
    for run in runs:
        when = run.created[:19].replace("T", " ")
        command = " ".join(run.command.split())
        rows.append((run.run_id, job_text(run), run.cluster, run.kind, run.exp_name or "-", when, command))
    return "\n".join(align(rows))


def _one(run: Run) -> str:
    ended = "" if run.exit_code is None else f"exit code {run.exit_code}"
    rows = [
        ("run", run.run_id),
        ("job", job_text(run)),
        *_array_rows(run),
        ("cluster", run.cluster),
        ("kind", run.kind),
        ("experiment", run.exp_name),
        ("created", run.created),
        ("project", run.project),
        ("command", run.command),
        ("submitted by", run.command_line),
        ("code", run.code),
        ("started", f"{run.started} on {run.host}" if run.started else ""),
        ("ended", ended),
        ("refused", run.refused),
        ("log", run.as_json()["log"] or ""),
        ("results", str(run.results_path or "")),
        ("environment", run.virtualenv),
        ("data", run.data),
        ("script", str(run.folder / SCRIPT)),
        ("hpcsubmit", run.version),
    ]
    return "\n".join(align([row for row in rows if row[1]]))


def _array_rows(run: Run) -> list[tuple[str, str]]:
    rows = [("sweep", run.sweep), ("run again by", ", ".join(map(str, run.reruns)))]
    if run.array:
        trials, tasks = run.array.trials, run.array.tasks
        several = run.array.per_task > 1
        rows.insert(0, ("trials", f"{trials} in {tasks} tasks") if several else ("tasks", str(tasks)))
    return rows


def _json(values: Any) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False)


command = click.Command(
    "runs",
    callback=_runs,
    params=[
        click.Argument(["words"], nargs=-1, metavar="[show RUN]"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List what was submitted, oldest first: from the current project, or from all of them elsewhere. "
    "A run whose job is not known says so: its submission was cut short. RUN is a run id or a job id.",
)
