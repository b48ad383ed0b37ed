"""Stand-ins for the nodes of a job: folders, and commands of Slurm that start what they get once for each.

What runs on them is the real script, as `hpcsubmit --dry-run` prints it, as far as it brings data and
environments to the nodes: without SLURM_TMPDIR's making and removing, and without the program.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from bench.calls import calls_of
from bench.measure import timed

MEMORY = Path("/dev/shm")
"""Where the nodes' disks are, so that what is measured is the unpacking and no disk."""
HOME_PATH = "/usr/local/bin:/usr/bin:/bin"

_SRUN = """#!/bin/bash
while [[ $1 == --* ]]; do shift; done
running=()
for node in $BENCH_NODES; do
  SLURM_TMPDIR=$node SLURMD_NODENAME=${node##*/} "${@//"$SLURM_TMPDIR"/$node}" &
  running+=($!)
done
for pid in "${running[@]}"; do wait "$pid" || exit; done
"""
_SBCAST = """#!/bin/bash
targets=()
for node in $BENCH_NODES; do targets+=("${2//"$SLURM_TMPDIR"/$node}"); done
exec tee "${targets[@]}" <"$1" >/dev/null
"""
_KEPT = ("The batch shell", "What comes to every node", "The virtual environment")


class Nodes(NamedTuple):
    """A folder with the stand-ins, and with one folder for each node's disk."""

    folder: Path
    number: int

    def run(self, script: str) -> float:
        """Run a staging script (see `staging_part`) and return its seconds; raises CalledProcessError."""
        return timed(self._argv(script), self._environ(), self.folder)

    def traced(self, script: str) -> list[str]:
        """Run it once and return the system calls of all its processes."""
        return [call for each in calls_of(self._argv(script), self._environ(), self.folder) for call in each]

    @property
    def disks(self) -> list[Path]:
        """The nodes' disks."""
        return [self.folder / f"node{each}" for each in range(1, self.number + 1)]

    def _argv(self, script: str) -> tuple[str, str]:
        path = self.folder / "script"
        path.write_text(re.sub(r"(?m)^_run_dir=.*$", f"_run_dir='{self.folder}'", script))
        return "bash", str(path)

    def _environ(self) -> dict[str, str]:
        tmpdir = self.disks[0] if self.number == 1 else self.folder / "batch"
        return {
            "PATH": f"{self.folder / 'bin'}:{HOME_PATH}",
            "LANG": "C.UTF-8",
            "SLURM_JOB_ID": "1",
            "SLURM_JOB_NUM_NODES": str(self.number),
            "SLURMD_NODENAME": "node1",
            "SLURM_TMPDIR": str(tmpdir),
            "BENCH_NODES": " ".join(map(str, self.disks)),
        }


@contextmanager
def nodes(count: int, place: Path = MEMORY) -> Iterator[Nodes]:
    """Make nodes below a folder, and remove them with all that they got."""
    folder = Path(tempfile.mkdtemp(prefix="hpcsubmit-bench-", dir=place))
    try:
        made = Nodes(folder, count)
        (folder / "bin").mkdir()
        for name, text in (("srun", _SRUN), ("sbcast", _SBCAST)):
            (folder / "bin" / name).write_text(text)
            (folder / "bin" / name).chmod(0o755)
        for disk in made.disks:
            disk.mkdir()
        yield made
    finally:
        shutil.rmtree(folder)


def staging_part(hpcsubmit: Path, project: Path, environ: dict[str, str], options: Sequence[str]) -> str:
    """Return the part of a submission's script that brings data and environments to the nodes."""
    argv = (str(hpcsubmit), "--cluster", "generic", "--dry-run", "--cpus", str(os.cpu_count()), *options)
    done = subprocess.run(argv, cwd=project, env=environ, check=True, capture_output=True, text=True)
    head, *sections = re.split(r"(?m)^(?=# ---- )", done.stdout)
    kept = "".join(text for text in sections if text.removeprefix("# ---- ").startswith(_KEPT))
    if "\nstage_in()" not in kept or "\n_run_dir=" not in kept:
        sys.exit("the parts of the script have other names by now: see _KEPT in bench/nodes.py")
    return head + kept
