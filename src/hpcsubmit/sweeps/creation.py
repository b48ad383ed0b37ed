"""Makes the sweep of a file on the wandb server, and keeps a record of what only hpcsubmit knows of it."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hpcsubmit.environments.layout import LINK
from hpcsubmit.folders import local_scratch
from hpcsubmit.frozen import frozen
from hpcsubmit.host import Host, make_folder, write_atomically
from hpcsubmit.plan import RECORDS
from hpcsubmit.sweep_file.reading import SweepFile
from hpcsubmit.sweeps.server import Created, create
from hpcsubmit.sweeps.target import Site, target_of

FOLDER = "sweeps"
"""Below the project's records: ID.json of every sweep that was created here."""


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
