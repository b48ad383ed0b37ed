"""A node on which the tasks of a submitted array run, in real bash, with a stand-in for srun."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from sandbox import Sandbox
from sweep_desk import SweepDesk

# One task, here; TERM reaches it as Slurm's would.
SRUN = '#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n'
# Tells what it got, in a line that no other process cuts in two.
SHOW = """import json, os, sys
names = ("OUTPUT_DIR", "SEED", "NAME", "WANDB_RUN_ID", "WANDB_MODE", "WANDB_RESUME", "WANDB_DIR")
names += ("WANDB_TAGS", "WANDB_ENTITY", "WANDB_PROJECT")
told = {name: os.environ[name] for name in names if name in os.environ}
with open(os.path.join(os.environ["source_dir"], "told"), "a") as file:
    file.write(json.dumps({"words": sys.argv[1:], "variables": told}) + "\\n")
"""


@dataclass(frozen=True)
class TaskNode:
    """The sandbox's machine as a node of the cluster."""

    desk: SweepDesk
    started: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, sandbox: Sandbox) -> "TaskNode":
        """Make one; its main.py notes what it was started with."""
        desk = SweepDesk(sandbox)
        desk.profile(loopback=True)
        sandbox.install("srun", SRUN)
        node = cls(desk)
        node.program()
        (sandbox.root / "tmp").mkdir()
        return node

    def program(self, then: str = "") -> None:
        """Say what main.py does after it has noted how it was started."""
        self.desk.box.write(SHOW + then, self.desk.box.project / "main.py")

    @property
    def folder(self) -> Path:
        """The record of the only submission."""
        (folder,) = self.desk.records
        return folder

    @property
    def output(self) -> str:
        """The log of the task that was started last."""
        return (self.desk.box.root / "out").read_text()

    def agent(self, program: str) -> None:
        """Put a program in the place of wandb, `python -m wandb`, and a real Python into the environment."""
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        path = self.desk.box.project / "virtual_env" / "lib" / version / "site-packages" / "wandb"
        self.desk.box.write("", path / "__init__.py")
        self.desk.box.write(program, path / "__main__.py")

    def start(self, index: int, *arguments: str) -> "subprocess.Popen[str]":
        """Start a task, in a process group of its own."""
        self.desk.wandb.python.unlink()
        self.desk.wandb.python.symlink_to(Path(sys.executable).resolve())
        environ = self.desk.box.environ | {
            "SLURM_JOB_ID": str(4242 + index),
            "SLURM_ARRAY_JOB_ID": "4242",
            "SLURM_ARRAY_TASK_ID": str(index),
            "SLURM_JOB_NUM_NODES": "1",
            "SLURMD_NODENAME": "n1",
            "SLURM_PROCID": "0",
            "SLURM_NODEID": "0",
            "SLURM_LOCALID": "0",
            "SLURM_STEP_ID": "0",
            "SLURM_TMPDIR": str(self.desk.box.root / "tmp"),
        }
        with (self.desk.box.root / "out").open("w") as out:
            process = subprocess.Popen(
                ["bash", str(self.folder / "script.sh"), *arguments],
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        self.started.append(process.pid)
        return process

    def run(self, index: int, *arguments: str) -> int:
        """Run a task to its end; return its exit code."""
        return self.start(index, *arguments).wait(timeout=300)

    def terminate(self, process: "subprocess.Popen[str]") -> None:
        """Send TERM as Slurm does with proctrack/cgroup: to the batch shell and the steps' tasks."""
        listed = subprocess.run(
            ["ps", "-ww", "-eo", "pid,pgid,args"], capture_output=True, text=True, timeout=120, check=True
        )
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        own = [(int(pid), args) for pid, group, args in rows if group == str(process.pid)]
        tasks = [pid for pid, args in own if args.startswith("python main.py")]
        assert len(tasks) == 1, own
        for pid in (process.pid, *tasks):
            os.kill(pid, signal.SIGTERM)

    def trial(self, number: int) -> dict[str, str]:
        """What a trial's end left; empty where it has not ended."""
        path = self.folder / "tasks" / str(number) / "trial"
        lines = path.read_text().splitlines() if path.exists() else []
        return dict(line.split("=", 1) for line in lines)

    def wait_for(self, text: str) -> None:
        """Wait until the log holds a text."""
        deadline = time.monotonic() + 300
        while text not in self.output:
            assert time.monotonic() < deadline, self.output
            time.sleep(0.05)

    def end(self) -> None:
        """End what a test left running."""
        for group in self.started:
            with suppress(ProcessLookupError):
                os.killpg(group, signal.SIGKILL)
