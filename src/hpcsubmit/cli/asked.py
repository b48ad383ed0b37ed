"""What a submission can be asked for: its options, and the request that they make."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from hpcsubmit.cli.options import Option, Value, parse_launcher, parse_name
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.request import (
    Request,
    parse_bind,
    parse_image,
    parse_mount_point,
    parse_sbatch_arg,
    parse_variable,
)
from hpcsubmit.values import Memory, Walltime, experiment_name, path_on_node, positive_int


def _count(option: str) -> Value:
    return Value("integer", partial(positive_int, option=option))


def _name(option: str) -> Value:
    return Value("name", parse_name(option))


MEMORY = Value("amount", Memory.parse)


def _sweep(text: str) -> object:
    from hpcsubmit.wandb_sweep import WandbSweepId  # late: for sweeps alone

    return WandbSweepId.parse(text)


def _num_sweeps(text: str) -> int | str:
    return text if text == "auto" else positive_int(text, "--num-sweeps")


OPTIONS = [
    Option(["-g", "--gpus"], type=_count("--gpus"), default=1, shown_default="1", help="GPUs per node."),
    Option(
        ["-n", "--num-nodes"], also=["--num_nodes", "-N", "--nodes"], type=_count("--num-nodes"), default=1,
        shown_default="1", help="Nodes.",
    ),
    Option(
        ["-c", "--cpus"], also=["--cpu"], type=_count("--cpus"),
        shown_default="2, or the profile's per GPU", help="CPU cores per node.",
    ),
    Option(
        ["-t", "--time"], type=Value("dd-HH:MM:SS", Walltime.parse), default=Walltime(seconds=3600),
        shown_default="00-01:00:00", help="How long the job may run.",
    ),
    Option(
        ["-m", "--mem-per-gpu"], also=["--mem_per_gpu"], type=MEMORY, shown_default="10G, or the profile's",
        help="Memory per GPU, such as 10G or 4000M.",
    ),
    Option(["--mem"], type=MEMORY, help="Memory per node, instead of --mem-per-gpu."),
    Option(
        ["-G", "--gpu-type"], also=["--gpu_type"], type=_name("--gpu-type"), shown_default="the profile's",
        help="The type of GPU.",
    ),
    Option(
        ["-W", "--which-distributed"], also=["--which_distributed"], type=Value("launcher", parse_launcher),
        shown_default="lightning for more than one GPU",
        help="What starts the processes of a distributed job: lightning, torchrun (= script), accelerate, "
        "srun, pmi or ranks.",
    ),
    Option(
        ["-e", "--exp-name"], also=["--exp_name"], type=Value("name", experiment_name), default="",
        help="The experiment's name: part of the names of jobs, logs and folders.",
    ),
    Option(
        ["-C", "--configs"], type=click.Path(path_type=Path), shown_default="experiment_configurations.txt",
        help="The file that holds the command to run.",
    ),
    Option(["-a", "--account"], type=_name("--account"), shown_default="the profile's", help="The account."),
    Option(
        ["-p", "--partition"], type=_name("--partition"), shown_default="the profile's",
        help="The partition.",
    ),
    Option(
        ["--cluster"], type=_name("--cluster"), shown_default="detected",
        help="The cluster's profile; local is this machine. HPCSUBMIT_CLUSTER sets it too.",
    ),
    Option(
        ["--sbatch-arg"], type=Value("--name=value", parse_sbatch_arg), multiple=True,
        help="Any further option of sbatch; may be repeated.",
    ),
    Option(["-y", "--yes"], is_flag=True, help="Do not ask before submitting."),
    Option(
        ["--dry-run"], is_flag=True,
        help="Print the script on stdout and what would be done on stderr; change nothing.",
    ),
    Option(["--parsable"], is_flag=True, help="Print the job id alone."),
    Option(
        ["--follow"], is_flag=True,
        help="Stay until the job ends, print its output, and end with its exit code.",
    ),
    Option(
        ["-d", "--data"], multiple=True, metavar="PATH...",
        help="Data to unpack on every node's own disk, below $SLURM_TMPDIR: paths relative to "
        "$SCRATCH/PROJECT, up to the next option.",
    ),
    Option(
        ["--data-transfer"], type=click.Choice(["auto", "direct", "broadcast"]),
        shown_default="the profile's",
        help="Whether every node reads the shared file system, or one reads and sends.",
    ),
    Option(
        ["--data-compress"], type=click.Choice(["auto", "none", "gzip", "zstd"]), default="auto",
        shown_default="auto", help="How data are packed; auto looks at a few megabytes of them.",
    ),
    Option(
        ["--collect"], multiple=True, metavar="PATH...", type=Value("path", path_on_node),
        help="Results to copy back from every node's $SLURM_TMPDIR, up to the next option.",
    ),
    Option(
        ["--collect-grace"], type=_count("--collect-grace"), default=120, shown_default="120",
        help="Seconds before the limit at which the program is told to end, so that --collect is in time.",
    ),
    Option(
        ["--env-on-node"], is_flag=True,
        help="Pack the environment once, and unpack it on every node's own disk.",
    ),
    Option(["--no-env"], is_flag=True, help="Run with the node's own Python, without an environment."),
    Option(
        ["--conda-env"], metavar="NAME|PATH",
        help="Run with a conda environment that is there, also inside a container.",
    ),
    Option(
        ["-s", "--singularity-container"], also=["--container"], type=Value("image", parse_image),
        help="Run inside a container: a .sif file or a sandbox folder.",
    ),
    Option(
        ["--bind"], multiple=True, type=Value("SRC[:DST[:ro]]", parse_bind),
        help="A folder or file that the container also sees; may be repeated.",
    ),
    Option(
        ["--workdir"], also=["--work-dir"], type=Value("folder", parse_mount_point),
        help="The container's working folder, on the node's own disk; without it the project's.",
    ),
    Option(
        ["--pass-env"], multiple=True, type=Value("name", parse_variable),
        help="A variable that the container also gets; may be repeated.",
    ),
    Option(
        ["--container-exec"], is_flag=True,
        help="Start the command itself, and not the image's %runscript with it.",
    ),
    Option(
        ["--container-on-node/--container-in-place"], default=None, shown_default="the profile's",
        help="Whether every node copies the image to its own disk first.",
    ),
    # Read, so that their mistakes are found, and refused until hpcsubmit can do what they ask for.
    Option(
        ["-w", "--wandb-sweepid"], also=["--wandb_sweepid"], type=Value("sweep", _sweep),
        hidden=True,
    ),
    Option(["--num-sweeps"], also=["--num_sweeps"], type=Value("integer", _num_sweeps), hidden=True),
]  # fmt: skip

NOT_YET = {
    "wandb_sweepid": ("--wandb-sweepid", "write the command that trains once into the experiment file"),
    "num_sweeps": ("--num-sweeps", "leave it out: it belongs to sweeps"),
}
"""Options that are read and not carried out yet, with what to do instead."""


def request_of(options: dict[str, Any]) -> Request:
    """Return what the values of OPTIONS ask for; raises UsageError and HpcSubmitError where they clash."""
    if options["mem"] and options["mem_per_gpu"]:
        raise UsageError("--mem and --mem-per-gpu exclude each other", "give one of them")
    if options["parsable"] and options["follow"]:
        raise UsageError(
            "--parsable and --follow exclude each other", "with --follow, stdout is the job's output"
        )
    environments = ("no_env", "env_on_node", "conda_env")
    asked = [f"--{name.replace('_', '-')}" for name in environments if options[name]]
    if len(asked) > 1:
        raise UsageError(f"{asked[0]} and {asked[1]} exclude each other", "give one of them")
    if options["env_on_node"] and options["singularity_container"]:
        raise UsageError(
            "--env-on-node and --singularity-container exclude each other",
            "a container has its own environment; --container-on-node copies it to the nodes",
        )
    for name, (option, instead) in NOT_YET.items():
        if options[name] not in (None, ()):
            raise HpcSubmitError(f"hpcsubmit cannot do {option} yet", instead)
    return Request(
        gpus=options["gpus"],
        cpus=options["cpus"],
        num_nodes=options["num_nodes"],
        time=options["time"],
        memory_per_gpu=options["mem_per_gpu"],
        memory_per_node=options["mem"],
        gpu_type=options["gpu_type"],
        account=options["account"],
        partition=options["partition"],
        exp_name=options["exp_name"],
        launcher=options["which_distributed"],
        configs=options["configs"],
        data=options["data"],
        data_transfer=options["data_transfer"],
        compress=options["data_compress"],
        collect=options["collect"],
        collect_grace=options["collect_grace"],
        no_env=options["no_env"],
        env_on_node=options["env_on_node"],
        conda_env=options["conda_env"],
        container=options["singularity_container"],
        container_exec=options["container_exec"],
        container_on_node=options["container_on_node"],
        workdir=options["workdir"] or "",
        binds=options["bind"],
        pass_env=options["pass_env"],
        sbatch_args=options["sbatch_arg"],
    )
