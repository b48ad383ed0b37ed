"""Sweeps without a server, and repeats, on a real Slurm: every trial once, also where each is a whole job."""

import json
import re
import time
from typing import Any

import pytest

from e2e.conftest import CHECKOUT
from e2e.desk import Desk
from e2e.trial_programs import QUICK, RANKS, logs, newest_run, wait_for_array

GRID = """
program: trial.py
method: grid
metric: {name: accuracy, goal: maximize}
parameters:
  lr: [0.1, 0.2, 0.3]
  depth: [1, 2]
  name: "it's one"
"""


@pytest.fixture
def sweeper(desk: Desk) -> Desk:
    desk.write("trial.py", QUICK)
    desk.write("sweeper.yml", GRID)
    return desk


def run_sweep(desk: Desk, *argv: str) -> int:
    """Submit sweeper.yml without a server; returns the array's job."""
    done = desk.hpcsubmit("sweep", "run", "sweeper.yml", "--offline", "--parsable", *argv)
    assert done.returncode == 0, done.stderr
    return int(done.stdout.split()[0])


def results(desk: Desk, job: int) -> dict[int, dict[str, Any]]:
    done = desk.hpcsubmit("sweep", "results", str(job), "--json")
    assert done.returncode == 0, done.stderr
    return {trial["number"]: trial for trial in json.loads(done.stdout)["trials"]}


def test_the_shipped_sweep_trains_the_demo_as_it_is(plai: Desk) -> None:
    plai.write("sweeper.yml", (CHECKOUT / "sweeper.yml").read_text("utf-8"))
    job = run_sweep(plai, "--num-sweeps", "2", "-m", "900M")
    wait_for_array(plai, job)
    found = results(plai, job)
    assert [trial["metrics"]["accuracy"] > 0.9 for trial in found.values()] == [True, True], logs(plai, job)
    assert found[2]["parameters"] == {"lr": 0.001, "batch_size": 16, "hidden": 128, "epochs": 15}


def test_every_combination_runs_once_and_has_its_line_in_the_results(sweeper: Desk) -> None:
    job = run_sweep(sweeper, "-m", "500M")
    wait_for_array(sweeper, job)
    said = logs(sweeper, job)
    seen = sorted(
        re.findall(
            r'^trial \{"lr": "(\S+)", "depth": "(\d)", "name": "it\'s one"', "".join(said.values()), re.M
        )
    )
    assert seen == [(lr, depth) for lr in ("0.1", "0.2", "0.3") for depth in "12"], said
    found = results(sweeper, job)
    assert {trial["state"] for trial in found.values()} == {"finished"}
    assert found[6]["parameters"] == {"lr": 0.3, "depth": 2, "name": "it's one"}
    table = sweeper.hpcsubmit("sweep", "results", str(job))
    assert "6 finished" in table.stderr
    assert re.search(r"^6 +0\.3 +2 +5 ", table.stdout, re.M), table.stdout


def test_a_trial_that_fails_is_shown_and_can_be_run_again_alone(sweeper: Desk) -> None:
    sweeper.write("sweeper.yml", GRID + "  fail: 2\n")
    job = run_sweep(sweeper, "-m", "500M")
    wait_for_array(sweeper, job)
    found = results(sweeper, job)
    assert {n for n, trial in found.items() if trial["state"] == "failed"} == {2, 4, 6}
    assert {trial["exit_code"] for trial in found.values()} == {0, 7}
    shown = sweeper.hpcsubmit("status", str(job)).stdout
    assert "3 done, 3 failed" in shown, shown
    sweeper.write("trial.py", QUICK.replace("sys.exit(7)", "pass"))
    again = sweeper.hpcsubmit("sweep", "rerun", str(job), "--failed", "--parsable", "-m", "500M")
    assert again.returncode == 0, again.stderr
    second = int(again.stdout)
    wait_for_array(sweeper, second)
    assert len(logs(sweeper, second)) == 3
    whole = results(sweeper, job)
    assert {trial["state"] for trial in whole.values()} == {"finished"}


def test_seeds_repeat_every_combination(sweeper: Desk) -> None:
    sweeper.write("sweeper.yml", GRID.replace("[0.1, 0.2, 0.3]", "[0.1]"))
    job = run_sweep(sweeper, "-m", "500M", "--seeds", "4,9")
    wait_for_array(sweeper, job)
    found = results(sweeper, job)
    assert [(t["parameters"]["depth"], t["seed"]) for _, t in sorted(found.items())] == [
        (1, 4),
        (1, 9),
        (2, 4),
        (2, 9),
    ]
    assert "95%" in sweeper.hpcsubmit("sweep", "results", str(job)).stdout.replace(" %", "%")


def test_more_trials_than_one_array_takes_become_several_arrays(plai: Desk) -> None:
    plai.write("trial.py", QUICK)
    plai.write("sweeper.yml", GRID)
    plai.write("hpcsubmit.yaml", "profiles: {plai: {max_array_size: 4}}\n")
    try:
        done = plai.hpcsubmit("sweep", "run", "--offline", "--parsable", "-m", "500M", "--repeat", "2")
        assert done.returncode == 0, done.stderr
        jobs = [int(word) for word in done.stdout.split()]
        assert len(jobs) == 4, done.stderr
        for job in jobs:
            wait_for_array(plai, job)
        assert (
            len(
                re.findall(
                    "^trial ", "".join(text for job in jobs for text in logs(plai, job).values()), re.M
                )
            )
            == 12
        )
        assert {t["state"] for t in results(plai, jobs[-1]).values()} == {"finished"}
    finally:
        (plai.project / "hpcsubmit.yaml").unlink()


def test_above_the_limit_of_jobs_each_task_runs_several_trials(plai: Desk) -> None:
    plai.write("trial.py", QUICK)
    plai.write("sweeper.yml", GRID)
    plai.write("hpcsubmit.yaml", "profiles: {plai: {max_jobs: 3}}\n")
    try:
        done = plai.hpcsubmit("sweep", "run", "--offline", "--parsable", "-m", "500M", "-t", "10:00")
        assert done.returncode == 0, done.stderr
        assert "00:05:00 each" in done.stderr, done.stderr
        job = int(done.stdout)
        wait_for_array(plai, job)
        assert sorted(logs(plai, job)) == [1, 2, 3]
        assert {t["state"] for t in results(plai, job).values()} == {"finished"}
    finally:
        (plai.project / "hpcsubmit.yaml").unlink()


@pytest.mark.parametrize("launcher", ["torchrun", "lightning"])
def test_one_trial_is_a_distributed_job_on_two_nodes(desk: Desk, launcher: str) -> None:
    desk.write("trial.py", RANKS)
    desk.write("sweeper.yml", "program: trial.py\nmethod: grid\nparameters: {lr: [0.1, 0.2]}\n")
    trial = ("--trial-gpus", "2", "--trial-nodes", "2", "-W", launcher, "-m", "900M")
    job = run_sweep(desk, *trial)
    wait_for_array(desk, job)
    said = logs(desk, job)
    for task, lr in ((1, "0.1"), (2, "0.2")):
        ranks = re.findall(rf"^rank (\d) of 4 on (\S+) lr {lr} seed None flags (\d*)", said[task], re.M)
        assert sorted(rank for rank, *_ in ranks) == ["0", "1", "2", "3"], said[task]
        assert len({node for _, node, _ in ranks}) == 2
        assert {flags for *_, flags in ranks} == ({"22"} if launcher == "lightning" else {""})
    assert {t["metrics"]["world"] for t in results(desk, job).values()} == {4}


def test_a_distributed_experiment_is_repeated_with_every_seed(plai: Desk) -> None:
    plai.write("trial.py", RANKS)
    plai.write("trial.txt", "python trial.py --lr 0.{seed}\n")
    done = plai.hpcsubmit(
        *(
            "-C",
            "trial.txt",
            "--seeds",
            "3,8",
            "-g",
            "2",
            "-n",
            "2",
            "-W",
            "torchrun",
            "-m",
            "900M",
            "--parsable",
        )
    )
    assert done.returncode == 0, done.stderr
    job = int(done.stdout)
    wait_for_array(plai, job)
    said = logs(plai, job)
    for task, seed in ((1, "3"), (2, "8")):
        ranks = re.findall(rf"^rank (\d) of 4 on \S+ lr 0\.{seed} seed {seed} ", said[task], re.M)
        assert sorted(ranks) == ["0", "1", "2", "3"], said[task]
    assert {t["seed"] for t in results(plai, job).values()} == {3, 8}


def test_a_requeued_task_goes_on_as_the_same_run(plai: Desk) -> None:
    plai.write("trial.py", QUICK)
    plai.write("sweeper.yml", "program: trial.py\nmethod: grid\nparameters: {lr: [0.1], nap: 900}\n")
    (plai.project / "go").unlink(missing_ok=True)
    job = run_sweep(plai, "-m", "500M")
    deadline = time.monotonic() + 300
    while "trial {" not in logs(plai, job).get(1, ""):
        assert time.monotonic() < deadline, logs(plai, job)
        time.sleep(0.3)
    assert plai.cluster.run(["scontrol", "requeue", f"{job}_1"]).returncode == 0
    deadline = time.monotonic() + 300
    while logs(plai, job)[1].count("trial {") < 2:
        assert time.monotonic() < deadline, logs(plai, job)
        time.sleep(0.3)
    plai.write("go", "")
    wait_for_array(plai, job)
    said = logs(plai, job)[1]
    assert len(re.findall("^trial ", said, re.M)) == 2, said
    record = newest_run(plai)
    (trial,) = record.glob("tasks/*/trial")
    assert f"wandb={record.name}-1\n" in trial.read_text()
    assert results(plai, job)[1]["state"] == "finished"
