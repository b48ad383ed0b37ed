"""Where on wandb's server a sweep and its runs belong: the entity and the project."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import NamedTuple, Protocol

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.experiment import Command, read_command_file
from hpcsubmit.host import Host
from hpcsubmit.project import Project, find_experiment_file
from hpcsubmit.sweep_file.reading import SweepFile
from hpcsubmit.wandb_sweep import place_named_by

_NEVER_IN_A_PROJECT = "/\\#?%:"
_SETTINGS = "wandb/settings"
_LONGEST_PROJECT = 128
"""Characters. wandb.init() refuses names with the others, and longer ones (0.30)."""


class Site(Protocol):
    """Where a sweep is created: in a project."""

    @property
    def project(self) -> Project:
        """The project whose sweep it is."""


class Target(NamedTuple):
    """Where on the server a sweep goes. entity: "" for the user's own."""

    entity: str
    project: str


def target_of(file: SweepFile, site: Site, host: Host, *, entity: str | None, project: str | None) -> Target:
    """Say where a file's sweep goes: as the option says, else the file, the command, the environment.

    Without any of them it is the user's own entity, and a project of the folder's name.
    """
    named = Target(*place_named_by(command_of(site.project, host)))
    asked = Target(entity or "", project or "")
    return _chosen(file, named, asked, host.environ, default=site.project.name)


def placed(
    file: SweepFile,
    site: Site,
    host: Host,
    *,
    entity: str | None,
    project: str | None,
    exported: Mapping[str, str],
) -> SweepFile:
    """Return a file whose runs are to log without a server, with the place of `target_of`.

    exported: what the profile sets for every job. The project is "" where only the environment or the folder
    names one, and wandb.init() would refuse it; and where only the folder does, and what `wandb init` wrote
    there is to count, which wandb reads in the job.
    Raises UsageError and HpcSubmitError for such a name in the option or in the file.
    """
    _check_given(file, project)
    named = Target("", "")
    with suppress(HpcSubmitError):  # a sweep that only bash knows: an experiment file is not asked for here
        named = Target(*place_named_by(command_of(site.project, host)))
    default = "" if (site.project.root / _SETTINGS).is_file() else site.project.name
    asked = Target(entity or "", project or "")
    target = _chosen(file, named, asked, {**host.environ, **exported}, default=default)
    return replace(
        file, entity=target.entity, project="" if _wrong_project(target.project) else target.project
    )


def command_of(project: Project, host: Host) -> Command | None:
    """Return the command of the experiment file, None where it has none that can be read."""
    with suppress(HpcSubmitError):
        return read_command_file(find_experiment_file(project, host.folder(), None))
    return None


def _chosen(
    file: SweepFile, named: Target, asked: Target, environ: Mapping[str, str], *, default: str
) -> Target:
    """The first that says something. named: by the command. asked: by the options. default: a project."""
    return Target(
        entity=asked.entity or file.entity or named.entity or environ.get("WANDB_ENTITY", ""),
        project=asked.project or file.project or named.project or environ.get("WANDB_PROJECT", "") or default,
    )


def _check_given(file: SweepFile, project: str | None) -> None:
    hint = f"write 1 to {_LONGEST_PROJECT} characters, none of {' '.join(_NEVER_IN_A_PROJECT)}"
    if project and (problem := _wrong_project(project)):
        raise UsageError(f"--project {project!r} {problem}", hint)
    if not project and (problem := _wrong_project(file.project)):
        raise file.source.mistake(("project",), problem, hint)


def _wrong_project(name: str) -> str:
    """Why wandb takes no project of this name; "" where it does."""
    found = [char for char in _NEVER_IN_A_PROJECT if char in name]
    if found:
        return f"has a {found[0]}, which wandb takes in no project's name"
    return f"has {len(name)} characters, more than wandb takes" if len(name) > _LONGEST_PROJECT else ""
