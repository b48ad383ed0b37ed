"""`hpcsubmit stage PATH...` and `hpcsubmit stage --list`."""

import os
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import click

from hpcsubmit.cli.asked import OPTIONS
from hpcsubmit.cli.options import GreedyCommand, Option, Value, parse_name
from hpcsubmit.cli.packing import data_text, pack_in_view
from hpcsubmit.cli.settled import settled
from hpcsubmit.cli.table import align
from hpcsubmit.errors import UsageError
from hpcsubmit.host import Host
from hpcsubmit.node_disks import stage_in
from hpcsubmit.place import look_around, scratch
from hpcsubmit.prepare import look_at_data, packed_data
from hpcsubmit.request import Request
from hpcsubmit.staging.sets import PackedSet, packed_sets
from hpcsubmit.values import Walltime, bytes_text, positive_int

_ANY = Walltime(seconds=1)  # a job's time says nothing about its data


def _stage(
    *,
    words: tuple[str, ...],
    cluster: str | None,
    listed: bool,
    dry_run: bool,
    **options: Any,
) -> None:
    host = Host(environ=dict(os.environ))
    place = look_around(host.folder(), host, asked=cluster)
    profile = place.cluster.profile
    scratch_dir = scratch(profile, host) / place.project.name
    typed = (*words, *options["data"])
    if listed and typed:
        raise UsageError("--list takes no paths", "write hpcsubmit stage --list, which lists all sets")
    if listed:
        click.echo(_list(packed_sets(scratch_dir), datetime.now(UTC)))
        return
    asked = settled(options, place, click.get_current_context())
    paths = typed or asked["data"]
    snapshot = look_at_data(paths, asked["data_compress"], scratch_dir, profile, host)
    if snapshot is None:
        raise UsageError(
            "hpcsubmit stage needs to know what to pack",
            f"write hpcsubmit stage PATH..., relative to {scratch_dir}, or data: [PATH] in hpcsubmit.yaml; "
            "hpcsubmit stage --list shows what is packed",
        )
    way = stage_in(_job(asked), profile, packed_data(snapshot))
    for warning in snapshot.warnings:
        click.echo(f"warning: {warning}", err=True)
    click.echo(data_text(snapshot))
    if not dry_run and way:
        pack_in_view(snapshot, way, profile, host)


def _job(asked: dict[str, Any]) -> Request:
    """The job that the data are for; one that is to send them has several nodes, said or not."""
    transfer = asked["data_transfer"]
    least = 2 if transfer == "broadcast" else 1
    return Request(time=_ANY, num_nodes=max(asked["num_nodes"], least), data_transfer=transfer)


def _list(sets: list[PackedSet], now: datetime) -> str:
    if not sets:
        return "nothing is packed yet"
    heading = ("DATA", "FILES", "SIZE", "PACKED", "ARCHIVES", "AGE", "STATE")
    return "\n".join(align([heading, *(_row(each, now) for each in sets)]))


def _row(each: PackedSet, now: datetime) -> tuple[str, ...]:
    known, archives, size = each.description, str(len(each.archives)), bytes_text(each.size)
    if known is None:
        return each.text, "-", "-", size, archives, "-", each.state.value
    files, content = f"{known.files:,}", bytes_text(known.bytes)
    return each.text, files, content, size, archives, _age(now - known.created), each.state.value


def _age(age: timedelta) -> str:
    minutes = max(0, int(age.total_seconds() // 60))
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 48 * 60 else f"{minutes // (24 * 60)} days"


command = GreedyCommand(
    "stage",
    callback=_stage,
    params=[
        click.Argument(["words"], nargs=-1, metavar="[PATH]..."),
        click.Option(
            ["-d", "--data"], multiple=True, metavar="PATH...",
            help="What to pack: paths relative to $SCRATCH/PROJECT. --data itself may be left out. "
            "Without any: what hpcsubmit.yaml says.",
        ),
        Option(
            ["-n", "--num-nodes"], also=["--num_nodes", "-N", "--nodes"], default=1, show_default=True,
            type=Value("integer", partial(positive_int, option="--num-nodes")),
            help="Nodes of the job to come: for many of them small files are packed in another way.",
        ),
        *(option for option in OPTIONS if option.name in ("data_transfer", "data_compress")),
        click.Option(
            ["--cluster"], type=Value("name", parse_name("--cluster")),
            help="The profile, if not of the cluster here.",
        ),
        click.Option(
            ["--list", "listed"], is_flag=True,
            help="Show what is packed, how large and old it is, and whether it is still as the data are.",
        ),
        click.Option(["--dry-run"], is_flag=True, help="Only say what there is to pack."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Pack data ahead of any job, exactly as a submission with the same options would: it then finds "
    "them packed, unless they have changed.",
)  # fmt: skip
