"""The rows of one data set: is it fresh, packing, and unpacking on a node, beside what people use."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import calls, inside
from bench.data_sets import NAME, DataSet, read_through
from bench.measure import BENCH, Count, Row, timed
from bench.nodes import nodes, staging_part

LISTED = r"%p %s %T@ %C@ %m %i\n"
"""All that the question "is it still fresh?" is about, for find -printf."""
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
    archive.extractall(sys.argv[2], filter="tar")
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
    def tar(self) -> Path:
        """The set as one tar archive, for those who unpack one."""
        return self.scratch / "set.tar"

    def fresh_rows(self, aim: float) -> list[Row]:
        """Is it still as it was packed? Beside a list of all files with what such a question needs."""
        argv = ("find", str(self.scratch / NAME), "-printf", LISTED)
        listed = Row(name=f"{self.data.name}: find -printf", run=lambda: timed(argv, self.bench.environ))
        look = Row(
            name=f"{self.data.name}: hpcsubmit: still fresh?",
            run=lambda: self.bench.inside("look", self.scratch),
            beside=listed,
            aim=aim,
        )
        return [listed, look]

    def pack_rows(self, aim: float) -> list[Row]:
        """One file or many on the same disk."""
        source, out = str(self.scratch / NAME), str(self.scratch / "out")
        whole = str(self.tar) if self.data.files > 1 else f"{source}/{self.data.path_of(0)}"
        tar = self._copying("tar -cf", ("tar", "-cf", out, "-C", str(self.scratch), NAME))
        rows = [
            self._copying("dd bs=4M of the bytes", ("dd", f"if={whole}", f"of={out}", "bs=4M")),
            tar,
            self._copying("cp -r", ("cp", "-r", source, out)),
            self._copying("rsync -a", ("rsync", "-a", f"{source}/", f"{out}/")),
            self._copying("Python's tarfile", (sys.executable, "-c", _TARFILE_CREATE, out, source)),
            Row(name=f"{self.data.name}: hpcsubmit: look and pack", run=self.pack_anew, aim=aim),
        ]
        for row in rows:
            row.beside = tar if row is not tar else None
        return rows

    def unpack_rows(self, aim: float) -> list[Row]:
        """From the disk to a node's own."""
        source = str(self.scratch / NAME)
        tar = self._to_node("tar -xf", lambda node: ("tar", "-xf", str(self.tar), "-C", str(node)))
        rows = [
            self._to_node(
                "dd bs=4M of the bytes", lambda node: ("dd", f"if={self.tar}", f"of={node}/tar", "bs=4M")
            ),
            tar,
            self._to_node("cp -r", lambda node: ("cp", "-r", source, str(node))),
            self._to_node("rsync -a", lambda node: ("rsync", "-a", source, f"{node}/")),
            self._to_node(
                "Python's tarfile",
                lambda node: (sys.executable, "-c", _TARFILE_EXTRACT, str(self.tar), str(node)),
            ),
            Row(name=f"{self.data.name}: hpcsubmit: unpack", run=self._unpack, aim=aim),
        ]
        for row in rows:
            row.beside = tar if row is not tar else None
        return rows

    def changed_row(self) -> Row:
        """Pack again after one file has changed."""
        return Row(name=f"{self.data.name}: hpcsubmit: one file changed, packed again", run=self._pack_change)

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
        written = sum(path.stat().st_size for path in self._archives() - before)
        share = 100 * written / self.data.total
        return Count(
            name=f"{self.data.name}: written again for one changed file",
            value=share,
            unit="%",
            aim=MOST_AGAIN,
        )

    def count_looking(self) -> list[Count]:
        """Count what a look at a packed set reads."""
        seen = self.bench.calls_inside("look", self.scratch)
        here = [call for call in seen if f"{self.scratch / NAME}" in call]
        name = f"{self.data.name}: still fresh?"
        return [
            Count(
                name=f"{name} data bytes read",
                value=calls.bytes_read(seen, self.scratch / NAME),
                unit="",
                aim=0,
            ),
            Count(
                name=f"{name} data files opened",
                value=calls.matching(here, calls.OPENED_FILE),
                unit="",
                aim=0,
            ),
            Count(
                name=f"{name} stats per file",
                value=calls.matching(seen, calls.STATTED) / self.data.files,
                unit="",
            ),
        ]

    def count_read(self, count: int, transfer: str, aim: float | None) -> list[Count]:
        """Count what a job of several nodes reads of the shared file system, in sizes of the data."""
        script = self.script("--num-nodes", str(count), "--data-transfer", transfer)
        with nodes(count, self.bench.folder) as made:
            read = calls.bytes_read(made.traced(script), self.store)
        packed = sum(path.stat().st_size for path in self._archives())
        name = f"{self.data.name}: read by {count} nodes, {transfer}"
        return [
            Count(name=name, value=read / self.data.total, unit="x the data", aim=aim),
            Count(name=name, value=read / packed, unit="x the archives", aim=aim),
        ]

    def _archives(self) -> set[Path]:
        return set((self.store / "data" / "archives").iterdir())

    def _copying(self, name: str, argv: Sequence[str]) -> Row:
        out = self.scratch / "out"

        def run() -> float:
            read_through(self.scratch / NAME)
            os.sync()
            try:
                return timed(argv, self.bench.environ)
            finally:
                shutil.rmtree(out) if out.is_dir() else out.unlink(missing_ok=True)

        return Row(name=f"{self.data.name}: {name}", run=run)

    def _to_node(self, name: str, argv: Callable[[Path], Sequence[str]]) -> Row:
        def run() -> float:
            read_through(self.scratch / NAME)
            read_through(self.tar)
            with nodes(1) as made:
                return timed(argv(made.disks[0]), self.bench.environ)

        return Row(name=f"{self.data.name}: {name}", run=run)

    def make_tar(self) -> None:
        """Put the set into one archive, for those who unpack one; a set of one file needs none."""
        if self.data.files > 1 and not self.tar.is_file():
            subprocess.run(("tar", "-cf", str(self.tar), "-C", str(self.scratch), NAME), check=True)

    def pack_anew(self) -> float:
        """Pack the set as if it had never been, and return the seconds."""
        shutil.rmtree(self.store, ignore_errors=True)
        read_through(self.scratch / NAME)
        os.sync()
        return self.bench.inside("pack", self.scratch)

    def _pack_change(self) -> float:
        """Change one file, and pack; archives that are left over go with the next packing anew."""
        with (self.scratch / NAME / self.data.path_of(self.data.files // 3)).open("r+b") as file:
            file.write(str(time.time_ns()).encode())
        read_through(self.scratch / NAME)
        os.sync()
        return self.bench.inside("pack", self.scratch)

    def _unpack(self) -> float:
        script = self.script()
        read_through(self.store)
        with nodes(1) as made:
            took = made.run(script)
            found = sum(len(names) for _, _, names in os.walk(made.disks[0] / NAME))
            assert found == self.data.files, f"{found} files instead of {self.data.files}"
            return took
