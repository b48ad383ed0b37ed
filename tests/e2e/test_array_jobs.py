"""status, cancel, runs and --follow of arrays against the real Slurm."""

import json
import time

from e2e.desk import Desk

SECONDS = 300.0


def until(desk: Desk, word: str, *, says: str) -> list[list[str]]:
    """Ask for the status until its first line has some words; return the cells of all lines."""
    deadline = time.monotonic() + SECONDS
    while True:
        said = desk.hpcsubmit("status", word)
        lines = said.stdout.splitlines()[1:]
        if lines and says in lines[0]:
            return [line.split() for line in lines]
        assert time.monotonic() < deadline, said.stdout + said.stderr
        time.sleep(1)


def test_an_array_is_shown_and_cancelled_task_by_task_and_as_a_whole(plai: Desk) -> None:
    plai.write("nap.txt", "sleep 900\n")
    job = plai.submit("-C", "nap.txt", "--repeat", "6")
    run = json.loads(plai.hpcsubmit("runs", "show", f"{job}_6", "--json").stdout)
    assert (run["jobs"], run["array"]["tasks"]) == ([str(job)], 6)
    rows = until(plai, str(job), says="6 running")
    assert rows[0][0] == f"{job}_[1-6]"
    assert rows[1][0] == f"{job}_1"
    assert plai.hpcsubmit("cancel", f"{job}_6").stdout == f"cancelled job {job}_6\n"
    until(plai, f"{job}_6", says="CANCELLED")
    assert until(plai, run["run_id"], says="RUNNING")[0][0] == f"{job}_[1-6]"
    assert plai.hpcsubmit("cancel", run["run_id"]).stdout == f"cancelled array {job}_[1-6]\n"
    assert until(plai, str(job), says="CANCELLED")[0][-2:] == ["6", "cancelled"]
    ended = plai.hpcsubmit("cancel", str(job)).stdout
    assert ended == f"array {job}_[1-6] had already ended: 6 cancelled\n"


def test_with_follow_the_logs_of_all_tasks_are_printed_and_the_first_failure_is_the_code(plai: Desk) -> None:
    program = (
        "import os, sys\nseed = os.environ['SEED']\nprint('seed', seed)\nsys.exit(7 if seed == '8' else 0)\n"
    )
    plai.write("seed.py", program)
    plai.write("seeds.txt", "python seed.py\n")
    done = plai.hpcsubmit("-C", "seeds.txt", "--seeds", "4,8,6", "--follow", timeout=600)
    assert done.returncode == 7, done.stderr
    for task, seed, code in ((1, 4, 0), (2, 8, 7), (3, 6, 0)):
        assert f"_{task}, exit code {code} <==\nseed {seed}\n" in done.stdout
    assert "did not end well: 2 done, 1 failed, exit code 7" in done.stderr
