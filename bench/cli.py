"""How long `hpcsubmit` takes beside its peers: one table from one interleaved run.

A case is one command in an environment of its own under bench/.peers/, made on demand. Every round runs
all cases once, in a new random order; the table shows medians, and ratios to P, which is `python -c pass`.
"Until sbatch" ends when a stub of sbatch, the first on the PATH, is entered. All .pyc files are there, as
after an ordinary installation, since without them every figure would more than double.
"""

import argparse
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from bench.measure import BENCH, installed, shown

PEERS = {"submitit": "submitit==1.5.4", "simple_slurm": "simple_slurm==0.3.6", "torchx": "torchx==0.7.0"}
"""The environments of the peers, and what is installed into each."""

SLURM_COMMANDS = ("sbatch", "srun", "sinfo", "squeue", "scontrol", "sacct", "scancel")

SUBMITIT = """
import submitit
executor = submitit.AutoExecutor(folder="logs", cluster="slurm")
executor.update_parameters(timeout_min=60, gpus_per_node=1)
print(executor.submit(pow, 2, 3).job_id)
"""
SIMPLE_SLURM = """
from simple_slurm import Slurm
Slurm(gres="gpu:1", time="01:00:00", output="logs/%j.out").sbatch("python main.py")
"""
TORCHX = ("utils.sh", "python", "main.py")

COUNTED_CALLS = "trace=?open,?openat,?stat,?lstat,?newfstatat,?statx"
OPENED = re.compile(r"^\d+ +open(at)?\(", re.MULTILINE)
STATTED = re.compile(r'^\d+ +(stat|lstat|newfstatat|statx)\((?!\d+, "",)', re.MULTILINE)
"""The second leaves out fstat, which newfstatat with an empty path is: it asks about an open file."""

OPEN_HOOK = """
import os, sys
log = os.open(os.environ["BENCH_OPENS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
sys.addaudithook(lambda event, _: os.write(log, b".") if event == "open" else None)
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """Where the commands run: a folder for everything that they write, and a stub of Slurm."""

    project: Path
    environ: dict[str, str]
    stamp: Path
    clock: Callable[[], int]
    stub: str


@dataclass(slots=True, kw_only=True)
class Case:
    """One command, and what was measured of it so far.

    wall, entered: milliseconds until its end, and until sbatch was entered, one per round.
    opens, stats: how many files it opens and asks about, failed calls and its children's calls included.
    failure: why it cannot be measured, if it cannot.
    """

    name: str
    argv: tuple[str, ...]
    submits: bool = False
    wall: list[float] = field(default_factory=list)
    entered: list[float] = field(default_factory=list)
    opens: int | None = None
    stats: int | None = None
    failure: str | None = None


# --- cases ---------------------------------------------------------------------------------------


def all_cases() -> list[Case]:
    """Return all cases, P first; those whose environment cannot be made come as failed."""
    ours = installed("hpcsubmit", str(BENCH.parent), fresh=True)
    submit = (str(ours / "hpcsubmit"), "--cluster", "generic")
    cases = [
        Case(name="python -c pass (P)", argv=(str(ours / "python"), "-c", "pass")),
        Case(name="hpcsubmit --dry-run", argv=(*submit, "--dry-run")),
        Case(name="hpcsubmit", argv=(*submit, "--yes"), submits=True),
    ]
    for peer, requirement in PEERS.items():
        try:
            binaries = installed(peer, requirement)
        except subprocess.CalledProcessError:
            cases.append(Case(name=peer, argv=(), failure=f"pip could not install {requirement}"))
        else:
            cases += peer_cases(peer, binaries)
    return cases


def peer_cases(peer: str, binaries: Path) -> list[Case]:
    """Return how a peer submits one job, and its dry run where it has one."""
    if peer == "torchx":
        run = (str(binaries / "torchx"), "run", "--scheduler", "slurm", "--workspace=")
        dry = Case(name="torchx run --dryrun", argv=(*run, "--dryrun", *TORCHX))
        return [dry, Case(name="torchx run", argv=(*run, *TORCHX), submits=True)]
    script = SUBMITIT if peer == "submitit" else SIMPLE_SLURM
    return [Case(name=peer, argv=(str(binaries / "python"), "-c", script), submits=True)]


# --- the stage ------------------------------------------------------------------------------------


def set_stage(folder: Path) -> Stage:
    """Make a project ready to be submitted, a scratch folder and the stub of Slurm in `folder`."""
    project, scratch, stubs = folder / "project", folder / "scratch", folder / "stubs"
    for made in (project, project / "logs", scratch, stubs, folder / "home"):
        made.mkdir()
    (project / "experiment_configurations.txt").write_text("python main.py\n")
    (project / "main.py").write_text('print("hello")\n')
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(project / "virtual_env")], check=True)
    compiled = compile_stub(stubs)
    environ = {
        "PATH": f"{stubs}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder / "home"),
        "USER": "bench",
        "LANG": "C.UTF-8",
        "SCRATCH": str(scratch),
        "BENCH_STAMP": str(folder / "stamp"),
    }
    return Stage(
        project=project,
        environ=environ,
        stamp=folder / "stamp",
        clock=time.monotonic_ns if compiled else time.time_ns,
        stub="compiled C" if compiled else "a sh script, which starts slower",
    )


def compile_stub(folder: Path) -> bool:
    """Put the stub of Slurm's commands into `folder`; return whether it is the compiled one."""
    compiler = shutil.which("cc")
    sbatch = folder / "sbatch"
    compiled = False
    if compiler:
        argv = [compiler, "-O2", "-o", str(sbatch), str(BENCH / "slurm_stub.c")]
        compiled = any(
            subprocess.run([*argv, *static], check=False, capture_output=True).returncode == 0
            for static in (["-static"], [])
        )
    if not compiled:
        shutil.copy(BENCH / "slurm_stub.sh", sbatch)
    for name in SLURM_COMMANDS[1:]:
        (folder / name).symlink_to(sbatch)
    return compiled


# --- measuring ------------------------------------------------------------------------------------


def measure(case: Case, stage: Stage) -> None:
    """Run a case once and add its times to it; where it fails, note why."""
    stage.stamp.unlink(missing_ok=True)
    begun = stage.clock()
    ended = subprocess.run(
        case.argv, cwd=stage.project, env=stage.environ, stdin=subprocess.DEVNULL, capture_output=True
    )
    wall = stage.clock() - begun
    if ended.returncode != 0:
        said = ended.stderr.decode(errors="replace").strip().splitlines() or ["without a word"]
        case.failure = f"exit code {ended.returncode}: {said[-1]}"
    elif case.submits and not stage.stamp.exists():
        case.failure = "it ended well, but did not call sbatch"
    else:
        case.wall.append(wall / 1e6)
        if case.submits:
            case.entered.append((int(stage.stamp.read_text()) - begun) / 1e6)


def measure_rounds(cases: list[Case], stage: Stage, rounds: int) -> None:
    """Measure all working cases once per round, each time in another order, after one run unmeasured."""
    order = random.Random(0)
    for number in range(rounds + 1):
        working = [case for case in cases if case.failure is None]
        order.shuffle(working)
        for case in working:
            measure(case, stage)
            if number == 0:  # the first run fills the caches
                case.wall.clear()
                case.entered.clear()


def count_calls(case: Case, stage: Stage) -> None:
    """Count what a case opens and asks about in one run; without strace, only what Python itself opens."""
    log = stage.stamp.with_name("calls")
    log.unlink(missing_ok=True)
    if strace := shutil.which("strace"):
        run_traced(case, stage, (strace, "-f", "-qq", "-e", COUNTED_CALLS, "-o", str(log)), {})
        calls = log.read_text(errors="replace") if log.exists() else ""
        if calls:  # a machine may have strace and forbid it
            case.opens, case.stats = len(OPENED.findall(calls)), len(STATTED.findall(calls))
            return
    hooks = stage.stamp.with_name("hooks")
    hooks.mkdir(exist_ok=True)
    (hooks / "sitecustomize.py").write_text(OPEN_HOOK)
    log.unlink(missing_ok=True)
    run_traced(case, stage, (), {"PYTHONPATH": str(hooks), "BENCH_OPENS": str(log)})
    case.opens = log.stat().st_size if log.exists() else None


def run_traced(case: Case, stage: Stage, prefix: tuple[str, ...], added: dict[str, str]) -> None:
    """Run a case once behind `prefix` and with `added` variables, unmeasured and silent."""
    subprocess.run(
        (*prefix, *case.argv),
        cwd=stage.project,
        env=stage.environ | added,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
    )


# --- the table ------------------------------------------------------------------------------------


def table(cases: list[Case]) -> str:
    """Return the table, one line per case, with a reason in place of the figures of a failed one."""
    floor = median(cases[0].wall) if cases[0].wall else float("nan")
    lines = [f"{'case':<22}{'wall ms':>9}{'x P':>7}{'until sbatch ms':>17}{'x P':>7}{'opens':>7}{'stats':>7}"]
    for case in cases:
        if case.failure is not None:
            lines.append(f"{case.name:<22}  failed: {case.failure}")
            continue
        wall = median(case.wall)
        entered = median(case.entered) if case.entered else None
        lines.append(
            f"{case.name:<22}{wall:>9.1f}{wall / floor:>7.2f}"
            f"{shown(entered, '.1f'):>17}{shown(entered and entered / floor, '.2f'):>7}"
            f"{shown(case.opens, 'd'):>7}{shown(case.stats, 'd'):>7}"
        )
    return "\n".join(lines)


def main() -> int:
    """Make what is missing, measure, and print the table."""
    parser = argparse.ArgumentParser(description="Time hpcsubmit beside its peers.")
    parser.add_argument("--rounds", type=int, default=20, help="runs per case (default: 20)")
    rounds = parser.parse_args().rounds
    cases = all_cases()
    with tempfile.TemporaryDirectory(prefix="hpcsubmit-bench-") as folder:
        stage = set_stage(Path(folder))
        measure_rounds(cases, stage, rounds)
        for case in cases:
            if case.failure is None:
                count_calls(case, stage)
    print(f"medians of {rounds} interleaved rounds; the stub of sbatch is {stage.stub}")
    print("opens and stats: calls of one run and its children; submitit and simple_slurm have no dry run\n")
    print(table(cases))
    return 1 if any(case.failure for case in cases) else 0


if __name__ == "__main__":
    sys.exit(main())
