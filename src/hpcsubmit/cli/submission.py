"""The way of every submission on the command line: made ready, shown, agreed to, carried out."""

import os
import shlex
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import click

from hpcsubmit.cache import Cache
from hpcsubmit.cli.preview import preview
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import configuration_folder, user_cache
from hpcsubmit.host import Host
from hpcsubmit.place import Place, look_around
from hpcsubmit.prepare import Prepared, prepare
from hpcsubmit.request import Request
from hpcsubmit.scheduler import Scheduler, require_sbatch, scheduler_for
from hpcsubmit.submit import Submission, submit
from hpcsubmit.values import DRY_RUN, new_run_id


class Desk(NamedTuple):
    """Where a command is typed: this machine, the project and cluster of its folder, and how to go on.

    yes, dry_run, parsable, follow: the options of these names.
    """

    host: Host
    cache: Cache
    place: Place
    yes: bool
    dry_run: bool
    parsable: bool
    follow: bool


class Ready(NamedTuple):
    """A submission that only waits to be carried out."""

    prepared: Prepared
    script: str
    scheduler: Scheduler


def desk_of(options: dict[str, Any]) -> Desk:
    """Look around for a command with OPTIONS; raises HpcSubmitError."""
    host = Host(environ=dict(os.environ))
    cache = user_cache(host)
    place = look_around(host.folder(), host, asked=options["cluster"], cache=cache)
    flags = {name: options[name] for name in ("yes", "dry_run", "parsable", "follow")}
    return Desk(host=host, cache=cache, place=place, **flags)


def request_at(options: dict[str, Any], desk: Desk, asked: Request) -> Request:
    """Return what is asked for with what hpcsubmit.yaml says; asked: what the options alone ask for."""
    if not desk.place.project.application.submits:
        return asked
    from hpcsubmit.cli.settled import settled_request  # late: for projects that have the file

    return settled_request(options, desk.place, click.get_current_context())


def made_ready(request: Request, desk: Desk) -> Ready:
    """Decide everything about a submission and render it; raises HpcSubmitError. Changes nothing."""
    from hpcsubmit.cli.sweep_count import ask_number

    prepared = prepare(
        request,
        desk.place,
        run_id=DRY_RUN if desk.dry_run else new_run_id(datetime.now(UTC), os.urandom(4)),
        command_line=_command_line(),
        folder=desk.host.folder(),
        host=desk.host,
        ask=ask_number,
    )
    scheduler = _scheduler(prepared, desk.host)
    if not desk.dry_run:
        require_sbatch(scheduler, prepared.cluster.profile.name)
    return Ready(prepared, _render(prepared, desk), scheduler)


def shown(ready: Sequence[Ready], desk: Desk, *, together: str = "") -> bool:
    """Show what will be submitted, and ask; return whether to go on, raise HpcSubmitError where not.

    together: a line about all of it, before the question. A dry run also prints the scripts, and goes no
    further.
    """
    for each in ready:
        click.echo(preview(each.prepared, dry_run=desk.dry_run), err=True)
        if desk.dry_run:
            click.echo(each.script, nl=False)
    if together:
        click.echo(together, err=True)
    if not (desk.dry_run or desk.yes) and sys.stdin and sys.stdin.isatty():
        _ask()
    return not desk.dry_run


def carried_out(ready: Ready, desk: Desk) -> int:
    """Submit, and print what sbatch said; with --follow, stay until the end. Return the exit code."""
    profile = ready.prepared.cluster.profile
    done = submit(
        ready.prepared.plan,
        ready.script,
        project=ready.prepared.project,
        scheduler=ready.scheduler,
        host=desk.host,
        pack=_packing(ready.prepared, desk.host),
        pause=profile.submit_pause,
    )
    desk.cache.keep()
    if done.remarks:
        click.echo(done.remarks, err=True)
    if desk.follow:
        click.echo(done.line, err=True)
        return _follow(done, ready, desk.host)
    click.echo("\n".join(map(str, done.jobs)) if desk.parsable else done.line)
    return 0


def _command_line() -> str:
    """What the user typed, as text for records and comments; bytes that are not UTF-8 become escapes."""
    typed = shlex.join(["hpcsubmit", *sys.argv[1:]])
    return typed.encode("utf-8", "backslashreplace").decode()


def _scheduler(prepared: Prepared, host: Host) -> Scheduler:
    kind = prepared.cluster.profile.scheduler
    gpus = {"CUDA_VISIBLE_DEVICES": ",".join(prepared.plan.visible_gpus)} if kind == "local" else {}
    return scheduler_for(kind, host, gpus)


def _render(prepared: Prepared, desk: Desk) -> str:
    from hpcsubmit.render import render  # late: 30 ms that an error need not wait for

    templates = configuration_folder(desk.host) / "templates"
    return render(prepared.plan, user_templates=templates, cache=desk.cache)


def _packing(prepared: Prepared, host: Host) -> Callable[[], None] | None:
    """What packs the data, None without any; also for packed ones, which may be cleaned away by then."""
    if prepared.snapshot is None or prepared.plan.data is None:
        return None
    from hpcsubmit.cli.packing import pack_in_view  # late: for data alone

    return partial(pack_in_view, prepared.snapshot, prepared.plan.data, prepared.cluster.profile, host)


def _ask() -> None:
    from hpcsubmit.cli.question import agreed  # late: for people alone

    if not agreed("Submit?"):
        raise HpcSubmitError("not submitted, as you answered", "add --yes to submit without the question")


def _follow(done: Submission, ready: Ready, host: Host) -> int:
    from hpcsubmit.cli.following import follow_job  # late: for --follow alone

    # None where the caller closed it.
    output = sys.stdout.buffer if sys.stdout else Path(os.devnull).open("wb")  # noqa: SIM115 - until the end
    return follow_job(done, ready.prepared.plan, ready.scheduler, host, output)
