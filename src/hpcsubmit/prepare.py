"""From a request to a plan: looks at the project, the cluster and this machine, and changes nothing."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hpcsubmit import __version__
from hpcsubmit.clusters import Choice, Cluster
from hpcsubmit.container import check_without_image
from hpcsubmit.context import Context
from hpcsubmit.environments.find import find_virtualenv
from hpcsubmit.environments.wanted import Wish
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.experiment import Command, read_command_file
from hpcsubmit.host import CommandTimedOut, Host
from hpcsubmit.launch import mpi_flavours
from hpcsubmit.node_disks import PackedData
from hpcsubmit.place import Place, scratch, visible_gpus
from hpcsubmit.plan import Plan, plan
from hpcsubmit.profile import Profile
from hpcsubmit.project import EXPERIMENT_FILE, Project, find_experiment_file
from hpcsubmit.request import Launcher, Request
from hpcsubmit.slurm import caller_variables
from hpcsubmit.trials import Wanted
from hpcsubmit.virtualenv import Virtualenv
from hpcsubmit.wandb_key import has_key, key_file, uses_wandb

if TYPE_CHECKING:
    from hpcsubmit.conda import CondaEnv
    from hpcsubmit.container import Image
    from hpcsubmit.staging.snapshot import Snapshot
    from hpcsubmit.sweeps.wanted import AskNumber

MPI_LIST_TIMEOUT = 2.0
"""Seconds that `srun --mpi=list` may take."""


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
    image = _image(request, folder, cluster.profile, host)
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
        data=packed_data(snapshot) if snapshot else None,
        image=image,
        conda=conda,
        trials=_trials(request, command, place, virtualenv or conda, host, ask),
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
    environment: "Virtualenv | CondaEnv | None",
    host: Host,
    ask: "AskNumber | None",
) -> Wanted | None:
    """The trials of a sweep, or the repeats; None for a single job."""
    sweep = request.sweep or request.sweep_file or command.starts_wandb_agent
    if not sweep and request.for_sweeps:
        request = _put_aside(request)
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
        request, command, Site(place.project.root, place.cluster.profile, environment, host, ask)
    )


def _put_aside(request: Request) -> Request:
    """Leave out what hpcsubmit.yaml says for sweeps; how many trials a task runs counts for repeats too."""
    alone: dict[str, Any] = {"num_sweeps": None, "trial_gpus": 1, "trial_nodes": 1}
    alone |= {} if request.seeds else {"trials_per_task": None}
    return replace(request, **{name: usual for name, usual in alone.items() if name in request.for_sweeps})


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


def packed_data(snapshot: "Snapshot") -> PackedData:
    """Return what a plan needs to know of data that were looked at."""
    from hpcsubmit.staging.store import Store  # late: for data alone

    return PackedData(
        manifest=snapshot.manifest,
        archives=Store.of(snapshot.scratch_dir).archives,
        room=snapshot.room_kib,
        paths=snapshot.paths,
        warnings=snapshot.warnings,
        sizes=snapshot.sizes,
    )


def _virtualenv(request: Request, project: Project, profile: Profile, host: Host) -> Virtualenv | None:
    if request.no_env:
        return None
    wish = Wish(on_node=request.env_on_node, account=request.account, partition=request.partition)
    found = find_virtualenv(project, host, profile, wish)
    if found.manifest is None:
        return found
    from hpcsubmit.staging.store import read_manifest  # late: for --env-on-node alone

    packed = read_manifest(found.manifest)
    if packed is None:
        return found
    return found._replace(room=packed.room_kib, sizes=tuple(archive.size for archive in packed.archives))


def _image(request: Request, folder: Path, profile: Profile, host: Host) -> "Image | None":
    if request.container is None:
        check_without_image(request)
        return None
    from hpcsubmit.image import check_binds, check_this_machine, look_at_image  # late: for containers alone

    check_binds(request.binds, profile)
    image = look_at_image(request.container, folder)
    if profile.scheduler == "local":
        check_this_machine(image, profile, host.which)
    return image


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
        said = host.run(("srun", "--mpi=list"), timeout=MPI_LIST_TIMEOUT)
    except CommandTimedOut:  # the job asks again
        return
    known = mpi_flavours(said.stdout + said.stderr) if said.code == 0 else ()
    if known and profile.mpi not in known:
        raise HpcSubmitError(
            f"Slurm here knows no --mpi={profile.mpi}: it has {', '.join(known)}",
            f"set 'mpi' in the profile '{profile.name}' to one of them",
        )
