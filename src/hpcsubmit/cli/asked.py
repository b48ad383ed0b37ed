"""What a submission can be asked for: its options, and the request that they make."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from hpcsubmit.cli.options import Option, Value, parse_launcher, parse_name
from hpcsubmit.errors import UsageError
from hpcsubmit.request import (
    AUTO,
    Request,
    distinct_binds,
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


def _num_sweeps(text: str) -> int:
    return AUTO if text == "auto" else positive_int(text, "--num-sweeps")


def _seeds(text: str) -> tuple[int, ...]:
    seeds = text.replace(",", " ").split()
    if not seeds or not all(seed.isdecimal() and seed.isascii() and len(seed) < 20 for seed in seeds):
        raise UsageError(f"--seeds cannot be {text!r}", "write whole numbers with commas: --seeds 1,2,5")
    if len({int(seed) for seed in seeds}) < len(seeds):
        raise UsageError(f"--seeds {text} names a seed twice", "name each seed once: the runs would be alike")
    return tuple(map(int, seeds))


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
        ["-C", "--configs"], type=Value("path", Path), shown_default="experiment_configurations.txt",
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
        ["--data-compress"], type=click.Choice(["auto", "none", "headers", "gzip", "zstd"]),
        default="auto", shown_default="auto",
        help="How data are packed; auto looks at a few megabytes of them, and at how they are sent.",
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
    Option(
        ["-w", "--wandb-sweepid"], also=["--wandb_sweepid"], type=Value("ID", _sweep),
        help="A wandb sweep, ID or ENTITY/PROJECT/ID: an array of jobs, one for each of its runs.",
    ),
    Option(
        ["--num-sweeps"], also=["--num_sweeps"], type=Value("integer|auto", _num_sweeps),
        shown_default="asked",
        help="How many runs of the sweep; auto is what is left of its grid.",
    ),
    Option(
        ["--trial-gpus"], type=_count("--trial-gpus"), default=1, shown_default="1",
        help="GPUs per node of each run of a sweep.",
    ),
    Option(
        ["--trial-nodes"], type=_count("--trial-nodes"), default=1, shown_default="1",
        help="Nodes of each run of a sweep.",
    ),
    Option(
        ["--trials-per-task"], type=_count("--trials-per-task"),
        shown_default="1, or as many as the cluster's limit of jobs needs",
        help="Runs of a sweep, one after another, in each task of the array; --time is for all of them.",
    ),
    Option(
        ["--repeat"], type=_count("--repeat"),
        help="Run the same experiment so often, as one array with SEED 1, 2, 3, ...; {seed} in the command "
        "stands for it.",
    ),
    Option(["--seeds"], type=Value("1,2,5", _seeds), help="Run the same experiment once with each SEED."),
]  # fmt: skip


COMMAND_LINE_ONLY = ("yes", "dry_run", "parsable", "follow")
"""Options that are of one call, and so stand in no file."""


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
    if options["repeat"] and options["seeds"]:
        raise UsageError("--repeat and --seeds exclude each other", "give one of them")
    if options["wandb_sweepid"] and (options["repeat"] or options["seeds"]):
        raise UsageError(
            "a wandb sweep cannot be repeated: its server deals out the parameters",
            "add a parameter to its file: seed: {values: [1, 2, 3]}",
        )
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
        command=options.get("command"),
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
        binds=distinct_binds(options["bind"], options["workdir"] or ""),
        pass_env=options["pass_env"],
        sbatch_args=options["sbatch_arg"],
        sweep=options["wandb_sweepid"],
        num_sweeps=options["num_sweeps"],
        trial_gpus=options["trial_gpus"],
        trial_nodes=options["trial_nodes"],
        trials_per_task=options["trials_per_task"],
        seeds=options["seeds"] or tuple(range(1, (options["repeat"] or 0) + 1)),
        for_sweeps=options.get("for_sweeps", frozenset()),
        sweep_beside=options.get("sweep_beside"),
    )
