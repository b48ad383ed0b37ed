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
from hpcsubmit.cli.asked import OPTIONS, request_of
from hpcsubmit.cli.main import COMMANDS, INTERRUPTED
from hpcsubmit.cli.options import GreedyCommand
from hpcsubmit.cli.preview import preview
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import configuration_folder, user_cache
from hpcsubmit.host import Host
from hpcsubmit.prepare import Prepared, prepare
from hpcsubmit.scheduler import Scheduler, require_sbatch, scheduler_for
from hpcsubmit.slurm import JobId
from hpcsubmit.submit import Submission, submit
from hpcsubmit.values import DRY_RUN, new_run_id


def _submit(**options: Any) -> int:
    request, flags = request_of(options), {n: options[n] for n in ("yes", "dry_run", "parsable", "follow")}
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
    if not flags["yes"] and sys.stdin and sys.stdin.isatty():
        _ask()
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


def _command_line() -> str:
    """What the user typed, as text for records and comments; bytes that are not UTF-8 become escapes."""
    typed = shlex.join(["hpcsubmit", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode()


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


def _ask() -> None:
    from hpcsubmit.cli.question import agreed  # late: for people alone

    if not agreed("Submit?"):
        raise HpcSubmitError("not submitted, as you answered", "add --yes to submit without the question")


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


def _help(ctx: click.Context, param: click.Parameter, asked: Any) -> None:  # noqa: ARG001 - click's
    if asked:
        click.echo(ctx.get_help())
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
        click.Option(  # click's own looks for translations of its text: 0.7 ms at every start
            ["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=_help,
            help="Show this message and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Submit the project of the current folder as a Slurm job: the command in "
    "experiment_configurations.txt, on as many GPUs and nodes as you ask for.",
)  # fmt: skip
