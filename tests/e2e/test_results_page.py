"""The page of a sweep's results in a real browser: drawn whole, sorted, filtered, and asking no network."""

import json
from pathlib import Path
from typing import Any

import pytest

from browser import browser, visit
from hpcsubmit.sweeps.ranking import ranked
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.results_page import results_page
from trial_records import ACCURACY, TrialRecords, grid_with_every_state

NASTY = '</script><b>"é'

COUNTS = """
const count = (what) => document.querySelectorAll(what).length;
return {
  panels: count("#scatter svg"), dots: count("#scatter .dot"), best: count("#scatter .dot.best"),
  crosses: count("#scatter .cross"), lines: count("#parallel path.path"), none: count("#parallel path.none"),
  curves: count("#curves path.curve"), groups: count("#groups .mean"), whiskers: count("#groups .whisker"),
  rows: count("#trials tbody tr"), bold: count("main b"), scripts: count("script"),
  drawings: count("svg[role=img][aria-label]"), all: count("svg"),
  broken: [...document.querySelectorAll("svg *")].filter((mark) =>
    [...mark.attributes].some((attribute) => /NaN|Infinity|undefined/.test(attribute.value))).length,
};
"""
ORDER = "return [...document.querySelectorAll('#trials tbody tr')].map((row) => Number(row.dataset.t));"
CLICK = "document.querySelectorAll('#trials th button')[{column}].click();"


@pytest.fixture
def records(tmp_path: Path) -> TrialRecords:
    browser()
    return TrialRecords(tmp_path / "scratch" / "gan")


def page_of(records: TrialRecords, tmp_path: Path) -> Path:
    results = read_trials(records.folder, points=200)
    page = tmp_path / "page.html"
    page.write_text(results_page(results, ranked(results)), "utf-8")
    return page


def clean(answer: dict[str, Any]) -> Any:
    """The report of a visit in which nothing went wrong and nothing was asked for."""
    assert (answer["wrongs"], answer["asked"], answer["console"]) == ([], [], [])
    return answer["report"]


def test_the_browser_tells_of_errors_and_of_what_a_page_asks_for(tmp_path: Path) -> None:
    page = tmp_path / "bad.html"
    image = '<img src="http://elsewhere.invalid/x.png">'
    page.write_text(f"<html><head></head><body><script>nothing();</script>{image}</body></html>")
    answer = visit(page, "return 1;", tmp_path)
    assert answer["wrongs"] == ["Uncaught ReferenceError: nothing is not defined"]
    assert answer["asked"] == ["GET http://elsewhere.invalid/x.png HTTP/1.1"]
    assert "nothing is not defined" in answer["console"][0]


def test_the_page_itself_forbids_every_address(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    script = 'document.body.append(Object.assign(new Image(), { src: "http://elsewhere.invalid/x.png" }));'
    answer = visit(page_of(records, tmp_path), script, tmp_path)
    assert (answer["wrongs"], answer["asked"]) == (["asks for http://elsewhere.invalid/x.png"], [])


def test_every_plot_is_drawn_and_no_trial_is_dropped(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    for trial in (1, 2, 3):
        steps = [json.dumps({"epoch": step, "accuracy": step / 10}) for step in range(5)]
        records.wrote(trial, "\n".join(steps), "metrics.jsonl")
    found = clean(visit(page_of(records, tmp_path), COUNTS, tmp_path))
    assert found == {
        "panels": 2, "dots": 6, "best": 2, "crosses": 6, "lines": 6, "none": 3, "curves": 3, "groups": 0,
        "whiskers": 0, "rows": 6, "bold": 0, "scripts": 4, "drawings": 4, "all": 4, "broken": 0,
    }  # fmt: skip


def test_a_value_of_a_trial_that_failed_is_a_cross(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    records.wrote(4, '{"accuracy": 0.6}')
    found = clean(visit(page_of(records, tmp_path), COUNTS, tmp_path))
    assert (found["dots"], found["crosses"], found["none"]) == (6, 6, 2)


def test_seeds_are_drawn_with_their_intervals(records: TrialRecords, tmp_path: Path) -> None:
    records.submitted([["lr", {"values": [0.1, 0.2]}]], 6, seeds=[1, 2, 5], metric=ACCURACY)
    for trial in (1, 2, 3, 4):  # the second value has one seed that finished: no interval
        records.finished(trial, accuracy=trial / 10)
    found = clean(visit(page_of(records, tmp_path), COUNTS, tmp_path))
    assert (found["groups"], found["whiskers"], found["broken"]) == (2, 1, 0)


def test_a_click_on_a_heading_sorts_and_the_next_one_turns_the_order_round(
    records: TrialRecords, tmp_path: Path
) -> None:
    grid_with_every_state(records)
    page = page_of(records, tmp_path)
    assert clean(visit(page, ORDER, tmp_path)) == [2, 3, 1, 4, 5, 6]
    click = CLICK.format(column=3)  # the metric, behind trial, lr and optimizer
    assert clean(visit(page, click + ORDER, tmp_path)) == [1, 3, 2, 4, 5, 6]
    assert clean(visit(page, click + click + ORDER, tmp_path)) == [2, 3, 1, 4, 5, 6]


def test_the_address_sorts_too(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    page = page_of(records, tmp_path)
    assert clean(visit(page, ORDER, tmp_path, address="#sort=1")) == [1, 2, 3, 4, 5, 6]
    assert clean(visit(page, ORDER, tmp_path, address="#sort=-1")) == [6, 5, 4, 3, 2, 1]
    assert clean(visit(page, ORDER, tmp_path, address="#sort=99")) == [2, 3, 1, 4, 5, 6]


def test_a_range_dragged_on_an_axis_keeps_its_trials_alone(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    script = """
    const grip = [...document.querySelectorAll("#parallel .grip")].at(-1);
    const box = grip.getBoundingClientRect();
    grip.setPointerCapture = () => {};
    const at = (kind, part) => grip.dispatchEvent(new PointerEvent(kind, {
      clientY: box.top + part * box.height, clientX: box.left, pointerId: 1, bubbles: true }));
    const rows = () => [...document.querySelectorAll("#trials tbody tr:not(.off)")];
    const shown = () => rows().map((row) => row.dataset.t);
    at("pointerdown", 0); at("pointermove", 0.4); at("pointerup", 0.6);
    const kept = shown(), text = document.getElementById("filter-text").textContent;
    document.getElementById("filter-clear").click();
    return { kept, text, after: shown().length, hidden: document.getElementById("filter").hidden };
    """
    found = clean(visit(page_of(records, tmp_path), script, tmp_path))
    # Of 0.5, 0.625 and 0.75 the upper 60 %; without a value there is no place in a range.
    assert found == {"kept": ["2", "3"], "text": "2 of 6 trials, by accuracy", "after": 6, "hidden": True}


def test_the_pointer_on_a_mark_names_its_trial_everywhere(records: TrialRecords, tmp_path: Path) -> None:
    grid_with_every_state(records)
    script = """
    const over = new PointerEvent("pointerover", { bubbles: true });
    document.querySelector("#scatter .dot.best").dispatchEvent(over);
    return { tip: document.getElementById("tip").textContent, hot: document.querySelectorAll(".hot").length };
    """
    found = clean(visit(page_of(records, tmp_path), script, tmp_path))
    # Two panels, one line, one row of the table.
    assert found == {"tip": "trial 2, finished\naccuracy: 0.75\nlr: 0.001\noptimizer: adam", "hot": 4}


def test_names_and_values_of_any_text_show_as_text(records: TrialRecords, tmp_path: Path) -> None:
    values = [NASTY, "<!--<script>", "a & b", "\u2028"]
    records.submitted(
        [[NASTY, {"values": values}], ["lr", {"values": [0.1, 0.2]}]],
        8,
        metric={"name": NASTY, "goal": "minimize"},
        name="</title><script>alert(1)</script>",
        seeds=[],
    )
    for trial in range(1, 9):
        records.finished(trial, **{NASTY: trial / 8})
        records.wrote(trial, json.dumps([{NASTY: 1.0}, {NASTY: trial / 8}]), "metrics.json")
    script = f"""
    const text = (what) => [...document.querySelectorAll(what)].map((each) => each.textContent);
    return {{ ...(() => {{ {COUNTS} }})(), title: document.title, named: text("#trials th")[1],
      below: text("#scatter svg .name")[0], value: text("#trials tbody td")[1], option: text("option")[0] }};
    """
    found = clean(visit(page_of(records, tmp_path), script, tmp_path))
    assert (found["bold"], found["scripts"], found["broken"]) == (0, 4, 0)
    assert found["title"] == "</title><script>alert(1)</script> · sweep results"
    assert [found[name] for name in ("named", "below", "value", "option")] == [NASTY] * 4
    assert (found["dots"], found["curves"]) == (16, 8)


def test_ten_thousand_trials_open_with_a_part_of_them_drawn(records: TrialRecords, tmp_path: Path) -> None:
    bounds = {"distribution": "log_uniform_values", "min": 1e-5, "max": 0.1}
    records.submitted([["lr", bounds]], 10_000, method="random", metric=ACCURACY)
    (records.folder / "tasks").mkdir()
    for trial in range(1, 10_001, 100):
        records.finished(trial, accuracy=trial / 10_000)
    page = page_of(records, tmp_path)
    found = clean(visit(page, COUNTS, tmp_path))
    assert (found["lines"], found["dots"] + found["crosses"], found["rows"]) == (2000, 2000, 10_000)
    assert "the plots show 2,000 of 10,000 trials" in page.read_text("utf-8")


def test_a_page_without_metrics_has_its_table(records: TrialRecords, tmp_path: Path) -> None:
    records.submitted([["lr", {"values": [0.1, 0.2]}]], 2, metric=ACCURACY)
    found = clean(visit(page_of(records, tmp_path), COUNTS, tmp_path))
    assert (found["all"], found["rows"]) == (0, 2)


def test_extreme_numbers_are_drawn_inside_the_plots(records: TrialRecords, tmp_path: Path) -> None:
    values = [1e-300, 1.0, 1.7e308, -1.7e308]
    records.submitted([["x", {"values": values}]], 4, metric={"name": "loss", "goal": "minimize"})
    for trial, loss in enumerate((5e-324, float("nan"), 1.7e308, -1.7e308), 1):
        records.finished(trial, loss=loss)
    found = clean(visit(page_of(records, tmp_path), COUNTS, tmp_path))
    assert (found["dots"], found["crosses"], found["broken"]) == (3, 1, 0)
