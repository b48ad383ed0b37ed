"""Finds the project, and reads its hpcsubmit.yaml."""

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from hpcsubmit.application import Application, application_of
from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.values import script_path
from hpcsubmit.yaml_file import read_yaml

EXPERIMENT_FILE = "experiment_configurations.txt"
SINGULAR_FILE = "experiment_configuration.txt"
CONFIGURATION_FILE = "hpcsubmit.yaml"
OTHER_SUFFIX = "hpcsubmit.yml"
HPC_FILES = "hpc_files"


@frozen
class Project:
    """The user's project: the folder that a job runs in, and what its hpcsubmit.yaml says.

    root: absolute, as the user reached it (a symlink in it is kept).
    configuration: the path of hpcsubmit.yaml, None without one. application: what it says.
    """

    root: Path
    configuration: Path | None = None
    application: Application = field(default_factory=Application)

    @property
    def name(self) -> str:
        """The project's name: that of its folder."""
        return self.root.name

    @property
    def cluster(self) -> str | None:
        """The cluster that hpcsubmit.yaml chooses."""
        return self.application.cluster

    @property
    def profiles(self) -> Mapping[str, Any]:
        """The profiles of hpcsubmit.yaml, {NAME: {field: value}}."""
        return self.application.profiles


def find_project(folder: Path, cache: Cache | None = None) -> Project:
    """Find the project from `folder` upwards and read its hpcsubmit.yaml; cache keeps what was read.

    It is the first folder that itself, or whose hpc_files/, holds the experiment file or hpcsubmit.yaml; a
    folder named hpc_files is never the project. Raises HpcSubmitError where there is none.
    """
    root = find_root(folder)
    if root is not None:
        return _read_project(root, cache)
    raise HpcSubmitError(
        f"no project here: neither {folder} nor a folder above it holds {EXPERIMENT_FILE} or "
        f"{CONFIGURATION_FILE}",
        _where_to_put_the_file(folder),
    )


def find_root(folder: Path) -> Path | None:
    """Return the folder of the project that `folder` is in, None where there is none; reads no file.

    Raises HpcSubmitError for a folder that no script can name.
    """
    if folder.resolve().name == HPC_FILES:  # reached through a link, perhaps
        folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if candidate.name == HPC_FILES or not _holds_project(candidate):
            continue
        if candidate == Path("/"):
            hint = "move the project into a folder of its own: the folder's name is the project's"
            raise HpcSubmitError("the root folder / cannot be a project", hint)
        return script_path(candidate, "the project folder")
    return None


def _holds_project(folder: Path) -> bool:
    return any(
        (folder / below / name).is_file()
        for below in ("", HPC_FILES)
        for name in (EXPERIMENT_FILE, CONFIGURATION_FILE)
    )


def _where_to_put_the_file(folder: Path) -> str:
    above = (folder, *folder.parents)
    for place in (*above, *(each / HPC_FILES for each in above)):
        if (place / SINGULAR_FILE).is_file():
            return f"rename {place / SINGULAR_FILE} to {EXPERIMENT_FILE} (plural)"
        if (place / OTHER_SUFFIX).is_file() and not (place / CONFIGURATION_FILE).is_file():
            return f"rename {place / OTHER_SUFFIX} to {CONFIGURATION_FILE}"
    return f"write your command, such as python main.py, into {EXPERIMENT_FILE} in your project's folder"


def _read_project(root: Path, cache: Cache | None) -> Project:
    path = find_in(root, CONFIGURATION_FILE)
    if path is None:
        return Project(root=root)
    return Project(root=root, configuration=path, application=application_of(read_yaml(path, cache), path))


def find_in(root: Path, name: str) -> Path | None:
    """Return a file of the project's: in its folder, else in its hpc_files/, None where it has none."""
    places = (root / name, root / HPC_FILES / name)
    return next((path for path in places if path.is_file()), None)


def check_one_command(project: Project) -> None:
    """Raise HpcSubmitError where a project whose hpcsubmit.yaml gives the command has an experiment file."""
    experiment = find_in(project.root, EXPERIMENT_FILE)
    if experiment is not None:
        raise HpcSubmitError(
            f"two files give the command: {project.configuration}, 'command', and {experiment}",
            f"delete {experiment}, or 'command' in {CONFIGURATION_FILE}; -C FILE chooses one for once",
        )


def find_experiment_file(project: Project, folder: Path, configs: Path | None) -> Path:
    """Return the experiment file: `configs` or its default name, looked up where A1 says.

    A relative path is tried in the current folder, then the project, then its hpc_files/. Raises
    HpcSubmitError where there is none.
    """
    wanted = configs if configs is not None else Path(EXPERIMENT_FILE)
    for place in (folder, project.root, project.root / HPC_FILES):
        if (place / wanted).is_file():
            return place / wanted
    tried = f"{project.root / wanted}"
    if configs is None:
        raise HpcSubmitError(f"there is no {tried}", _where_to_put_the_file(project.root))
    raise HpcSubmitError(
        f"there is no experiment file {wanted}", f"looked in {folder}, {project.root} and its {HPC_FILES}/"
    )
