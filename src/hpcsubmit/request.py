"""What the user asked for on the command line; knows no cluster."""

import os
import re
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcsubmit.errors import UsageError
from hpcsubmit.experiment import Command
from hpcsubmit.frozen import frozen
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory, Walltime
from hpcsubmit.wandb_sweep import WandbSweepId

if TYPE_CHECKING:
    from hpcsubmit.sweep_file.reading import SweepFile


class Launcher(StrEnum):
    """What starts the processes of a distributed job."""

    LIGHTNING = "lightning"
    TORCHRUN = "torchrun"
    ACCELERATE = "accelerate"
    SRUN = "srun"
    PMI = "pmi"
    RANKS = "ranks"


LAUNCHER_NAMES = {launcher.value: launcher for launcher in Launcher} | {"script": Launcher.TORCHRUN}
"""The values of `--which-distributed`; `script` is the older name of torchrun."""


class Bind(NamedTuple):
    """A folder or file that a container also sees: source (absolute), and target in the container."""

    source: Path
    target: str
    read_only: bool = False


@frozen
class Request:
    """One submission as asked for; None stands for "as the profile says".

    gpus, cpus: per node. memory_per_gpu and memory_per_node exclude each other.
    command: the one of hpcsubmit.yaml, None for the experiment file's.
    data: the words of --data, relative to the project's scratch folder. compress: auto, none,
    headers, gzip or zstd.
    collect: paths below SLURM_TMPDIR. collect_grace: seconds before the time limit.
    no_env: whether the program runs with the node's own Python. env_on_node: whether every node unpacks the
    environment. conda_env: a conda environment's name or path.
    container: an image, as given. workdir: a mount point in it. binds, pass_env: what it sees besides.
    container_exec: whether the command is started as it is, and not handed to the image's runscript.
    container_on_node: whether the image is copied to every node's own disk.
    sweep: a wandb sweep whose runs are the tasks of an array. num_sweeps: how many, AUTO for what is left of
    its grid, None for a question. trial_gpus, trial_nodes: of each run of a sweep, gpus per node.
    trials_per_task: runs one after another in a task. seeds: the same experiment once for each of them.
    sweep_file: the file of a sweep that is to be run. offline: without a server.
    for_sweeps: the fields that hpcsubmit.yaml alone has set, and that are put aside where there is no sweep.
    sweep_beside: the sweep of hpcsubmit.yaml where another was typed: its place is that of an id alone.
    """

    gpus: int = 1
    cpus: int | None = None
    num_nodes: int = 1
    time: Walltime
    memory_per_gpu: Memory | None = None
    memory_per_node: Memory | None = None
    gpu_type: str | None = None
    account: str | None = None
    partition: str | None = None
    exp_name: str = ""
    launcher: Launcher | None = None
    configs: Path | None = None
    command: Command | None = None
    data: tuple[str, ...] = ()
    data_transfer: str | None = None
    compress: str = "auto"
    collect: tuple[str, ...] = ()
    collect_grace: int = 120
    no_env: bool = False
    env_on_node: bool = False
    conda_env: str | None = None
    container: Path | None = None
    container_exec: bool = False
    container_on_node: bool | None = None
    workdir: str = ""
    binds: tuple[Bind, ...] = ()
    pass_env: tuple[str, ...] = ()
    sbatch_args: tuple[Directive, ...] = ()
    sweep: WandbSweepId | None = None
    num_sweeps: int | None = None
    trial_gpus: int = 1
    trial_nodes: int = 1
    trials_per_task: int | None = None
    seeds: tuple[int, ...] = ()
    sweep_file: "SweepFile | None" = None
    offline: bool = False
    for_sweeps: frozenset[str] = frozenset()
    sweep_beside: WandbSweepId | None = None


AUTO = 0
"""The number of sweeps that stands for what is left of the grid."""

OWN_OPTIONS = {
    "nodes": "--num-nodes",
    "cpus-per-task": "--cpus",
    "time": "--time",
    "account": "--account",
    "partition": "--partition",
    "mem": "--mem",
    "mem-per-gpu": "--mem-per-gpu",
    "gres": "--gpus and --gpu-type",
    "gpus": "--gpus",
    "job-name": "--exp-name",
    "output": "--exp-name",
    "array": "--repeat, or a sweep",
}
"""sbatch's options that hpcsubmit sets itself, with the option of hpcsubmit's that governs each."""

_SET_BY_HPCSUBMIT = (
    r"nodes|n?tasks.*|cpus-per-task|gpus.*|gres|mem.*|time|output|error|array|job-name|account|partition"
    r"|comment|export|wrap|chdir|workdir|dependency|signal|open-mode"
    r"|parsable|quiet|wait|test-only"  # which change what sbatch answers
)
_ABBREVIATED = (
    "nodes", "ntasks", "cpus-per-task", "gpus", "gres", "time", "output", "error", "array", "job-name",
    "account", "partition", "comment", "export", "wrap", "chdir", "dependency", "signal", "open-mode",
)  # fmt: skip
"""sbatch takes abbreviations: `--tim=9` is `--time`. None of its options is the beginning of one of these."""
_SHORT = {
    "N": "nodes", "n": "ntasks", "c": "cpus-per-task", "t": "time", "A": "account", "p": "partition",
    "G": "gpus", "J": "job-name", "o": "output", "e": "error", "a": "array", "D": "chdir", "d": "dependency",
}  # fmt: skip

_COVERED = {"/data": "the data of --data", "/scratch_storage": "the folder that stays after the job"}
"""What a container finds at places of hpcsubmit's own that a --workdir would hide."""


def parse_bind(text: str) -> Bind:
    """Read one `--bind` value, SRC[:DST[:ro]]; SRC is relative to the current folder.

    Raises UsageError for another form.
    """
    source, *rest = text.split(":")
    path = Path(os.path.expanduser(source)).absolute()  # noqa: PTH111 - Path.expanduser raises
    target, *mode = rest or [str(path)]
    if not source or "," in text or mode not in ([], ["ro"], ["rw"]) or target[:1] != "/":
        raise UsageError(
            f"--bind cannot be {text!r}",
            "write SRC, SRC:DST or SRC:DST:ro; DST begins with /, and neither holds a comma",
        )
    if mount_point(target) == "/":
        raise UsageError(
            f"--bind cannot be {text!r}: it would cover the whole image",
            f"name a folder below /: --bind {source}:/outside",
        )
    return Bind(source=path, target=target, read_only=mode == ["ro"])


def mount_point(target: str) -> str:
    """Return the plain path of a place in a container, as `/data` is for `//data/.`."""
    return "/" + os.path.normpath(target).lstrip("/")


def distinct_binds(binds: Sequence[Bind], workdir: str) -> tuple[Bind, ...]:
    """Return the binds, each once and with a plain target.

    workdir: the value of --workdir. Raises UsageError where two of all these are at one place, of which the
    engine would take the first alone, and for a workdir at a place that has another use.
    """
    distinct = tuple(dict.fromkeys(bind._replace(target=mount_point(bind.target)) for bind in binds))
    mounts = [
        (bind.target, f"--bind {bind.source}:{bind.target}{':ro' * bind.read_only}") for bind in distinct
    ]
    if workdir:
        mounts.append((mount_point(workdir), f"--workdir {workdir}"))
        if covered := _COVERED.get(mount_point(workdir)):
            raise UsageError(
                f"--workdir {workdir} would cover {covered}", "write another folder, such as /workdir"
            )
    found: dict[str, str] = {}
    for place, option in mounts:
        first = found.setdefault(place, option)
        if first != option:
            raise UsageError(
                f"{first} and {option} share one place in the container", "give each a place of its own there"
            )
    return distinct


def parse_image(text: str) -> Path:
    """Read --singularity-container; raises UsageError where it is empty."""
    if not text.strip():
        raise UsageError("--singularity-container has no value", "give a .sif file or a sandbox folder")
    return Path(text)


def parse_mount_point(text: str) -> str:
    """Read --workdir, a folder inside the container; raises UsageError."""
    if not re.fullmatch(r"/[^:,\n\\]*[^:,\n\\/ ]", text) or mount_point(text) == "/":
        raise UsageError(
            f"--workdir cannot be {text!r}", "write a folder inside the container, such as /workdir"
        )
    return text


def parse_variable(text: str) -> str:
    """Read one `--pass-env` value, the name of a variable; raises UsageError."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text, re.ASCII):
        hint = "write the name of a variable; its value is read where the job runs"
        raise UsageError(f"--pass-env cannot be {text!r}", hint)
    return text


def parse_sbatch_arg(text: str) -> Directive:
    """Read one `--sbatch-arg` value, `--name=value` or `--name`.

    Raises UsageError for another form, and for an option that hpcsubmit sets itself, which two lines of
    one script would then contradict.
    """
    match = re.fullmatch(r"--([a-z][a-z0-9-]*)(?:=(.*))?", text, re.ASCII)
    if match is None:
        short = re.match(r"-([A-Za-z])", text)
        if short and short[1] in _SHORT:
            raise _set_by_hpcsubmit(_SHORT[short[1]], text)
        raise UsageError(
            f"--sbatch-arg takes one long option of sbatch, not '{text}'",
            "write --sbatch-arg=--name=value or --sbatch-arg=--name",
        )
    name, value = match[1], match[2]
    if re.fullmatch(_SET_BY_HPCSUBMIT, name):
        raise _set_by_hpcsubmit(name, text)
    if meant := next((whole for whole in _ABBREVIATED if whole.startswith(name)), None):
        raise _set_by_hpcsubmit(meant, text)
    if value is not None and any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in value):
        raise UsageError(f"--sbatch-arg {text!r} holds more than text", "write UTF-8 text on one line")
    return Directive(name=name, value=value)


def _set_by_hpcsubmit(name: str, text: str) -> UsageError:
    own = OWN_OPTIONS.get(name)
    hint = f"use hpcsubmit's own {own}" if own else "leave it out: hpcsubmit decides it from the kind of job"
    return UsageError(f"--sbatch-arg {text} is set by hpcsubmit itself", hint)
