"""`hpcsubmit sweep run FILE`: makes the sweep of a file and submits its runs, or runs it without a server."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from hpcsubmit.cli.asked import OPTIONS, request_of
from hpcsubmit.cli.options import GreedyCommand
from hpcsubmit.cli.preview import gpu_hours
from hpcsubmit.cli.submission import Desk, Ready, carried_out, desk_of, made_ready, request_at, shown
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.request import Request
from hpcsubmit.sweep_file.reading import SweepFile, read_sweep_file

DEFAULT_FILE = "sweeper.yml"


def _run(file: str | None, entity: str | None, project: str | None, *, offline: bool, **options: Any) -> int:
    asked = request_of(options)
    if asked.sweep:
        raise UsageError(
            f"sweep run makes a sweep of its own, and -w names {asked.sweep}",
            f"leave out -w, or write hpcsubmit -w {asked.sweep}",
        )
    desk = desk_of(options)
    request = replace(request_at(options, desk, asked), sweep=None, command=None)
    offline = offline or desk.place.cluster.profile.wandb == "offline"
    files = read_sweep_file(found(file, desk))
    if desk.follow and len(files) > 1:
        raise UsageError("--follow stays with one sweep, and the file describes several", "leave it out")
    requests = [replace(request, sweep_file=each, offline=offline) for each in files]
    ready = [made_ready(each, desk) for each in requests]
    if len(ready) > 1:
        click.echo(_together(ready), err=True)
    if not shown(ready, desk):
        return 0
    for each, sweep in zip(requests, ready, strict=True):
        going = sweep if offline else made_ready(_created(each, entity, project, desk), desk)
        code = carried_out(going, desk)
    return code


def found(file: str | None, desk: Desk) -> Path:
    """Look a sweep's file up in the current folder, then in the project; raises HpcSubmitError."""
    name = Path(file or DEFAULT_FILE)
    places = (desk.host.folder(), desk.place.project.root)
    path = next((place / name for place in places if (place / name).is_file()), None)
    if path is None:
        raise HpcSubmitError(
            f"there is no sweep file {name}", f"looked in {' and '.join(dict.fromkeys(map(str, places)))}"
        )
    return path


def _together(ready: Sequence[Ready]) -> str:
    plans = [each.prepared.plan for each in ready]
    trials = sum(plan.trials.array.trials for plan in plans if plan.trials)
    hours = sum(map(gpu_hours, plans))
    return f"{len(plans)} sweeps, {trials} trials together, at most {hours:,.4g} GPU hours\n"


def _created(request: Request, entity: str | None, project: str | None, desk: Desk) -> Request:
    from hpcsubmit.sweeps.creation import create_and_record  # late: it asks the server

    file: SweepFile | None = request.sweep_file
    if file is None:
        return request
    created = create_and_record(file, desk.place, desk.host, entity=entity, project=project)
    click.echo(f"created {created.sweep}: {created.url}", err=True)
    return replace(request, sweep=created.sweep)


command = GreedyCommand(
    "run",
    callback=_run,
    params=[
        click.Argument(["file"], required=False, metavar="[sweeper.yml]"),
        click.Option(
            ["--offline"], is_flag=True,
            help="Without a server: the parameters of each run follow from its number. The default where the "
            "nodes of the cluster do not reach wandb.",
        ),
        click.Option(["--entity"], help="The user or team that the sweep belongs to."),
        click.Option(["--project"], help="The wandb project of the sweep."),
        *OPTIONS,
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Create the sweep of a file on the wandb server and submit its runs as an array of jobs; with "
    "--offline, run it without any server.",
)  # fmt: skip
