"""What trials came to, read from records as jobs leave them, and from the wandb server."""

import math
import sys
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweeps.export import counts
from hpcsubmit.sweeps.ranking import varying
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.rows import Goal, Metric, State, rows_of_server
from trial_records import TrialRecords, grid_with_every_state

LR = [["lr", {"values": [0.1, 0.2, 0.3, 0.4]}]]


@pytest.fixture
def records(tmp_path: Path) -> TrialRecords:
    return TrialRecords(tmp_path / "gan")


def states(records: TrialRecords) -> list[str]:
    return [trial.state_text for trial in read_trials(records.folder).trials]


def test_every_trial_is_there_with_its_parameters_and_state(records: TrialRecords) -> None:
    grid_with_every_state(records)
    found = read_trials(records.folder)
    assert [trial.number for trial in found.trials] == [1, 2, 3, 4, 5, 6]
    assert found.trials[1].parameters == {"lr": 0.001, "optimizer": "adam"}
    assert states(records) == ["finished"] * 3 + ["failed (9)", "stopped", "missing"]
    assert counts(found.trials) == {"finished": 3, "failed": 1, "running": 0, "stopped": 1, "missing": 1}


def test_a_trial_tells_where_and_how_long_it_ran(records: TrialRecords) -> None:
    records.submitted(LR, 1)
    records.ended(1, 3, seconds=75, wandb="abc")
    records.wrote(1, '{"accuracy": 0.5}')
    (trial,) = read_trials(records.folder).trials
    assert (trial.exit_code, trial.seconds, trial.host, trial.job) == (3, 75, "plai01", "4242_1")
    assert (trial.name, trial.metrics) == ("abc", {"accuracy": 0.5})


def test_the_sweep_is_told_with_its_trials(records: TrialRecords) -> None:
    grid_with_every_state(records)
    found = read_trials(records.folder)
    assert (found.title, found.method, found.jobs) == ("digits", "grid", ("4242",))
    assert (found.metric, found.command) == (Metric("accuracy", Goal.MAXIMIZE), "python train.py")


def test_a_task_that_goes_on_has_a_running_trial_and_others_that_wait(records: TrialRecords) -> None:
    records.submitted(LR, 4, per_task=4)
    records.ended(1)
    (records.folder / "tasks" / "2").mkdir()
    assert states(records) == ["finished", "running", "missing", "missing"]


def test_a_trial_that_was_run_again_alone_has_the_end_of_its_own_task(records: TrialRecords) -> None:
    records.submitted(LR, 2, per_task=2)
    records.ended(1)
    records.began(1).joinpath("exit").write_text("143\n")
    again = records.began(2)
    assert states(records) == ["finished", "running"]
    again.joinpath("exit").write_text("143\n")
    assert states(records) == ["finished", "stopped"]


def test_trials_whose_task_has_ended_without_them_were_stopped(records: TrialRecords) -> None:
    records.submitted(LR, 4, per_task=2)
    records.ended(1)
    (records.folder / "tasks" / "1" / "exit").write_text("143\n")
    assert states(records) == ["finished", "stopped", "missing", "missing"]


def test_seeds_are_taken_in_turn_for_each_combination(records: TrialRecords) -> None:
    records.submitted([["lr", {"values": [0.1, 0.2]}]], 4, seeds=[7, 9])
    found = read_trials(records.folder).trials
    assert [(trial.parameters["lr"], trial.seed) for trial in found] == [
        (0.1, 7),
        (0.1, 9),
        (0.2, 7),
        (0.2, 9),
    ]


def test_a_parameter_named_seed_is_the_seed(records: TrialRecords) -> None:
    records.submitted([["lr", {"values": [0.1, 0.2]}], ["seed", {"values": [3, 4]}]], 4)
    found = read_trials(records.folder).trials
    assert [trial.seed for trial in found] == [3, 4, 3, 4]
    assert varying(found) == ("lr",)


def test_parameters_of_a_group_stand_beside_the_others(records: TrialRecords) -> None:
    records.submitted(
        [["optimizer", {"parameters": {"name": {"value": "sgd"}, "lr": {"values": [1, 2]}}}]], 2
    )
    assert read_trials(records.folder).trials[1].parameters == {"optimizer.name": "sgd", "optimizer.lr": 2}


def test_parameters_of_a_sweep_on_a_server_are_not_made_up(records: TrialRecords) -> None:
    records.submitted(LR, 2, sweep="me/gan/abc", method="bayes")
    found = read_trials(records.folder)
    assert [trial.parameters for trial in found.trials] == [{}, {}]
    assert found.source == "me/gan/abc"


def test_repeats_have_no_parameters(records: TrialRecords) -> None:
    records.submitted([], 3, seeds=[1, 2, 5])
    assert [(trial.parameters, trial.seed) for trial in read_trials(records.folder).trials] == [
        ({}, 1), ({}, 2), ({}, 5)
    ]  # fmt: skip


def test_a_single_job_has_no_trials(records: TrialRecords) -> None:
    records.submitted(LR, 1)
    (records.folder / "sweep.json").unlink()
    with pytest.raises(HpcSubmitError) as caught:
        read_trials(records.folder)
    assert caught.value.message == f"run {records.run_id} has no trials: it is neither a sweep nor repeated"
    assert caught.value.hint == f"hpcsubmit runs show {records.run_id} tells of it"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"trials": "x"}', '{"trials": 2, "parameters": 3}'])
def test_a_damaged_record_is_an_error_that_names_it(records: TrialRecords, text: str) -> None:
    records.submitted(LR, 1)
    (records.folder / "sweep.json").write_text(text)
    with pytest.raises(HpcSubmitError) as caught:
        read_trials(records.folder)
    assert str(records.folder / "sweep.json") in caught.value.message
    assert caught.value.hint == "submit the sweep again; the outputs of its trials are untouched"


@pytest.mark.parametrize("text", ["", "\x00\xff", "code=x", "code=0\nstarted=x\nended=y", "code"])
def test_a_half_written_end_of_a_trial_is_no_end_but_never_a_crash(records: TrialRecords, text: str) -> None:
    records.submitted(LR, 1)
    records.began(1).joinpath("trial").write_text(text)
    (trial,) = read_trials(records.folder).trials
    expected = State.FINISHED if "code=0" in text else State.RUNNING
    assert (trial.state, trial.seconds) == (expected, None)


def test_ten_thousand_trials_cost_two_opened_files_each(records: TrialRecords) -> None:
    records.submitted([["x", {"values": list(range(10_000))}]], 10_000)
    for number in range(1, 10_001):
        task, output = records.folder / "tasks" / str(number), records.outputs / str(number)
        task.mkdir(parents=True)
        output.mkdir(parents=True)
        (task / "trial").write_text("code=0\nstarted=2026-02-01T00:00:00Z\nended=2026-02-01T00:00:09Z\n")
        (output / "metrics.json").write_text('{"loss": 1}')
    opened = 0
    counting = True

    def count(event: str, _: object) -> None:
        nonlocal opened
        opened += counting and event in ("open", "os.scandir", "os.listdir")

    sys.addaudithook(count)
    found = read_trials(records.folder)
    counting = False
    assert sum(trial.metrics == {"loss": 1} for trial in found.trials) == 10_000
    assert opened <= 20_010


def test_runs_of_the_server_are_rows_like_others() -> None:
    rows = rows_of_server(
        [
            {
                "id": "a1", "name": "swift-1", "state": "finished",
                "config": {"lr": 0.1, "o": {"b": 2}, "_wandb": {}},
                "summary": {"acc": 0.5, "_runtime": 3, "bad": "NaN", "media": {"x": 1}}, "seconds": 12,
                "history": [{"acc": 0.1, "_step": 0}, {"acc": 0.5}],
            },
            {"id": "b2", "state": "crashed", "config": {"seed": 4}},
            {"id": "c3", "state": "failed"},
            {"id": "d4", "state": "running", "summary": None},
            {"id": "e5", "state": "pending"},
            {"id": "f6", "state": "something new"},
        ]
    )  # fmt: skip
    first = rows[0]
    assert (first.number, first.name, first.seconds) == (1, "swift-1", 12)
    assert first.parameters == {"lr": 0.1, "o.b": 2}
    assert first.metrics["acc"] == 0.5
    assert math.isnan(first.metrics["bad"])
    assert first.curve == ({"acc": 0.1}, {"acc": 0.5})
    assert [row.state.value for row in rows[1:]] == ["stopped", "failed", "running", "missing", "stopped"]
    assert (rows[1].seed, rows[1].name) == (4, "b2")
