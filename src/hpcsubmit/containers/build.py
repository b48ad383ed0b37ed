"""Builds an image from its definition: here, in the foreground, or in a job."""

import os
from pathlib import Path
from tempfile import TemporaryFile
from typing import NamedTuple

from hpcsubmit import __version__
from hpcsubmit.container import bindable
from hpcsubmit.containers.engine import EngineSettings
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import configuration_folder
from hpcsubmit.host import Host, make_folder, write_atomically
from hpcsubmit.profile import Profile
from hpcsubmit.render import render_script
from hpcsubmit.resources import where
from hpcsubmit.scheduler import Accepted, Scheduler
from hpcsubmit.slurm import Directive
from hpcsubmit.values import script_path

TEMPLATE = "container_build.sbatch.j2"
JOB_NAME = "container-builder"
BUILD_CPUS = 2
GIGABYTE = 1_000_000_000
ROOM, ROOM_WITH_TORCH = 3 * GIGABYTE, 15 * GIGABYTE
"""Bytes that an image may take while it is made: PyTorch with CUDA is 3 GB to fetch and 6 GB unpacked."""


class ImageBuild(NamedTuple):
    """How an image is built; `container_build.sbatch.j2` prints it as one script.

    engine: where the program is. folders: where an image may be put together, the best first; those that the
    user's and the node's own variables name come before them. room: bytes that it takes there.
    cache: where what was fetched is kept. directives: of the job.
    """

    definition: Path
    image: Path
    engine: EngineSettings
    folders: tuple[Path, ...]
    room: int
    cache: Path
    directives: tuple[Directive, ...]

    @property
    def modules(self) -> tuple[str, ...]:
        """The modules that are loaded first."""
        return self.engine.modules

    @property
    def log(self) -> Path:
        """The output of the build, beside the image."""
        return self.image.with_name(f"{self.image.name}.log")


def prepare_image(
    definition: Path,
    image: Path,
    profile: Profile,
    engine: EngineSettings,
    scratch: Path,
    *,
    account: str | None = None,
    partition: str | None = None,
) -> ImageBuild:
    """Check the two paths and decide how the image is built; changes nothing.

    account, partition: for the job; None stands for "as the profile says". Raises HpcSubmitError for a
    definition that cannot be read, and for paths that no script can hold.
    """
    script_path(definition, "the definition")
    bindable(image, "the container image")
    try:
        text = definition.read_text(errors="replace")
    except OSError as error:
        raise HpcSubmitError(
            f"{definition} cannot be read: {error.strerror}", "hpcsubmit container init writes a definition"
        ) from error
    return ImageBuild(
        definition=definition,
        image=image,
        engine=engine,
        folders=tuple(dict.fromkeys((Path(profile.node_local_base), Path("/var/tmp"), scratch))),  # noqa: S108
        room=ROOM_WITH_TORCH if "torch" in text else ROOM,
        cache=scratch / "hpcsubmit" / "container-cache",
        directives=_directives(definition, image, profile, account, partition),
    )


def image_script(build: ImageBuild, host: Host) -> str:
    """Return the script that builds, here or in a job."""
    return render_script(TEMPLATE, configuration_folder(host) / "templates", plan=build, version=__version__)


def build_here(build: ImageBuild, host: Host) -> None:
    """Build the image in the foreground, its output in view; raises HpcSubmitError where that fails."""
    make_folder(build.image.parent)
    with TemporaryFile("w+", encoding="utf-8") as script:  # no name: nothing is left where this is killed
        script.write(image_script(build, host))
        script.seek(0)
        argv = ("bash", f"/dev/fd/{script.fileno()}", str(build.log))
        code = host.run_in_view(argv, folder=build.definition.parent, holding=[script.fileno()])
    if code != 0:
        raise HpcSubmitError(
            f"the image could not be built: exit code {code}; {build.image} was not touched",
            f"mend {build.definition} as the lines above say and build again; all of them are in {build.log}",
        )


def build_in_job(build: ImageBuild, host: Host, scheduler: Scheduler) -> Accepted:
    """Submit the job that builds the image; raises HpcSubmitError where it is refused."""
    make_folder(build.image.parent)
    script = build.image.with_name(f".{build.image.name}.{os.getpid()}.sh")
    write_atomically(script, image_script(build, host), mode=0o700)
    try:
        return scheduler.submit(script)
    finally:
        script.unlink(missing_ok=True)  # sbatch keeps a copy


def _directives(
    definition: Path, image: Path, profile: Profile, account: str | None, partition: str | None
) -> tuple[Directive, ...]:
    """The options of the job that builds; singleton: one user's builds run one after the other."""
    memory = (
        [Directive(name="mem", value=str(profile.build_memory))] if profile.memory_option != "none" else []
    )
    return (
        Directive(name="job-name", value=JOB_NAME),
        Directive(name="comment", value=image.name),
        *where(account, partition, profile),
        Directive(name="time", value=str(profile.build_time)),
        Directive(name="nodes", value="1"),
        Directive(name="ntasks", value="1"),
        Directive(name="cpus-per-task", value=str(BUILD_CPUS)),
        *memory,
        Directive(name="chdir", value=str(definition.parent)),
        Directive(name="output", value=str(image.with_name(f"{image.name}.log")).replace("%", "%%")),
        Directive(name="open-mode", value="truncate"),
        Directive(name="dependency", value="singleton"),
        *profile.sbatch_args,
    )
