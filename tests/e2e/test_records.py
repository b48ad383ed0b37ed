"""Records, status and cancel against the real Slurm; and what its parser makes of our scripts."""

import json
import time
from pathlib import Path

import pytest

from e2e.desk import PROJECT, Desk
from hpcsubmit.slurm import quote_directive

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture
def napper(desk: Desk) -> Desk:
    desk.write("nap.txt", "sleep 600\n")
    return desk


def test_status_and_cancel_know_jobs_and_runs(napper: Desk) -> None:
    job = napper.submit("-C", "nap.txt", "-e", "nap")
    napper.cluster.wait_running(job, 180)
    run = json.loads(napper.hpcsubmit("runs", "show", str(job), "--json").stdout)
    assert run["job"] == str(job)
    assert run["exp_name"] == "nap"
    shown = napper.hpcsubmit("status", run["run_id"]).stdout.splitlines()[1].split()
    assert shown[:2] == [str(job), "RUNNING"]
    assert napper.hpcsubmit("cancel", run["run_id"]).returncode == 0
    assert napper.cluster.wait_for_job(job, 180) == "CANCELLED"
    deadline = time.monotonic() + 60  # what status asks may be behind
    while napper.hpcsubmit("status", str(job)).stdout.splitlines()[1].split()[1] != "CANCELLED":
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert "had already ended" in napper.hpcsubmit("cancel", str(job)).stdout


def test_a_submission_cut_short_is_found_by_its_comment_and_by_its_script(napper: Desk) -> None:
    job = napper.submit("-C", "nap.txt")
    run = json.loads(napper.hpcsubmit("runs", "show", str(job), "--json").stdout)
    folder = napper.cluster.shared(run["folder"])
    (folder / "result.json").unlink()  # as if hpcsubmit had died between sbatch and the record
    napper.cluster.wait_running(job, 180)
    assert _job_of(napper, run["run_id"]) == str(job)
    (folder / "started").unlink(missing_ok=True)
    assert _job_of(napper, run["run_id"]) == str(job), "found by the comment alone"
    napper.cluster.cancel_all(timeout=180)
    napper.cluster.wait_for_job(job, 180)
    (folder / "started").write_text(f"job={job}\nhost=x\ntime=y\n")
    assert _job_of(napper, run["run_id"]) == str(job), "found by the script's file"


def test_a_run_that_nobody_knows_is_unknown(napper: Desk) -> None:
    folder = napper.scratch("hpcsubmit/runs/r20200101-000000-aaaa")
    job = napper.submit("-C", "nap.txt")
    run = json.loads(napper.hpcsubmit("runs", "show", str(job), "--json").stdout)
    plan = json.loads((napper.cluster.shared(run["folder"]) / "plan.json").read_text())
    folder.mkdir()
    (folder / "plan.json").write_text(json.dumps(plan | {"run_id": folder.name}))
    lines = napper.hpcsubmit("runs").stdout.splitlines()
    (line,) = [line for line in lines if line.startswith(folder.name)]
    assert line.split()[1] == "unknown"


def _job_of(desk: Desk, run_id: str) -> str:
    runs = json.loads(desk.hpcsubmit("runs", "--json").stdout)
    (run,) = [run for run in runs if run["run_id"] == run_id]
    return str(run["job"])


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.sh")))
def test_every_golden_script_is_read_by_the_real_sbatch(name: str, cedar_desk: Desk, plai_desk: Desk) -> None:
    desk = plai_desk if name.startswith("plai") else cedar_desk
    text = (GOLDEN / f"{name}.sh").read_text("utf-8")
    if not name.startswith(("cedar", "plai")):  # what only this test cluster asks for, and has
        text = text.replace("#SBATCH --time", "#SBATCH --account=def-fwood\n#SBATCH --time", 1)
        text = text.replace("--account=def-fwood\n#SBATCH --partition=gpu\n#SBATCH --account", "--account")
        text = text.replace("#SBATCH --partition=gpu\n", "").replace("h100", "v100l")
    desk.write("golden.sh", text)
    done = desk.cluster.run(["sbatch", "--test-only", f"{PROJECT}/golden.sh"])
    assert done.returncode == 0, done.stderr
    assert "to start at" in done.stderr


def test_sbatch_s_own_quoting_round_trips_through_the_real_parser(plai_desk: Desk) -> None:
    values = [
        "plain",
        "two words",
        'a "quote"',
        "it's",
        "tab\there",
        "semi;colon#hash",
        "ünïcode",
        "$HOME `x` *",
        "%",
        "a=b,c",
    ]
    values += ["back\\slash", "\\", 'end\\"', "''", "--x"]
    script = "#!/bin/bash\n#SBATCH --hold\n#SBATCH --gres=gpu:1\n#SBATCH --comment={}\ntrue\n"
    for value in values:
        plai_desk.write("quoted.sh", script.format(quote_directive(value)))
        done = plai_desk.cluster.run(["sbatch", "--parsable", f"{PROJECT}/quoted.sh"])
        assert done.returncode == 0, (value, done.stderr)
        shown = plai_desk.cluster.run(
            ["squeue", "--noheader", "--format=%k", f"--jobs={done.stdout.strip()}"]
        )
        assert shown.stdout.rstrip("\n") == value
    plai_desk.cluster.cancel_all(timeout=180)
