"""The container of a job: what is mounted where, and how the engine is started. Decided, pure."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.conda import CondaEnv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.profile import Profile
from hpcsubmit.request import Bind, Launcher, Request, mount_point
from hpcsubmit.values import script_path

ENGINES = ("apptainer", "singularity")
"""The engines that are known by their names: each runs the images of the other."""
PASSED = (
    "PYTHONUNBUFFERED", "SEED", "CUDA_VISIBLE_DEVICES", "MASTER_ADDR", "MASTER_PORT", "RANK",
    "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURMD_NODENAME",
)  # fmt: skip
"""The variables that every container gets, besides those that the plan exports."""
FAMILIES = ("SLURM_", "PMI", "NCCL_", "GLOO_", "OMP_", "WANDB_", "TORCH_", "ACCELERATE_", "HPCSUBMIT_")
"""What the names of further variables begin with that every container gets; PMI also stands for PMIX."""
_OF_ANY_LIBRARY = (Launcher.SRUN, Launcher.PMI, Launcher.RANKS)
"""The launchers whose programs need not use PyTorch."""


class Image(NamedTuple):
    """An image as it is now. size: bytes, 0 for a sandbox folder, whose `path` is the folder.

    machine: the name that `uname -m` gives on the machines that it is for; "" where that is not known.
    """

    path: Path
    size: int
    machine: str = ""


class Container(NamedTuple):
    """How the tasks of a job start inside an image.

    engine: the name or path of the program. other_engine: the name of the one that a node may have instead,
    "" for none. engine_folder: put before the PATH, "" for none.
    modules: loaded for the engine. runscript: whether the command is handed to the image's %runscript.
    copied: whether every node copies the image to its own disk first; transfer: `direct` or `broadcast`.
    contained: whether the container has a /dev and a /dev/shm of its own. Several on one node share the
    node's, through which NCCL exchanges data; several nodes need /dev/infiniband.
    binds: the user's own. workdir: where a folder of the node's own disk is mounted, "" for nowhere.
    storage: the folder of the persistent folders. names: the variables that are passed on by name.
    checks_torch: whether torch must be importable. conda: an environment by reference.
    """

    image: Image
    engine: str
    other_engine: str
    engine_folder: str
    modules: tuple[str, ...]
    runscript: bool
    copied: bool
    transfer: str
    contained: bool
    binds: tuple[Bind, ...]
    workdir: str
    storage: Path
    names: tuple[str, ...]
    checks_torch: bool
    conda: CondaEnv | None


def container(
    request: Request,
    profile: Profile,
    *,
    image: Image | None,
    conda: CondaEnv | None,
    project_root: Path,
    scratch_dir: Path,
    exported: Sequence[str],
    distributed: bool,
    several_per_node: bool,
    transfer: str,
) -> Container | None:
    """Decide how a job uses its image; None without one. Raises HpcSubmitError for what does not fit.

    exported: the names of the variables that the script exports for the program.
    """
    if image is None:
        check_without_image(request)
        return None
    bindable(project_root, "the project")
    bindable(scratch_dir, "the scratch folder")
    if conda:
        bindable(conda.path, "the conda environment")
    copied = profile.container_on_node if request.container_on_node is None else request.container_on_node
    if copied and not image.size:
        if request.container_on_node:
            raise HpcSubmitError(
                f"--container-on-node: {image.path} is a sandbox folder, which is used where it lies",
                f"make one file of it: apptainer build {image.path.name}.sif {image.path}",
            )
        copied = False
    return Container(
        image=image,
        engine=profile.container_engine,
        other_engine="".join(engine_names(profile)[1:]),
        engine_folder=profile.container_path,
        modules=profile.container_modules,
        runscript=not (request.container_exec or conda),
        copied=copied,
        transfer=transfer,
        contained=not (several_per_node or request.num_nodes > 1),
        binds=tuple(bind._replace(target=mount_point(bind.target)) for bind in request.binds),
        workdir=_workdir(request, project_root, scratch_dir, conda),
        storage=scratch_dir / request.exp_name,
        names=tuple(dict.fromkeys((*exported, *PASSED, *request.pass_env))),
        checks_torch=distributed and request.launcher not in _OF_ANY_LIBRARY,
        conda=conda,
    )


def _workdir(request: Request, project_root: Path, scratch_dir: Path, conda: CondaEnv | None) -> str:
    """Return the plain path of --workdir, "" without one; HpcSubmitError where something else is mounted.

    Of two mounts on one folder the engine takes the first (Apptainer 1.4.5), and the job needs these. $HOME
    and /tmp, which are empty inside, may be the workdir, and so may folders in what is mounted or above it.
    """
    if not request.workdir:
        return ""
    place, other = Path(mount_point(request.workdir)), "write another folder, such as /workdir"
    taken = {scratch_dir: "the scratch folder", project_root: "the project"}
    if conda:
        taken[conda.path] = "the conda environment"
    if place in taken:
        raise HpcSubmitError(
            f"--workdir {request.workdir} and {taken[place]} share one place in the container",
            f"leave it out to start there, or {other}" if place == project_root else other,
        )
    return str(place)


def engine_names(profile: Profile) -> tuple[str, ...]:
    """Return what the engine of a job may be called: the profile's, and if it is one of ENGINES the other."""
    named = profile.container_engine
    return (named, *(name for name in ENGINES if name != named)) if named in ENGINES else (named,)


def bindable(path: Path, what: str) -> Path:
    """Return a path, once it is sure that the engine can mount it; HpcSubmitError otherwise.

    `--bind SRC:DST` splits at colons and commas and cuts blanks at the ends (Apptainer 1.4.5).
    """
    text = str(script_path(path, what))
    if ":" in text or "," in text or text != text.strip():
        raise HpcSubmitError(
            f"the path of {what} cannot be mounted in a container: {text!r}",
            "rename the folder: no colons, no commas, no blanks at its ends",
        )
    return path


def check_without_image(request: Request) -> None:
    """Raise HpcSubmitError for an option of containers; for requests without an image."""
    given = {
        "--workdir": request.workdir,
        "--bind": request.binds,
        "--pass-env": request.pass_env,
        "--container-exec": request.container_exec,
        "--container-on-node": request.container_on_node is not None,
    }
    for option, value in given.items():
        if value:
            raise HpcSubmitError(
                f"{option} belongs to containers, and no image is given", "add -s IMAGE.sif, or leave it out"
            )
