"""What the user asked for on the command line; knows no cluster."""

import re
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from hpcsubmit.errors import UsageError
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory, Walltime


class Launcher(StrEnum):
    """What starts the processes of a distributed job."""

    LIGHTNING = "lightning"
    TORCHRUN = "torchrun"


LAUNCHER_NAMES = {
    "lightning": Launcher.LIGHTNING,
    "torchrun": Launcher.TORCHRUN,
    "script": Launcher.TORCHRUN,
}
"""The values of `--which-distributed`; `script` is the older name of torchrun."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One submission as asked for; None stands for "as the profile says".

    gpus, cpus: per node. memory_per_gpu and memory_per_node exclude each other.
    data: the words of --data, relative to the project's scratch folder. compress: auto, none, gzip or zstd.
    collect: paths below SLURM_TMPDIR. collect_grace: seconds before the time limit.
    no_env: whether the program runs with the node's own Python. env_on_node: whether every node unpacks the
    environment.
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
    data: tuple[str, ...] = ()
    data_transfer: str | None = None
    compress: str = "auto"
    collect: tuple[str, ...] = ()
    collect_grace: int = 120
    no_env: bool = False
    env_on_node: bool = False
    sbatch_args: tuple[Directive, ...] = ()


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
