"""Finds the project, and reads its hpcsubmit.yaml."""

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.frozen import frozen
from hpcsubmit.values import script_path
from hpcsubmit.yaml_file import read_yaml

EXPERIMENT_FILE = "experiment_configurations.txt"
SINGULAR_FILE = "experiment_configuration.txt"
CONFIGURATION_FILE = "hpcsubmit.yaml"
HPC_FILES = "hpc_files"
PROFILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
CONFIGURATION_KEYS = ("cluster", "profiles")


@frozen
class Project:
    """The user's project: the folder that a job runs in, and what its hpcsubmit.yaml says.

    root: absolute, as the user reached it (a symlink in it is kept).
    configuration: the path of hpcsubmit.yaml, None without one.
    profiles: the raw `profiles` key, {NAME: {field: value}}.
    """

    root: Path
    configuration: Path | None = None
    cluster: str | None = None
    profiles: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The project's name: that of its folder."""
        return self.root.name


def find_project(folder: Path) -> Project:
    """Find the project from `folder` upwards and read its configuration.

    It is the first folder that itself, or whose hpc_files/, holds the experiment file or hpcsubmit.yaml; a
    folder named hpc_files is never the project. Raises HpcSubmitError where there is none.
    """
    if folder.resolve().name == HPC_FILES:  # reached through a link, perhaps
        folder = folder.resolve()
    for candidate in (folder, *folder.parents):
        if candidate.name == HPC_FILES or not _holds_project(candidate):
            continue
        if candidate == Path("/"):
            hint = "move the project into a folder of its own: the folder's name is the project's"
            raise HpcSubmitError("the root folder / cannot be a project", hint)
        return _read_project(script_path(candidate, "the project folder"))
    raise HpcSubmitError(
        f"no project here: neither {folder} nor a folder above it holds {EXPERIMENT_FILE} or "
        f"{CONFIGURATION_FILE}",
        _where_to_put_the_file(folder),
    )


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
    return f"write your command, such as python main.py, into {EXPERIMENT_FILE} in your project's folder"


def _read_project(root: Path) -> Project:
    for place in (root, root / HPC_FILES):
        path = place / CONFIGURATION_FILE
        if path.is_file():
            values = _read_configuration(path)
            return Project(
                root=root,
                configuration=path,
                cluster=values.get("cluster"),
                profiles=values.get("profiles") or {},
            )
    return Project(root=root)


def _read_configuration(path: Path) -> dict[str, Any]:
    values = read_yaml(path)
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise HpcSubmitError(f"{path} holds no 'key: value' lines", "its keys are: cluster, profiles")
    for key in values:
        if key not in CONFIGURATION_KEYS:
            raise HpcSubmitError(
                f"{path} has an unknown key '{key}'", did_you_mean(str(key), CONFIGURATION_KEYS)
            )
    cluster, profiles = values.get("cluster"), values.get("profiles")
    if cluster is not None and not isinstance(cluster, str):
        raise HpcSubmitError(f"{path}: 'cluster' cannot be {cluster!r}", "write cluster: NAME")
    if profiles is not None and not isinstance(profiles, dict):
        raise HpcSubmitError(
            f"{path}: 'profiles' cannot be {profiles!r}", "write profiles: {NAME: {field: value}}"
        )
    for name in profiles or {}:
        if not isinstance(name, str) or not re.fullmatch(PROFILE_NAME, name):
            hint = "use letters, digits, . _ and -, and quotes around a number"
            raise HpcSubmitError(f"{path}: {name!r} cannot name a profile", hint)
    return values


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
