"""A node on which the script of a `-W ranks` job runs, in real bash, with a stand-in for srun."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from golden.cases import HOUR, RUN_ID, context, shipped
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Launcher, Request

NOTHING: Mapping[str, str] = {}
# One task, here.
SRUN = '#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n'
# A tenth of the time: `sleep 0.1` takes 0.01 s.
SLEEP = '#!/bin/bash\nexec /bin/sleep "0.0${1#0.}"\n'
PATIENCE = "SECONDS + 10)"
HURRY = "SECONDS + 3)"  # 2 at least: with 1 it may be none, for SECONDS are whole ones


@dataclass(frozen=True)
class Node:
    """A project, a scratch folder and a PATH below one temporary folder."""

    root: Path
    hurried: bool = False
    started: list[int] = field(default_factory=list)

    @classmethod
    def below(cls, root: Path, *, hurried: bool = False) -> "Node":
        """Make one. hurried: what takes 5 or 10 seconds takes less than 3."""
        for folder in ("bin", "gan/started", "scratch", "tmp"):
            (root / folder).mkdir(parents=True)
        node = cls(root, hurried)
        node.install("srun", SRUN)
        if hurried:
            node.install("sleep", SLEEP)
        return node

    @property
    def project(self) -> Path:
        return self.root / "gan"

    @property
    def output(self) -> str:
        """The job's log so far."""
        return (self.root / "out").read_text()

    @property
    def exit_code(self) -> int:
        """What the script recorded."""
        return int((self.root / "scratch/hpcsubmit/runs" / RUN_ID / "exit").read_text())

    def log(self, rank: int) -> str:
        """A rank's own log."""
        return (self.root / "scratch/runs" / RUN_ID / f"rank_{rank}.log").read_text()

    def install(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        (self.root / "bin" / name).write_text(script)
        (self.root / "bin" / name).chmod(0o755)

    def start(
        self,
        program: str,
        arguments: str = "",
        *,
        gpus: int = 2,
        before: str = "",
        environ: Mapping[str, str] = NOTHING,
    ) -> "subprocess.Popen[str]":
        """Start the script of a job; the program is Python, what stands around it bash."""
        (self.project / "program.py").write_text(program)
        command = f"{before} {sys.executable} program.py {arguments}"
        facts = replace(context(command, str(self.project)), virtualenv=None)
        request = Request(time=HOUR, gpus=gpus, launcher=Launcher.RANKS, no_env=True)
        made = plan(request, shipped("local"), replace(facts, scratch_dir=self.root / "scratch"))
        made.run_dir.mkdir(parents=True, exist_ok=True)
        script = self.root / "script.sh"
        text = render(made)
        assert PATIENCE in text
        script.write_text(text.replace(PATIENCE, HURRY) if self.hurried else text)
        with (self.root / "out").open("w") as out:
            process = subprocess.Popen(
                ["bash", str(script)],
                env={**self._environ, **environ},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.started.append(process.pid)
        return process

    def end(self) -> None:
        """End what a test left running."""
        for group in self.started:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)

    def run(
        self,
        program: str,
        arguments: str = "",
        *,
        gpus: int = 2,
        before: str = "",
        environ: Mapping[str, str] = NOTHING,
    ) -> tuple[int, list[str]]:
        """Run a job to its end; its exit code and the lines of its log."""
        process = self.start(program, arguments, gpus=gpus, before=before, environ=environ)
        return process.wait(timeout=300), self.output.splitlines()

    def wait_for(self, text: str, count: int = 1) -> None:
        """Wait until the log holds a text so often."""
        deadline = time.monotonic() + 300
        while self.output.count(text) < count:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    @property
    def _environ(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root / 'bin'}:/usr/bin:/bin",
            "HOME": str(self.root),
            "SLURM_TMPDIR": str(self.root / "tmp"),
            "SLURM_JOB_ID": "4242",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURMD_NODENAME": "local1",
            "CUDA_VISIBLE_DEVICES": "4,7",
        }


def step_of(process: "subprocess.Popen[str]") -> list[int]:
    """The processes of the job's step, the task first: what Slurm signals."""
    listed = subprocess.run(
        ["ps", "-ww", "-eo", "pid,ppid,args"], capture_output=True, text=True, timeout=120, check=True
    )
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()[1:]]
    children = {int(pid): int(parent) for pid, parent, _ in rows}
    found = [process.pid]
    for pid in found:
        found += [child for child, parent in children.items() if parent == pid]
    tasks = [int(pid) for pid, _, args in rows if int(pid) in found and args.startswith("bash -c set -eu")]
    return found[found.index(tasks[0]) :]


def signal_all(pids: list[int], number: signal.Signals) -> None:
    """Signal processes; some may end meanwhile."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
