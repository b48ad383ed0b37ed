"""The rows of one data set: is it fresh, packing, and unpacking on a node, beside what people use."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bench import calls, inside
from bench.data_sets import NAME, DataSet, come_to_rest
from bench.measure import BENCH, Count, Row, timed
from bench.nodes import MEMORY, nodes, staging_part

LISTED = r"%p %s %T@ %C@ %m %i\n"
"""All that the question "is it still fresh?" is about, for find -printf."""
MOST_IN_MEMORY = 1 << 30
"""Bytes of a set that several nodes hold in memory."""
MOST_AGAIN = 15
"""Percent of the bytes that one changed file may cost."""

_TARFILE_CREATE = """
import sys, tarfile
with tarfile.open(sys.argv[1], "w") as archive:
    archive.add(sys.argv[2], "set")
"""
_TARFILE_EXTRACT = """
import sys, tarfile
with tarfile.open(sys.argv[1]) as archive:
    # Python before 3.11.4 and 3.12 has no filters, and does what "tar" does.
    archive.extractall(sys.argv[2], **(dict(filter="tar") if hasattr(tarfile, "tar_filter") else dict()))
"""


class Bench(NamedTuple):
    """Where everything is: a folder on a disk, the bin folder with hpcsubmit, and variables for commands."""

    folder: Path
    binaries: Path
    environ: dict[str, str]

    def inside(self, what: str, folder: Path) -> float:
        """Do something in a new Python that has hpcsubmit, and return its seconds without the imports."""
        argv = (str(self.binaries / "python"), str(BENCH / "inside.py"), what, str(folder))
        done = subprocess.run(argv, env=self.environ, check=True, capture_output=True, text=True)
        return int(done.stdout) / 1e9

    def calls_inside(self, what: str, folder: Path) -> list[str]:
        """Return the system calls of the same."""
        argv = (str(self.binaries / "python"), str(BENCH / "inside.py"), what, str(folder))
        return calls.between(calls.calls_of(argv, self.environ, folder), inside.BEGIN, inside.END)

    def project(self, name: str) -> Path:
        """Make a project of this name, and return its folder."""
        folder = self.folder / "projects" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "experiment_configurations.txt").write_text("python main.py\n")
        return folder


class Staging(NamedTuple):
    """One data set: its rows, and what it needs for them."""

    bench: Bench
    data: DataSet
    scratch: Path

    @property
    def store(self) -> Path:
        """Where hpcsubmit keeps its archives."""
        return self.scratch / "hpcsubmit"

    @property
    def source(self) -> Path:
        """The data."""
        return self.scratch / NAME

    @property
    def tar(self) -> Path:
        """The set as one tar archive, for those who unpack one."""
        return self.scratch / "set.tar"

    def fresh_rows(self, aim: float) -> list[Row]:
        """Is it still as it was packed? Beside a list of all files with what such a question needs."""
        argv = ("find", str(self.source), "-printf", LISTED)
        listed = self._row("find -printf", lambda: timed(argv, self.bench.environ))
        look = self._row("hpcsubmit: still fresh?", lambda: self.bench.inside("look", self.scratch))
        return compared(listed, [listed, look], aim)

    def pack_rows(self, aim: float) -> list[Row]:
        """One file or many on the same disk."""
        source, out = self.source, self.scratch / "out"
        whole = self.tar if self.data.files > 1 else source / self.data.path_of(0)
        tar = self._copying("tar -cf", source, "tar", "-cf", out, "-C", self.scratch, NAME)
        rows = [
            self._copying("dd bs=4M of the bytes", whole, "dd", f"if={whole}", f"of={out}", "bs=4M"),
            tar,
            self._copying("cp -r", source, "cp", "-r", source, out),
            self._copying("rsync -a", source, "rsync", "-a", f"{source}/", f"{out}/"),
            self._copying("Python's tarfile", source, sys.executable, "-c", _TARFILE_CREATE, out, source),
            self._row("hpcsubmit: look and pack for a broadcast", self._pack_to_send),
            self._row("hpcsubmit: look and pack", self.pack_anew),
        ]
        return compared(tar, rows, aim)

    def unpack_rows(self, aim: float) -> list[Row]:
        """From the disk to a node's own."""
        source, whole = self.source, self.tar
        tar = self._to_node("tar -xf", whole, "tar", "-xf", whole, "-C", "{}")
        rows = [
            self._to_node("dd bs=4M of the bytes", whole, "dd", f"if={whole}", "of={}/tar", "bs=4M"),
            tar,
            self._to_node("cp -r", source, "cp", "-r", source, "{}"),
            self._to_node("rsync -a", source, "rsync", "-a", source, "{}/"),
            self._to_node("Python's tarfile", whole, sys.executable, "-c", _TARFILE_EXTRACT, whole, "{}"),
            self._row("hpcsubmit: unpack what is packed for a broadcast", self._unpack_sent),
            self._row("hpcsubmit: unpack", self._unpack),
        ]
        return compared(tar, rows, aim)

    def changed_row(self) -> Row:
        """Pack again after one file has changed."""
        return self._row("hpcsubmit: one file changed, packed again", self._pack_change)

    def script(self, *options: str) -> str:
        """Return the part of the real script that unpacks the set."""
        environ = self.bench.environ | {"SCRATCH": str(self.scratch.parent)}
        project = self.bench.project(self.data.name)
        words = ("--no-env", "--data", NAME, *options)
        return staging_part(self.bench.binaries / "hpcsubmit", project, environ, words)

    def count_written_again(self) -> Count:
        """Count the bytes that are written after one file has changed."""
        before = self._archives()
        self._pack_change()
        share = 100 * sum(path.stat().st_size for path in self._archives() - before) / self.data.total
        name = f"{self.data.name}: written again for one changed file"
        return Count(name=name, value=share, unit="%", aim=MOST_AGAIN)

    def count_looking(self) -> list[Count]:
        """Count what a look at a packed set reads."""
        seen = self.bench.calls_inside("look", self.scratch)
        opened = calls.matching([call for call in seen if f"{self.source}" in call], calls.OPENED_FILE)
        asked = calls.matching(seen, calls.STATTED) / self.data.files
        name = f"{self.data.name}: still fresh?"
        return [
            Count(name=f"{name} data bytes read", value=calls.bytes_read(seen, self.source), unit="", aim=0),
            Count(name=f"{name} data files opened", value=opened, unit="", aim=0),
            Count(name=f"{name} stats per file", value=asked, unit=""),
        ]

    def count_read(self, count: int, transfer: str, aim: float | None) -> list[Count]:
        """Count what a job of several nodes reads of the shared file system, in sizes of the data."""
        script = self.script("--num-nodes", str(count), "--data-transfer", transfer)
        place = MEMORY if self.data.total < MOST_IN_MEMORY else self.bench.folder
        with nodes(count, place) as made:
            read = calls.bytes_read(made.traced(script), self.store)
        packed = sum(path.stat().st_size for path in self._archives())
        name = f"{self.data.name}: read by {count} nodes, {transfer}"
        return [
            Count(name=name, value=read / self.data.total, unit="x the data", aim=aim),
            Count(name=name, value=read / packed, unit="x the archives", aim=aim),
        ]

    def make_tar(self) -> None:
        """Put the set into one archive, for those who unpack one; a set of one file needs none."""
        if self.data.files > 1 and not self.tar.is_file():
            subprocess.run(("tar", "-cf", str(self.tar), "-C", str(self.scratch), NAME), check=True)

    def pack(self, what: str = "pack") -> float:
        """See that the set is packed, and return the seconds."""
        come_to_rest(self.source)
        return self.bench.inside(what, self.scratch)

    def pack_anew(self, what: str = "pack") -> float:
        """Pack the set as if it had never been."""
        shutil.rmtree(self.store, ignore_errors=True)
        return self.pack(what)

    def _pack_to_send(self) -> float:
        """Pack the set for a broadcast; the others find it packed as usual."""
        took = self.pack_anew("pack-to-send")
        self.pack_anew()
        return took

    def _unpack_sent(self) -> float:
        self.pack_anew("pack-to-send")
        took = self._unpack()
        self.pack_anew()
        return took

    def _pack_change(self) -> float:
        """Change one file, and pack; archives that are left over go with the next packing anew."""
        with (self.source / self.data.path_of(self.data.files // 3)).open("r+b") as file:
            file.write(str(time.time_ns()).encode())
        return self.pack()

    def _unpack(self) -> float:
        script = self.script()
        come_to_rest(self.store)
        with nodes(1) as made:
            took = made.run(script)
            found = sum(len(names) for _, _, names in os.walk(made.disks[0] / NAME))
            if found != self.data.files:
                raise subprocess.CalledProcessError(0, "stage_in", f"unpacked {found} files")
            return took

    def _archives(self) -> set[Path]:
        return set((self.store / "data" / "archives").iterdir())

    def _row(self, name: str, run: Callable[[], float]) -> Row:
        return Row(name=f"{self.data.name}: {name}", run=run)

    def _copying(self, name: str, source: Path, *argv: str | Path) -> Row:
        """A command that makes `out` of a source."""
        out = self.scratch / "out"

        def run() -> float:
            come_to_rest(source)
            try:
                return timed(argv, self.bench.environ)
            finally:
                shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

        return self._row(name, run)

    def _to_node(self, name: str, source: Path, *argv: str | Path) -> Row:
        """A command that brings a source to {}, a node's disk."""

        def run() -> float:
            come_to_rest(source)
            with nodes(1) as made:
                there = [str(word).replace("{}", str(made.disks[0])) for word in argv]
                return timed(there, self.bench.environ)

        return self._row(name, run)


def compared(beside: Row, rows: list[Row], aim: float) -> list[Row]:
    """Compare rows with one of them; the last is the one with an aim."""
    for row in rows:
        row.beside = beside if row is not beside else None
    rows[-1].aim = aim
    return rows
