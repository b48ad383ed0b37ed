"""`hpcsubmit sweep create [sweeper.yml]`."""

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import click

from hpcsubmit.host import Host
from hpcsubmit.project import HPC_FILES, Project, find_project
from hpcsubmit.sweep_file.finding import find_sweep_file
from hpcsubmit.sweep_file.program import check_start
from hpcsubmit.sweep_file.reading import SweepFile, read_sweep_file
from hpcsubmit.sweep_file.seed import unfilled_seed
from hpcsubmit.sweeps.creation import create_and_record
from hpcsubmit.sweeps.target import Target, target_of


class _Site(NamedTuple):
    project: Project


def _create(
    *, file: str | None, entity: str | None, project: str | None, name: str | None, dry_run: bool
) -> None:
    host = Host(environ=dict(os.environ))
    site = _Site(find_project(host.folder()))
    root = site.project.root
    sweeps = _named(read_sweep_file(find_sweep_file(file, (host.folder(), root, root / HPC_FILES))), name)
    for sweep in sweeps:
        for warning in (*sweep.warnings, *check_start(sweep, root, sure=False), *unfilled_seed(sweep)):
            click.echo(f"warning: {warning}", err=True)
    targets = [target_of(sweep, site, host, entity=entity, project=project) for sweep in sweeps]
    if dry_run:
        _tell(sweeps, targets)
        return
    for sweep, target in zip(sweeps, targets, strict=True):
        made = create_and_record(sweep, site, host, entity=target.entity, project=target.project)
        click.echo(str(made.sweep))
        click.echo(f"{_title(sweep)}: {made.url}", err=True)
        click.echo(f"submit its runs: hpcsubmit --wandb-sweepid {made.sweep}", err=True)


def _named(sweeps: Sequence[SweepFile], name: str | None) -> Sequence[SweepFile]:
    """Give the sweeps another name; several keep their tags behind it."""
    if name is None:
        return sweeps
    names = [name] if len(sweeps) == 1 else [f"{name}-{','.join(sweep.tags)}" for sweep in sweeps]
    return [
        replace(sweep, name=each, config={**sweep.config, "name": each})
        for sweep, each in zip(sweeps, names, strict=True)
    ]


def _title(sweep: SweepFile) -> str:
    runs = "runs without an end" if sweep.combinations is None else f"{sweep.combinations} runs"
    workers = f" by {sweep.workers} workers" if sweep.workers else ""
    return f"{sweep.name or sweep.path.name} ({sweep.method}, {runs}{workers})"


def _tell(sweeps: Sequence[SweepFile], targets: Sequence[Target]) -> None:
    """Show what would be created: what the server would be told, on stdout."""
    for sweep, target in zip(sweeps, targets, strict=True):
        place = f"{target.entity or 'your own entity'}/{target.project}"
        click.echo(f"would create {_title(sweep)} in {place}", err=True)
    shown = [
        {"entity": target.entity, "project": target.project, "tags": list(sweep.tags), "config": sweep.config}
        for sweep, target in zip(sweeps, targets, strict=True)
    ]
    click.echo(json.dumps(shown, indent=2, ensure_ascii=False))


command = click.Command(
    "create",
    callback=_create,
    params=[
        click.Argument(["file"], required=False, metavar="[sweeper.yml]"),
        click.Option(["--entity"], metavar="NAME", help="The user or team that the sweep belongs to."),
        click.Option(
            ["--project"], metavar="NAME", help="The wandb project; otherwise as the file, the experiment "
            "file or WANDB_PROJECT says, or the name of the project's folder.",
        ),
        click.Option(["--name"], metavar="TEXT", help="The name of the sweep, in place of the file's."),
        click.Option(["--dry-run"], is_flag=True, help="Print what would be created; ask no server."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Make the sweep of a file on the wandb server, or one for each of its subtests. stdout is "
    "ENTITY/PROJECT/ID of each.",
)  # fmt: skip
