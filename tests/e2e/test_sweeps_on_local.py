"""Sweeps of a real wandb agent on the embedded cluster, on a machine without Slurm."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.job_python import wandb_python
from e2e.test_on_local import laptop, node_local
from e2e.test_sweeps_hard import LONG, PROGRAM
from sandbox import HPCSUBMIT, Sandbox
from wandb_server import KEY, WandbServer, wandb_server

__all__ = ["laptop"]

SWEEP = "program: trial.py\nmethod: grid\nparameters: {how: [%s], nap: %s}\n"


@pytest.fixture
def server(laptop: Sandbox) -> Iterator[WandbServer]:
    """A server, whose key lies in the user's file, and an environment with wandb."""
    (laptop.project / "virtual_env").rename(laptop.project / "unused")
    (laptop.project / "virtual_env").symlink_to(wandb_python().parents[1])
    laptop.write(f"{KEY}\n", laptop.root / "home" / "wandb_credentials.txt")
    laptop.write(PROGRAM, laptop.project / "trial.py")
    with wandb_server() as found:
        laptop.environ.update(WANDB_BASE_URL=found.url, WANDB_ENTITY="lab", WANDB_PROJECT="gan")
        yield found


def log(laptop: Sandbox, task: int) -> str:
    paths = (laptop.root / "state/hpcsubmit/scratch/gan/hpc_outputs").glob(f"*_1_{task}.out")
    return "".join(path.read_text() for path in paths)


def records(laptop: Sandbox) -> dict[str, str]:
    """The first line of the record of each trial that has ended."""
    found = (laptop.root / "state/hpcsubmit/scratch/gan/hpcsubmit/runs").glob("*/tasks/*/trial")
    return {path.parent.name: path.read_text().partition("\n")[0] for path in found}


def processes(laptop: Sandbox) -> list[str]:
    """What runs of the laptop's jobs: their folder is in the environment or in the arguments."""
    found = []
    for process in Path("/proc").iterdir():
        try:
            argv, environ = (process / "cmdline").read_bytes(), (process / "environ").read_bytes()
        except OSError:  # it has ended
            continue
        if process.name != str(os.getpid()) and os.fsencode(laptop.root) in argv + environ:
            found.append(argv.decode(errors="replace").replace("\0", " "))
    return found


def test_an_agent_s_runs_give_their_codes_and_nothing_is_left(laptop: Sandbox, server: WandbServer) -> None:
    laptop.write(SWEEP % ("well, badly", 0), laptop.project / "sweeper.yml")
    said = laptop.hpcsubmit("sweep", "run", "sweeper.yml", timeout=400)
    assert said.code == 0, said.stderr
    wait_until(laptop, lambda: not processes(laptop))
    assert sorted(records(laptop).values()) == ["code=0", "code=5"], log(laptop, 1) + log(laptop, 2)
    assert len(server.state()["runs"]) == 2
    assert not node_local(laptop)


@pytest.mark.parametrize("how", ["well", "deaf"])
def test_cancelling_ends_the_agent_and_its_run(laptop: Sandbox, server: WandbServer, how: str) -> None:
    laptop.write(SWEEP % (how, LONG), laptop.project / "sweeper.yml")
    assert laptop.hpcsubmit("sweep", "run", "sweeper.yml", timeout=400).code == 0
    wait_until(laptop, lambda: "\nrun " in log(laptop, 1))
    assert any("wandb agent" in argv for argv in processes(laptop))
    assert laptop.hpcsubmit("cancel", "1", timeout=400).code == 0
    wait_until(laptop, lambda: not processes(laptop))
    assert records(laptop) == {}
    assert not node_local(laptop)
    assert "CANCELLED" in laptop.hpcsubmit("status", "1").stdout


def test_ctrl_c_while_following_leaves_the_agent_running(laptop: Sandbox, server: WandbServer) -> None:
    laptop.write(SWEEP % ("well", LONG), laptop.project / "sweeper.yml")
    argv = [*HPCSUBMIT, "sweep", "run", "sweeper.yml", "--follow"]
    follower = subprocess.Popen(
        argv, cwd=laptop.project, env=laptop.environ, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    wait_until(laptop, lambda: "\nrun " in log(laptop, 1))
    os.killpg(follower.pid, signal.SIGINT)
    _, said = follower.communicate(timeout=60)
    assert follower.returncode == 130, said
    laptop.write("", laptop.project / "well.go")
    wait_until(laptop, lambda: not processes(laptop))
    assert records(laptop) == {"1": "code=0"}, log(laptop, 1)


def wait_until(laptop: Sandbox, holds: Callable[[], bool], limit: float = 300) -> None:
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, (processes(laptop), log(laptop, 1))
        time.sleep(0.2)
