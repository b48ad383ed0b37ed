"""The test clusters as Python sees them: start one, run commands on it, break it, ask about jobs.

Everything is done by ``testcluster.sh``; this module adds types, time limits and job states.
"""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

Daemon = Literal["munged", "mariadb", "slurmdbd", "slurmctld", "slurmd"]

HERE: Final = Path(__file__).resolve().parent
SCRIPT: Final = HERE / "testcluster.sh"
STATE: Final = Path(os.environ.get("HPCSUBMIT_TESTCLUSTER", "/var/lib/hpcsubmit-testcluster"))
USERS: Final = ("researcher", "researcher2")

SHARED_DISKS: Final = ("home", "scratch", "project")
NODE_DISKS: Final = ("tmp", "var/tmp", "localscratch", "scratch-ssd")

# What Slurm calls a job that will not change any more.
FINAL_STATES: Final = frozenset(
    {
        "BOOT_FAIL",
        "CANCELLED",
        "COMPLETED",
        "DEADLINE",
        "FAILED",
        "NODE_FAIL",
        "OUT_OF_MEMORY",
        "PREEMPTED",
        "TIMEOUT",
    }
)

_UP_LIMIT: Final = 3000.0  # from a machine without any of the packages, and with indexes that falter
_POLL: Final = 0.2


class ClusterError(Exception):
    """The test cluster itself did not do what it was told."""


@functools.cache
def unavailable() -> str | None:
    """Why this machine cannot have a test cluster, or None when it can."""
    if os.geteuid() != 0:
        return "the test cluster needs root"
    if shutil.which("apt-get") is None or shutil.which("dpkg-query") is None:
        return "the test cluster needs a Debian machine (apt-get)"
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        return "the test cluster needs unshare and nsenter (util-linux)"
    namespaces = ("unshare", "-m", "-n", "-u", "-i", "-p", "-C", "--fork")
    # What a fake machine does first, and what containers often forbid.
    probe = "mount -t proc proc /proc && mount -t tmpfs none /mnt && mknod -m 600 /mnt/null c 1 3"
    try:
        done = subprocess.run(
            (*namespaces, "sh", "-c", probe), capture_output=True, text=True, timeout=120, check=False
        )
    except subprocess.TimeoutExpired:
        return "the test cluster needs namespaces, and making them hangs here"
    if done.returncode != 0:
        return f"the test cluster needs namespaces, mounts and device files: {done.stderr.strip()}"
    return None


@dataclass(frozen=True)
class Cluster:
    """One running cluster: the names of its machines, and what can be done with them."""

    name: str
    login: str
    control: str
    nodes: tuple[str, ...]

    def popen(
        self,
        argv: Sequence[str],
        *,
        user: str = "researcher",
        host: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.Popen[str]:
        """Start a command as a login of this user would, by default on the login node.

        The environment holds what a login sets and ``env``, nothing of the caller's; the folder is
        the user's home unless given.  The command leads a process group of its own, so
        ``os.killpg(process.pid, signal.SIGINT)`` is a Ctrl-C: the command alone gets it.
        """
        line = [str(SCRIPT), "on", f"{self.name}:{host or self.login}", "-u", user]
        if cwd is not None:
            line += ["-C", cwd]
        for key, value in (env or {}).items():
            line += ["-e", f"{key}={value}"]
        process = subprocess.Popen(
            [*line, "--", *argv],
            stdin=subprocess.DEVNULL if stdin is None else subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",
            start_new_session=True,
        )
        if stdin is not None:
            _feed(process, stdin)
        return process

    def run(
        self,
        argv: Sequence[str],
        *,
        user: str = "researcher",
        host: str | None = None,
        cwd: str | None = None,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
        timeout: float = 300.0,
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, as ``popen`` starts it; past ``timeout`` it is killed."""
        with self.popen(argv, user=user, host=host, cwd=cwd, env=env, stdin=stdin) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except BaseException:
                # All of the group: the process that we know only waits for the command.
                os.killpg(process.pid, signal.SIGKILL)
                raise
            return subprocess.CompletedProcess(list(argv), process.returncode, out, err)

    def shared(self, path: str) -> Path:
        """Where a path below /home, /scratch or /project of the cluster lies on this machine."""
        return self._mapped(path, SHARED_DISKS, self._area / "shared")

    def node_disk(self, node: str, path: str) -> Path:
        """Where a path on a machine's private disk, such as /tmp or /scratch-ssd, lies on this machine."""
        return self._mapped(path, NODE_DISKS, self._area / "machines" / node)

    def power_cut(self, node: str) -> None:
        """End everything on this machine at once.

        Slurm calls its jobs failed half a minute later.  A node that is booted before has lost them
        all the same, but slurmctld believes for much longer that they run.
        """
        testcluster("power", "cut", self.name, node)

    def boot(self, node: str, timeout: float = 300.0) -> None:
        """Switch a machine on, and wait until it serves again."""
        testcluster("power", "on", self.name, node)
        if node in self.nodes:
            self._wait_for_node(node, timeout)

    def stop_daemon(self, host: str, daemon: Daemon) -> None:
        """End a daemon in an orderly way; it stays down."""
        testcluster("daemon", "stop", self.name, host, daemon)

    def kill_daemon(self, host: str, daemon: Daemon) -> None:
        """Kill a daemon; it stays down."""
        testcluster("daemon", "kill", self.name, host, daemon)

    def start_daemon(self, host: str, daemon: Daemon) -> None:
        """Start a daemon that is down, and wait until it answers."""
        testcluster("daemon", "start", self.name, host, daemon)

    def job_state(self, job_id: int | str) -> tuple[str, str]:
        """The job's state and exit code ("7:0"), from scontrol or, if it has forgotten, sacct.

        Of an array it is the first task that has not ended well, or has not ended.
        """
        states = self._states(job_id)
        if not states:
            raise LookupError(f"neither scontrol nor sacct of {self.name} knows job {job_id}")
        pending = [entry for entry in states if entry[0] not in FINAL_STATES]
        failed = [entry for entry in states if entry[0] != "COMPLETED"]
        return (pending or failed or states)[0]

    def wait_for_job(self, job_id: int | str, timeout: float = 300.0) -> str:
        """Wait until the job (of an array: every task) has ended, and return its state."""
        end = time.monotonic() + timeout
        while True:
            # sacct may lag behind a submission: no answer is not yet an error.
            states = self._states(job_id)
            if states and all(state in FINAL_STATES for state, _ in states):
                return self.job_state(job_id)[0]
            if time.monotonic() > end:
                raise TimeoutError(f"job {job_id} of {self.name} is {states} after {timeout} s; {self._logs}")
            time.sleep(_POLL)

    def wait_running(self, job_id: int | str, timeout: float = 300.0) -> None:
        """Wait until the job, or one task of an array, runs."""
        end = time.monotonic() + timeout
        while True:
            states = [state for state, _ in self._states(job_id)]
            if "RUNNING" in states:
                return
            if states and all(state in FINAL_STATES for state in states):
                raise ClusterError(f"job {job_id} of {self.name} ended as {states} before it was seen to run")
            if time.monotonic() > end:
                raise TimeoutError(f"job {job_id} of {self.name} is {states} after {timeout} s; {self._logs}")
            time.sleep(_POLL)

    def cancel_all(self, timeout: float = 300.0) -> None:
        """Cancel every job, and wait until none is left."""
        end = time.monotonic() + timeout
        said: list[str] = []
        while True:
            left = self._ask("squeue", "-h", "-o", "%A").split()
            if not left:
                return
            if time.monotonic() > end:
                raise TimeoutError(f"jobs {left} of {self.name} do not go away: {said}; {self._logs}")
            # That one has ended meanwhile is an error to scancel, and none here: squeue is asked again.
            said = [self.run(("scancel", f"--user={user}"), user="root").stderr for user in (*USERS, "root")]
            time.sleep(_POLL)

    @property
    def logs(self) -> Path:
        """The folder with the logs of all daemons and machines."""
        return self._area / "log"

    @property
    def _area(self) -> Path:
        return STATE / "clusters" / self.name

    @property
    def _logs(self) -> str:
        return f"logs: {self.logs}"

    def _mapped(self, path: str, disks: tuple[str, ...], below: Path) -> Path:
        inner = path.lstrip("/")
        if ".." in Path(inner).parts or not any(f"{inner}/".startswith(f"{disk}/") for disk in disks):
            raise ValueError(f"{path} is not below one of {', '.join('/' + disk for disk in disks)}")
        return below / inner

    def _ask(self, *argv: str) -> str:
        done = self.run(argv, user="root")
        if done.returncode != 0:
            raise ClusterError(f"{' '.join(argv)} on {self.name}: {done.stderr.strip()}; {self._logs}")
        return done.stdout

    def _states(self, job_id: int | str) -> list[tuple[str, str]]:
        done = self.run(("scontrol", "show", "job", str(job_id)), user="root")
        if done.returncode == 0:
            states = re.findall(r"^   JobState=(\S+)", done.stdout, re.MULTILINE)
            codes = re.findall(r"^   Requeue=\S+ .*\bExitCode=(\S+)$", done.stdout, re.MULTILINE)
            return list(zip(states, codes, strict=True))
        if "Invalid job id" not in done.stderr:
            raise ClusterError(f"scontrol of {self.name}: {done.stderr.strip()}; {self._logs}")
        rows = self._ask("sacct", "-nPX", "-j", str(job_id), "-o", "State,ExitCode").split("\n")
        # "CANCELLED by 1002"
        return [(state.split()[0], code) for state, _, code in (row.partition("|") for row in rows) if code]

    def _wait_for_node(self, node: str, timeout: float) -> None:
        end = time.monotonic() + timeout
        while True:
            states = self._ask("sinfo", "-h", "-N", "-n", node, "-o", "%t").split()
            if states and all(state in {"idle", "mix", "alloc"} for state in states):
                return
            if time.monotonic() > end:
                raise TimeoutError(f"node {node} of {self.name} is {states} after {timeout} s; {self._logs}")
            time.sleep(_POLL)


def up(name: str) -> Cluster:
    """Start a cluster ("cedar" or "plai") unless it is up, installing what it needs."""
    testcluster("up", name)
    machines = [
        line.split()
        for line in (HERE / "etc" / name / "machines").read_text(encoding="utf-8").splitlines()
        if line and not line.startswith("#")
    ]

    def with_role(role: str) -> tuple[str, ...]:
        return tuple(machine for machine, its_role, _ in machines if its_role == role)

    return Cluster(name, with_role("login")[0], with_role("control")[0], with_role("compute"))


def down(name: str, *, wipe: bool = False) -> None:
    """End a cluster; ``wipe`` also forgets its jobs, disks and logs."""
    testcluster("down", *(("--wipe",) if wipe else ()), name)


def _feed(process: subprocess.Popen[str], text: str) -> None:
    """Write all of a short input before the caller starts to read."""
    assert process.stdin is not None
    try:
        process.stdin.write(text)
        process.stdin.close()
    except BrokenPipeError:
        pass
    process.stdin = None


def testcluster(*arguments: str) -> None:
    """Run testcluster.sh; what it says goes into the error when it fails."""
    done = subprocess.run(
        (str(SCRIPT), *arguments),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors="replace",
        timeout=_UP_LIMIT,
        check=False,
    )
    if done.returncode != 0:
        raise ClusterError(f"testcluster.sh {' '.join(arguments)}: {done.stderr.strip()}")
