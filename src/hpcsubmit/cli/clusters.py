"""`hpcsubmit clusters` and `hpcsubmit clusters show NAME`."""

import os
from typing import Any

import click

from hpcsubmit.cli.table import align
from hpcsubmit.clusters import Clusters, choose
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.folders import user_profiles
from hpcsubmit.host import Host
from hpcsubmit.place import surroundings
from hpcsubmit.profile import FIELDS
from hpcsubmit.project import find_project


def _clusters(words: tuple[str, ...]) -> None:
    host = Host(environ=dict(os.environ))
    try:
        project = find_project(host.folder())
    except HpcSubmitError as error:
        if not error.message.startswith("no project here"):
            raise
        project = None
    clusters = Clusters(user_folder=user_profiles(host), project=project)
    if not words:
        click.echo(_list(clusters, host))
    elif words[0] == "show" and len(words) == 2:
        click.echo(_show(clusters, words[1]))
    else:
        raise UsageError(
            f"hpcsubmit clusters does not know '{' '.join(words)}'",
            "write hpcsubmit clusters, or clusters show NAME",
        )


def _list(clusters: Clusters, host: Host) -> str:
    choice = choose(clusters, surroundings(host), None)
    rows = []
    for name in clusters.names():
        mark = f"<- here, by {choice.reason}" if name == choice.name else ""
        rows.append((name, clusters.get(name).profile.description, mark))
    return "\n".join(align(rows))


def _show(clusters: Clusters, name: str) -> str:
    cluster = clusters.get(name)
    rows = [("FIELD", "VALUE", "FROM")]
    rows += [(f, _text(getattr(cluster.profile, f)), cluster.origins[f]) for f in FIELDS]
    return "\n".join(align(rows))


def _text(value: Any) -> str:
    """A value as a profile file would hold it; `-` for none."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ", ".join(f"{v[0]}={v[1]}" if isinstance(v, tuple) else str(v) for v in value) or "-"
    return "-" if value is None or value == "" else str(value)


command = click.Command(
    "clusters",
    callback=_clusters,
    params=[click.Argument(["words"], nargs=-1, metavar="[show NAME]")],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="List the cluster profiles, and say which one is meant here; show NAME prints one, with the file "
    "that each value comes from.",
)
