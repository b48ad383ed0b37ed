"""The numbers that programs leave: whole, half written and broken."""

from pathlib import Path

import pytest

from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.rows import State, Trial
from trial_records import TrialRecords

LR = [["lr", {"values": [0.1, 0.2, 0.3, 0.4]}]]


@pytest.fixture
def records(tmp_path: Path) -> TrialRecords:
    return TrialRecords(tmp_path / "gan")


def one(records: TrialRecords, name: str, text: str) -> Trial:
    """A finished trial that wrote one file."""
    records.submitted(LR, 1)
    records.ended(1)
    records.wrote(1, text, name)
    return read_trials(records.folder, points=None).trials[0]


def test_a_list_in_metrics_json_is_a_curve(records: TrialRecords) -> None:
    found = one(records, "metrics.json", '[{"acc": 0.1}, {"acc": 0.3}]')
    assert (found.metrics, found.curve) == ({"acc": 0.3}, ({"acc": 0.1}, {"acc": 0.3}))


def test_lines_of_metrics_jsonl_are_a_curve_and_the_last_value_of_each_is_final(
    records: TrialRecords,
) -> None:
    found = one(records, "metrics.jsonl", '{"loss": 2, "lr": 0.1}\n{"loss": 1}\n\n')
    assert found.metrics == {"loss": 1, "lr": 0.1}
    assert len(found.curve) == 2
    assert found.note == ""


def test_final_metrics_come_from_metrics_json_where_both_are_there(records: TrialRecords) -> None:
    records.wrote(1, '{"loss": 5}\n', "metrics.jsonl")
    found = one(records, "metrics.json", '{"loss": 0.5}')
    assert (found.metrics, found.curve) == ({"loss": 0.5}, ({"loss": 5},))


def test_only_numbers_are_metrics(records: TrialRecords) -> None:
    text = '{"a": 1, "b": "x", "c": true, "d": null, "e": [1], "_step": 9, "f": {"g": 1}}'
    assert one(records, "metrics.json", text).metrics == {"a": 1}


def test_what_is_not_a_number_is_kept_as_such(records: TrialRecords) -> None:
    text = f'{{"a": NaN, "b": "NaN", "c": -Infinity, "d": "Infinity", "e": 1e999, "f": 1{"0" * 400}}}'
    found = one(records, "metrics.json", text).metrics
    assert [repr(value) for value in found.values()] == ["nan", "nan", "-inf", "inf", "inf", "inf"]


@pytest.mark.parametrize(
    ("text", "note"),
    [
        ('{"acc": 0.', "metrics.json is broken, or half written"),
        ("", "metrics.json is empty"),
        ("3", "metrics.json is broken, or half written"),
        ("[" * 100_000, "metrics.json is broken, or half written"),
        ("\x00", "metrics.json is broken, or half written"),
        ('{"a": ' + "9" * 5000 + "}", "metrics.json is broken, or half written"),
    ],
)
def test_a_broken_metrics_json_is_a_note(records: TrialRecords, text: str, note: str) -> None:
    found = one(records, "metrics.json", text)
    assert (found.state, found.metrics, found.note) == (State.FINISHED, {}, note)


def test_a_broken_metrics_json_leaves_what_the_curve_tells(records: TrialRecords) -> None:
    records.wrote(1, '{"loss": 5}\n', "metrics.jsonl")
    found = one(records, "metrics.json", "{")
    assert (found.metrics, found.note) == ({"loss": 5}, "metrics.json is broken, or half written")


def test_broken_lines_are_counted_and_a_last_one_that_is_being_written_is_none(records: TrialRecords) -> None:
    assert one(records, "metrics.jsonl", '{"a": 1}\n{"a": 2}\n{"a"').note == ""
    found = one(records, "metrics.jsonl", '{"a": 1}\nnot\n[]\n{"a": 2}\n')
    assert (found.metrics, found.note) == ({"a": 2}, "metrics.jsonl: 2 of 4 lines are broken")


def test_without_a_file_the_last_json_line_of_the_log_counts(records: TrialRecords) -> None:
    records.submitted(LR, 4, blocks=[[0, 2], [2, 2]], jobs=["4242", "4250"])
    records.began(4)
    log = records.scratch_dir / "logs" / "gan_4250_2.out"
    log.parent.mkdir(parents=True)
    log.write_text('{"acc": 0.1}\n{"acc": 0.9}\n{"acc": broken}\nbye\n')
    assert read_trials(records.folder).trials[3].metrics == {"acc": 0.9}


def test_the_log_of_a_trial_that_was_run_again_is_that_of_its_last_task(records: TrialRecords) -> None:
    records.submitted(LR, 4)
    records.ended(4)
    end = records.folder / "tasks" / "4" / "trial"
    end.write_text(end.read_text().replace("4242_4", "4300_4"))
    log = records.scratch_dir / "logs" / "gan_4300_4.out"
    log.parent.mkdir(parents=True)
    log.write_text('{"acc": 0.7}\n')
    assert read_trials(records.folder).trials[3].metrics == {"acc": 0.7}


def test_the_log_of_several_trials_tells_no_metrics(records: TrialRecords) -> None:
    records.submitted(LR, 2, per_task=2)
    records.ended(1)
    log = records.scratch_dir / "logs" / "gan_4242_1.out"
    log.parent.mkdir(parents=True)
    log.write_text('{"acc": 0.9}\n')
    assert read_trials(records.folder).trials[0].metrics == {}


def test_a_curve_is_thinned_with_its_ends_kept(records: TrialRecords) -> None:
    records.submitted(LR, 1)
    records.ended(1)
    records.wrote(1, "".join(f'{{"x": {n}}}\n' for n in range(1000)), "metrics.jsonl")
    curve = read_trials(records.folder, points=50).trials[0].curve
    assert (len(curve), curve[0], curve[-1]) == (50, {"x": 0}, {"x": 999})
    assert read_trials(records.folder).trials[0].curve == ()
