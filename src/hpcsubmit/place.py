"""Where a submission starts: the project of a folder, its cluster, and what this machine tells of both."""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.cache import Cache
from hpcsubmit.clusters import Choice, Cluster, Clusters, Surroundings, choose, cluster_name_in
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import local_scratch, user_profiles
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile
from hpcsubmit.project import Project, find_project
from hpcsubmit.values import script_path

SLURM_CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf")
CLUSTER_NAME_TIMEOUT = 2.0
"""Seconds that `scontrol show config` may take to tell the cluster's name."""


class Place(NamedTuple):
    """Where a submission starts: the project, and the cluster that was chosen among the profiles."""

    project: Project
    clusters: Clusters
    choice: Choice
    cluster: Cluster


def look_around(folder: Path, host: Host, *, asked: str | None, cache: Cache | None = None) -> Place:
    """Find the project of a folder and choose the cluster; raises HpcSubmitError.

    folder: the current folder, absolute. asked: the value of --cluster. cache: keeps the files that are read.
    """
    project = find_project(folder, cache)
    clusters = Clusters(user_folder=user_profiles(host), project=project, cache=cache)
    choice = choose(clusters, surroundings(host), asked)
    return Place(project, clusters, choice, clusters.get(choice.name))


def profile_here(host: Host, folder: Path, asked: str | None = None) -> Profile:
    """Return the profile that a submission from this folder would choose, in a project or not.

    asked: the value of --cluster. Raises HpcSubmitError for an unknown profile.
    """
    try:
        project = find_project(folder)
    except HpcSubmitError:
        project = None
    clusters = Clusters(user_folder=user_profiles(host), project=project)
    return clusters.get(choose(clusters, surroundings(host), asked).name).profile


def scheduler_here(host: Host, folder: Path) -> str:
    """Return the `scheduler` of the cluster that a submission without --cluster would choose here."""
    return profile_here(host, folder).scheduler


def scratch(profile: Profile, host: Host) -> Path:
    """Return $SCRATCH; raises HpcSubmitError where it is unset, no folder, or cannot stand in a script."""
    value = host.environ.get("SCRATCH", "")
    if not value:
        if profile.scheduler == "local":
            return script_path(local_scratch(host), "the scratch folder")
        hint = profile.scratch_hint or "set it to your folder on the cluster's large disk: export SCRATCH=..."
        raise HpcSubmitError("SCRATCH is not set", hint)
    path = script_path(Path(value), "SCRATCH")
    if not path.is_dir():
        hint = profile.scratch_hint or "make the folder, or set SCRATCH to the one that is there"
        raise HpcSubmitError(f"SCRATCH is {value}, which is not a folder", hint)
    return path


def surroundings(host: Host) -> Surroundings:
    """Return what this machine tells of the cluster it belongs to."""
    return Surroundings(
        environ=host.environ,
        host_name=os.uname().nodename,
        has_sbatch=host.which("sbatch") is not None,
        cluster_name=_slurm_cluster_name(host),
    )


def _slurm_cluster_name(host: Host) -> Callable[[], str]:
    def ask() -> str:
        for path in (host.environ.get("SLURM_CONF"), *SLURM_CONFIGURATIONS):
            try:
                name = cluster_name_in(Path(path).read_text(errors="replace")) if path else ""
            except OSError:
                continue
            if name:
                return name
        try:
            shown = host.run(("scontrol", "show", "config"), timeout=CLUSTER_NAME_TIMEOUT)
        except HpcSubmitError:
            return ""
        return cluster_name_in(shown.stdout)

    return ask


def visible_gpus(host: Host) -> tuple[str, ...]:
    """Return the GPUs of this machine that the caller may use: CUDA_VISIBLE_DEVICES, else nvidia-smi's."""
    chosen = host.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return tuple(gpu.strip() for gpu in chosen.split(",") if gpu.strip() not in ("", "-1"))
    if host.which("nvidia-smi") is None:
        return ()
    try:
        listed = host.run(("nvidia-smi", "--query-gpu=index", "--format=csv,noheader"), timeout=20)
    except HpcSubmitError:
        return ()
    return tuple(re.findall(r"^\d+$", listed.stdout, re.MULTILINE)) if listed.code == 0 else ()
