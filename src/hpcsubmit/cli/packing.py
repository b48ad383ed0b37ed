"""How far packing is, on a terminal; in one line at its end elsewhere."""

import shutil
import sys
import time

import click

from hpcsubmit.host import Host
from hpcsubmit.node_disks import StageIn
from hpcsubmit.profile import Profile
from hpcsubmit.staging.pack import pack
from hpcsubmit.staging.progress import progress_text
from hpcsubmit.staging.sample import Transfer
from hpcsubmit.staging.snapshot import Snapshot
from hpcsubmit.staging.suffixes import PLAIN
from hpcsubmit.values import bytes_text

_BETWEEN = 0.1
"""Seconds between two states of the bar."""
_MUCH, _MUCH_OF_ALL = 1_000_000, 10
"""Bytes of headers, and percent of archives, that are worth a word."""


class Bar:
    """A progress bar on stderr that one line takes the place of at the end."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._shown = 0.0
        self._live = bool(sys.stderr and sys.stderr.isatty())
        self.done = 0

    def advanced(self, done: int, total: int) -> None:
        """Draw the bar anew, ten times a second at most."""
        self.done = done
        now = time.monotonic()
        if self._live and (now - self._shown >= _BETWEEN or done >= total):
            self._shown = now
            line = progress_text(done, total, now - self._begun)
            width = shutil.get_terminal_size().columns - 1
            click.echo(f"\r\033[K{line[:width]}", nl=False, err=True)

    def waits(self) -> None:
        """Say that another submission packs here."""
        click.echo("another hpcsubmit packs data of this project: waiting for it", err=True)

    def wipe(self) -> None:
        """Take the bar away."""
        if self._live and self._shown:
            click.echo("\r\033[K", nl=False, err=True)

    def tell(self) -> None:
        """Say what was done, in one line."""
        took = max(time.monotonic() - self._begun, 0.001)
        if self.done:
            rate = bytes_text(round(self.done / took))
            click.echo(f"packed {bytes_text(self.done)} in {took:.1f} s, {rate}/s", err=True)


def pack_in_view(snapshot: Snapshot, way: StageIn, profile: Profile, host: Host) -> None:
    """Pack what is missing of a snapshot, and show how far it is. Raises HpcSubmitError as pack does."""
    transfer = Transfer(profile.shared_read_rate, broadcast=way.transfer == "broadcast")
    bar = Bar()
    try:
        pack(snapshot, host=host, transfer=transfer, progress=bar)
    finally:
        bar.wipe()
    bar.tell()


def data_text(snapshot: Snapshot) -> str:
    """Say what data there are, and what is left to do for them."""
    files = f"{snapshot.files:,} file{'' if snapshot.files == 1 else 's'}"
    what = f"{', '.join(snapshot.paths)}: {files}, {bytes_text(snapshot.bytes)}"
    left = snapshot.to_pack
    if snapshot.fresh:
        return f"{what}; packed already"
    return f"{what}; to be packed: {left.archives} of {left.of} archives, {bytes_text(left.bytes)}"


def transfer_text(way: StageIn, snapshot: Snapshot) -> str:
    """Say how data come to the nodes, and what would make a broadcast of plain archives smaller."""
    if way.transfer != "broadcast":
        return "every node reads the archives"
    headers = sum(snapshot.sizes) - snapshot.bytes
    less = 100 * headers // sum(snapshot.sizes)
    possible = snapshot.mode.startswith("auto") and "gzip" in snapshot.compressors
    pays = snapshot.suffix == PLAIN and possible and headers >= _MUCH and less >= _MUCH_OF_ALL
    better = f" (--data-compress headers sends up to {less} % less)"
    return "one node reads, sbcast sends to all" + better * pays
