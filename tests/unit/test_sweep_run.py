"""`hpcsubmit sweep run FILE`, as typed: with a server and without; a program answers for wandb."""

import json
import sys
from typing import Any

import pytest

from sandbox import Sandbox
from sweep_desk import CREATED, GRID, SweepDesk
from unit.test_question import at_a_terminal

RUN = ("sweep", "run")
OFFLINE = (*RUN, "--offline")
COMPOSITE = """program: main.py
method: grid
name: study
parameters:
  subtests:
    small: {lr: [0.1, 0.2], n: [1, 2]}
    "base,large": {lr: [0.1, 0.2, 0.3]}
"""
RANDOM = "program: main.py\nmethod: random\nparameters:\n  lr: {min: 0.1, max: 0.2}\n"
SEEDED = "program: main.py\nmethod: grid\nparameters:\n  model.seed: [1, 2]\n"
# Answers the second question of its kind otherwise.
CREATES_ONCE = """#!{python}
import json, os, sys
json.load(sys.stdin)
made = {root!r} + "/made"
refused = {{"error": "other", "message": "quota", "url": "https://api.wandb.ai"}}
print(json.dumps(refused if os.path.exists(made) else {created}))
open(made, "w").close()
"""


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    made = SweepDesk(sandbox)
    made.file()
    made.file(COMPOSITE, "both.yml")
    return made


def arrays(script: str) -> list[str]:
    return [line.partition("=")[2] for line in script.splitlines() if line.startswith("#SBATCH --array")]


def specs(desk: SweepDesk) -> list[dict[str, Any]]:
    found = [json.loads((folder / "sweep.json").read_text()) for folder in desk.records]
    return sorted(found, key=lambda spec: str(spec["name"]))


def asked(desk: SweepDesk) -> list[str]:
    return [each.request["action"] for each in desk.wandb.asked()]


# --- without a server


def test_a_grid_is_an_array_with_a_trial_for_each_combination(desk: SweepDesk) -> None:
    said = desk.submits(*OFFLINE)
    assert said.stdout == "Submitted batch job 101\n"
    assert arrays(desk.script) == ["1-6"]
    assert asked(desk) == []
    (spec,) = specs(desk)
    assert (spec["trials"], spec["sweep"], spec["file"]) == (6, "", str(desk.box.project / "sweeper.yml"))
    assert spec["parameters"] == [["lr", {"values": [0.1, 0.2]}], ["n", {"values": [1, 2, 3]}]]
    assert "  sweep              without a server (sweeper.yml, grid)\n" in said.stderr
    assert "  trials             6 in 6 tasks, at most 6 GPU hours\n" in said.stderr
    assert desk.record("plan.json")["sweep"] == ""


def test_it_needs_no_key_and_no_wandb(desk: SweepDesk) -> None:
    del desk.box.environ["WANDB_API_KEY"]
    assert "warning: " not in desk.submits(*OFFLINE).stderr


def test_offline_is_the_default_where_the_nodes_do_not_reach_wandb(desk: SweepDesk) -> None:
    desk.profile(wandb="offline")
    desk.submits(*RUN)
    assert (asked(desk), specs(desk)[0]["sweep"]) == ([], "")


def test_the_file_is_looked_up_here_and_then_in_the_project(desk: SweepDesk) -> None:
    folder = desk.box.project / "sub"
    folder.mkdir()
    said = desk.box.hpcsubmit(*OFFLINE, cwd=folder)
    assert said.code == 0, said
    desk.file(GRID.replace("[1, 2, 3]", "[1]"), "sub/sweeper.yml")
    assert desk.box.hpcsubmit(*OFFLINE, cwd=folder).code == 0
    assert sorted(spec["trials"] for spec in specs(desk)) == [2, 6]
    said = desk.box.hpcsubmit(*OFFLINE, "no.yml", cwd=folder)
    assert (said.code, said.stdout, said.error) == (1, "", "there is no sweep file no.yml")
    root = desk.box.project
    assert said.hint == f"looked in {folder}, then {root}, then {root}/hpc_files"


@pytest.mark.parametrize("argv", [OFFLINE, ("sweep", "create", "--dry-run")])
def test_the_file_may_lie_in_hpc_files_and_the_project_s_own_comes_first(
    desk: SweepDesk, argv: tuple[str, ...]
) -> None:
    root = desk.box.project
    (root / "sweeper.yml").unlink()
    (root / "hpc_files").mkdir()
    desk.box.write("print()\n", root / "inner.py")
    desk.box.write("print()\n", root / "inner.py")
    desk.file("program: inner.py\n" + GRID.partition("\n")[2], "hpc_files/sweeper.yml")
    said = desk.submits(*argv)
    assert "inner.py" in said.stdout + said.stderr
    desk.file()
    said = desk.submits(*argv)
    assert "inner.py" not in said.stdout + said.stderr


def test_every_combination_is_run_with_every_seed(desk: SweepDesk) -> None:
    desk.submits(*OFFLINE, "--seeds", "5,6")
    (spec,) = specs(desk)
    assert (spec["trials"], spec["seeds"], arrays(desk.script)) == (12, [5, 6], ["1-12"])


def test_the_first_of_the_trials_alone(desk: SweepDesk) -> None:
    said = desk.submits(*OFFLINE, "--num-sweeps", "4")
    assert "note: 4 of the 6 trials that sweeper.yml describes\n" in said.stderr
    assert arrays(desk.script) == ["1-4"]


@pytest.mark.parametrize("argv", [("--repeat", "2"), ("--seeds", "1,2")])
def test_a_file_that_sets_the_seed_is_not_repeated(desk: SweepDesk, argv: tuple[str, ...]) -> None:
    path = desk.file(SEEDED)
    said = desk.box.refuses(*OFFLINE, *argv, code=2)
    assert said.error == (
        f"{path} sets the seed itself, parameters.model.seed, and --repeat or --seeds would set it too"
    )
    assert said.hint == (
        "leave out --repeat and --seeds, or take the seed out of the file: its command may have {seed}"
    )
    desk.submits(*OFFLINE)


def test_random_without_an_end_is_refused_offline(desk: SweepDesk) -> None:
    desk.file(RANDOM)
    said = desk.box.refuses(*OFFLINE)
    assert said.error.endswith("sweeper.yml, line 2: method is random, which has no end without a server")
    assert said.hint == "say how many trials: run_cap: 20, or --num-sweeps 20"
    desk.file(f"{RANDOM}run_cap: 3\n")
    desk.submits(*OFFLINE)
    assert arrays(desk.script) == ["1-3"]


def test_random_without_an_end_has_as_many_trials_as_are_asked_for(desk: SweepDesk) -> None:
    desk.file(RANDOM)
    said = desk.submits(*OFFLINE, "--num-sweeps", "5")
    assert (arrays(desk.script), specs(desk)[0]["trials"]) == (["1-5"], 5)
    assert " of the " not in said.stderr
    assert desk.box.hpcsubmit(*OFFLINE, "--num-sweeps", "auto").error.endswith("no end without a server")


def test_with_seeds_as_many_trials_are_run_as_are_asked_for(desk: SweepDesk) -> None:
    desk.file(RANDOM)
    desk.submits(*OFFLINE, "--num-sweeps", "4", "--seeds", "7,8")
    (spec,) = specs(desk)
    assert (spec["trials"], spec["seeds"], arrays(desk.script)) == (4, [7, 8], ["1-4"])


def test_where_the_profile_says_offline_no_cure_names_the_option(desk: SweepDesk) -> None:
    desk.profile(wandb="offline")
    desk.file(RANDOM.replace("random", "bayes") + "metric: {name: acc, goal: maximize}\n")
    for argv in (RUN, OFFLINE):
        said = desk.box.refuses(*argv)
        reason = "the nodes of 'generic' do not reach wandb's server (wandb: offline in its profile)"
        assert said.hint == f"use grid or random: {reason}"


def test_bayes_is_refused_offline(desk: SweepDesk) -> None:
    desk.file(RANDOM.replace("random", "bayes") + "metric: {name: acc, goal: maximize}\n")
    said = desk.box.refuses(*OFFLINE)
    assert "is bayes, which chooses each trial by the results of others" in said.error
    assert said.hint == "use grid or random, or leave out --offline"


def test_more_than_a_million_trials_are_refused(desk: SweepDesk) -> None:
    values = list(range(101))
    desk.file(f"program: main.py\nmethod: grid\nparameters:\n  a: {values}\n  b: {values}\n  c: {values}\n")
    said = desk.box.refuses(*OFFLINE)
    assert said.error.endswith("sweeper.yml describes 1,030,301 trials, more than any cluster runs")
    desk.submits(*OFFLINE, "--num-sweeps", "10")


def test_a_parameter_that_the_job_sets_itself_is_refused(desk: SweepDesk) -> None:
    desk.file(GRID.replace("  n:", "  gpus:"))
    said = desk.box.refuses(*OFFLINE, "--trial-gpus", "2")
    assert said.error.endswith("clashes with --gpus, which the job sets")
    desk.submits(*OFFLINE)


# --- several sweeps in one file


def test_a_composite_file_is_one_submission_for_each_part(desk: SweepDesk) -> None:
    said = desk.submits(*OFFLINE, "both.yml", "--trial-gpus", "2")
    assert said.stdout == "Submitted batch job 101\nSubmitted batch job 102\n"
    assert [(spec["name"], spec["trials"], spec["tags"]) for spec in specs(desk)] == [
        ("study-base,large", 3, ["base", "large"]),
        ("study-small", 4, ["small"]),
    ]
    assert "2 sweeps, 7 trials together, at most 14 GPU hours\n" in said.stderr
    assert len(desk.records) == 2


def test_the_sum_stands_before_the_question_and_no_creates_nothing(desk: SweepDesk) -> None:
    before = desk.box.tree()
    for argv in ((*OFFLINE, "both.yml"), (*RUN, "both.yml")):
        code, shown = at_a_terminal(desk.box, *argv, typed=b"n\n")
        assert code == 1, shown
        total = shown.index(b"2 sweeps, 7 trials together, at most 7 GPU hours")
        assert shown.rindex(b"--job-name") < total < shown.index(b"Submit? [y/N]")
        assert shown.count(b"Submit? [y/N]") == 1
        assert b"error: not submitted, as you answered" in shown
        assert (desk.box.tree(), desk.calls, asked(desk)) == (before, [], [])


@pytest.mark.parametrize("argv", [RUN, OFFLINE])
def test_a_dry_run_prints_the_scripts_of_all_and_creates_nothing(
    desk: SweepDesk, argv: tuple[str, ...]
) -> None:
    before = desk.box.tree()
    said = desk.submits(*argv, "both.yml", "--dry-run")
    assert arrays(said.stdout) == ["1-4", "1-3"]
    assert said.stdout.count("#!/bin/bash\n") == 2
    assert (desk.box.tree(), desk.calls, asked(desk)) == (before, [], [])
    assert "2 sweeps, 7 trials together" in said.stderr


def test_sweeps_that_fit_alone_and_not_together_are_refused(desk: SweepDesk) -> None:
    desk.profile(max_jobs=6)
    for argv in (RUN, OFFLINE):
        said = desk.box.refuses(*argv, "both.yml")
        place = "6 of 6 jobs are free here (max_jobs of the profile 'generic')"
        assert said.error == f"7 tasks of 2 sweeps do not fit together: {place}"
        assert said.hint.startswith("let each task run several: --trials-per-task 4")
    assert asked(desk) == []
    desk.submits(*OFFLINE, "both.yml", "--trials-per-task", "2")


def test_follow_stays_with_one_sweep(desk: SweepDesk) -> None:
    said = desk.box.refuses(*OFFLINE, "both.yml", "--follow", code=2)
    assert said.error == "--follow stays with one sweep, and the file describes several"
    assert said.hint == "leave it out"


# --- with a server


def test_the_sweep_is_created_and_its_runs_are_submitted(desk: SweepDesk) -> None:
    said = desk.submits(*RUN, "--entity", "team")
    assert said.stdout == "Submitted batch job 101\n"
    assert "created lab/gan/abc: https://wandb.ai/lab/gan/sweeps/abc\n" in said.stderr
    assert "Number of sweeps" not in said.stderr
    assert (asked(desk), desk.wandb.asked()[0].request["entity"]) == (["create"], "team")
    assert arrays(desk.script) == ["1-6"]
    assert "lab/gan/abc" in desk.script
    plan, (spec,) = desk.record("plan.json"), specs(desk)
    assert (plan["kind"], plan["sweep"], spec["sweep"]) == ("sweep", "lab/gan/abc", "lab/gan/abc")


def test_the_number_is_asked_for_once_where_nothing_bounds_the_file(desk: SweepDesk) -> None:
    desk.file(RANDOM)
    said = desk.submits(*RUN, stdin="3\n")
    assert said.stderr.count("Number of sweeps: ") == 1
    assert (arrays(desk.script), asked(desk)) == (["1-3"], ["create"])


def test_auto_is_refused_where_nothing_bounds_the_file(desk: SweepDesk) -> None:
    desk.file(RANDOM)
    said = desk.box.refuses(*RUN, "--num-sweeps", "auto")
    assert said.error.startswith("--num-sweeps auto needs a grid or a run_cap")
    assert asked(desk) == []


def test_a_sweep_that_cannot_be_created_leaves_nothing_submitted(desk: SweepDesk) -> None:
    desk.wandb.answers(create={"error": "other", "message": "entity lab not found", "url": "https://w"})
    before = desk.box.tree()
    said = desk(*RUN)
    assert (said.code, said.stdout, desk.calls, desk.box.tree()) == (1, "", [], before)
    assert said.error == "the wandb server https://w refused: entity lab not found"
    assert said.hint == "see what it names in the sweep file, the entity or the project"


def test_where_the_second_cannot_be_created_the_first_is_named_and_nothing_submitted(
    desk: SweepDesk,
) -> None:
    program = CREATES_ONCE.format(python=sys.executable, root=str(desk.box.root), created=CREATED)
    desk.wandb.python.write_text(program)
    said = desk(*RUN, "both.yml")
    assert (said.code, said.stdout, desk.calls, desk.records) == (1, "", [], [])
    assert said.stderr.count("created lab/gan/abc: ") == 1
    assert said.error.endswith("refused: quota; created before it, and not submitted: lab/gan/abc")
    assert said.hint.endswith("; submit the others' runs: hpcsubmit -w lab/gan/abc")


def test_the_workers_of_a_part_share_its_runs(desk: SweepDesk) -> None:
    desk.file(GRID + "  _num_agents: 4\n")
    said = desk.submits(*OFFLINE)
    assert arrays(desk.script) == ["1-3"]
    assert "note: 2 trials one after another in each of 3 tasks" in said.stderr


@pytest.mark.parametrize(
    ("parameters", "workers", "note"),
    [
        ("n: [1, 2, 3, 4]", 3, "2 tasks do the work of 3 workers: 2 runs each"),
        ("n: [1, 2, 3, 4, 5]", 4, "3 tasks do the work of 4 workers: 2 runs each, 1 in the last"),
        ("n: [1]", 2, "1 task does the work of 2 workers: 1 run each"),
    ],
)
@pytest.mark.parametrize("argv", [RUN, OFFLINE])
def test_fewer_tasks_than_workers_are_told_where_the_number_does_not_divide(
    desk: SweepDesk, argv: tuple[str, ...], parameters: str, workers: int, note: str
) -> None:
    desk.file(f"program: main.py\nmethod: grid\nparameters:\n  {parameters}\n  _num_nodes: {workers}\n")
    assert f"note: {note}\n" in desk.submits(*argv).stderr
    assert arrays(desk.script) == [f"1-{note.split()[0]}"]


@pytest.mark.parametrize(
    ("workers", "argv"), [(2, ()), (4, ()), (3, ("--trials-per-task", "2")), (3, ("--num-sweeps", "3"))]
)
def test_nothing_is_said_of_workers_where_they_are_the_tasks_or_the_user_says_how_many(
    desk: SweepDesk, workers: int, argv: tuple[str, ...]
) -> None:
    desk.file(f"program: main.py\nmethod: grid\nparameters:\n  n: [1, 2, 3, 4]\n  _num_nodes: {workers}\n")
    assert " the work of " not in desk.submits(*OFFLINE, *argv).stderr


def test_w_is_refused_beside_a_file(desk: SweepDesk) -> None:
    said = desk.box.refuses(*RUN, "-w", "lab/gan/abc", code=2)
    assert said.error == "sweep run makes a sweep of its own, and -w names lab/gan/abc"
    assert said.hint == "leave out -w, or write hpcsubmit -w lab/gan/abc"


def test_the_sweep_of_hpcsubmit_yaml_is_put_aside(desk: SweepDesk) -> None:
    text = "wandb-sweepid: lab/gan/other\nnum-sweeps: 2\ntime: '02:00:00'\n"
    desk.box.write(text, desk.box.project / "hpcsubmit.yaml")
    desk.submits(*OFFLINE)
    assert "#SBATCH --time=00-02:00:00\n" in desk.script
    assert (specs(desk)[0]["sweep"], arrays(desk.script)) == ("", ["1-6"])


@pytest.mark.parametrize("argv", [RUN, OFFLINE])
def test_the_repeats_of_hpcsubmit_yaml_are_those_of_its_command(
    desk: SweepDesk, argv: tuple[str, ...]
) -> None:
    desk.box.experiment.unlink()
    desk.box.write("command: python main.py\nrepeat: 3\n", desk.box.project / "hpcsubmit.yaml")
    desk.submits(*argv)
    assert (specs(desk)[0]["seeds"], arrays(desk.script)) == ([], ["1-6"])


def test_more_runs_than_the_grid_has_are_submitted_with_a_note(desk: SweepDesk) -> None:
    said = desk.submits(*RUN, "--num-sweeps", "8")
    assert "note: the sweep has only 6 runs: the agents of the others will find none\n" in said.stderr
    assert arrays(desk.script) == ["1-8"]


def test_where_the_second_is_refused_the_first_was_submitted_and_printed(desk: SweepDesk) -> None:
    desk.refused_call(2)
    said = desk(*OFFLINE, "both.yml")
    assert (said.code, said.stdout) == (1, "Submitted batch job 101\n")
    assert "QOSMaxSubmitJob" in said.error
    assert desk.cancelled == []


def test_a_sweep_on_the_server_is_not_repeated(desk: SweepDesk) -> None:
    said = desk.box.refuses(*RUN, "--repeat", "3")
    assert said.error == "a wandb sweep cannot be repeated: its server deals out the parameters"
    assert "sweep run FILE --offline" in said.hint


def test_without_a_key_the_sweep_is_refused_before_it_is_created(desk: SweepDesk) -> None:
    del desk.box.environ["WANDB_API_KEY"]
    said = desk.box.refuses(*RUN)
    assert said.error.startswith("a sweep needs a wandb key")
    assert asked(desk) == []


def test_the_record_of_a_created_sweep_stays_beside_the_runs(desk: SweepDesk) -> None:
    desk.submits(*RUN)
    record = desk.box.scratch / "gan" / "hpcsubmit" / "sweeps" / "abc.json"
    assert json.loads(record.read_text())["runs"] == 6
