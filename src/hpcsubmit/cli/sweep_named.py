"""Which sweep on the server a command means: its id, or the run or job of hpcsubmit's that works for it."""

from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environments.layout import LINK
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import find_run
from hpcsubmit.host import Host
from hpcsubmit.project import Project, find_project
from hpcsubmit.sweeps.creation import read_record
from hpcsubmit.sweeps.target import command_of
from hpcsubmit.values import is_run_id
from hpcsubmit.wandb_sweep import WandbSweepId, complete


class Named(NamedTuple):
    """A sweep, and the environment whose Python may be asked about it; None outside of projects."""

    sweep: WandbSweepId
    environment: Path | None


def named_sweep(word: str, host: Host) -> Named:
    """Return the sweep that a word means: ID, ENTITY/PROJECT/ID, or a run or a job that works for it.

    The place of an id alone is the one it was created in here, or as `wandb_sweep.complete` says. Raises
    HpcSubmitError.
    """
    project = _project(host)
    environment = project.root / LINK if project else None
    run_sweep = _sweep_of_run(word, host)
    if run_sweep is not None:
        return Named(run_sweep, environment)
    given = WandbSweepId.parse(word)
    if given.entity is None and project:
        record = read_record(project.name, given.sweep, host)
        given = WandbSweepId.parse(record.sweep) if record else given
    command = command_of(project, host) if project else None
    return Named(complete(given, command, host.environ), environment)


def _sweep_of_run(word: str, host: Host) -> WandbSweepId | None:
    """The sweep of a run or job; None for another word, and for digits that are no job: ids may be such."""
    if not (is_run_id(word) or word.partition("_")[0].isdecimal()):
        return None
    try:
        run = find_run(word, host, host.folder())
    except HpcSubmitError:
        if is_run_id(word):
            raise
        return None
    if not run.sweep:
        raise HpcSubmitError(
            f"run {run.run_id} works for no sweep on a server",
            f"hpcsubmit sweep results {run.run_id} shows what its trials came to, if it has any",
        )
    return WandbSweepId.parse(run.sweep)


def _project(host: Host) -> Project | None:
    try:
        return find_project(host.folder())
    except HpcSubmitError:
        return None
