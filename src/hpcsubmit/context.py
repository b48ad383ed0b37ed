"""The facts that a plan is made from, beside the request and the profile."""

from pathlib import Path

from hpcsubmit.conda import CondaEnv
from hpcsubmit.container import Image
from hpcsubmit.experiment import Command
from hpcsubmit.frozen import frozen
from hpcsubmit.node_disks import PackedData
from hpcsubmit.trials import Wanted
from hpcsubmit.virtualenv import Virtualenv


@frozen
class Context:
    """The facts that a plan needs and cannot know: where things are, and what makes this run this run.

    project_root, scratch_dir: absolute. scratch_dir is ${SCRATCH}/${project_name}.
    run_id, version, command_line: as the script and the record show them.
    wandb_key_file: the file that the job reads the key from; None where it needs none.
    wandb_without_key: whether the project uses wandb and no key was found.
    virtualenv: None with --no-env, in a container, and where conda has a value.
    image: the container's, None without one. conda: the environment of --conda-env.
    visible_gpus: the GPUs of this machine; asked for on the embedded cluster only.
    data: what --data names, looked at; None without it.
    trials: the trials of a sweep, or the repeats; None for a single job.
    """

    project_root: Path
    scratch_dir: Path
    run_id: str
    version: str
    command_line: str
    command: Command
    virtualenv: Virtualenv | None
    wandb_key_file: Path | None = None
    wandb_without_key: bool = False
    visible_gpus: tuple[str, ...] = ()
    data: PackedData | None = None
    image: Image | None = None
    conda: CondaEnv | None = None
    trials: Wanted | None = None
