"""Sweeps whose programs and whose wandb agent run inside a real Apptainer, also on two nodes at once."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.images import PYTHON_BINDS, python_images
from cluster.job_python import job_python_with_wandb
from e2e.desk import Desk
from e2e.harbour import harbour, python_image
from e2e.test_node_local_folders import clean
from e2e.test_sweeps_wandb import GRID, PROGRAM, runs_of
from e2e.trial_programs import QUICK, RANKS, logs, newest_run, wait_for_array
from e2e.wandb_harbour import KEY, WandbDesk, files_with, wandb_desk

TWO_NODES = ("--trial-gpus", "2", "--trial-nodes", "2", "-W", "torchrun")


@pytest.fixture
def aboard(plai: Desk) -> Iterator[Desk]:
    yield from harbour(plai)


@pytest.fixture
def online(aboard: Desk) -> Iterator[WandbDesk]:
    aboard.write("trial.py", PROGRAM)
    with wandb_desk(aboard) as found:
        yield found


def submit(online: WandbDesk, *argv: str) -> int:
    """Submit into the image with a runscript; its Python is the one that has wandb."""
    python = job_python_with_wandb()
    image = [*python_image(), "--bind", f"{python.parents[2]}:{python.parents[2]}:ro"]
    environ = {**online.environ, "APPTAINERENV_PREPEND_PATH": str(python.parent)}
    done = online.desk.hpcsubmit("--parsable", "-m", "700M", *image, *argv, environ=environ, timeout=600)
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_agents_in_a_container_run_every_combination_and_show_the_key_to_nobody(online: WandbDesk) -> None:
    (sweep,) = online.create(GRID.replace("lr: [0.1, 0.2]", "lr: [0.1]\n  nap: 4\n  fail: 2"))
    job = submit(online, "-w", sweep, "--num-sweeps", "2")
    argv = ""
    deadline = time.monotonic() + 400
    while "".join(logs(online.desk, job).values()).count("\nrun ") < 2:
        assert time.monotonic() < deadline, logs(online.desk, job)
        for node in online.desk.cluster.nodes:
            argv += online.desk.cluster.run(["ps", "-ewwo", "args"], host=node, user="root").stdout
        time.sleep(0.5)
    wait_for_array(online.desk, job)
    said = "".join(logs(online.desk, job).values())
    assert "wandb agent" in argv
    assert KEY not in argv + said
    assert sorted(re.findall(r"^run \S+ new 0\.1 (\d)", said, re.M)) == ["1", "2"], said
    codes = [path.read_text().strip() for path in newest_run(online.desk).glob("tasks/*/exit")]
    assert sorted(codes) == ["0", "5"], said
    assert len(runs_of(online, sweep)) == 2
    assert files_with(KEY, online.desk.scratch(), online.desk.project) == []
    assert clean(online.desk)


def test_a_run_of_an_agent_in_a_container_is_torchrun_on_two_nodes(online: WandbDesk) -> None:
    online.desk.write("trial.py", RANKS)
    (sweep,) = online.create("program: trial.py\nmethod: grid\nparameters: {lr: [0.1]}\n")
    job = submit(online, "-w", sweep, "--num-sweeps", "1", *TWO_NODES)
    wait_for_array(online.desk, job)
    _check_ranks(logs(online.desk, job)[1])


def test_without_a_server_a_trial_in_a_container_is_torchrun_on_two_nodes(aboard: Desk) -> None:
    aboard.write("trial.py", RANKS)
    aboard.write("sweeper.yml", "program: trial.py\nmethod: grid\nparameters: {lr: [0.1]}\n")
    job = _run_offline(aboard, python_images().with_runscript, *TWO_NODES)
    _check_ranks(logs(aboard, job)[1])
    assert clean(aboard)


def test_without_a_server_and_without_a_runscript_every_trial_runs(aboard: Desk) -> None:
    aboard.write("trial.py", QUICK)
    aboard.write("sweeper.yml", "program: trial.py\nmethod: grid\nparameters: {lr: [0.1], depth: [1, 2]}\n")
    job = _run_offline(aboard, python_images().without_runscript, "--container-exec")
    said = logs(aboard, job)
    seen = [re.findall(r'^trial \{"lr": "0.1", "depth": "(\d)"', said[task], re.M) for task in (1, 2)]
    assert seen == [["1"], ["2"]], said


def _run_offline(desk: Desk, image: Path, *argv: str) -> int:
    binds = [word for bind in PYTHON_BINDS for word in ("--bind", bind)]
    words = ["sweep", "run", "sweeper.yml", "--offline", "--parsable", "-m", "700M"]
    done = desk.hpcsubmit(*words, "-s", str(image), *binds, *argv)
    assert done.returncode == 0, done.stderr
    wait_for_array(desk, int(done.stdout))
    return int(done.stdout)


def _check_ranks(said: str) -> None:
    ranks = re.findall(r"^rank (\d) of 4 on (\S+) lr 0\.1", said, re.M)
    assert sorted(rank for rank, _ in ranks) == ["0", "1", "2", "3"], said
    assert len({node for _, node in ranks}) == 2
