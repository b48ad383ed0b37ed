"""The scripts of wandb sweeps in real bash: a program stands in for wandb's agent."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from task_node import TaskNode

HEAD = """
import os, signal, subprocess, sys
if "--help" in sys.argv:
    print("Usage: wandb agent [OPTIONS] SWEEP   --forward-signals")
    sys.exit(0)
there = os.environ["source_dir"]
with open(os.path.join(there, "agents"), "a") as file:
    print(*sys.argv[1:], file=file)
number = len(open(os.path.join(there, "agents")).readlines())
"""
# Has one run, and ends well whatever became of it.
ONE_RUN = f"""{HEAD}
words = ["/usr/bin/env", "python", "main.py", f"--n={{number}}"]
run = subprocess.Popen(words, env={{**os.environ, "WANDB_RUN_ID": f"run{{number}}"}})
signal.signal(signal.SIGTERM, lambda *_: run.terminate())
print(f"agent saw {{run.wait()}}\\n", end="", flush=True)
"""
STOPS_IT = f"""{HEAD}
import time
run = subprocess.Popen(["python", "main.py"], env={{**os.environ, "WANDB_RUN_ID": "run1"}})
while not os.path.exists(os.path.join(there, "pid")):
    time.sleep(0.05)
run.terminate()
print(f"agent saw {{run.wait()}}\\n", end="", flush=True)
"""
WAITS = """
import signal, time
def told(*_):
    sys.exit(5)
signal.signal(signal.SIGTERM, told)
with open(".pid", "w") as file:
    file.write(str(os.getpid()))
os.rename(".pid", "pid")
print("ready", flush=True)
time.sleep(60)
"""


@pytest.fixture
def node(sandbox: Sandbox) -> Iterator[TaskNode]:
    made = TaskNode.of(sandbox)
    made.agent(ONE_RUN)
    yield made
    made.end()


def submit(node: TaskNode, *argv: str) -> None:
    node.desk.submits("-w", "lab/gan/abc", "--num-sweeps", "6", *argv)


def told(node: TaskNode) -> list[dict[str, Any]]:
    """What main.py was started with, from the first start on."""
    path = node.desk.box.project / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def agents(node: TaskNode) -> list[str]:
    """The words that each agent was started with."""
    path = node.desk.box.project / "agents"
    return path.read_text().splitlines() if path.exists() else []


AGENT = "agent --count 1 --forward-signals lab/gan/abc"


def test_the_agents_run_is_launched_by_the_batch_shell(node: TaskNode) -> None:
    submit(node)
    assert node.run(3) == 0, node.output
    assert agents(node) == [AGENT]
    (start,) = told(node)
    output = f"{node.desk.box.scratch}/gan/runs/{node.folder.name}/3"
    assert (start["words"], start["variables"]["OUTPUT_DIR"]) == (["--n=1"], output)
    assert (start["variables"]["WANDB_RUN_ID"], start["variables"]["WANDB_DIR"]) == ("run1", output)
    ended = node.trial(3)
    assert (ended["code"], ended["wandb"], ended["job"]) == ("0", "run1", "4242_3")
    assert "agent saw 0\n" in node.output


def test_the_code_is_the_runs_and_the_agent_learns_it(node: TaskNode) -> None:
    node.program("sys.exit(7)\n")
    submit(node)
    assert node.run(1) == 7
    assert "agent saw 7\n" in node.output
    assert node.trial(1)["code"] == "7"


def test_several_trials_of_a_task_are_runs_of_their_own(node: TaskNode) -> None:
    submit(node, "--trials-per-task", "4")
    assert node.run(2) == 0, node.output
    assert agents(node) == [AGENT] * 2
    assert [each["variables"]["WANDB_RUN_ID"] for each in told(node)] == ["run1", "run2"]
    assert [node.trial(number).get("wandb") for number in (5, 6)] == ["run1", "run2"]


def test_a_failed_run_goes_on_under_its_own_id_and_asks_no_agent(node: TaskNode) -> None:
    node.program("sys.exit(7)\n")
    submit(node)
    assert node.run(1) == 7
    node.program()
    assert node.run(1) == 0, node.output
    assert len(agents(node)) == 1
    first, second = told(node)
    assert first["words"] == second["words"]
    assert second["variables"]["WANDB_RUN_ID"] == "run1"
    assert second["variables"]["WANDB_RESUME"] == "allow"


def test_a_run_that_slurm_ends_goes_on_after_a_requeue(node: TaskNode) -> None:
    node.program(WAITS)
    submit(node)
    process = node.start(1)
    node.wait_for("ready")
    node.terminate(process)
    assert process.wait(timeout=120) == 5, node.output
    assert node.trial(1) == {}
    node.program()
    assert node.run(1) == 0, node.output
    assert [each["variables"]["WANDB_RUN_ID"] for each in told(node)] == ["run1", "run1"]
    assert (len(agents(node)), node.trial(1)["code"]) == (1, "0")


def test_the_server_may_end_a_run(node: TaskNode) -> None:
    node.agent(STOPS_IT)
    node.program(WAITS)
    pid = node.desk.box.project / "pid"
    asked = node.desk.box.root / "cancelled"
    node.desk.box.install("scancel", f'#!/bin/sh\necho "$*" >>{asked}\nexec kill "$(cat {pid})"\n')
    submit(node)
    assert node.run(1) == 5, node.output
    assert asked.read_text() == "--signal=TERM 4243.0\n"
    assert "hpcsubmit: the sweep wants this run to end\n" in node.output
    assert "agent saw 5\n" in node.output
    assert node.trial(1)["code"] == "5"


def test_where_no_run_is_left_the_task_ends_well_and_leaves_no_trial(node: TaskNode) -> None:
    node.agent(HEAD)
    submit(node, "--trials-per-task", "3")
    assert node.run(1) == 0, node.output
    assert "hpcsubmit: the sweep has no run left: it is finished, or was stopped\n" in node.output
    assert (node.trial(1), agents(node)) == ({}, [AGENT])


def test_an_agent_that_fails_before_it_has_a_run_fails_the_task(node: TaskNode) -> None:
    node.agent(f"{HEAD}sys.exit(4)\n")
    submit(node)
    assert node.run(1) == 1
    line = (
        "hpcsubmit: the agent of the sweep ended with exit code 4 before it had a run: see the lines before"
    )
    assert node.output.splitlines()[-1].startswith(line)
    assert node.trial(1) == {}


def test_an_environment_without_wandb_is_told(node: TaskNode) -> None:
    submit(node)
    node.agent("raise ImportError('no module named google')\n")
    assert node.run(1) == 127
    assert "no module named google\n" in node.output
    assert "hpcsubmit: the environment of the job has no wandb that starts: " in node.output
    assert told(node) == []


def test_a_key_file_that_cannot_be_read_ends_the_task_before_the_agent(node: TaskNode) -> None:
    key = node.desk.box.root / "home" / "wandb_credentials.txt"
    key.write_text("0123456789abcdef0123456789abcdef01234567\n")
    del node.desk.box.environ["WANDB_API_KEY"]
    submit(node)
    key.unlink()
    assert node.run(1) == 1
    line = f"hpcsubmit: {key} cannot be read on n1: the sweep's agent has no key\n"
    assert node.output.endswith(line)
    assert agents(node) == []


def test_a_command_that_starts_no_python_is_told(node: TaskNode, tmp_path: Path) -> None:
    node.agent(
        f"{HEAD}"
        "folder = os.path.join(os.environ['WANDB_DIR'], 'wandb', 'sweep-abc')\n"
        "os.makedirs(folder)\n"
        "open(os.path.join(folder, 'config-run1.yaml'), 'w').close()\n"
    )
    submit(node)
    assert node.run(1) == 1
    line = "hpcsubmit: the sweep's command does not start python: what became of it is not known\n"
    assert node.output.endswith(line)
