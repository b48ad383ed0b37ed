"""`hpcsubmit sweep sync` with the real wandb client and the stand-in server: without Slurm."""

import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.job_python import wandb_python
from sandbox import Said, Sandbox
from trial_records import RUN_ID, TrialRecords
from wandb_server import WandbServer, wandb_server

KEY = "5ync5ync" * 5
# Logs some steps, then ends, or leaves a file `logged` and waits for its end.
PROGRAM = """import os, sys, time
import wandb

with wandb.init(config={"lr": 0.1}) as run:
    for step in range(int(sys.argv[1])):
        run.log({"loss": step})
    if sys.argv[2:]:
        open(os.environ["WANDB_DIR"] + "/logged", "x").close()
        time.sleep(900)
"""
# Logs the runs of several trials, one after another in one process: FIRST LAST OUTPUTS RUN.
MANY = """import pathlib, sys
import wandb

for trial in range(int(sys.argv[1]), int(sys.argv[2]) + 1):
    folder = pathlib.Path(sys.argv[3], str(trial))
    folder.mkdir(parents=True)
    place = {"dir": folder, "mode": "offline", "entity": "lab", "project": "gan"}
    with wandb.init(id=f"{sys.argv[4]}-{trial}", **place) as run:
        for step in range(300):
            run.log({"loss": step})
"""


@pytest.fixture(scope="session")
def python() -> Path:
    return wandb_python()


@pytest.fixture
def server() -> Iterator[WandbServer]:
    with wandb_server(key=KEY) as found:
        yield found


class User:
    """A user whose sweep without a server has trials that log with the real wandb."""

    def __init__(self, sandbox: Sandbox, python: Path, server: WandbServer) -> None:
        self.sandbox, self.python, self.server = sandbox, python, server
        self.records = TrialRecords(sandbox.scratch / "gan")
        sandbox.environ.update(
            WANDB_API_KEY=KEY, WANDB_BASE_URL=server.url, WANDB_ERROR_REPORTING="false"
        )  # fmt: skip
        environment = sandbox.project / "virtual_env"
        environment.rename(sandbox.root / "unused")
        environment.symlink_to(python.parents[1])
        sandbox.write(PROGRAM, sandbox.project / "main.py")

    def submitted(self, trials: int) -> None:
        self.records.submitted([["lr", {"values": [0.1] * trials}]], trials)
        plan = json.loads((self.records.folder / "plan.json").read_text())
        plan["project"] = str(self.sandbox.project)
        (self.records.folder / "plan.json").write_text(json.dumps(plan))

    def starts(self, trial: int, *argv: str) -> subprocess.Popen[str]:
        """Start the program of a trial, with the environment that its job gives it."""
        outputs = self.records.outputs / str(trial)
        outputs.mkdir(parents=True, exist_ok=True)
        self.records.began(trial)
        offline = {
            "WANDB_MODE": "offline",
            "WANDB_DIR": str(outputs),
            "WANDB_RUN_ID": f"{RUN_ID}-{trial}",
            "WANDB_RESUME": "allow",
            "WANDB_ENTITY": "lab",
            "WANDB_PROJECT": "gan",
        }
        return subprocess.Popen(
            [str(self.python), "main.py", *argv],
            cwd=self.sandbox.project,
            env=self.sandbox.environ | offline,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
        )

    def runs(self, trial: int, steps: int = 3) -> Path:
        """Run a trial to its good end; return the folder that it logged into."""
        before = set(self.folders(trial))
        process = self.starts(trial, str(steps))
        output, _ = process.communicate(timeout=300)
        assert process.returncode == 0, output
        self.records.ended(trial)
        (folder,) = set(self.folders(trial)) - before
        return folder

    def folders(self, trial: int) -> list[Path]:
        return list((self.records.outputs / str(trial) / "wandb").glob("offline-run-*"))

    def killed(self, trial: int, steps: int) -> None:
        """Run a trial that is killed, with all that it started, once its log has reached the disk."""
        process = self.starts(trial, str(steps), "wait")
        try:
            until(lambda: any(_size(folder) > 30_000 for folder in self.folders(trial)), "the log")
        finally:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate(timeout=300)
        (self.records.folder / "tasks" / str(trial) / "exit").write_text("137\n")

    def syncs(self, *argv: str) -> Said:
        return self.sandbox.hpcsubmit("sweep", "sync", RUN_ID, *argv, timeout=900)

    def on_server(self) -> dict[str, list[int]]:
        """The runs that the server has, with the numbers of their steps."""
        found: list[dict[str, Any]] = self.server.state()["runs"]
        assert len({run["name"] for run in found}) == len(found)
        names = sorted(
            f"{run['entity']}/{run['project']}/{run['name'].removeprefix(RUN_ID)}" for run in found
        )
        assert all(name.startswith(("lab/gan/-", "lab2/p2/-")) for name in names)
        return {
            run["name"].removeprefix(f"{RUN_ID}-"): [row["_step"] for row in run["history"]] for run in found
        }


@pytest.fixture
def user(sandbox: Sandbox, python: Path, server: WandbServer) -> Iterator[User]:
    yield User(sandbox, python, server)
    assert server.state()["unknown"] == []


def until(true: Callable[[], object], what: str, timeout: float = 300) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        time.sleep(0.1)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.glob("*.wandb"))


def test_each_run_is_on_the_server_once_however_often_it_is_synced(user: User) -> None:
    user.submitted(3)
    for trial in (1, 2, 3):
        user.runs(trial, steps=trial)
    assert user.on_server() == {}
    assert user.syncs().stdout == "uploaded 3\n"
    done = {"1": [0], "2": [0, 1], "3": [0, 1, 2]}
    assert user.on_server() == done
    assert {run["state"] for run in user.server.state()["runs"]} == {"finished"}
    asked = user.server.state()["asked"]["UpsertBucket"]
    assert user.syncs().stdout == "nothing to upload: already there 3\n"
    assert user.on_server() == done
    assert user.server.state()["asked"]["UpsertBucket"] == asked
    assert not (user.sandbox.project / "wandb").exists()  # wandb's own logs of its syncs


def test_a_requeued_trial_is_one_run_with_both_parts(user: User) -> None:
    user.submitted(1)
    user.runs(1, steps=2)
    time.sleep(1.1)  # the names of the folders have whole seconds
    user.runs(1, steps=3)
    assert user.syncs().stdout == "uploaded 2\n"
    assert user.on_server() == {"1": [0, 1, 2, 3, 4]}


def test_a_part_that_comes_later_goes_on_where_the_run_was(user: User) -> None:
    user.submitted(1)
    user.runs(1, steps=2)
    assert user.syncs().stdout == "uploaded 1\n"
    time.sleep(1.1)
    user.runs(1, steps=3)
    assert user.syncs().stdout == "uploaded 1, already there 1\n"
    assert user.on_server() == {"1": [0, 1, 2, 3, 4]}


def test_a_killed_trial_is_uploaded_as_far_as_it_goes_and_its_next_part_behind_it(user: User) -> None:
    user.submitted(1)
    user.killed(1, steps=1_000_000)
    first = user.syncs()
    assert (first.code, first.stdout) == (0, "uploaded 1\n"), first
    steps = user.on_server()["1"]
    assert steps == list(range(len(steps)))
    assert 10 < len(steps) < 1_000_000
    assert user.syncs().stdout == "nothing to upload: already there 1\n"
    (user.records.folder / "tasks" / "1" / "exit").unlink()
    user.runs(1, steps=2)
    assert user.syncs().stdout == "uploaded 1, already there 1\n"
    assert user.on_server()["1"] == list(range(len(steps) + 2))


def test_damaged_folders_do_not_stop_the_others(user: User) -> None:
    user.submitted(5)
    no_log, empty, torn, cut, _ = (user.runs(trial, steps=300) for trial in range(1, 6))
    logs = {folder: next(folder.glob("*.wandb")) for folder in (no_log, empty, torn, cut)}
    logs[no_log].unlink()
    os.truncate(logs[empty], 7)
    with logs[torn].open("r+b") as file:
        file.seek(9000)
        file.write(b"\xff" * 100)
    os.truncate(logs[cut], 9000)
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 2, damaged 3: {no_log} {empty} {torn}\n"), said
    assert "trial 4: uploaded" in said.stderr
    found = user.on_server()
    assert sorted(found) == ["3", "4", "5"]
    assert found["5"] == list(range(300))
    assert found["3"] == list(range(len(found["3"])))
    again = user.syncs()
    assert (again.code, again.stdout) == (
        1, f"nothing to upload: already there 2, damaged 3: {no_log} {empty} {torn}\n",
    )  # fmt: skip
    assert user.on_server() == found


def test_a_torn_log_among_many_that_share_a_process_stops_none_of_them(user: User) -> None:
    user.submitted(24)
    many = [str(user.python), "-c", MANY, "1", "24", str(user.records.outputs), RUN_ID]
    subprocess.run(many, cwd=user.sandbox.root, env=user.sandbox.environ, timeout=900, check=True)
    torn, unreadable = (user.folders(trial)[0] for trial in (4, 14))
    for folder, at in ((torn, 9000), (unreadable, 7)):
        with next(folder.glob("*.wandb")).open("r+b") as file:
            file.seek(at)
            file.write(b"\xff" * 100)
    for trial in range(1, 25):
        user.records.ended(trial)
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 22, damaged 2: {torn} {unreadable}\n"), said
    whole = {str(trial): list(range(300)) for trial in range(1, 25) if trial not in (4, 14)}
    found = user.on_server()
    assert {trial: steps for trial, steps in found.items() if trial != "4"} == whole
    assert found["4"] == list(range(len(found["4"])))
    again = user.syncs()
    assert again.stdout == f"uploaded 0, already there 22, damaged 2: {torn} {unreadable}\n", again
    assert user.on_server() == found


def test_a_trial_that_still_runs_is_left_alone_until_it_has_ended(user: User) -> None:
    user.submitted(2)
    user.runs(1)
    process = user.starts(2, "3", "wait")
    try:
        until((user.records.outputs / "2" / "logged").exists, "the end of the steps")
        assert user.syncs().stdout == "uploaded 1, still running 1\n"
        assert user.on_server() == {"1": [0, 1, 2]}
        process.send_signal(signal.SIGINT)  # as Ctrl-C: wandb finishes the run
        process.communicate(timeout=300)
    finally:
        process.kill()
    user.records.ended(2, 1)
    assert user.syncs().stdout == "uploaded 1, already there 1\n"
    assert user.on_server() == {"1": [0, 1, 2], "2": [0, 1, 2]}


def test_a_log_that_has_grown_is_not_added_to_its_run_a_second_time(user: User) -> None:
    user.submitted(1)
    folder = user.runs(1, steps=300)
    log = next(folder.glob("*.wandb"))
    whole = log.read_bytes()
    os.truncate(log, 9000)
    user.syncs()
    before = user.on_server()
    log.write_bytes(whole)
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"nothing to upload: grown since its upload 1: {folder}\n")
    assert user.on_server() == before
    # What it says to do works, and is seen.
    words = next(line for line in said.stderr.splitlines() if "wandb sync" in line).split("wandb sync ")[1]
    argv = [str(user.python), "-m", "wandb", "sync", *words.replace("NEW-ID", f"{RUN_ID}-new").split()]
    subprocess.run(argv, cwd=user.sandbox.project, env=user.sandbox.environ, timeout=300, check=True)
    assert user.on_server()["new"] == list(range(300))
    assert user.syncs().stdout == "nothing to upload: already there 1\n"


def test_runs_go_where_the_options_say(user: User) -> None:
    user.submitted(1)
    user.runs(1)
    assert user.syncs("--entity", "lab2", "--project", "p2").stdout == "uploaded 1\n"
    assert [(run["entity"], run["project"]) for run in user.server.state()["runs"]] == [("lab2", "p2")]
    assert user.on_server() == {"1": [0, 1, 2]}


def test_a_server_that_is_away_or_refuses_the_key_is_told_at_once(user: User) -> None:
    user.submitted(1)
    user.runs(1)
    user.sandbox.environ["WANDB_API_KEY"] = KEY[:-1] + "x"
    url = user.server.url
    assert user.syncs().error == f"the wandb server {url} does not accept the key of WANDB_API_KEY"
    user.sandbox.environ.update(WANDB_API_KEY=KEY, WANDB_BASE_URL="http://127.0.0.1:9")
    assert user.syncs().error.startswith("the wandb server http://127.0.0.1:9 cannot be reached: ")
    user.sandbox.environ.update(WANDB_BASE_URL=url)
    assert user.syncs().stdout == "uploaded 1\n"
