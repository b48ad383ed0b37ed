"""From pressing return to the first line of the program on every node, on the real Slurm of tests/cluster.

A job of 3 nodes needs numpy, pandas and scikit-learn and 20,000 files of 4 KB. hpcsubmit submits it when
nothing is packed or built, and when nothing has changed since; beside it stands a batch script as people
write them, which makes an environment and copies the data on every node. The nodes have no network: all
install from the same folder of wheels. They share the cores of this machine. Their /scratch-ssd is one disk,
as the disks of real nodes are not: both ways have /dev/shm in its place, unless --disk says otherwise.
"""

import argparse
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from bench.data_sets import NAME, DataSet, come_to_rest
from bench.measure import BENCH, ENVIRONMENTS, Row, circumstances, measure_rounds, show_progress, table

from cluster.job_python import PYTHON
from cluster.slurm_cluster import Cluster, unavailable, up

USER = "researcher"
NODES = 3
DATA = DataSet("first-step", 20_000, 4 << 10, 200)
HOME, SCRATCH = f"/home/{USER}", f"/scratch/{USER}/{DATA.name}"
PROJECT, WHEELS, TOOL = f"{HOME}/{DATA.name}", f"{HOME}/{DATA.name}-wheels", f"{HOME}/{DATA.name}-tool"
REQUIREMENTS = ("numpy==2.3.5", "pandas==2.3.3", "scikit-learn==1.7.2")
MOST_WARM = 1 / 3
"""Of the time of the script by hand, where nothing has changed."""
LONGEST = 300.0
"""Seconds that a job may take."""

PROGRAM = """import time
print("first line at", time.time_ns(), flush=True)
import os, socket, sys
import numpy, pandas, sklearn
ready = time.time_ns()
files = sum(len(names) for _, _, names in os.walk(os.environ["SLURM_TMPDIR"] + "/set"))
print("ready at", ready, "with", files, "files on", socket.gethostname(), "in", sys.prefix, flush=True)
"""
PROFILE = f"""profiles:
  plai:
    node_local_base: DISK
    packages: wheelhouse
    wheelhouse: [{WHEELS}]
"""
BY_HAND = f"""#!/bin/bash
#SBATCH --job-name=by-hand
#SBATCH --nodes={NODES}
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=2
#SBATCH --gres=gpu:1
#SBATCH --mem-per-gpu=10G
#SBATCH --time=01:00:00
#SBATCH --output={SCRATCH}/by-hand/%j.out
set -e
export SLURM_TMPDIR=DISK/$USER.$SLURM_JOB_ID
srun bash -ec '
  mkdir "$SLURM_TMPDIR"
  python3 -m venv "$SLURM_TMPDIR/env"
  source "$SLURM_TMPDIR/env/bin/activate"
  pip install --quiet --no-index --find-links {WHEELS} -r requirements.txt
  cp -r {SCRATCH}/{NAME} "$SLURM_TMPDIR/"
'
source "$SLURM_TMPDIR/env/bin/activate"
srun python main.py
srun rm -rf "$SLURM_TMPDIR"
"""


class FirstStep(NamedTuple):
    """The cluster, and the rows that tell when the packages are imported everywhere, by the ways' names."""

    cluster: Cluster
    imported: dict[str, Row]

    def rows(self) -> list[Row]:
        """Return the ways to start the job."""
        by_hand = self._row("sbatch, by hand", lambda: self.submitted("sbatch", "--parsable", "by-hand.sh"))
        ours = (f"{TOOL}/bin/hpcsubmit", "--parsable", "--yes", "-n", str(NODES), "--data", NAME)
        warm, on_node = "hpcsubmit, nothing changed", "hpcsubmit --env-on-node, nothing changed"
        rows = [
            by_hand,
            self._row("hpcsubmit, nothing packed or built", lambda: self._cold(ours)),
            self._row(warm, lambda: self._warm(ours)),
            self._row(on_node, lambda: self._warm((*ours, "--env-on-node"))),
        ]
        for row, aim in zip(rows[1:], (1.0, MOST_WARM, None), strict=True):
            row.beside, row.aim = by_hand, aim
            self.imported[row.name].beside = self.imported[by_hand.name]
        return rows

    def _row(self, name: str, run: Callable[[], tuple[float, float]]) -> Row:
        """Make a row whose first figure is the one that is aimed at; the second goes beside."""
        self.imported[name] = Row(name=name, run=lambda: 0.0)

        def first_line() -> float:
            first, ready = run()
            self.imported[name].seconds.append(ready)
            return first

        return Row(name=name, run=first_line)

    def _cold(self, argv: Sequence[str]) -> tuple[float, float]:
        forget(self.cluster)
        return self.submitted(*argv)

    def _warm(self, argv: Sequence[str]) -> tuple[float, float]:
        """Submit twice where something may be left to do, and measure the second time."""
        done = self.cluster.run((*argv, "--dry-run"), cwd=PROJECT)
        if "to be " in done.stderr:
            self.submitted(*argv)
        return self.submitted(*argv)

    def submitted(self, *argv: str) -> tuple[float, float]:
        """Submit, and return the seconds until the first line, and until all is imported, on every node.

        Raises CalledProcessError where that fails.
        """
        self._come_to_rest()
        begun = time.time_ns()
        done = self.cluster.run(argv, cwd=PROJECT, timeout=LONGEST)
        if done.returncode != 0:
            raise subprocess.CalledProcessError(done.returncode, argv, done.stdout, done.stderr)
        job = done.stdout.strip()
        first, ready = self._lines_of(job)
        self.cluster.wait_for_job(job, 60)
        return (first - begun) / 1e9, (ready - begun) / 1e9

    def _lines_of(self, job: str) -> tuple[int, int]:
        """Wait until every node has said that it is ready; return when the last one began, and was ready."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end:
            text = "".join(path.read_text() for path in self._logs(job))
            ready = [int(when) for when in re.findall(rf"ready at (\d+) with {DATA.files} files", text)]
            if len(ready) == NODES:
                first = [int(when) for when in re.findall(r"first line at (\d+)", text)]
                return max(first), max(ready)
            time.sleep(0.2)
        raise subprocess.CalledProcessError(1, job, "".join(path.read_text() for path in self._logs(job)))

    def _logs(self, job: str) -> list[Path]:
        scratch = self.cluster.shared(SCRATCH)
        return [*scratch.glob(f"hpc_outputs/*_{job}.out"), *scratch.glob(f"by-hand/{job}.out")]

    def _come_to_rest(self) -> None:
        """Wait until no job is left, and read what all will read."""
        self.cluster.cancel_all()
        while "completing" in self.cluster.run(("sinfo", "-h", "-o", "%T")).stdout:
            time.sleep(0.2)
        come_to_rest(*map(self.cluster.shared, (f"{SCRATCH}/{NAME}", WHEELS, TOOL)))


def forget(cluster: Cluster) -> None:
    """Remove what hpcsubmit has packed and built, and what uv has kept."""
    for path in (f"{PROJECT}/.virtual_envs", f"{SCRATCH}/hpcsubmit", f"{HOME}/.cache/uv"):
        shutil.rmtree(cluster.shared(path), ignore_errors=True)
    cluster.shared(f"{PROJECT}/virtual_env").unlink(missing_ok=True)


def prepare(cluster: Cluster, disk: str) -> None:
    """Bring the project, the data, the wheels and hpcsubmit to the user; only root may.

    disk: the folder on every node's own disk.
    """
    project, scratch = cluster.shared(PROJECT), cluster.shared(SCRATCH)
    DATA.make(scratch.parent)
    shutil.rmtree(project, ignore_errors=True)
    project.mkdir()
    (scratch / "by-hand").mkdir(exist_ok=True)
    for name, text in (
        ("main.py", PROGRAM),
        ("requirements.txt", "\n".join(REQUIREMENTS) + "\n"),
        ("experiment_configurations.txt", "python main.py\n"),
        ("hpcsubmit.yaml", PROFILE),
        ("by-hand.sh", BY_HAND),
    ):
        (project / name).write_text(text.replace("DISK", disk))
    shutil.copytree(fetched(), cluster.shared(WHEELS), dirs_exist_ok=True)
    for path in (PROJECT, SCRATCH, WHEELS):
        subprocess.run(("chown", "-hR", f"{USER}:", str(cluster.shared(path))), check=True)
    install = f"{TOOL}/bin/python -m pip install --quiet --no-index --find-links {WHEELS} 'hpcsubmit[uv]'"
    line = f"rm -rf {TOOL} && python3 -m venv {TOOL} && {install}"
    done = cluster.run(("sh", "-c", line), timeout=LONGEST)
    if done.returncode != 0:
        sys.exit(f"hpcsubmit could not be installed on the cluster: {done.stderr}")


def fetched() -> Path:
    """Return a folder with the wheels of the packages, of this checkout and uv, for the cluster's Python."""
    environment, wheels = ENVIRONMENTS / "cluster", ENVIRONMENTS / "wheels-first-step"
    if not environment.is_dir():
        subprocess.run((PYTHON, "-m", "venv", str(environment)), check=True)
    for path in wheels.glob("hpcsubmit-*"):
        path.unlink()
    pip = (str(environment / "bin" / "python"), "-m", "pip", "wheel", "--quiet", "--wheel-dir", str(wheels))
    found = ("--find-links", str(wheels), *REQUIREMENTS, f"{BENCH.parent}[uv]")
    subprocess.run((*pip, *found), check=True, capture_output=True)
    return wheels


def main() -> int:
    """Make what is missing, measure, and print the tables."""
    parser = argparse.ArgumentParser(description="Time the first step of a job on the test cluster.")
    parser.add_argument("--rounds", type=int, default=3, help="jobs of each kind (default: 3)")
    parser.add_argument("--disk", default="/dev/shm", help="the nodes' own disk (default: /dev/shm)")
    asked = parser.parse_args()
    if reason := unavailable():
        print(reason, file=sys.stderr)
        return 1
    show_progress("starting the cluster, and installing on it")
    cluster = up("plai")
    prepare(cluster, asked.disk)
    begun = circumstances()
    bench = FirstStep(cluster, {})
    rows = bench.rows()
    try:
        measure_rounds(rows, asked.rounds)
    finally:
        cluster.cancel_all()
        forget(cluster)
    print(begun)
    print(f"medians of {asked.rounds} interleaved rounds; {NODES} nodes, their own disk is {asked.disk}\n")
    print(table("From pressing return to the first line of the program on every node", rows))
    print(
        "\n"
        + table("... and until numpy, pandas and scikit-learn are imported there", [*bench.imported.values()])
    )
    return 1 if any(row.failure for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
