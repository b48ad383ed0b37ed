"""`hpcsubmit -w` and `--repeat`, as typed: what is asked, refused, submitted and recorded."""

import json

import pytest

from sandbox import Sandbox
from sweep_desk import GRID, SweepDesk, directives
from unit.test_question import at_a_terminal

SWEEP = ("-w", "lab/gan/abc")
UNKNOWN = {"method": "random", "expected": None}


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


# --- how many runs


def test_a_sweep_is_an_array_of_agents_named_as_sweeps_are(desk: SweepDesk) -> None:
    said = desk.submits(*SWEEP, "--num-sweeps", "5", "-e", "x")
    assert said.stdout == "Submitted batch job 101\n"
    found = directives(desk.script)
    assert (found["array"], found["job-name"], found["nodes"], found["gres"]) == (
        "1-5",
        "sweep-gan-x",
        "1",
        "gpu:1",
    )
    assert found["output"] == f"{desk.box.scratch}/gan/hpc_outputs/sweep_x_%A_%a.out"
    assert "agent --count 1" in desk.script
    assert desk.calls == ["SCRIPT"]
    plan = desk.record("plan.json")
    assert (plan["kind"], plan["sweep"]) == ("sweep", "lab/gan/abc")
    assert plan["array"] == {"trials": 5, "per_task": 1, "blocks": [[0, 5]]}
    assert desk.record() == {"job": "101", "code": ""}
    spec = desk.record("sweep.json")
    assert (spec["trials"], spec["sweep"], spec["parameters"]) == (5, "lab/gan/abc", [])


@pytest.mark.parametrize(("answer", "number"), [("\n", 8), ("3\n", 3), (" 3 \n", 3), ("3", 3)])
def test_the_number_is_asked_for_and_what_is_left_of_the_grid_is_proposed(
    desk: SweepDesk, answer: str, number: int
) -> None:
    said = desk.submits(*SWEEP, stdin=answer)
    assert said.stderr.startswith("Number of sweeps [8]: ")
    assert directives(desk.script)["array"] == f"1-{number}"


@pytest.mark.parametrize("place", ["sweeper.yml", "hpc_files/sweeper.yml"])
def test_the_grid_of_the_project_s_file_is_proposed_where_no_server_was_asked(
    desk: SweepDesk, place: str
) -> None:
    (desk.box.project / "hpc_files").mkdir()
    (desk.box.project / "virtual_env").rename(desk.box.project / "aside")
    desk.box.write("wandb\n", desk.box.project / "requirements.txt")
    desk.file(name=place)
    said = desk.submits(*SWEEP, "--dry-run", stdin="\n")
    assert said.stderr.startswith("Number of sweeps [6]: ")
    assert directives(said.stdout)["array"] == "1-6"


def test_nothing_is_proposed_where_nothing_bounds_the_sweep(desk: SweepDesk) -> None:
    desk.sweep_is(**UNKNOWN)
    assert desk.submits(*SWEEP, stdin="2\n").stderr.startswith("Number of sweeps: ")
    assert directives(desk.script)["array"] == "1-2"


@pytest.mark.parametrize("answer", ["0\n", "-1\n", "x\n", "1.5\n"])
def test_a_wrong_answer_is_wrong_usage_without_a_terminal(desk: SweepDesk, answer: str) -> None:
    said = desk(*SWEEP, stdin=answer + "3\n")
    assert (said.code, said.stdout, desk.records) == (2, "", [])
    assert said.error == f"the number of sweeps '{answer.strip()}' is not a number from 1 to 1000000"
    assert said.hint == "answer with a whole number above 0"


def test_an_empty_answer_is_wrong_where_nothing_is_proposed(desk: SweepDesk) -> None:
    desk.sweep_is(**UNKNOWN)
    assert desk(*SWEEP, stdin="\n").code == 2


def test_the_end_of_the_input_is_an_error(desk: SweepDesk) -> None:
    said = desk(*SWEEP)
    assert (said.code, said.stdout, desk.records) == (1, "", [])
    assert said.error == "the number of sweeps was asked for, and the input ended"
    assert said.hint == "give it: --num-sweeps 8"


def test_a_wrong_answer_is_asked_again_on_a_terminal(desk: SweepDesk) -> None:
    typed = b"none\n0\n2\n"
    code, shown = at_a_terminal(desk.box, *SWEEP, "--yes", typed=typed, question=b"Number of sweeps [8]: ")
    assert code == 0, shown
    assert shown.count(b"Number of sweeps [8]: ") == 3
    assert b"Traceback" not in shown
    assert directives(desk.script)["array"] == "1-2"


def test_auto_takes_what_is_left_of_the_grid(desk: SweepDesk) -> None:
    assert desk.submits(*SWEEP, "--num-sweeps", "auto").stderr.count("Number of sweeps") == 0
    assert directives(desk.script)["array"] == "1-8"


def test_auto_is_an_error_where_nothing_bounds_the_sweep(desk: SweepDesk) -> None:
    desk.sweep_is(**UNKNOWN)
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "auto")
    assert said.error.startswith("--num-sweeps auto needs a grid or a run_cap")
    assert said.hint == "give a number: --num-sweeps 20"


@pytest.mark.parametrize("value", ["0", "-1", "x", ""])
def test_a_number_that_can_never_be_right_is_wrong_usage(desk: SweepDesk, value: str) -> None:
    said = desk.box.refuses(*SWEEP, f"--num-sweeps={value}", code=2)
    assert "--num-sweeps" in said.error


def test_more_runs_than_are_left_are_submitted_with_a_note(desk: SweepDesk) -> None:
    said = desk.submits(*SWEEP, "--num-sweeps", "9")
    assert "note: the sweep has only 8 runs left: the agents of the others will find none\n" in said.stderr


def test_more_than_a_million_runs_are_refused(desk: SweepDesk) -> None:
    desk.sweep_is(expected=1_000_005)
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "auto")
    assert said.error == "the sweep has 1,000,001 trials, more than any cluster runs"
    assert said.hint == "thin out its values, or take the first of them: --num-sweeps 10000"


@pytest.mark.parametrize(
    ("look", "error"),
    [
        ({"state": "FINISHED"}, "the sweep lab/gan/abc is finished: its agents would end at once"),
        (
            {"runs": {"finished": 12}},
            "all 12 runs of the sweep lab/gan/abc have begun: agents would find none left",
        ),
    ],
)
def test_a_sweep_without_work_is_refused(desk: SweepDesk, look: dict[str, object], error: str) -> None:
    desk.sweep_is(**look)
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "2")
    assert said.error == error
    assert "hpcsubmit sweep create makes another" in said.hint


# --- which sweep


def test_the_id_of_the_experiment_file_wins_with_one_warning(desk: SweepDesk) -> None:
    desk.box.write("wandb agent --count 1 lab/gan/other\n")
    said = desk.submits(*SWEEP, "--num-sweeps", "2")
    assert said.stderr.count("warning: ") == 1
    warning = (
        f"{desk.box.experiment} names the sweep lab/gan/other, which wins over --wandb-sweepid lab/gan/abc"
    )
    assert f"warning: {warning}\n" in said.stderr
    assert desk.record("plan.json")["sweep"] == "lab/gan/other"


def test_the_experiment_file_alone_makes_a_sweep(desk: SweepDesk) -> None:
    desk.box.write("wandb agent lab/gan/other\n")
    assert "warning: " not in desk.submits("--num-sweeps", "2").stderr
    assert desk.record("plan.json")["sweep"] == "lab/gan/other"


def test_a_placeholder_is_no_id(desk: SweepDesk) -> None:
    desk.box.write("wandb agent lab/gan/SWEEP_ID\n")
    said = desk.box.refuses("--num-sweeps", "2")
    assert "lab/gan/SWEEP_ID" in said.error
    assert "--wandb-sweepid" in said.hint
    assert desk.submits("-w", "abc", "--num-sweeps", "2").code == 0
    assert desk.record("plan.json")["sweep"] == "lab/gan/abc"


def test_a_sweep_needs_no_experiment_file(desk: SweepDesk) -> None:
    desk.box.experiment.unlink()
    desk.box.write("time: '02:00:00'\n", desk.box.project / "hpcsubmit.yaml")
    desk.submits(*SWEEP, "--num-sweeps", "2")
    assert directives(desk.script)["time"] == "00-02:00:00"


# --- how much each gets


def test_gpus_and_nodes_are_forced_to_one_and_it_says_so(desk: SweepDesk) -> None:
    said = desk.submits(*SWEEP, "--num-sweeps", "2", "-g", "4", "-n", "3")
    note = "--gpus 4 --num-nodes 3 are ignored: a run of a sweep gets --trial-gpus on --trial-nodes"
    assert said.stderr.count(note) == 1
    found = directives(desk.script)
    assert (found["nodes"], found["gres"], found["ntasks-per-node"]) == ("1", "gpu:1", "1")


def test_a_trial_gets_gpus_and_nodes_by_options_of_its_own(desk: SweepDesk) -> None:
    argv = ("--num-sweeps", "2", "--trial-gpus", "2", "--trial-nodes", "3", "-W", "torchrun")
    said = desk.submits(*SWEEP, *argv)
    assert "are ignored" not in said.stderr
    assert "  trials             2 in 2 tasks, at most 12 GPU hours\n" in said.stderr
    found = directives(desk.script)
    assert (found["job-name"], found["nodes"], found["gres"]) == ("sweep-gan", "3", "gpu:2")
    launch = desk.record("sweep.json")["launch"]
    assert (launch["kind"], launch["nodes"], launch["gpus"]) == ("torchrun", 3, 2)


@pytest.mark.parametrize("argv", [("--trial-gpus", "2"), ("--trial-nodes", "2"), ("--num-sweeps", "3")])
def test_what_belongs_to_sweeps_is_wrong_without_one(desk: SweepDesk, argv: tuple[str, ...]) -> None:
    said = desk.box.refuses(*argv, code=2)
    assert said.error.endswith("belong to sweeps, and no sweep is named")
    assert said.hint == "add -w ENTITY/PROJECT/ID, or use --gpus and --num-nodes"


def test_several_trials_in_a_task_are_wrong_for_one_job(desk: SweepDesk) -> None:
    said = desk.box.refuses("--trials-per-task", "3", code=2)
    assert said.error == "--trials-per-task belongs to sweeps and repeats, and there is one job alone"
    assert "--repeat 8" in said.hint


@pytest.mark.parametrize("argv", [(*SWEEP, "--num-sweeps", "7"), ("--repeat", "7")])
def test_several_trials_in_each_task(desk: SweepDesk, argv: tuple[str, ...]) -> None:
    said = desk.submits(*argv, "--trials-per-task", "3")
    assert (
        "note: 3 trials one after another in each of 3 tasks: 00:20:00 each of --time 01:00:00\n"
        in said.stderr
    )
    assert desk.record("plan.json")["array"] == {"trials": 7, "per_task": 3, "blocks": [[0, 3]]}
    assert directives(desk.script)["array"] == "1-3"


def test_the_workers_of_the_file_that_a_sweep_was_created_from_are_kept_in_mind(desk: SweepDesk) -> None:
    desk.file(GRID + "  _num_agents: 4\n")
    desk.submits("sweep", "create")
    said = desk.submits("-w", "lab/gan/abc", "--num-sweeps", "6")
    assert "note: 3 tasks do the work of 4 workers: 2 runs each\n" in said.stderr
    assert "#SBATCH --array=1-3" in desk.script


def test_results_are_not_collected_of_several_trials_in_a_task(desk: SweepDesk) -> None:
    said = desk.box.refuses("--repeat", "7", "--trials-per-task", "3", "--collect", "out")
    assert said.error == "--collect copies a task's folder once, and each task runs 3 trials"
    assert "$OUTPUT_DIR" in said.hint
    desk.submits("--repeat", "7", "--collect", "out")


# --- what must be there


@pytest.mark.parametrize("argv", [(*SWEEP, "--num-sweeps", "2"), (*SWEEP,), (*SWEEP, "--dry-run")])
def test_a_sweep_without_any_key_is_an_error(desk: SweepDesk, argv: tuple[str, ...]) -> None:
    del desk.box.environ["WANDB_API_KEY"]
    said = desk.box.refuses(*argv)
    assert said.error.startswith("a sweep needs a wandb key, and WANDB_API_KEY, ~/wandb_credentials.txt")
    assert said.hint.endswith("into ~/wandb_credentials.txt, with mode 0600")
    assert desk.wandb.asked() == []


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (
            {"error": "unauthorized", "message": "no", "url": "https://api.wandb.ai"},
            "the wandb server https://api.wandb.ai does not accept the key of WANDB_API_KEY",
        ),
        (
            {"error": "unreachable", "message": "timed out", "url": "https://api.wandb.ai"},
            "the wandb server https://api.wandb.ai cannot be reached: timed out",
        ),
        (
            {"error": "unknown", "message": "no", "url": "https://api.wandb.ai"},
            "https://api.wandb.ai knows no sweep abc of the entity lab, project gan",
        ),
    ],
)
def test_what_the_server_refuses_is_found_before_submission(
    desk: SweepDesk, answer: dict[str, str], error: str
) -> None:
    desk.wandb.answers(look=answer)
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "2")
    assert said.error == error
    assert said.hint


def test_an_environment_without_wandb_is_found_before_submission(desk: SweepDesk) -> None:
    (package,) = (desk.box.project / "virtual_env").glob("lib/python3*/site-packages/wandb")
    (package / "__init__.py").unlink()
    package.rmdir()
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "2")
    where = desk.box.project / "virtual_env"
    assert said.error == f"the environment {where} has no wandb, which the agents of a sweep need"
    assert "requirements.txt" in said.hint


def test_an_environment_that_is_still_to_be_built_is_not_looked_at(desk: SweepDesk) -> None:
    (desk.box.project / "virtual_env").rename(desk.box.project / "aside")
    desk.box.write("wandb\n", desk.box.project / "requirements.txt")
    said = desk(*SWEEP, "--num-sweeps", "2", "--dry-run")
    assert said.code == 0, said
    assert "(to be built from " in said.stderr
    assert "note: the sweep lab/gan/abc was not looked up: neither hpcsubmit's Python nor " in said.stderr


def test_nodes_that_do_not_reach_wandb_refuse_agents(desk: SweepDesk) -> None:
    desk.profile(wandb="offline")
    said = desk.box.refuses(*SWEEP, "--num-sweeps", "2")
    assert said.error.startswith("the nodes of 'generic' do not reach wandb's server")
    assert said.hint.endswith("hpcsubmit sweep run sweeper.yml --offline")


def test_a_dry_run_prints_the_script_and_leaves_nothing(desk: SweepDesk) -> None:
    before = desk.box.tree()
    said = desk.submits(*SWEEP, "--num-sweeps", "auto", "--dry-run")
    assert directives(said.stdout)["array"] == "1-8"
    assert (desk.calls, desk.box.tree()) == ([], before)


def test_the_key_is_in_no_file_of_the_submission(desk: SweepDesk) -> None:
    desk.submits(*SWEEP, "--num-sweeps", "2")
    (folder,) = desk.records
    key = desk.box.environ["WANDB_API_KEY"]
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert len(files) >= 6
    assert [path for path in files if key in path.read_text()] == []
    assert json.loads((folder / "sweep.json").read_text())["run"] == folder.name


def test_the_record_of_a_sweep_has_the_program_that_deals_with_trials_and_repeats_do_not(
    desk: SweepDesk,
) -> None:
    desk.submits("--repeat", "2")
    repeats = {path.name for path in desk.records[0].rglob("*.py")}
    desk.submits(*SWEEP, "--num-sweeps", "2")
    sweep = {path.name for folder in desk.records for path in folder.rglob("*.py")}
    assert sweep - repeats == {"trial.py"}
