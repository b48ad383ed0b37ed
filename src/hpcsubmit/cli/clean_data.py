"""`hpcsubmit clean data`."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from hpcsubmit.cli.options import Value, parse_name
from hpcsubmit.cli.removal import Item, agree_to_remove, tell_doubtful, tell_removed
from hpcsubmit.host import Host
from hpcsubmit.in_use import InUse, jobs_in_use
from hpcsubmit.place import profile_here, scratch
from hpcsubmit.project import find_project
from hpcsubmit.staging.cleaning import OldData, old_generations, remove


def _clean_data(*, cluster: str | None, everything: bool, dry_run: bool, yes: bool) -> None:
    host = Host(environ=dict(os.environ))
    project = find_project(host.folder())
    scratch_dir = scratch(profile_here(host, host.folder(), cluster), host) / project.name
    uses = jobs_in_use(host)
    old = old_generations(scratch_dir, needed=_manifests(uses), everything=everything)
    tell_doubtful(use for use in uses if use.data and use.data.is_relative_to(scratch_dir))
    items = [_item(each) for each in old]
    if agree_to_remove(items, dry_run=dry_run, yes=yes):
        gone = remove(old, scratch_dir, lambda: _manifests(jobs_in_use(host)))
        tell_removed(items, [_item(each) for each in gone])


def _manifests(uses: Iterable[InUse]) -> set[Path]:
    return {use.data for use in uses if use.data}


def _item(old: OldData) -> Item:
    return Item(name=old.text, size=old.size, why=old.why)


command = click.Command(
    "data",
    callback=_clean_data,
    params=[
        click.Option(
            ["--cluster"], type=Value("name", parse_name("--cluster")),
            help="The profile, if not of the cluster here.",
        ),
        click.Option(
            ["--all", "everything"], is_flag=True,
            help="Remove fresh archives too; the next job packs the data anew.",
        ),
        click.Option(["--dry-run"], is_flag=True, help="Only list what would be removed."),
        click.Option(["-y", "--yes"], is_flag=True, help="Do not ask before removing."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Remove the project's packed data whose originals have changed or are gone, and what was cut short. "
    "What a pending or running job needs stays, and so do the originals.",
)  # fmt: skip
