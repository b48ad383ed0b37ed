"""Makes the sweep of a file on the wandb server, and keeps a record of what only hpcsubmit knows of it."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from hpcsubmit.environments.layout import LINK
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command, read_command_file
from hpcsubmit.folders import local_scratch
from hpcsubmit.frozen import frozen
from hpcsubmit.host import Host, make_folder, write_atomically
from hpcsubmit.plan import RECORDS
from hpcsubmit.project import Project, find_experiment_file
from hpcsubmit.sweep_file.reading import SweepFile
from hpcsubmit.sweeps.server import Created, create
from hpcsubmit.wandb_sweep import place_named_by

FOLDER = "sweeps"
"""Below the project's records: ID.json of every sweep that was created here."""


class Site(Protocol):
    """Where a sweep is created: in a project."""

    @property
    def project(self) -> Project:
        """The project whose sweep it is."""


class Target(NamedTuple):
    """Where on the server a sweep goes. entity: "" for the user's own."""

    entity: str
    project: str


@frozen
class SweepRecord:
    """What was created here. sweep: ENTITY/PROJECT/ID. file: its path. runs: how many, None for no end.

    tags: of its runs. workers: how many are to run it, None where the file does not say. created: UTC.
    """

    sweep: str
    url: str
    file: str
    name: str
    tags: tuple[str, ...]
    workers: int | None
    runs: int | None
    created: str


def target_of(file: SweepFile, site: Site, host: Host, *, entity: str | None, project: str | None) -> Target:
    """Say where a file's sweep goes: as the option says, else the file, the command, the environment.

    Without any of them it is the user's own entity, and a project of the folder's name.
    """
    named = place_named_by(command_of(site.project, host))
    return Target(
        entity=entity or file.entity or named[0] or host.environ.get("WANDB_ENTITY", ""),
        project=project
        or file.project
        or named[1]
        or host.environ.get("WANDB_PROJECT", "")
        or site.project.name,
    )


def create_and_record(
    file: SweepFile, site: Site, host: Host, *, entity: str | None = None, project: str | None = None
) -> Created:
    """Make the sweep of a file on the server and keep its record; raises HpcSubmitError.

    entity, project: as the user asked for, None for `target_of`'s choice. The Python of the project's
    environment is taken where hpcsubmit's own has no wandb.
    """
    target = target_of(file, site, host, entity=entity, project=project)
    made = create(
        file.config,
        entity=target.entity,
        project=target.project,
        host=host,
        environment=site.project.root / LINK,
    )
    record = SweepRecord(
        sweep=str(made.sweep),
        url=made.url,
        file=str(file.path),
        name=file.name,
        tags=file.tags,
        workers=file.workers,
        runs=file.combinations,
        created=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
    )
    path = record_path(site.project.name, made.sweep.sweep, host)
    make_folder(path.parent)
    write_atomically(path, json.dumps(vars(record), indent=2, ensure_ascii=False) + "\n")
    return made


def record_path(project: str, sweep: str, host: Host) -> Path:
    """Return where the record of a sweep lies; sweep: its id alone."""
    scratch = Path(host.environ["SCRATCH"]) if host.environ.get("SCRATCH") else local_scratch(host)
    return scratch / project / RECORDS / FOLDER / f"{sweep}.json"


def read_record(project: str, sweep: str, host: Host) -> SweepRecord | None:
    """Read the record of a sweep that was created here; None where there is none, or it is damaged."""
    try:
        found: dict[str, Any] = json.loads(record_path(project, sweep, host).read_text("utf-8"))
        return SweepRecord(**{**found, "tags": tuple(found["tags"])})
    except (OSError, ValueError, TypeError, KeyError):
        return None


def command_of(project: Project, host: Host) -> Command | None:
    """Return the command of the experiment file, None where it has none that can be read."""
    with suppress(HpcSubmitError):
        return read_command_file(find_experiment_file(project, host.folder(), None))
    return None
