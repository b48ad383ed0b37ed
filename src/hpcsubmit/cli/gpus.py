"""`hpcsubmit gpus`: who uses this machine's GPUs, and with `--cluster` what is free on the nodes."""

import gc
import json
import os
import re
import sys
import time
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, NamedTuple

import click

from hpcsubmit.cli.gpu_text import cluster_json, cluster_tables, machine_json, machine_lines
from hpcsubmit.cli.options import Value
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.gpus import machine, nodes
from hpcsubmit.host import Host
from hpcsubmit.place import profile_here
from hpcsubmit.scheduler import scheduler_for

SHORTEST, SHORTEST_ON_CLUSTER, LONGEST = 0.1, 10.0, 86_400.0
"""Seconds between two looks; each look at a cluster is work for the controller that everybody waits for."""
CLEAR = "\x1b[H\x1b[2J"


class Answer(NamedTuple):
    """One look: its lines, the same as JSON, and what else there is to say."""

    lines: tuple[str, ...]
    values: dict[str, Any]
    note: str = ""


def _gpus(context: click.Context, *, cluster: bool, watch: float | None, as_json: bool) -> None:
    _refuse_words(context.args, cluster=cluster)
    if cluster and watch is not None and watch < SHORTEST_ON_CLUSTER:
        raise UsageError(
            f"--watch {watch:g} asks Slurm's controller too often",
            f"write --watch {SHORTEST_ON_CLUSTER:g} or more with --cluster",
        )
    host = Host(environ=dict(os.environ))
    look = _cluster_look(host) if cluster else lambda: _on_machine(host)
    if watch is not None:
        _watch(look, watch, as_json=as_json)
    answer = look()
    click.echo(json.dumps(answer.values, indent=2) if as_json else "\n".join(answer.lines))
    _tell(answer.note)


def _refuse_words(words: list[str], *, cluster: bool) -> None:
    if not words:
        return
    hint = "write hpcsubmit gpus, with --cluster, --watch SECONDS or --json"
    if words[0].isdecimal():
        hint = f"did you mean hpcsubmit --gpus {words[0]}? hpcsubmit gpus shows who uses which GPU"
    elif cluster:
        hint = "--cluster takes no name here: it asks the Slurm that this machine belongs to"
    raise UsageError(f"hpcsubmit gpus does not know '{' '.join(words)}'", hint)


def _on_machine(host: Host) -> Answer:
    seen = machine.look(host)
    values = {"note": seen.note or None} | machine_json(seen.gpus)
    if seen.gpus:
        return Answer(tuple(machine_lines(seen.gpus)), values, f"note: {seen.note}" if seen.note else "")
    text = f"no GPU on this machine: {seen.note}"
    more = "note: hpcsubmit gpus --cluster shows those of the cluster's nodes" if host.which("sinfo") else ""
    return Answer((text,), values, more)


def _cluster_look(host: Host) -> Callable[[], Answer]:
    profile = profile_here(host, host.folder())
    if profile.scheduler == "local":
        raise HpcSubmitError(
            f"the cluster is '{profile.name}', this machine itself: there is no Slurm to ask",
            "write hpcsubmit gpus, or log in to a cluster first",
        )
    scheduler = scheduler_for(profile.scheduler, host)

    def look() -> Answer:
        found = nodes.ask(scheduler)
        lines = tuple(cluster_tables(found)) if found else ("no node of this cluster has GPUs",)
        return Answer(lines, cluster_json(found))

    return look


def _watch(look: Callable[[], Answer], seconds: float, *, as_json: bool) -> None:
    """Look again and again until Ctrl-C; what fails after the first look is told, and tried again."""
    gc.enable()  # a short command does without it; this one may run for days
    answer, told = look(), ""
    while True:
        now = datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
        if as_json:
            click.echo(json.dumps({"time": now} | answer.values))
        else:
            title = f"hpcsubmit gpus on {os.uname().nodename}, {now}, every {seconds:g} s"
            _show((title, *answer.lines))
        if answer.note != told or sys.stdout.isatty():  # a terminal was just cleared
            _tell(answer.note)
        told = answer.note
        time.sleep(seconds)
        try:
            answer = look()
        except HpcSubmitError as error:
            answer = Answer((), {"note": error.message}, f"error: {error.message}")


def _show(lines: Iterable[str]) -> None:
    """Print one block: on a terminal alone on the screen, else with an empty line behind it."""
    text = "\n".join(lines)
    click.echo(f"{CLEAR}{text}" if sys.stdout.isatty() else f"{text}\n")


def _tell(note: str) -> None:
    if note:
        click.echo(note, err=True)


def _seconds(text: str) -> float:
    number = float(text) if re.fullmatch(r"\d{1,6}(\.\d{0,6})?|\.\d{1,6}", text, re.ASCII) else 0.0
    if not SHORTEST <= number <= LONGEST:
        raise UsageError(
            f"--watch '{text}' is not a number of seconds from {SHORTEST:g} to {LONGEST:g}",
            "write --watch 0.5, say",
        )
    return number


command = click.Command(
    "gpus",
    callback=click.pass_context(_gpus),
    params=[
        click.Option(
            ["--cluster"], is_flag=True,
            help="Show what is free on the nodes of the cluster, as one sinfo tells it.",
        ),
        click.Option(
            ["--watch"], type=Value("seconds", _seconds), help="Look again every so many seconds, 0.5 say.",
        ),
        click.Option(["--json", "as_json"], is_flag=True, help="Print JSON; with --watch one line a look."),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "allow_extra_args": True},
    help="Show who uses this machine's GPUs: one line for each process, and one for each GPU that is idle. "
    "`-` is nothing, `?` is not known: the process is another container's, or has just ended.",
)  # fmt: skip
