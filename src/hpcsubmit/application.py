"""The application file, hpcsubmit.yaml: what a project says of its jobs; pure.

Here its parts are told apart. Which keys are options of a submission, and what their values mean, only the
options themselves know: see cli/settled.py.
"""

import re
from collections.abc import Mapping
from dataclasses import field
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen

PROFILE_NAME = r"[A-Za-z0-9][A-Za-z0-9_.-]*"
OWN_KEYS = ("cluster", "profiles", "clusters")
"""The keys that are no part of a submission; all the others may also stand in a part for one cluster."""


@frozen
class Application:
    """What an hpcsubmit.yaml says, as YAML gave it.

    profiles: the raw `profiles` key, {NAME: {field: value}}.
    options: `command` and the options of a submission, by the file's keys, whatever those are.
    clusters: the same for single clusters, by their names; these values override `options`.
    """

    cluster: str | None = None
    profiles: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    clusters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)

    @property
    def submits(self) -> bool:
        """Whether it says anything of a submission, beside the cluster and its profiles."""
        return bool(self.options or self.clusters)


def application_of(values: object, path: Path) -> Application:
    """Tell the parts of an application file apart; path names it in messages.

    Raises HpcSubmitError where a part has another form than it must.
    """
    if values is None:
        return Application()
    if not isinstance(values, dict):
        raise HpcSubmitError(
            f"{path} holds no 'key: value' lines", "write command: python main.py, say; see hpcsubmit init"
        )
    cluster = values.get("cluster")
    if cluster is not None and not isinstance(cluster, str):
        raise HpcSubmitError(f"{path}: 'cluster' cannot be {cluster!r}", "write cluster: NAME")
    profiles = _parts(values, "profiles", "write profiles: {NAME: {field: value}}", path)
    clusters = _parts(values, "clusters", "write clusters: {NAME: {key: value}}", path)
    return Application(
        cluster=cluster,
        profiles=profiles,
        options={str(key): value for key, value in values.items() if key not in OWN_KEYS},
        clusters={name: _part(name, part, path) for name, part in clusters.items()},
    )


def _parts(values: Mapping[Any, Any], key: str, cure: str, path: Path) -> dict[str, Any]:
    """What stands under `profiles` or `clusters`, by the name of a profile."""
    parts = values.get(key)
    if parts is None:
        return {}
    if not isinstance(parts, dict):
        raise HpcSubmitError(f"{path}: '{key}' cannot be {parts!r}", cure)
    for name in parts:
        if not isinstance(name, str) or not re.fullmatch(PROFILE_NAME, name):
            hint = "use letters, digits, . _ and -, and quotes around a number"
            raise HpcSubmitError(f"{path}: {name!r} cannot name a profile", hint)
    return parts


def _part(name: str, part: object, path: Path) -> dict[str, Any]:
    """The part for one cluster."""
    if part is None:
        return {}
    if not isinstance(part, dict):
        raise HpcSubmitError(
            f"{path}: 'clusters.{name}' cannot be {part!r}", f"write clusters: {{{name}: {{gpus: 2}}}}, say"
        )
    return {str(key): value for key, value in part.items()}
