"""`hpcsubmit [OPTIONS]`, which is also `hpcsubmit submit [OPTIONS]`."""

import os
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import click

from hpcsubmit import __version__
from hpcsubmit.cache import Cache
from hpcsubmit.cli.main import COMMANDS, INTERRUPTED
from hpcsubmit.cli.options import GreedyCommand, Option, Value, parse_launcher, parse_name
from hpcsubmit.cli.preview import preview
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.folders import configuration_folder, user_cache
from hpcsubmit.host import Host
from hpcsubmit.prepare import Prepared, prepare
from hpcsubmit.request import Request, parse_sbatch_arg
from hpcsubmit.scheduler import Scheduler, require_sbatch, scheduler_for
from hpcsubmit.slurm import JobId
from hpcsubmit.submit import Submission, submit
from hpcsubmit.values import (
    DRY_RUN,
    Memory,
    Walltime,
    experiment_name,
    new_run_id,
    path_on_node,
    positive_int,
)


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
        help="What starts the processes of a distributed job: lightning, torchrun, or script (= torchrun).",
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
        ["-d", "--data"], multiple=True,
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
        ["--collect"], multiple=True, type=Value("path", path_on_node),
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
    # Read, so that their mistakes are found, and refused until hpcsubmit can do what they ask for.
    Option(["-s", "--singularity-container"], also=["--container"], hidden=True),
    Option(["--workdir"], also=["--work-dir"], hidden=True),
    Option(
        ["-w", "--wandb-sweepid"], also=["--wandb_sweepid"], type=Value("sweep", _sweep),
        hidden=True,
    ),
    Option(["--num-sweeps"], also=["--num_sweeps"], type=Value("integer", _num_sweeps), hidden=True),
]  # fmt: skip

NOT_YET = {
    "singularity_container": ("--singularity-container", "use a requirements.txt instead of a container"),
    "workdir": ("--workdir", "leave it out: it belongs to containers"),
    "wandb_sweepid": ("--wandb-sweepid", "write the command that trains once into the experiment file"),
    "num_sweeps": ("--num-sweeps", "leave it out: it belongs to sweeps"),
}
"""Options that are read and not carried out yet, with what to do instead."""


def _submit(**options: Any) -> int:
    request, flags = _request(options), {n: options[n] for n in ("yes", "dry_run", "parsable", "follow")}
    host = Host(environ=dict(os.environ))
    cache = user_cache(host)
    run_id = DRY_RUN if flags["dry_run"] else new_run_id(datetime.now(UTC), os.urandom(4))
    prepared = prepare(
        request,
        asked=options["cluster"],
        run_id=run_id,
        command_line=_command_line(),
        folder=host.folder(),
        host=host,
        cache=cache,
    )
    scheduler = _scheduler(prepared, host)
    if not flags["dry_run"]:
        require_sbatch(scheduler, prepared.cluster.profile.name)
    script = _render(prepared, host, cache)
    click.echo(preview(prepared, dry_run=flags["dry_run"]), err=True)
    if flags["dry_run"]:
        click.echo(script, nl=False)
        return 0
    if not flags["yes"] and sys.stdin and sys.stdin.isatty() and not _agreed():
        raise HpcSubmitError("not submitted, as you answered", "add --yes to submit without the question")
    done = submit(
        prepared.plan,
        script,
        project=prepared.project,
        scheduler=scheduler,
        host=host,
        pack=_packing(prepared, host),
    )
    cache.keep()
    if done.remarks:
        click.echo(done.remarks, err=True)
    if flags["follow"]:
        click.echo(done.line, err=True)
        return _follow(done, prepared, scheduler)
    click.echo(str(done.job) if flags["parsable"] else done.line)
    return 0


def _request(options: dict[str, Any]) -> Request:
    if options["mem"] and options["mem_per_gpu"]:
        raise UsageError("--mem and --mem-per-gpu exclude each other", "give one of them")
    if options["parsable"] and options["follow"]:
        raise UsageError(
            "--parsable and --follow exclude each other", "with --follow, stdout is the job's output"
        )
    if options["no_env"] and options["env_on_node"]:
        raise UsageError("--no-env and --env-on-node exclude each other", "give one of them")
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
        sbatch_args=options["sbatch_arg"],
    )


def _command_line() -> str:
    """What the user typed, as text for records and comments; bytes that are not UTF-8 become escapes."""
    typed = shlex.join(["hpcsubmit", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode()


def _agreed() -> bool:
    """Ask on the terminal; only y and yes agree, and the end of the input does not."""
    click.echo("Submit? [y/N] ", nl=False, err=True)
    answer = sys.stdin.buffer.readline()
    if not answer.endswith(b"\n"):
        click.echo(err=True)
    return answer.strip().lower() in (b"y", b"yes")


def _scheduler(prepared: Prepared, host: Host) -> Scheduler:
    kind = prepared.cluster.profile.scheduler
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(prepared.plan.visible_gpus)} if kind == "local" else {}
    return scheduler_for(kind, host, gpus)


def _render(prepared: Prepared, host: Host, cache: Cache) -> str:
    from hpcsubmit.render import render  # late: 30 ms that an error need not wait for

    return render(
        prepared.plan,
        user_templates=configuration_folder(host) / "templates",
        cache=cache,
    )


def _packing(prepared: Prepared, host: Host) -> Callable[[], None] | None:
    """What packs the data, None without any; also for packed ones, which may be cleaned away by then."""
    if prepared.snapshot is None:
        return None
    from hpcsubmit.cli.packing import pack_in_view  # late: for data alone

    return partial(pack_in_view, prepared.snapshot, prepared.cluster.profile.shared_read_rate, host)


def _follow(done: Submission, prepared: Prepared, scheduler: Scheduler) -> int:
    from hpcsubmit.follow import follow  # late: for --follow alone

    # None where the caller closed it.
    output = sys.stdout.buffer if sys.stdout else Path(os.devnull).open("wb")  # noqa: SIM115 - until the end
    try:
        followed = follow(
            done.job,
            log=done.log,
            run_dir=prepared.plan.run_dir,
            scheduler=scheduler,
            output=output,
        )
    except KeyboardInterrupt:
        click.echo(f"\njob {done.job} goes on; hpcsubmit cancel {done.job} ends it", err=True)
        return INTERRUPTED
    if followed.code != 0:
        if done.build:
            _tell_failed_build(done.build, prepared)
        state = followed.status.state.value if followed.status else "ended"
        raise HpcSubmitError(
            f"job {done.job} is {state}, exit code {followed.code}",
            f"its whole output is in {done.log}",
            exit_code=followed.code,
        )
    return 0


def _tell_failed_build(build: JobId, prepared: Prepared) -> None:
    """Raise HpcSubmitError where a job never ran since its environment could not be built."""
    from hpcsubmit.environments.job import failure  # late: for failed builds alone

    virtualenv = prepared.plan.virtualenv
    failed = failure(virtualenv.path, build, Host(environ=dict(os.environ))) if virtualenv else None
    if failed:
        click.echo("".join(f"  {line}\n" for line in failed.lines), nl=False, err=True)
        raise HpcSubmitError(f"the job did not run: {failed.message}", failed.hint)


def _version(ctx: click.Context, param: click.Parameter, asked: Any) -> None:  # noqa: ARG001 - click's
    if asked:
        click.echo(f"hpcsubmit {__version__}")
        ctx.exit()


class SubmitCommand(GreedyCommand):
    """The command that submits; its help also lists the other commands."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands after the options."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in COMMANDS.items()])


command = SubmitCommand(
    "submit",
    callback=_submit,
    params=[
        *OPTIONS,
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, help="Print the version.",
            callback=_version,
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Submit the project of the current folder as a Slurm job: the command in "
    "experiment_configurations.txt, on as many GPUs and nodes as you ask for.",
)  # fmt: skip
