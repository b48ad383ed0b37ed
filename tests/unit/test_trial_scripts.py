"""The scripts of arrays in real bash: which trials a task runs, with what, and how it ends."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sandbox import Sandbox
from task_node import TaskNode

OFFLINE = ("sweep", "run", "--offline", "--parsable")
TEN = "program: main.py\nmethod: grid\nparameters:\n  n: [1, 2, 3, 4, 5, 6, 7]\n"
# Fails in trials 2 and 3 with codes 2 and 3, as often as `well` is not there.
FAILS = """
n = int(os.path.basename(os.environ["OUTPUT_DIR"]))
sys.exit(n if n in (2, 3) and not os.path.exists("well") else 0)
"""
WAITS = """
import signal, time
if os.path.basename(os.environ["OUTPUT_DIR"]) == "2":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(CODE))
    print("ready", flush=True)
    while True:
        time.sleep(1)
"""


LAUNCHER = """#!/bin/sh
while :; do case $1 in launch | -*) shift ;; *) break ;; esac; done
exec python "$@"
"""


@pytest.fixture
def node(sandbox: Sandbox) -> Iterator[TaskNode]:
    made = TaskNode.of(sandbox)
    made.desk.file(TEN)
    yield made
    made.end()


def told(node: TaskNode) -> list[dict[str, Any]]:
    """What main.py was started with, from the first start on."""
    path = node.desk.box.project / "told"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def words(node: TaskNode) -> list[list[str]]:
    return [each["words"] for each in told(node)]


def outputs(node: TaskNode) -> list[str]:
    """The folders of the trials that ran, below that of the submission."""
    top = f"{node.desk.box.scratch}/gan/runs/{node.folder.name}/"
    return [each["variables"]["OUTPUT_DIR"].removeprefix(top) for each in told(node)]


# --- which trials a task runs


def test_a_task_is_the_trial_of_its_number(node: TaskNode) -> None:
    node.desk.submits(*OFFLINE)
    assert node.run(5) == 0, node.output
    assert words(node) == [["--n=5"]]
    ended = node.trial(5)
    assert (ended["code"], ended["host"], ended["job"]) == ("0", "n1", "4242_5")
    assert ended["wandb"] == f"{node.folder.name}-5"
    assert ended["started"] <= ended["ended"]
    assert (node.folder / "tasks/5/exit").read_text() == "0\n"
    assert (node.folder / "tasks/5/started").read_text().startswith("job=4247\n")
    assert sorted(path.name for path in (node.folder / "tasks").iterdir()) == ["5"]


def test_an_offset_counts_on(node: TaskNode) -> None:
    node.desk.submits(*OFFLINE)
    assert node.run(2, "4") == 0, node.output
    assert (words(node), node.trial(6)["job"]) == ([["--n=6"]], "4242_2")


@pytest.mark.parametrize(
    ("index", "arguments", "numbers"),
    [(1, (), [1, 2, 3]), (2, (), [4, 5, 6]), (3, (), [7]), (1, ("2",), [7])],
)
def test_a_task_of_several_runs_them_in_order_and_the_last_is_short(
    node: TaskNode, index: int, arguments: tuple[str, ...], numbers: list[int]
) -> None:
    node.desk.submits(*OFFLINE, "--trials-per-task", "3")
    assert node.run(index, *arguments) == 0, node.output
    assert words(node) == [[f"--n={number}"] for number in numbers]
    assert outputs(node) == [str(number) for number in numbers]
    assert [node.trial(number)["code"] for number in numbers] == ["0"] * len(numbers)
    assert sorted(path.name for path in (node.folder / "tasks").iterdir()) == list(map(str, numbers))


def test_every_trial_has_an_output_folder_and_a_run_of_its_own(node: TaskNode) -> None:
    node.desk.submits(*OFFLINE, "--trials-per-task", "3")
    assert node.run(1) == 0, node.output
    variables = [each["variables"] for each in told(node)]
    runs = [f"{node.folder.name}-{number}" for number in (1, 2, 3)]
    assert [each["WANDB_RUN_ID"] for each in variables] == runs
    assert {each["WANDB_MODE"] for each in variables} == {"offline"}
    assert all(Path(each["OUTPUT_DIR"]).is_dir() for each in variables)


@pytest.mark.parametrize(
    ("own", "tags"),
    [("", "base,small"), ("mine", "mine,base,small"), ("small,mine", "small,mine,base")],
)
def test_every_trial_of_a_task_has_each_tag_once_behind_the_users_own(
    node: TaskNode, own: str, tags: str
) -> None:
    subtest = '  subtests: {"base,small": {n: [1, 2, 3, 4]}}\n'
    node.desk.file(f"program: main.py\nmethod: grid\nparameters:\n{subtest}")
    node.desk.submits(*OFFLINE, "--trials-per-task", "4")
    node.desk.box.environ["WANDB_TAGS"] = own
    assert node.run(1) == 0, node.output
    assert [each["variables"]["WANDB_TAGS"] for each in told(node)] == [tags] * 4


@pytest.mark.parametrize(
    ("own", "mode"),
    [("online", "offline"), ("shared", "offline"), ("dryrun", "offline"), ("disabled", "disabled")],
)
def test_no_mode_of_the_users_but_disabled_stays_without_a_server(
    node: TaskNode, own: str, mode: str
) -> None:
    node.desk.box.environ["WANDB_MODE"] = own
    node.desk.submits(*OFFLINE, "--trials-per-task", "2")
    assert node.run(1) == 0, node.output
    assert [each["variables"]["WANDB_MODE"] for each in told(node)] == [mode] * 2


def test_a_mode_that_the_files_command_sets_is_the_programs(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [/usr/bin/env, WANDB_MODE=online, python, '${program}', '${args}']\n")
    node.desk.submits(*OFFLINE)
    assert node.run(1) == 0, node.output
    assert told(node)[0]["variables"]["WANDB_MODE"] == "online"


def test_every_trial_logs_for_the_place_of_the_sweep_also_when_it_runs_again(node: TaskNode) -> None:
    node.program(FAILS)
    node.desk.file("entity: lab\nproject: digits\n" + TEN)
    node.desk.submits(*OFFLINE, "--trials-per-task", "2")
    assert [node.run(1), node.run(1)] == [2, 2]
    assert outputs(node) == ["1", "2", "2"]
    places = [(each["variables"]["WANDB_ENTITY"], each["variables"]["WANDB_PROJECT"]) for each in told(node)]
    assert places == [("lab", "digits")] * 3


def test_the_record_of_an_old_submission_names_no_place_and_runs_again(node: TaskNode) -> None:
    node.desk.submits(*OFFLINE)
    path = node.folder / "sweep.json"
    old = json.loads(path.read_text())
    del old["entity"], old["project"]
    path.write_text(json.dumps(old))
    assert node.run(1) == 0, node.output
    assert {"WANDB_ENTITY", "WANDB_PROJECT"}.isdisjoint(told(node)[0]["variables"])


# --- how it ends, and what a second time does


def test_the_first_code_that_is_not_0_is_the_tasks_and_the_others_run(node: TaskNode) -> None:
    node.program(FAILS)
    node.desk.submits(*OFFLINE, "--trials-per-task", "4")
    assert node.run(1) == 2
    assert [node.trial(number)["code"] for number in (1, 2, 3, 4)] == ["0", "2", "3", "0"]
    assert (node.folder / "tasks/1/exit").read_text() == "2\n"


def test_what_ended_well_is_left_alone_and_what_failed_runs_again(node: TaskNode) -> None:
    node.program(FAILS)
    node.desk.submits(*OFFLINE, "--trials-per-task", "4")
    assert node.run(1) == 2
    (node.desk.box.project / "well").touch()
    assert node.run(1) == 0, node.output
    assert outputs(node) == ["1", "2", "3", "4", "2", "3"]
    assert [node.trial(number)["code"] for number in (1, 2, 3, 4)] == ["0"] * 4
    assert node.run(1) == 0
    assert len(told(node)) == 6


@pytest.mark.parametrize("code", ["0", "143"])
def test_a_trial_that_slurm_ends_has_no_result_and_its_task_ends_with_143(node: TaskNode, code: str) -> None:
    node.program(WAITS.replace("CODE", code))
    node.desk.submits(*OFFLINE, "--trials-per-task", "3")
    process = node.start(1)
    node.wait_for("ready")
    node.terminate(process)
    assert process.wait(timeout=120) == 143
    assert (node.trial(1)["code"], node.trial(2), node.trial(3)) == ("0", {}, {})
    assert (node.folder / "tasks/1/exit").read_text() == "143\n"
    assert outputs(node) == ["1", "2"]
    assert node.output.endswith("hpcsubmit: Slurm ended the job: cancelled, out of time or preempted\n")


def test_after_a_requeue_it_goes_on_with_the_trial_that_was_ended(node: TaskNode) -> None:
    node.program(WAITS.replace("CODE", "0"))
    node.desk.submits(*OFFLINE, "--trials-per-task", "3")
    process = node.start(1)
    node.wait_for("ready")
    node.terminate(process)
    process.wait(timeout=120)
    node.program()
    assert node.run(1) == 0, node.output
    assert outputs(node) == ["1", "2", "2", "3"]
    first, second = (each["variables"]["WANDB_RUN_ID"] for each in told(node)[1:3])
    assert first == second


def test_a_program_that_is_not_there_is_the_trials_code(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [/no/such/program, '${args}']\n")
    node.desk.submits(*OFFLINE)
    assert node.run(1) == 127
    assert node.trial(1)["code"] == "127"
    assert "/no/such/program" in node.output


def test_a_damaged_description_ends_the_task_before_any_trial(node: TaskNode) -> None:
    node.desk.submits(*OFFLINE)
    (node.folder / "sweep.json").write_text("{")
    assert node.run(1) == 1
    assert "hpcsubmit: the parameters of trial 1 could not be read\n" in node.output
    assert (node.trial(1), told(node)) == ({}, [])


# --- the words of a trial


AWKWARD = ["a b", "it's", '"', "$HOME", "a\nb", "", "*", "ä€", "--", "\\", "`id`"]


def test_awkward_words_reach_the_program_as_they_are(node: TaskNode) -> None:
    values = json.dumps(AWKWARD, ensure_ascii=False)
    listed = json.dumps(
        ["${env}", "python", "${program}", "${args_no_hyphens}", *AWKWARD], ensure_ascii=False
    )
    node.desk.file(f"program: main.py\nmethod: grid\nparameters:\n  v: {values}\ncommand: {listed}\n")
    node.desk.submits(*OFFLINE, "--trials-per-task", str(len(AWKWARD)))
    assert node.run(1) == 0, node.output
    assert words(node) == [[f"v={value}", *AWKWARD] for value in AWKWARD]


def test_two_hundred_words_and_large_ones(node: TaskNode) -> None:
    many = [f"word {number} '{'x' * 100}'" for number in range(200)]
    listed = json.dumps(["python", "${program}", *many])
    node.desk.file(TEN + f"command: {listed}\n")
    node.desk.submits(*OFFLINE)
    assert node.run(1) == 0, node.output
    assert words(node) == [many]


def test_assignments_of_the_command_reach_the_program(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [/usr/bin/env, \"NAME=a 'b' $c\", python, '${program}', '${args}']\n")
    node.desk.submits(*OFFLINE)
    assert node.run(1) == 0, node.output
    assert (told(node)[0]["variables"]["NAME"], words(node)) == ("a 'b' $c", [["--n=1"]])


def test_an_assignment_that_adds_to_the_jobs_variable_does_so_once_in_every_trial(node: TaskNode) -> None:
    command = "[/usr/bin/env, 'NAME=${envvar:NAME}/x', WANDB_RUN_ID=mine, python, '${program}', '${args}']"
    node.desk.file(f"{TEN}command: {command}\n")
    node.desk.box.environ["NAME"] = "/top"
    node.desk.submits(*OFFLINE, "--trials-per-task", "3")
    assert node.run(1) == 0, node.output
    assert words(node) == [["--n=1"], ["--n=2"], ["--n=3"]]
    assert [each["variables"]["NAME"] for each in told(node)] == ["/top/x"] * 3
    assert [node.trial(number)["wandb"] for number in (1, 2, 3)] == ["mine"] * 3, (
        "the trial's own is recorded"
    )


def test_a_variable_that_bash_cannot_set_is_told_and_the_program_does_not_start(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [/usr/bin/env, UID=0, python, '${program}', '${args}']\n")
    node.desk.submits(*OFFLINE)
    assert node.run(1) == 1
    assert "UID: readonly variable\n" in node.output
    assert told(node) == []


def test_a_trial_that_cannot_start_is_recorded_and_the_next_one_runs(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [/usr/bin/env, UID=0, python, '${program}', '${args}']\n")
    node.desk.submits(*OFFLINE, "--trials-per-task", "2")
    assert node.run(1) == 1
    assert [node.trial(number)["code"] for number in (1, 2)] == ["1", "1"]
    assert all(node.trial(number)["wandb"] for number in (1, 2))


def test_seeds_of_a_sweep_reach_the_program_and_its_words(node: TaskNode) -> None:
    node.desk.file(TEN + "command: [python, '${program}', '${args}', '--seed={seed}']\n")
    node.desk.submits(*OFFLINE, "--seeds", "11,12", "--trials-per-task", "2")
    assert node.run(2) == 0, node.output
    assert words(node) == [["--n=2", "--seed=11"], ["--n=2", "--seed=12"]]
    assert [each["variables"]["SEED"] for each in told(node)] == ["11", "12"]


# --- repeats


@pytest.mark.parametrize("argv", [("--repeat", "5"), ("--seeds", "1,2,3,4,5")])
def test_a_repeat_has_its_number_as_its_seed(node: TaskNode, argv: tuple[str, ...]) -> None:
    node.desk.box.write("NAME=run-{seed} python main.py --seed {seed} 'a {seed} ${seed}' \"$SEED\"\n")
    node.desk.submits(*argv)
    assert node.run(3) == 0, node.output
    assert words(node) == [["--seed", "3", "a 3 ${seed}", "3"]]
    variables = told(node)[0]["variables"]
    assert (variables["SEED"], variables["NAME"]) == ("3", "run-3")
    assert (outputs(node), node.trial(3)["code"]) == (["3"], "0")


def test_a_seed_that_the_command_assigns_is_filled_too(node: TaskNode) -> None:
    node.desk.box.write("SEED={seed} python main.py {seed}\n")
    node.desk.submits("--seeds", "7,9")
    assert node.run(2) == 0, node.output
    assert (words(node), told(node)[0]["variables"]["SEED"]) == ([["9"]], "9")


def test_several_repeats_in_a_task_have_seeds_and_folders_of_their_own(node: TaskNode) -> None:
    node.desk.box.write("NAME=run-{seed} python main.py {seed}\n")
    node.desk.submits("--seeds", "7,9,11,13,15", "--trials-per-task", "2")
    assert node.run(2) == 0, node.output
    assert (words(node), outputs(node)) == ([["11"], ["13"]], ["3", "4"])
    assert [each["variables"]["SEED"] for each in told(node)] == ["11", "13"]
    assert [each["variables"]["NAME"] for each in told(node)] == ["run-11", "run-13"]
    assert "hpcsubmit: trial 4 of this task's 3 to 4\n" in node.output


@pytest.mark.parametrize("launcher", ["srun", "ranks", "torchrun", "accelerate"])
def test_repeats_of_other_kinds_fill_the_seed_everywhere(node: TaskNode, launcher: str) -> None:
    for name in ("torchrun", "accelerate"):  # each takes its own words off, and starts Python once
        node.desk.box.install(name, LAUNCHER)
    node.desk.box.write("NAME=run-{seed} SEED={seed} python main.py {seed} 'r {seed}'\n")
    node.desk.submits("--seeds", "7,9", "-W", launcher)
    assert node.run(2) == 0, node.output
    assert words(node) == [["9", "r 9"]]
    variables = told(node)[0]["variables"]
    assert (variables["SEED"], variables["NAME"]) == ("9", "run-9")


def test_a_repeat_that_fails_gives_its_code(node: TaskNode) -> None:
    node.program(FAILS)
    node.desk.submits("--repeat", "4")
    assert [node.run(index) for index in (1, 2, 3)] == [0, 2, 3]
    assert [node.trial(number)["code"] for number in (1, 2, 3)] == ["0", "2", "3"]
