"""Sweeps with the real wandb client, from jobs of a real Slurm, against the stand-in server."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from e2e.conftest import CHECKOUT
from e2e.desk import Desk
from e2e.rank_programs import SAY
from e2e.trial_programs import RANKS, logs, newest_run, wait_for_array
from e2e.wandb_harbour import KEY, WandbDesk, files_with, wandb_desk

# One write a line, since the agent says things at the same time.
PROGRAM = (
    SAY
    + """
import argparse, json, time
import wandb
parser = argparse.ArgumentParser()
for name in ("lr", "depth", "fail", "nap"):
    parser.add_argument(f"--{name}", default="0")
given = parser.parse_args()
run = wandb.init(config=vars(given))
begun = "resumed" if run.resumed else "new"
say("run", run.id, begun, given.lr, given.depth, os.environ["OUTPUT_DIR"])
sys.stdout.flush()
time.sleep(float(given.nap) * (not run.resumed))
run.log({"accuracy": float(given.lr) * 10 + float(given.depth)})
run.finish(exit_code=5 if given.fail == given.depth != "0" else 0)
if given.fail == given.depth != "0":
    sys.exit(5)
"""
)
GRID = """
program: trial.py
method: grid
metric: {name: accuracy, goal: maximize}
parameters:
  lr: [0.1, 0.2]
  depth: [1, 2]
"""


@pytest.fixture
def online(desk: Desk) -> Iterator[WandbDesk]:
    """Each cluster in turn, beside a server."""
    desk.write("trial.py", PROGRAM)
    with wandb_desk(desk) as found:
        yield found


@pytest.fixture
def plai_online(plai: Desk) -> Iterator[WandbDesk]:
    plai.write("trial.py", PROGRAM)
    with wandb_desk(plai) as found:
        yield found


def runs_of(online: WandbDesk, sweep: str) -> list[dict[str, object]]:
    """What the server has of a sweep's runs."""
    held = online.state()
    return [run for run in held["runs"] if run.get("sweep") == sweep.rpartition("/")[2]]


def test_parallel_tasks_run_every_combination_exactly_once(online: WandbDesk) -> None:
    (sweep,) = online.create(GRID)
    job = online.submit("-w", sweep, "--num-sweeps", "auto")
    wait_for_array(online.desk, job)
    said = logs(online.desk, job)
    seen = sorted(re.findall(r"^run \S+ new (\S+) (\d)", "".join(said.values()), re.M))
    assert seen == [(lr, depth) for lr in ("0.1", "0.2") for depth in "12"], said
    outputs = re.findall(r"^run .* (\S+)$", "".join(said.values()), re.M)
    assert len(set(outputs)) == 4, "each has a folder of its own"
    shown = online.hpcsubmit("sweep", "status", sweep)
    assert re.search("FINISHED", shown.stdout, re.I), shown.stdout + shown.stderr
    online_runs = online.hpcsubmit("sweep", "results", sweep, "--json")
    assert online_runs.returncode == 0, online_runs.stderr
    found = json.loads(online_runs.stdout)["trials"]
    assert sorted(trial["metrics"]["accuracy"] for trial in found) == [2, 3, 3, 4]


def test_the_shipped_sweep_runs_against_the_server_as_it_is(plai_online: WandbDesk) -> None:
    plai_online.desk.write("sweeper.yml", (CHECKOUT / "sweeper.yml").read_text("utf-8"))
    done = plai_online.hpcsubmit("sweep", "run", "--num-sweeps", "1", "--parsable", "-m", "900M")
    assert done.returncode == 0, done.stderr
    wait_for_array(plai_online.desk, int(done.stdout))
    shown = plai_online.hpcsubmit("sweep", "status", done.stdout.strip())
    assert re.search(r"accuracy.*0\.9", shown.stdout), shown.stdout + shown.stderr


def test_the_key_is_in_no_argv_log_script_record_or_job(plai_online: WandbDesk) -> None:
    (sweep,) = plai_online.create(GRID.replace("lr: [0.1, 0.2]", "lr: [0.1]\n  nap: 8"))
    job = plai_online.submit("-w", sweep, "--num-sweeps", "2")
    cluster = plai_online.desk.cluster
    argv = ""
    deadline = time.monotonic() + 300
    while "wandb agent" not in argv or "\nrun " not in "".join(logs(plai_online.desk, job).values()):
        assert time.monotonic() < deadline, logs(plai_online.desk, job)
        for node in (cluster.login, *cluster.nodes):
            argv += cluster.run(["ps", "-ewwo", "args"], host=node, user="root").stdout
        time.sleep(0.5)
    shown = cluster.run(["scontrol", "show", "job", str(job)]).stdout
    wait_for_array(plai_online.desk, job)
    ours = "".join(line for line in argv.splitlines(keepends=True) if "wandb_server.py" not in line)
    assert KEY not in ours + shown
    assert files_with(KEY, plai_online.desk.scratch(), plai_online.desk.project) == []


def test_a_sweep_without_a_server_is_uploaded_once_and_has_its_page(plai_online: WandbDesk) -> None:
    plai_online.desk.write("trial.py", PROGRAM + 'print(json.dumps({"accuracy": float(given.lr)}))\n')
    plai_online.desk.write("sweeper.yml", GRID)
    job = plai_online.submit_offline()
    wait_for_array(plai_online.desk, job)
    assert plai_online.state()["runs"] == []
    done = plai_online.hpcsubmit("sweep", "sync", str(job))
    assert (done.returncode, done.stdout) == (0, "uploaded 4\n"), done.stdout + done.stderr
    names = sorted(f"{newest_run(plai_online.desk).name}-{trial}" for trial in range(1, 5))
    assert sorted(run["name"] for run in plai_online.state()["runs"]) == names
    again = plai_online.hpcsubmit("sweep", "sync", str(job))
    assert (again.returncode, again.stdout) == (0, "nothing to upload: already there 4\n"), (
        again.stdout + again.stderr
    )
    shown = plai_online.hpcsubmit("sweep", "results", str(job), "--html", "page.html")
    assert "4 finished" in shown.stderr, shown.stderr
    page = (plai_online.desk.project / "page.html").read_text("utf-8")
    assert all(
        word in page for word in ("accuracy", "Parallel coordinates", newest_run(plai_online.desk).name)
    )


def test_a_failing_run_is_the_exit_code_of_its_task(plai_online: WandbDesk) -> None:
    (sweep,) = plai_online.create(GRID + "  fail: 2\n")
    job = plai_online.submit("-w", sweep, "--num-sweeps", "4")
    wait_for_array(plai_online.desk, job)
    codes = {
        path.parent.name: path.read_text().strip()
        for path in newest_run(plai_online.desk).glob("tasks/*/exit")
    }
    assert sorted(codes.values()) == ["0", "0", "5", "5"], logs(plai_online.desk, job)


def test_a_cancelled_sweep_ends_its_runs_and_their_jobs(plai_online: WandbDesk) -> None:
    (sweep,) = plai_online.create(GRID.replace("lr: [0.1, 0.2]", "lr: [0.1]\n  nap: 900"))
    job = plai_online.submit("-w", sweep, "--num-sweeps", "2")
    deadline = time.monotonic() + 300
    while "".join(logs(plai_online.desk, job).values()).count("\nrun ") < 2:
        assert time.monotonic() < deadline, logs(plai_online.desk, job)
        time.sleep(0.5)
    done = plai_online.hpcsubmit("sweep", "cancel", sweep)
    assert done.returncode == 0, done.stderr
    wait_for_array(plai_online.desk, job)
    assert "the sweep wants this run to end" in "".join(logs(plai_online.desk, job).values())


def test_a_requeued_task_resumes_its_own_run(plai_online: WandbDesk) -> None:
    (sweep,) = plai_online.create("program: trial.py\nmethod: grid\nparameters: {lr: [0.1], nap: 900}\n")
    job = plai_online.submit("-w", sweep, "--num-sweeps", "1")
    deadline = time.monotonic() + 300
    while "\nrun " not in logs(plai_online.desk, job).get(1, ""):
        assert time.monotonic() < deadline, logs(plai_online.desk, job)
        time.sleep(0.5)
    assert plai_online.desk.cluster.run(["scontrol", "requeue", f"{job}_1"]).returncode == 0
    wait_for_array(plai_online.desk, job)
    said = logs(plai_online.desk, job)[1]
    first, second = re.findall(r"^run (\S+) (new|resumed)", said, re.M)
    assert (first[1], second) == ("new", (first[0], "resumed")), said


def test_runs_on_two_nodes_are_launched_by_torchrun(plai_online: WandbDesk) -> None:
    plai_online.desk.write("trial.py", RANKS)
    (sweep,) = plai_online.create("program: trial.py\nmethod: grid\nparameters: {lr: [0.1, 0.2]}\n")
    trial = ("--trial-gpus", "2", "--trial-nodes", "2", "-W", "torchrun")
    job = plai_online.submit("-w", sweep, "--num-sweeps", "2", *trial)
    wait_for_array(plai_online.desk, job)
    said = logs(plai_online.desk, job)
    for task, text in said.items():
        ranks = re.findall(r"^rank (\d) of 4 on (\S+) lr (\S+)", text, re.M)
        assert sorted(rank for rank, *_ in ranks) == ["0", "1", "2", "3"], said[task]
        assert len({node for _, node, _ in ranks}) == 2
    assert {lr for text in said.values() for lr in re.findall(r"^rank 0 .* lr (\S+) seed", text, re.M)} == {
        "0.1",
        "0.2",
    }


def test_a_composite_file_is_run_as_one_sweep_each_with_its_tags(plai_online: WandbDesk) -> None:
    text = """
program: trial.py
method: grid
parameters:
  lr: 0.5
  subtests:
    "base,shallow": {depth: [1, 2], _num_agents: 1}
    deep: {depth: 9, lr: [0.7]}
"""
    plai_online.desk.write("sweeper.yml", text)
    done = plai_online.hpcsubmit("sweep", "run", "--parsable", "-m", "700M")
    assert done.returncode == 0, done.stderr
    assert "3 trials together" in done.stderr
    jobs = [int(word) for word in done.stdout.split()]
    for job in jobs:
        wait_for_array(plai_online.desk, job)
    said = ["".join(logs(plai_online.desk, job).values()) for job in jobs]
    assert re.findall(r"^run \S+ new (\S+) (\d)", said[0], re.M) == [("0.5", "1"), ("0.5", "2")]
    assert re.findall(r"^run \S+ new (\S+) (\d)", said[1], re.M) == [("0.7", "9")]
    assert len(logs(plai_online.desk, jobs[0])) == 1, "one worker runs both"
    tags = sorted(tuple(run.get("tags", ())) for run in plai_online.state()["runs"])
    assert tags == [("base", "shallow"), ("base", "shallow"), ("deep",)]


def test_what_cannot_be_a_sweep_is_found_before_submission(plai_online: WandbDesk) -> None:
    unknown = plai_online.hpcsubmit("-w", "lab/gan/nothere1", "--num-sweeps", "2")
    assert (unknown.returncode, unknown.stdout) == (1, "")
    assert "nothere1" in unknown.stderr.split("hint:")[0]
    (sweep,) = plai_online.create(GRID)
    assert plai_online.hpcsubmit("sweep", "cancel", sweep).returncode in (0, 1)
    done = plai_online.hpcsubmit("-w", "abc", "--num-sweeps", "0")
    assert done.returncode == 2
    ended = plai_online.desk.cluster.run(
        [str(plai_online.desk.tool), "-w", sweep],
        cwd="/home/researcher/gan",
        env=plai_online.environ,
        stdin="",
        timeout=300,
    )
    assert ended.returncode == 1, "the end of the input is no answer"
