"""What hpcsubmit.yaml says of sweeps, beside commands that are none and sweeps that are typed."""

import pytest

from sandbox import Sandbox
from sweep_desk import SweepDesk, directives

BELONGING = {"trial-gpus": 2, "trial-nodes": 2, "num-sweeps": "auto", "trials-per-task": 3}
ALL = "".join(f"{key}: {value}\n" for key, value in BELONGING.items())
WRONG = "--trial-gpus, --trial-nodes and --num-sweeps belong to sweeps, and no sweep is named"


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    made = SweepDesk(sandbox)
    made.file()
    return made


def says(desk: SweepDesk, text: str) -> None:
    """Let the project have this hpcsubmit.yaml."""
    desk.box.write(text, desk.box.project / "hpcsubmit.yaml")


# --- the keys that belong to sweeps


@pytest.mark.parametrize("text", [*(f"{key}: {value}\n" for key, value in BELONGING.items()), ALL])
def test_a_job_that_is_no_sweep_puts_the_keys_of_sweeps_aside(desk: SweepDesk, text: str) -> None:
    says(desk, f"time: '02:00:00'\n{text}clusters: {{generic: {{{text.replace(chr(10), ', ')}}}}}\n")
    desk.submits()
    found = directives(desk.script)
    assert "array" not in found
    assert (found["nodes"], found["gres"], found["time"]) == ("1", "gpu:1", "00-02:00:00")


def test_a_sweep_that_is_run_from_a_file_takes_them(desk: SweepDesk) -> None:
    says(desk, "command: python main.py\ntrial-gpus: 2\ntrial-nodes: 3\ntrials-per-task: 2\nnum-sweeps: 1\n")
    desk.box.experiment.unlink()
    desk.submits("sweep", "run", "--offline")
    found = directives(desk.script)
    assert (found["nodes"], found["gres"], found["array"]) == ("3", "gpu:2", "1-3")


@pytest.mark.parametrize("place", ["typed", "experiment file", "hpcsubmit.yaml"])
def test_a_sweep_takes_them_wherever_it_is_named(desk: SweepDesk, place: str) -> None:
    command = "wandb agent lab/gan/abc"
    if place == "experiment file":
        desk.box.write(f"{command}\n")
    if place == "hpcsubmit.yaml":
        desk.box.experiment.unlink()
    says(desk, ALL + (f"command: {command}\n" if place == "hpcsubmit.yaml" else ""))
    desk.submits(*(("-w", "lab/gan/abc") if place == "typed" else ()))
    found = directives(desk.script)
    assert (found["nodes"], found["gres"], found["array"]) == ("2", "gpu:2", "1-3")


def test_repeats_take_the_trials_of_a_task_alone(desk: SweepDesk) -> None:
    says(desk, ALL)
    desk.submits("--repeat", "6")
    found = directives(desk.script)
    assert (found["nodes"], found["gres"], found["array"]) == ("1", "gpu:1", "1-2")


@pytest.mark.parametrize("option", ["--trial-gpus", "--trial-nodes", "--num-sweeps"])
def test_what_is_typed_is_wrong_without_a_sweep_whatever_the_file_says(desk: SweepDesk, option: str) -> None:
    says(desk, ALL)
    said = desk.box.refuses(option, "4", code=2)
    assert said.error == WRONG
    assert said.hint == "add -w ENTITY/PROJECT/ID, or use --gpus and --num-nodes"


def test_trials_of_a_task_that_are_typed_are_wrong_for_one_job(desk: SweepDesk) -> None:
    says(desk, ALL)
    said = desk.box.refuses("--trials-per-task", "4", code=2)
    assert said.error == "--trials-per-task belongs to sweeps and repeats, and there is one job alone"
    assert said.hint == "add -w ENTITY/PROJECT/ID or --repeat 8, or leave it out"


# --- the place of an id


def named(desk: SweepDesk, *argv: str) -> str:
    """The sweep of the only submission."""
    desk.submits(*argv, "--num-sweeps", "2")
    return str(desk.record("plan.json")["sweep"])


def test_an_id_that_is_typed_alone_has_the_place_of_the_file_s_sweep(desk: SweepDesk) -> None:
    says(desk, "sweep: e/p/abc123\n")
    assert named(desk, "-w", "zzz") == "e/p/zzz"


def test_the_place_that_is_typed_and_the_one_of_the_command_count_more(desk: SweepDesk) -> None:
    says(desk, "sweep: e/p/abc123\n")
    assert named(desk, "-w", "lab/gan/zzz") == "lab/gan/zzz"


def test_the_place_of_the_experiment_file_counts_more(desk: SweepDesk) -> None:
    says(desk, "sweep: e/p/abc123\n")
    desk.box.write("wandb agent lab/gan/SWEEP_ID\n")
    assert named(desk, "-w", "zzz") == "lab/gan/zzz"


def test_the_environment_s_place_counts_less(desk: SweepDesk) -> None:
    says(desk, "sweep: e/p/abc123\n")
    desk.box.environ.update(WANDB_ENTITY="other", WANDB_PROJECT="thing")
    assert named(desk, "-w", "zzz") == "e/p/zzz"


@pytest.mark.parametrize(
    "text", ["sweep: abc123\n", "sweep: e/p/abc123\nclusters: {generic: {sweep: null}}\n", "time: '1:00'\n"]
)
def test_without_a_place_in_the_file_the_environment_counts_and_then_it_is_an_error(
    desk: SweepDesk, text: str
) -> None:
    says(desk, text)
    said = desk.box.refuses("-w", "zzz", "--num-sweeps", "2")
    assert said.error == "nothing says which entity and project the wandb sweep zzz belongs to"
    assert said.hint == "write ENTITY/PROJECT/zzz in its place, or set WANDB_ENTITY and WANDB_PROJECT"
    desk.box.environ.update(WANDB_ENTITY="other", WANDB_PROJECT="thing")
    assert named(desk, "-w", "zzz") == "other/thing/zzz"
