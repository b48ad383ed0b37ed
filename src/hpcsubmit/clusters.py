"""Which profiles there are, what each of them says once all its files are read, and which one is meant."""

import re
from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from hpcsubmit.application import PROFILE_NAME
from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.frozen import frozen
from hpcsubmit.profile import FIELDS, Profile, default_of, parse_fields
from hpcsubmit.project import Project
from hpcsubmit.written import check_variables
from hpcsubmit.yaml_file import read_yaml

SHIPPED = Path(__file__).parent / "profiles"
LOCAL = "local"
GENERIC = "generic"
NO_SBATCH = "there is no sbatch on the PATH"


@frozen
class Cluster:
    """A profile, and the file that each of its values came from (`default` where none gave it)."""

    profile: Profile
    origins: Mapping[str, str]


@frozen
class Clusters:
    """All profiles: shipped ones, the user's over them, the project's over both, field by field."""

    user_folder: Path
    project: Project | None
    cache: Cache | None = None

    def names(self) -> tuple[str, ...]:
        """Every profile's name, sorted."""
        files = {path.stem for folder in (SHIPPED, self.user_folder) for path in folder.glob("*.yaml")}
        return tuple(sorted(files | set(self.project.profiles if self.project else ())))

    def get(self, name: str) -> Cluster:
        """Resolve one profile; raises HpcSubmitError for an unknown name or a wrong field in its files."""
        values: dict[str, Any] = {}
        origins: dict[str, str] = {}
        layers = self._layers(name)
        if not layers:
            raise self._unknown(name)
        for origin, fields in layers:
            values |= fields
            origins |= dict.fromkeys(fields, origin)
        profile = Profile(name=name, **{f: values.get(f, default_of(f)) for f in FIELDS})
        return Cluster(profile=profile, origins={f: origins.get(f, "default") for f in FIELDS})

    def _layers(self, name: str) -> list[tuple[str, dict[str, Any]]]:
        layers = []
        if re.fullmatch(PROFILE_NAME, name):
            for folder in (SHIPPED, self.user_folder):
                path = folder / f"{name}.yaml"
                if path.is_file():
                    values = read_yaml(path, self.cache)
                    check_variables(values, path)
                    layers.append((str(path), parse_fields(values, str(path))))
        project = self.project
        if project and project.configuration and name in project.profiles:
            origin = f"{project.configuration}, profiles.{name}"
            check_variables(project.profiles[name], project.configuration, ("profiles", name))
            layers.append((origin, parse_fields(project.profiles[name], origin)))
        return layers

    def _unknown(self, name: str) -> HpcSubmitError:
        there = ", ".join(self.names())
        return HpcSubmitError(
            f"there is no cluster profile '{name}'",
            f"{did_you_mean(name, self.names())} the profiles are {there}; a new one would be "
            f"{self.user_folder}/{name}.yaml",
        )


@frozen
class Surroundings:
    """What a cluster is detected by.

    cluster_name: asks Slurm for its ClusterName, "" where it does not say; called only if nothing else told.
    """

    environ: Mapping[str, str]
    host_name: str
    has_sbatch: bool
    cluster_name: Callable[[], str]


@frozen
class Choice:
    """The name of the chosen profile and why it was chosen."""

    name: str
    reason: str


def choose(clusters: Clusters, around: Surroundings, asked: str | None) -> Choice:
    """Choose the cluster, as A3 orders it; `asked` is the value of --cluster."""
    if asked is not None:
        return Choice(name=asked, reason="--cluster")
    if around.environ.get("HPCSUBMIT_CLUSTER"):
        return Choice(name=around.environ["HPCSUBMIT_CLUSTER"], reason="HPCSUBMIT_CLUSTER")
    if clusters.project and clusters.project.cluster:
        return Choice(name=clusters.project.cluster, reason=str(clusters.project.configuration))
    return _detect(clusters, around)


def _detect(clusters: Clusters, around: Surroundings) -> Choice:
    profiles = [clusters.get(name).profile for name in clusters.names()]
    for profile in profiles:
        for name, value in profile.detect_environment:
            if around.environ.get(name) == value:
                return Choice(name=profile.name, reason=f"{name}={value}")
    for profile in profiles:
        for pattern in profile.detect_hosts:
            if fnmatchcase(around.host_name, pattern):
                return Choice(name=profile.name, reason=f"the host name {around.host_name}")
    slurm_says = around.cluster_name()
    for profile in profiles:
        if slurm_says and profile.detect_cluster_name == slurm_says:
            return Choice(name=profile.name, reason=f"Slurm's ClusterName {slurm_says}")
    if not around.has_sbatch:
        return Choice(name=LOCAL, reason=NO_SBATCH)
    return Choice(name=GENERIC, reason="a Slurm cluster without a profile")


def cluster_name_in(configuration: str) -> str:
    """Read ClusterName from the text of slurm.conf or of `scontrol show config`; "" without one."""
    match = re.search(r"^\s*ClusterName\s*=\s*(\S+)", configuration, re.MULTILINE | re.IGNORECASE)
    return match[1] if match else ""
