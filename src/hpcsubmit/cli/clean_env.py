"""`hpcsubmit clean env`."""

import os
from collections.abc import Iterable
from pathlib import Path

import click

from hpcsubmit.cli.removal import Item, agree_to_remove, tell_doubtful, tell_removed
from hpcsubmit.environments.link import noted_scratches
from hpcsubmit.environments.old import OldEnvironment, old_environments, remove
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import where_nothing_was_looked_for
from hpcsubmit.host import Host
from hpcsubmit.in_use import InUse, jobs_in_use
from hpcsubmit.plan import RECORDS
from hpcsubmit.project import Project, find_project


def _clean_env(*, dry_run: bool, yes: bool) -> None:
    host = Host(environ=dict(os.environ))
    project = find_project(host.folder())
    uses = _uses(project, host)
    old = old_environments(project, _environments(uses), host)
    if old:
        _check_places(project, host)
    tell_doubtful(use for use in uses if use.virtualenv and use.virtualenv.is_relative_to(project.root))
    items = [_item(each) for each in old]
    if agree_to_remove(items, dry_run=dry_run, yes=yes):
        gone = remove(old, lambda: _environments_in_use(project, host), host)
        tell_removed(items, [_item(each) for each in gone])


def _uses(project: Project, host: Host) -> tuple[InUse, ...]:
    """What jobs need, wherever submissions of the project have left their records."""
    return jobs_in_use(host, also=noted_scratches(project.root))


def _check_places(project: Project, host: Host) -> None:
    """Raise HpcSubmitError where records of jobs may lie in places that cannot be looked at from here."""
    noted = noted_scratches(project.root)
    for scratch, note in noted.items():
        closed = _closed(scratch, project.name)
        if closed:
            raise HpcSubmitError(
                f"jobs with records below {closed} may need these environments, and it cannot be read here",
                f"clean where it can be; if it is gone for good, and its jobs with it, delete {note}",
            )
    if not noted and where_nothing_was_looked_for(host):
        raise HpcSubmitError(
            "SCRATCH is not set, so nobody knows which of these environments jobs need",
            "export SCRATCH=... as for a submission, and try again",
        )


def _closed(scratch: Path, name: str) -> Path | None:
    """The first folder on the way to a project's records that is there and cannot be read."""
    runs = scratch / name / RECORDS / "runs"
    for folder in (scratch, scratch / name, runs.parent, runs):
        if not os.access(folder, os.R_OK | os.X_OK):
            return folder if folder == scratch or os.path.lexists(folder) else None
    return next((each for each in runs.iterdir() if not os.access(each, os.R_OK | os.X_OK)), None)


def _environments_in_use(project: Project, host: Host) -> set[Path]:
    _check_places(project, host)
    return _environments(_uses(project, host))


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
