"""The real wandb client, and what hpcsubmit asks with it, against the stand-in server: without Slurm."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.job_python import wandb_python
from e2e.wandb_harbour import contents, files_with
from sandbox import Said, Sandbox
from wandb_server import WandbServer, wandb_server

KEY = "e2e5e2e7" * 5
PROGRAM = """import argparse, os, sys, time
import wandb

parser = argparse.ArgumentParser()
for name, kind in (("lr", float), ("bs", int), ("steps", int), ("sleep", float), ("code", int)):
    parser.add_argument("--" + name, type=kind, default=kind(0))
given = parser.parse_args()
with wandb.init(config={"lr": given.lr, "bs": given.bs}) as run:
    for step in range(given.steps or 2):
        run.log({"acc": given.lr * given.bs + step})
        time.sleep(given.sleep)
    if given.code:
        raise SystemExit(given.code)
"""
GRID = """program: main.py
method: grid
metric: {name: acc, goal: maximize}
parameters:
  lr: {values: [0.1, 0.2]}
  bs: {values: [1, 2, 3]}
"""
SLOW = GRID + "  sleep: {value: 0.5}\n  steps: {value: 200}\n"


@pytest.fixture(scope="session")
def python() -> Path:
    return wandb_python()


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with wandb_server(key=KEY) as found:
        yield found


class User:
    """A user with a project, the real wandb in its environment, and a server."""

    def __init__(self, sandbox: Sandbox, python: Path, server: WandbServer) -> None:
        self.sandbox, self.python, self.server = sandbox, python, server
        sandbox.environ.update(
            WANDB_API_KEY=KEY,
            WANDB_BASE_URL=server.url,
            WANDB_ENTITY="lab",
            WANDB_PROJECT="gan",
            WANDB_ERROR_REPORTING="false",
            PATH=f"{python.parent}:{sandbox.environ['PATH']}",
        )
        environment = sandbox.project / "virtual_env"
        environment.rename(sandbox.root / "unused")
        environment.symlink_to(python.parents[1])
        sandbox.write(PROGRAM, sandbox.project / "main.py")
        sandbox.write(GRID, sandbox.project / "sweeper.yml")

    def starts(self, *argv: str, **environ: str) -> subprocess.Popen[str]:
        """Start a program of the environment, in the project."""
        return subprocess.Popen(
            [str(self.python.parent / argv[0]), *argv[1:]],
            cwd=self.sandbox.project,
            env=self.sandbox.environ | environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def runs(self, *argv: str, **environ: str) -> str:
        """Run a program of the environment to its end, which is to be a good one; return its output."""
        code, output = end(self.starts(*argv, **environ))
        assert code == 0, output
        return output

    def creates(self) -> str:
        """Make the sweep of the project's file; return ENTITY/PROJECT/ID."""
        said = self.sandbox.hpcsubmit("sweep", "create", timeout=300)
        assert said.code == 0, said
        return said.stdout.strip()

    def asks(self, *argv: str, **environ: str) -> Said:
        return self.sandbox.hpcsubmit("sweep", *argv, environ=self.sandbox.environ | environ, timeout=300)

    def status(self, sweep: str) -> dict[str, Any]:
        """What `sweep status --json` tells."""
        said = self.asks("status", sweep, "--json")
        assert said.code == 0, said
        found: dict[str, Any] = json.loads(said.stdout)
        return found

    def on_server(self) -> list[dict[str, Any]]:
        """The runs that the server has."""
        found: list[dict[str, Any]] = self.server.state()["runs"]
        return found


@pytest.fixture
def user(sandbox: Sandbox, python: Path, server: WandbServer) -> Iterator[User]:
    yield User(sandbox, python, server)
    assert server.state()["unknown"] == []


def end(process: subprocess.Popen[str], timeout: float = 400) -> tuple[int, str]:
    """Wait for the end of a process; return its exit code and its output."""
    try:
        output, _ = process.communicate(timeout=timeout)
    finally:
        process.kill()
    return process.returncode, output


def until(true: Callable[[], object], what: str, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        time.sleep(0.1)


def steps(run: dict[str, Any]) -> list[int]:
    return [row["_step"] for row in run["history"]]


def test_parallel_agents_do_every_combination_of_a_grid_once(user: User) -> None:
    sweep = user.creates()
    before = user.status(sweep)
    assert (before["state"], before["expected"], before["left"], before["best"]) == ("PENDING", 6, 6, None)
    agents = [user.starts("wandb", "agent", sweep) for _ in range(2)]
    assert [end(agent)[0] for agent in agents] == [0, 0]
    done = [(run["values"]["lr"], run["values"]["bs"]) for run in user.on_server()]
    assert sorted(done) == [(lr, bs) for lr in (0.1, 0.2) for bs in (1, 2, 3)]
    assert [steps(run) for run in user.on_server()] == [[0, 1]] * 6
    after = user.status(sweep)
    assert (after["state"], after["runs"]) == ("FINISHED", {"finished": 6, "running": 0, "failed": 0})
    assert after["best"]["config"] == {"lr": 0.2, "bs": 3}
    assert after["best"]["value"] == pytest.approx(1.6)


def test_a_sweep_is_paused_and_goes_on(user: User) -> None:
    sweep = user.creates()
    said = user.asks("pause", sweep)
    assert (said.code, said.error) == (
        1,
        f"the wandb server {user.server.url} refused: Cannot pause pending sweep.",
    )
    user.runs("wandb", "agent", "--count", "1", sweep)
    assert user.asks("pause", sweep).stdout == f"{sweep} is paused\n"
    agent = user.starts("wandb", "agent", "--count", "1", sweep)
    until(lambda: user.server.state()["asked"].get("CreateAgent") == 2, "the second agent")
    assert user.asks("resume", sweep).stdout == f"{sweep} is running\n"
    assert end(agent)[0] == 0
    assert [run["state"] for run in user.on_server()] == ["finished", "finished"]
    assert user.asks("stop", sweep).stdout == f"{sweep} is finished\n"
    said = user.asks("stop", sweep)
    assert said.error == f"the wandb server {user.server.url} refused: Sweep already finished."
    assert said.hint == f"see hpcsubmit sweep status {sweep}"
    user.runs("wandb", "agent", sweep)
    assert len(user.on_server()) == 2


def test_cancel_ends_the_runs_and_their_agents_and_nobody_shows_the_key(user: User) -> None:
    user.sandbox.write(SLOW, user.sandbox.project / "sweeper.yml")
    sweep = user.creates()
    agent = user.starts("wandb", "agent", sweep)
    until(lambda: any(run["state"] == "running" for run in user.on_server()), "a run")
    lines = [contents(path / "cmdline") for path in Path("/proc").iterdir() if path.name.isdecimal()]
    assert any(b"main.py" in line for line in lines)
    assert [line for line in lines if KEY.encode() in line] == []
    assert user.asks("cancel", sweep).stdout == f"{sweep} is canceled\n"
    assert end(agent)[0] == 0
    assert [run["state"] for run in user.on_server()] == ["killed"]
    assert user.status(sweep)["runs"] == {"finished": 0, "running": 0, "failed": 1}
    assert files_with(KEY, user.sandbox.root) == []


def test_offline_runs_are_synced_once_and_keep_their_id(user: User) -> None:
    user.runs("python", "main.py", "--lr", "1", WANDB_MODE="offline", WANDB_RUN_ID="r1-7")
    assert user.on_server() == []
    folder = next((user.sandbox.project / "wandb").glob("offline-run-*-r1-7"))
    for _ in range(2):
        user.runs("wandb", "sync", str(folder))
    assert [(run["name"], run["state"], steps(run)) for run in user.on_server()] == [
        ("r1-7", "finished", [0, 1])
    ]


def test_a_run_that_is_started_again_goes_on_where_it_was(user: User) -> None:
    again = {"WANDB_RUN_ID": "r1-8", "WANDB_RESUME": "allow"}
    user.runs("python", "main.py", **again)
    user.runs("python", "main.py", **again)
    assert [(run["name"], run["starts"], steps(run)) for run in user.on_server()] == [
        ("r1-8", 2, [0, 1, 2, 3])
    ]


def test_a_run_that_fails_has_failed_on_the_server_too(user: User) -> None:
    code, _ = end(user.starts("python", "main.py", "--code", "3", WANDB_RUN_ID="bad"))
    assert code == 3
    assert [(run["name"], run["state"]) for run in user.on_server()] == [("bad", "failed")]


def test_what_is_wrong_is_told_with_its_cure(user: User) -> None:
    url = user.server.url
    wrong = user.asks("status", "lab/gan/nope")
    assert (wrong.code, wrong.error) == (1, f"{url} knows no sweep nope of the entity lab, project gan")
    key = user.asks("status", "lab/gan/nope", WANDB_API_KEY=KEY[:-1] + "x")
    assert (key.code, key.error) == (1, f"the wandb server {url} does not accept the key of WANDB_API_KEY")
    short = user.asks("create", WANDB_API_KEY="short")
    assert (short.code, short.error) == (
        1,
        f"the wandb server {url} does not accept the key of WANDB_API_KEY",
    )
    nowhere = user.asks("create", WANDB_BASE_URL="http://127.0.0.1:9")
    assert nowhere.code == 1
    assert nowhere.error.startswith("the wandb server http://127.0.0.1:9 cannot be reached: ")
    assert user.server.state()["sweeps"] == []


def test_the_runs_of_a_sweep_come_with_their_curves(user: User) -> None:
    sweep = user.creates()
    user.runs("wandb", "agent", "--count", "2", sweep)
    request = json.dumps({"action": "runs", "sweep": sweep, "samples": 10})
    client = Path(__file__).parents[2] / "src" / "hpcsubmit" / "sweeps" / "client.py"
    done = subprocess.run(
        [str(user.python), str(client)],
        input=request,
        env=user.sandbox.environ,
        cwd=user.sandbox.project,
        capture_output=True,
        text=True,
        timeout=300,
    )
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["metric"] == "acc"
    assert [(run["state"], [row["_step"] for row in run["history"]]) for run in answer["runs"]] == [
        ("finished", [0, 1]),
        ("finished", [0, 1]),
    ]
    assert all(set(run["summary"]) == {"acc"} and run["seconds"] >= 0 for run in answer["runs"])
    assert not any(path.name == "wandb" for path in Path(user.sandbox.root / "home").iterdir())
