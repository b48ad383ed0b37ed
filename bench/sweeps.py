"""How long it takes to submit a sweep of 1,000 and of 10,000 trials, beside one job and beside other tools.

`hpcsubmit sweep run FILE --offline` submits grids to a stub of Slurm that accepts all (see bench/cli.py).
Beside it submitit's map_array submits as many calls of a function as one array, and a loop calls sbatch once
for every trial, as people write it: 100 times, and its time is multiplied. The stub answers within a
millisecond, a real sbatch takes some eight: the loop is that much slower on a cluster. Then, in a Python that
has hpcsubmit: counting and checking a grid of 100,000 combinations, and decoding one of its trials.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.cli import PEERS, Stage, set_stage
from bench.measure import (
    BENCH,
    Count,
    Row,
    circumstances,
    count_table,
    installed,
    measure_rounds,
    show_progress,
    table,
    timed,
)

SIZES = (1_000, 10_000)
"""One array holds the first (Slurm's default MaxArraySize), the second takes ten."""
TASKS = 1_000
"""The most tasks of one array then."""
LOOPED = 100
"""How often the loop calls sbatch."""
MOST_SECONDS = 2.0
"""Of the time of one job's submission, for a sweep of one array."""
MOST_FILES, MOST_BYTES = 2, 30
"""More files than those of one job, and more bytes for each trial."""
COUNTING, DECODING = 0.005, 0.001
"""Seconds for a grid of 100,000 combinations."""

SUBMITIT = """
import submitit, sys
executor = submitit.AutoExecutor(folder="logs", cluster="slurm")
executor.update_parameters(timeout_min=60, gpus_per_node=1, slurm_array_parallelism=10_000)
executor.map_array(pow, range(int(sys.argv[1])), range(int(sys.argv[1])))
"""
LOOP = 'for ((trial = 1; trial <= $1; trial++)); do sbatch job.sh "$trial"; done'
JOB = "#!/bin/bash\n#SBATCH --time=01:00:00\n#SBATCH --gres=gpu:1\npython main.py --trial $1\n"


def sweep_file(trials: int) -> str:
    """Return a grid of so many combinations, a multiple of 100."""
    first, second = (list(range(number)) for number in (trials // 100, 100))
    return (
        f"program: main.py\nmethod: grid\nparameters:\n  a: {{values: {first}}}\n  b: {{values: {second}}}\n"
    )


class Footprint(NamedTuple):
    """What a submission leaves behind: files, their bytes, and how often it called sbatch."""

    files: int
    size: int
    calls: int


class Bench(NamedTuple):
    """The stage, and the environments of hpcsubmit and of submitit (None where pip could not make that)."""

    stage: Stage
    ours: Path
    submitit: Path | None

    @property
    def calls(self) -> Path:
        """A file with one byte for every call of sbatch."""
        return Path(self.stage.environ["BENCH_CALLS"])

    def submits(self, *argv: str, scale: float = 1) -> Callable[[], float]:
        """Return what runs a command that submits, and clears away afterwards what it left."""

        def run() -> float:
            try:
                return scale * timed(argv, self.stage.environ, self.stage.project)
            finally:
                self.clear()

        return run

    def clear(self) -> None:
        """Remove the records of submissions, which otherwise grow from round to round."""
        for left in (*Path(self.stage.environ["SCRATCH"]).iterdir(), self.stage.project / "logs"):
            shutil.rmtree(left)
        (self.stage.project / "logs").mkdir()
        self.calls.write_bytes(b"")
        os.sync()  # or the next one would wait for what this one wrote

    def footprint(self, *argv: str) -> Footprint:
        """Run a command and look at what it leaves; raises CalledProcessError where it fails."""
        before = self._files()
        timed(argv, self.stage.environ, self.stage.project)
        left = self._files() - before
        found = Footprint(len(left), sum(path.stat().st_size for path in left), self.calls.stat().st_size)
        self.clear()
        return found

    def _files(self) -> set[Path]:
        below = (Path(self.stage.environ["SCRATCH"]), self.stage.project, Path(self.stage.environ["HOME"]))
        return {path for folder in below for path in folder.rglob("*") if path.is_file()}

    # --- commands --------------------------------------------------------------------------------

    def job(self) -> tuple[str, ...]:
        """How one job is submitted."""
        return str(self.ours / "hpcsubmit"), "--cluster", "generic", "--yes"

    def sweep(self, trials: int) -> tuple[str, ...]:
        """How a sweep is submitted."""
        run = (str(self.ours / "hpcsubmit"), "sweep", "run", f"sweep-{trials}.yml")
        return *run, "--offline", "--cluster", "generic", "--yes"

    def map_array(self, trials: int) -> tuple[str, ...]:
        """How submitit submits as many calls."""
        return str(self.submitit and self.submitit / "python"), "-c", SUBMITIT, str(trials)


# --- rows -------------------------------------------------------------------------------------------


def submission_rows(bench: Bench) -> list[Row]:
    """Return the rows about submitting, the single job first."""
    job = Row(name="one job", run=bench.submits(*bench.job()))
    rows = [job]
    for trials in SIZES:
        arrays = -(-trials // TASKS)
        aim = MOST_SECONDS if arrays == 1 else None
        name = f"sweep of {trials:,} trials in {arrays} array{'s' * (arrays > 1)}"
        rows.append(Row(name=name, run=bench.submits(*bench.sweep(trials)), beside=job, aim=aim))
    for trials in SIZES:
        rows.append(
            Row(
                name=f"submitit, map_array of {trials:,}",
                run=bench.submits(*bench.map_array(trials)),
                beside=job,
            )
        )
        if bench.submitit is None:
            rows[-1].failure = f"pip could not install {PEERS['submitit']}"
    for trials in SIZES:
        loop = bench.submits("bash", "-c", LOOP, "bash", str(LOOPED), scale=trials / LOOPED)
        rows.append(Row(name=f"a loop over sbatch, {LOOPED} x {trials // LOOPED}", run=loop, beside=job))
    return rows


def inside_rows(bench: Bench) -> list[Row]:
    """Return the rows about a grid of 100,000 combinations."""
    file = bench.stage.project / "sweep-100000.yml"
    inside = (str(bench.ours / "python"), str(BENCH / "inside.py"))

    def timed_inside(what: str) -> Callable[[], float]:
        def run() -> float:
            argv = (*inside, what, str(file))
            done = subprocess.run(argv, env=bench.stage.environ, check=True, capture_output=True, text=True)
            return int(done.stdout) / 1e9

        return run

    return [
        Row(name="100,000 combinations counted and checked", run=timed_inside("count"), limit=COUNTING),
        Row(name="the same, and YAML before it", run=timed_inside("read")),
        Row(name="one of them decoded", run=timed_inside("decode"), limit=DECODING),
    ]


def counted(bench: Bench) -> Iterator[Count]:
    """Count what submissions leave, and their calls of sbatch."""
    job = bench.footprint(*bench.job())
    for trials in SIZES:
        show_progress(f"counting what a sweep of {trials:,} trials leaves")
        sweep = bench.footprint(*bench.sweep(trials))
        name, arrays = f"sweep of {trials:,} trials", -(-trials // TASKS)
        yield Count(name=f"{name}: calls of sbatch", value=sweep.calls, unit="", aim=arrays)
        more = sweep.files - job.files
        yield Count(
            name=f"{name}: files more than one job's {job.files}", value=more, unit="", aim=MOST_FILES
        )
        each = (sweep.size - job.size) / trials
        yield Count(name=f"{name}: more bytes, per trial", value=each, unit="B", aim=MOST_BYTES)
        if bench.submitit is not None:
            other = bench.footprint(*bench.map_array(trials))
            name = f"submitit, map_array of {trials:,}"
            yield Count(name=f"{name}: files", value=other.files, unit="")
            yield Count(name=f"{name}: bytes, per trial", value=other.size / trials, unit="B")


# --- the stage --------------------------------------------------------------------------------------


def prepared(folder: Path) -> Bench:
    """Make the environments, a project with sweep files, and the stub of Slurm."""
    ours = installed("hpcsubmit", str(BENCH.parent), fresh=True)
    stage = set_stage(folder)
    for trials in (*SIZES, 100_000):
        (stage.project / f"sweep-{trials}.yml").write_text(sweep_file(trials))
    (stage.project / "job.sh").write_text(JOB)
    stage.environ["BENCH_CALLS"] = str(folder / "calls")
    (folder / "calls").write_bytes(b"")
    try:
        submitit = installed("submitit", PEERS["submitit"])
    except subprocess.CalledProcessError:
        submitit = None
    return Bench(stage=stage, ours=ours, submitit=submitit)


def main() -> int:
    """Make what is missing, measure, and print the tables."""
    parser = argparse.ArgumentParser(description="Time submitting a sweep beside other ways.")
    parser.add_argument("--rounds", type=int, default=9, help="times that everything is done (default: 9)")
    rounds = parser.parse_args().rounds
    begun = circumstances()
    with tempfile.TemporaryDirectory(prefix="hpcsubmit-bench-") as folder:
        bench = prepared(Path(folder))
        for argv in (bench.job(), *map(bench.sweep, SIZES)):  # the first runs fill the caches
            subprocess.run(argv, cwd=bench.stage.project, env=bench.stage.environ, capture_output=True)
        bench.clear()
        submissions, inside = submission_rows(bench), inside_rows(bench)
        measure_rounds([*submissions, *inside], rounds)
        print(f"{begun}\nmedians of {rounds} interleaved rounds; the stub of sbatch is {bench.stage.stub}\n")
        print(table("Submitting", submissions), table("A grid of 100,000", inside, "ms"), sep="\n\n")
        failed = any(row.failure for row in (*submissions, *inside))
        if not failed:
            print(f"\n{count_table(list(counted(bench)))}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
