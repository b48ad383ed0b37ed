"""The embedded cluster in a folder of its own, and its commands, as a test uses them."""

import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

COMMAND = (sys.executable, "-P", "-m", "hpcsubmit.local")
SECONDS = 120.0
T = TypeVar("T")
_FIELD = re.compile(r"(\S+?)=(.*?)(?= \S+?=|$)")


def until(look: Callable[[], T | None], what: str, seconds: float = SECONDS) -> T:
    """Looks until there is something to see; fails with what was waited for when the time is over."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if found := look():
            return found
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def lives(pid: int) -> bool:
    """Whether a process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except (FileNotFoundError, ProcessLookupError):
        return False


@dataclass(frozen=True)
class Cluster:
    """One state folder, one work folder, one temporary folder."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @classmethod
    def below(cls, root: Path) -> "Cluster":
        for name in ("home", "state", "tmp", "work"):
            (root / name).mkdir()
        environ = {
            "PATH": os.environ["PATH"],
            "HOME": str(root / "home"),
            "TMPDIR": str(root / "tmp"),
            "XDG_STATE_HOME": str(root / "state"),
            "TZ": "UTC",
            "HPCSUBMIT_LOCAL_KILL_WAIT": "1",
        }
        return cls(root, environ)

    @property
    def work(self) -> Path:
        return self.root / "work"

    @property
    def state(self) -> Path:
        return self.root / "state" / "hpcsubmit" / "local"

    @property
    def node_folders(self) -> list[Path]:
        """The nodes' private folders that there are, of all jobs."""
        return sorted((self.root / "tmp").glob("hpcsubmit-*/*/*"))

    def run(self, *argv: str | int | Path, **environ: str) -> subprocess.CompletedProcess[str]:
        """One command, in the work folder, within SECONDS."""
        words = [str(word) for word in argv]
        return subprocess.run(
            (*COMMAND, *words),
            cwd=self.work,
            env={**self.environ, **environ},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
            stdin=subprocess.DEVNULL,
        )

    def script(self, body: str, *directives: str, name: str = "job.sh") -> Path:
        lines = ["#!/bin/bash", *(f"#SBATCH {directive}" for directive in directives), body, ""]
        path = self.work / name
        path.write_text("\n".join(lines))
        return path

    def submit(self, body: str, *directives: str, name: str = "job.sh", **environ: str) -> int:
        """A job with its log in `work/ID.out`, unless the directives say another."""
        script = self.script(body, "--output=%j.out", *directives, name=name)
        said = self.run("sbatch", "--parsable", script, **environ)
        assert said.returncode == 0, said.stderr
        return int(said.stdout)

    def log(self, job: int | str) -> str:
        return (self.work / f"{job}.out").read_text()

    def show(self, job: int | str) -> dict[str, str]:
        """The fields of `scontrol show job --oneliner`; of an array, those of its first line."""
        said = self.run("scontrol", "show", "job", "--oneliner", job)
        assert said.returncode == 0, said.stderr
        return dict(_FIELD.findall(said.stdout.splitlines()[0]))

    def states(self, job: int | str) -> dict[str, str]:
        """How a job or the tasks of an array stand, by what sacct calls them."""
        lines = self.run(
            "sacct", "-X", "-P", "-n", "--format=JobID,State", f"--jobs={job}"
        ).stdout.splitlines()
        return dict(line.split("|") for line in lines)

    def queue(self, *options: str) -> list[str]:
        """Job, state and reason of each line of squeue."""
        said = self.run("squeue", "--noheader", "--format=%i %T %r", *options)
        assert said.returncode == 0, said.stderr
        return said.stdout.splitlines()

    def end_of_tasks(self, array: int) -> dict[str, str]:
        """Waits until no task of an array is left; the states of all that there are."""
        until(lambda: not self.queue(f"--jobs={array}"), f"the end of array {array}")
        return self.states(array)

    def end(self, job: int | str) -> dict[str, str]:
        """Waits until the job has ended, and shows it."""
        running = ("PENDING", "RUNNING", "COMPLETING")
        return until(
            lambda: None if (shown := self.show(job))["JobState"] in running else shown,
            f"the end of job {job}",
        )

    def at_rest(self) -> None:
        """Waits until every runner has put down its last record: a job's end can be seen a little before."""
        marks = [self.state / kind for kind in ("active", "arrays")]
        until(lambda: not [mark for folder in marks for mark in folder.glob("*")], "the runners to end")

    def written(self, path: Path) -> str:
        """Waits until a job has written something there."""
        return until(lambda: path.read_text() if path.exists() else "", f"{path.name} to be written")

    def cancel_all(self) -> None:
        ids = [path.name for kind in ("arrays", "active") for path in (self.state / kind).glob("*")]
        for job in ids:
            self.run("scancel", job)
        until(lambda: not self.queue(), "the end of all jobs")


def variables(text: str) -> Mapping[str, str]:
    """The output of `env`."""
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
