"""From a request to a plan: looks at the project, the cluster and this machine, and changes nothing."""

import os
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcsubmit import __version__
from hpcsubmit.cache import Cache
from hpcsubmit.clusters import Choice, Cluster, Clusters, Surroundings, choose, cluster_name_in
from hpcsubmit.container import check_without_image
from hpcsubmit.environments.find import Wish, find_virtualenv
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.experiment import Command, read_command_file
from hpcsubmit.folders import local_scratch, user_profiles
from hpcsubmit.host import CommandTimedOut, Host
from hpcsubmit.launch import mpi_flavours
from hpcsubmit.node_disks import PackedData, transfer
from hpcsubmit.plan import Context, Plan, plan
from hpcsubmit.profile import Profile
from hpcsubmit.project import EXPERIMENT_FILE, Project, find_experiment_file, find_project
from hpcsubmit.request import Launcher, Request
from hpcsubmit.slurm import caller_variables
from hpcsubmit.trials import Wanted
from hpcsubmit.values import script_path
from hpcsubmit.virtualenv import Virtualenv
from hpcsubmit.wandb_key import has_key, key_file, uses_wandb

if TYPE_CHECKING:
    from hpcsubmit.conda import CondaEnv
    from hpcsubmit.container import Image
    from hpcsubmit.staging.snapshot import Snapshot
    from hpcsubmit.sweeps.wanted import AskNumber

SLURM_CONFIGURATIONS = ("/etc/slurm/slurm.conf", "/etc/slurm-llnl/slurm.conf")
CLUSTER_NAME_TIMEOUT = 2.0
"""Seconds that `scontrol show config` may take to tell the cluster's name."""


class Prepared(NamedTuple):
    """A plan with what it was made from.

    dropped: the names of the caller's variables that sbatch does not get.
    snapshot: the data of --data as they are now, None without it.
    """

    plan: Plan
    project: Project
    choice: Choice
    cluster: Cluster
    dropped: tuple[str, ...]
    snapshot: "Snapshot | None" = None


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


def prepare(
    request: Request,
    place: Place,
    *,
    run_id: str,
    command_line: str,
    folder: Path,
    host: Host,
    ask: "AskNumber | None" = None,
) -> Prepared:
    """Validate everything and decide everything; raises HpcSubmitError for all that is wrong.

    folder: the current folder, absolute. ask: asks for the number of a sweep's runs; without
    it the number must be given.
    """
    project, choice, cluster = place.project, place.choice, place.cluster
    command = _command(request, project, folder)
    if "WANDB_API_KEY=" in command.text:
        raise HpcSubmitError(
            f"{command.source} sets WANDB_API_KEY, which the script and the record would then show",
            "write the key into ~/wandb_credentials.txt, with mode 0600, and take it out of the command",
        )
    image = _image(request, folder, cluster.profile)
    conda = _conda(request, folder, host)
    virtualenv = _virtualenv(request, project, cluster.profile, host) if not (image or conda) else None
    scratch_dir = scratch(cluster.profile, host) / project.name
    snapshot = look_at_data(request.data, request.compress, scratch_dir, cluster.profile, host)
    context = Context(
        project_root=project.root,
        scratch_dir=scratch_dir,
        run_id=run_id,
        version=__version__,
        command_line=command_line,
        command=command,
        virtualenv=virtualenv,
        wandb_key_file=key_file(host),
        wandb_without_key=not (request.offline or has_key(host)) and uses_wandb(command, project, virtualenv),
        visible_gpus=visible_gpus(host) if cluster.profile.scheduler == "local" else (),
        data=_packed(snapshot),
        image=image,
        conda=conda,
        trials=_trials(request, command, place, virtualenv, host, ask),
    )
    _check_mpi(request, cluster.profile, host)
    return Prepared(
        plan=plan(request, cluster.profile, context),
        project=project,
        choice=choice,
        cluster=cluster,
        dropped=caller_variables(host.environ),
        snapshot=snapshot,
    )


def _command(request: Request, project: Project, folder: Path) -> Command:
    """The command of the project; a sweep that is named elsewhere needs none."""
    if request.command:
        return request.command
    if request.sweep_file or (request.sweep and request.configs is None):
        from hpcsubmit.sweeps.wanted import placeholder  # late: for sweeps alone

        if request.sweep_file:
            return placeholder(request.sweep_file.path)
        try:
            path = find_experiment_file(project, folder, None)
        except HpcSubmitError:
            return placeholder(project.root / EXPERIMENT_FILE)
        return read_command_file(path)
    return read_command_file(find_experiment_file(project, folder, request.configs))


def _trials(
    request: Request,
    command: Command,
    place: Place,
    virtualenv: Virtualenv | None,
    host: Host,
    ask: "AskNumber | None",
) -> Wanted | None:
    """The trials of a sweep, or the repeats; None for a single job."""
    sweep = request.sweep or request.sweep_file or command.starts_wandb_agent
    if not sweep and (request.trial_gpus, request.trial_nodes, request.num_sweeps) != (1, 1, None):
        raise UsageError(
            "--trial-gpus, --trial-nodes and --num-sweeps belong to sweeps, and no sweep is named",
            "add -w ENTITY/PROJECT/ID, or use --gpus and --num-nodes",
        )
    if not (sweep or request.seeds or request.trials_per_task is None):
        raise UsageError(
            "--trials-per-task belongs to sweeps and repeats, and there is one job alone",
            "add -w ENTITY/PROJECT/ID or --repeat 8, or leave it out",
        )
    if not (sweep or request.seeds):
        return None
    from hpcsubmit.sweeps.wanted import Site, wanted_trials  # late: for sweeps and repeats alone

    return wanted_trials(
        request, command, Site(place.project.root, place.cluster.profile, virtualenv, host, ask)
    )


def look_at_data(
    words: Sequence[str], compress: str, scratch_dir: Path, profile: Profile, host: Host
) -> "Snapshot | None":
    """Look at what --data names; None without it. Raises HpcSubmitError for what cannot be packed."""
    if not words:
        return None
    from hpcsubmit.staging.snapshot import look  # late: for data alone

    compressors = profile.compressors
    if profile.scheduler == "local":  # the nodes are this machine
        compressors = tuple(name for name in ("gzip", "zstd") if host.which(name))
    return look(words, scratch_dir, compress=compress, compressors=compressors, host=host)


def _packed(snapshot: "Snapshot | None") -> PackedData | None:
    if snapshot is None:
        return None
    from hpcsubmit.staging.store import Store  # late: for data alone

    return PackedData(
        manifest=snapshot.manifest,
        archives=Store.of(snapshot.scratch_dir).archives,
        room=snapshot.room_kib,
        paths=snapshot.paths,
        warnings=snapshot.warnings,
    )


def _virtualenv(request: Request, project: Project, profile: Profile, host: Host) -> Virtualenv | None:
    if request.no_env:
        return None
    wish = Wish(on_node=request.env_on_node, account=request.account, partition=request.partition)
    found = find_virtualenv(project, host, profile, wish)
    return found._replace(transfer=transfer(request, profile)) if found.manifest else found


def _image(request: Request, folder: Path, profile: Profile) -> "Image | None":
    if request.container is None:
        check_without_image(request)
        return None
    from hpcsubmit.image import check_binds, look_at_image  # late: for containers alone

    check_binds(request.binds, profile.node_local_base)
    return look_at_image(request.container, folder)


def _conda(request: Request, folder: Path, host: Host) -> "CondaEnv | None":
    if request.conda_env is None:
        return None
    from hpcsubmit.conda import find_conda_env  # late: for conda alone

    return find_conda_env(request.conda_env, folder, host.environ)


def _check_mpi(request: Request, profile: Profile, host: Host) -> None:
    """Raise HpcSubmitError where `-W pmi` asks for what srun here does not know."""
    if request.launcher is not Launcher.PMI:
        return
    if profile.scheduler == "local":
        raise HpcSubmitError(
            "-W pmi needs the MPI of a real Slurm, and this job runs on this machine",
            "use -W srun, whose processes know their ranks from RANK and WORLD_SIZE",
        )
    if host.which("srun") is None:
        return
    try:
        said = host.run(("srun", "--mpi=list"), timeout=CLUSTER_NAME_TIMEOUT)
    except CommandTimedOut:  # the job asks again
        return
    known = mpi_flavours(said.stdout + said.stderr) if said.code == 0 else ()
    if known and profile.mpi not in known:
        raise HpcSubmitError(
            f"Slurm here knows no --mpi={profile.mpi}: it has {', '.join(known)}",
            f"set 'mpi' in the profile '{profile.name}' to one of them",
        )


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
