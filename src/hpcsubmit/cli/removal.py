"""What `hpcsubmit clean` lists before it removes anything, and says afterwards."""

from collections.abc import Collection, Iterable, Sequence
from typing import NamedTuple

import click

from hpcsubmit.cli.question import require_agreement
from hpcsubmit.cli.table import align
from hpcsubmit.in_use import InUse
from hpcsubmit.values import bytes_text

_RUNS_SHOWN = 3


class Item(NamedTuple):
    """One line of the list. size: bytes that its removal frees. why: why nothing needs it."""

    name: str
    size: int
    why: str


def tell_doubtful(uses: Iterable[InUse]) -> None:
    """Say which of these runs keep what they need because nobody knows how they ended."""
    doubtful = [use.run_id for use in uses if not use.certain]
    if doubtful:
        more = len(doubtful) - _RUNS_SHOWN
        runs = ", ".join(doubtful[:_RUNS_SHOWN]) + (f" and {more} more" if more > 0 else "")
        note = "note: nobody knows whether these runs have ended, so what they need stays"
        click.echo(f"{note}: {runs}", err=True)


def agree_to_remove(items: Sequence[Item], *, dry_run: bool, yes: bool) -> bool:
    """List what would go, and return whether to remove it.

    Where there is nothing, and in a dry run, there is nothing to ask. Raises HpcSubmitError where the user
    does not agree.
    """
    if not items:
        click.echo("nothing to remove")
        return False
    total = Item(name="together", size=sum(item.size for item in items), why="")
    click.echo("\n".join(align([(bytes_text(i.size), i.name, i.why) for i in (*items, total)])))
    if not dry_run:
        require_agreement("Remove?", yes=yes)
    return not dry_run


def tell_removed(items: Collection[Item], gone: Collection[Item]) -> None:
    """Say what is gone, and what a job has come to need meanwhile."""
    for item in items:
        if item not in gone:
            click.echo(f"kept: {item.name}: a job has come to need it")
    click.echo(f"removed {len(gone)}, {bytes_text(sum(item.size for item in gone))} freed")
