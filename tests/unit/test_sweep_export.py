"""The results of sweeps for other programs and for pages."""

import json
import math
from pathlib import Path

import pytest

from hpcsubmit.page import json_in_html
from hpcsubmit.sweeps.export import as_csv, as_json
from hpcsubmit.sweeps.ranking import ranked
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.results_page import results_page
from hpcsubmit.sweeps.texts import number_text, seconds_text, value_text
from trial_records import ACCURACY, GRID, TrialRecords

LR = [["lr", {"values": [0.1, 0.2, 0.3, 0.4]}]]


@pytest.fixture
def records(tmp_path: Path) -> TrialRecords:
    return TrialRecords(tmp_path / "gan")


def test_json_has_all_and_only_finite_numbers(records: TrialRecords) -> None:
    records.submitted(GRID, 6, metric=ACCURACY, seeds=[])
    records.ended(1)
    records.wrote(1, '[{"accuracy": NaN}, {"accuracy": Infinity}]')
    records.finished(2, accuracy=0.5)
    found = read_trials(records.folder, points=None)
    shown = json.loads(json.dumps(as_json(found, ranked(found)), allow_nan=False))
    assert (shown["best"], shown["counts"]["missing"]) == (2, 4)
    assert [row["number"] for row in shown["trials"]] == [2, 1, 3, 4, 5, 6]
    assert (shown["entity"], shown["project"]) == ("", "")  # as in records of old
    assert shown["trials"][1]["curve"] == [{"accuracy": "NaN"}, {"accuracy": "Infinity"}]


def test_csv_keeps_every_digit_and_quotes_what_needs_it(records: TrialRecords) -> None:
    records.submitted([['a,"b', {"values": ["x,y", "line\nbreak"]}]], 2)
    records.finished(1, loss=0.1 + 0.2)
    assert as_csv(ranked(read_trials(records.folder))) == (
        'trial,name,"param.a,""b",seed,metric.loss,state,exit_code,seconds,host,job,note\n'
        '1,,"x,y",,0.30000000000000004,finished,0,75.0,plai01,4242_1,\n'
        '2,,"line\nbreak",,,missing,,,,,\n'
    )


def test_json_in_a_page_cannot_end_its_script() -> None:
    text = {"</script><!--": ["<b>", "&amp;", "\u2028", "é"]}
    shown = json_in_html(text)
    assert not set("<>&\u2028") & set(shown)
    assert json.loads(shown) == text


def test_text_that_is_not_utf_8_is_no_reason_to_have_no_page(records: TrialRecords) -> None:
    records.submitted([["x", {"values": ["\ud800", "b"]}]], 2)
    found = read_trials(records.folder)
    results_page(found, ranked(found)).encode("utf-8")


def test_numbers_and_times_are_read_by_people() -> None:
    numbers = (None, 0.0, 3.0, 123456.0, 1234.5678, 0.000012345678, 1e300, math.nan, -math.inf, 2.0**60)
    texts = ["-", "0", "3", "123456", "1234.6", "1.2346e-05", "1e+300", "nan", "-inf", "1.1529e+18"]
    assert [number_text(number) for number in numbers] == texts
    assert [seconds_text(each) for each in (None, 0.4, 59.6, 3661)] == ["-", "0:00:00", "0:01:00", "1:01:01"]
    values = ("a\nb", "", True, None, 7, 0.000123456789, [1, "x"], 1e-5)
    shown = ["a b", '""', "true", "null", "7", "0.00012346", '[1, "x"]', "1e-05"]
    assert [value_text(value) for value in values] == shown
