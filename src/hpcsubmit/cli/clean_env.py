"""`hpcsubmit clean env`."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from hpcsubmit.cli.removal import Item, agree_to_remove, tell_doubtful, tell_removed
from hpcsubmit.environments.old import OldEnvironment, old_environments, remove
from hpcsubmit.host import Host
from hpcsubmit.in_use import InUse, jobs_in_use
from hpcsubmit.project import find_project


def _clean_env(*, dry_run: bool, yes: bool) -> None:
    host = Host(environ=dict(os.environ))
    project = find_project(host.folder())
    uses = jobs_in_use(host)
    old = old_environments(project, _environments(uses), host)
    tell_doubtful(use for use in uses if use.virtualenv and use.virtualenv.is_relative_to(project.root))
    items = [_item(each) for each in old]
    if agree_to_remove(items, dry_run=dry_run, yes=yes):
        gone = remove(old, lambda: _environments(jobs_in_use(host)), host)
        tell_removed(items, [_item(each) for each in gone])


def _environments(uses: Iterable[InUse]) -> set[Path]:
    return {use.virtualenv for use in uses if use.virtualenv}


def _item(old: OldEnvironment) -> Item:
    return Item(name=str(old.path), size=old.size, why=old.why)


command = click.Command(
    "env",
    callback=_clean_env,
    params=[
        click.Option(["--dry-run"], is_flag=True, help="Only list what would be removed."),
        click.Option(["-y", "--yes"], is_flag=True, help="Do not ask before removing."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Remove the project's environments that were superseded or not finished. The current one stays, and "
    "those that are being built, and those that a pending or running job needs.",
)
