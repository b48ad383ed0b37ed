"""What the plots of the results page are drawn from: plain data, with no more marks than a browser likes."""

import math
from collections.abc import Sequence
from typing import Any

from hpcsubmit.sweeps.metrics import measured_in
from hpcsubmit.sweeps.ranking import Ranking, varying
from hpcsubmit.sweeps.rows import State, Trial
from hpcsubmit.sweeps.statistics import Group
from hpcsubmit.sweeps.texts import value_text

MOST_MARKS = 2000
MOST_CURVES = 100
MOST_AXES = 12
MOST_GROUPS = 60
_MOST_CURVE_METRICS = 6
_STEP_NAMES = ("step", "global_step", "epoch", "iteration")
"""Numbers that learning curves are drawn over where every step has one; else the steps are counted."""


def page_data(ranking: Ranking, groups: Sequence[Group]) -> dict[str, Any]:
    """Return what the scripts of the page read; every number in it is finite, and no text is markup yet."""
    names = varying(ranking.trials)[:MOST_AXES]
    drawn = spread(ranking.trials, MOST_MARKS)
    metric = ranking.metric
    return {
        "metric": metric.name if metric else None,
        "goal": metric.goal.value if metric and metric.goal else None,
        "best": ranking.best.number if ranking.best else None,
        "parameters": [_parameter(name, drawn) for name in names],
        "trials": [_trial(trial, names, metric.name if metric else "") for trial in drawn],
        "curves": _curves(spread([trial for trial in drawn if trial.curve], MOST_CURVES)),
        "groups": [_group(group, names) for group in groups[:MOST_GROUPS] if group.summary.n],
    }


def left_out(ranking: Ranking, groups: Sequence[Group]) -> tuple[str, ...]:
    """Say what the plots do not show, a line each."""
    curves = sum(bool(trial.curve) for trial in ranking.trials)
    told = (
        (len(ranking.trials), MOST_MARKS, "trials, spread evenly over their order, the best among them"),
        (curves, MOST_CURVES, "learning curves, spread evenly over the order of their trials"),
        (len(varying(ranking.trials)), MOST_AXES, "parameters"),
        (len(groups), MOST_GROUPS, "groups of seeds"),
    )
    return tuple(f"the plots show {most:,} of {there:,} {what}" for there, most, what in told if there > most)


def spread(trials: Sequence[Trial], most: int) -> list[Trial]:
    """Return at most so many of the trials, evenly spread, the first and the last among them."""
    if len(trials) <= most:
        return list(trials)
    last = len(trials) - 1
    return [trials[round(place * last / (most - 1))] for place in range(most)]


def is_number(value: object) -> bool:
    """Whether a value has a place on an axis of numbers."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond what a double holds
        return False


def _parameter(name: str, trials: Sequence[Trial]) -> dict[str, Any]:
    """A parameter: an axis of numbers, or, with `values`, a column for each of its values."""
    values = [trial.parameters[name] for trial in trials if name in trial.parameters]
    if values and all(is_number(value) for value in values):
        return {"name": name}
    return {"name": name, "values": sorted({value_text(value) for value in values})}


def _trial(trial: Trial, names: Sequence[str], metric: str) -> dict[str, Any]:
    value = trial.metrics.get(metric)
    is_shown = value is not None and math.isfinite(value)
    return {
        "n": trial.number,
        "state": trial.state.value,
        "says": trial.state_text,
        "value": value if is_shown else None,
        "seed": trial.seed,
        "at": [_place(trial, name) for name in names],
    }


def _place(trial: Trial, name: str) -> Any:
    if name not in trial.parameters:
        return None
    value = trial.parameters[name]
    return value if is_number(value) else value_text(value)


def _curves(trials: Sequence[Trial]) -> dict[str, Any]:
    """The learning curves: for each number that steps have, the points of every trial."""
    steps = [step for trial in trials for step in trial.curve]
    over = next((name for name in _STEP_NAMES if steps and all(name in step for step in steps)), "")
    names = [name for name in measured_in(steps) if name != over][:_MOST_CURVE_METRICS]
    return {
        "over": over or "step",
        "metrics": {
            name: [{"n": trial.number, "points": _points(trial, name, over)} for trial in trials]
            for name in names
        },
    }


def _points(trial: Trial, name: str, over: str) -> list[list[float | None]]:
    """[x, y] of every step; what is not a number breaks the curve with a y of None."""
    places = (
        (step.get(over, number), step[name]) for number, step in enumerate(trial.curve, 1) if name in step
    )
    return [[_short(x), _short(y) if math.isfinite(y) else None] for x, y in places if math.isfinite(x)]


def _short(value: float) -> float:
    return float(f"{value:.6g}")


def _group(group: Group, names: Sequence[str]) -> dict[str, Any]:
    chosen = (f"{name} {value_text(group.parameters[name])}" for name in names if name in group.parameters)
    found = group.summary
    limits = (found.low, found.high) if found.low is not None and found.high is not None else None
    finished = [trial.number for trial in group.trials if trial.state is State.FINISHED]
    return {
        "label": ", ".join(chosen) or "all",
        "of": finished,
        "n": found.n,
        "mean": found.mean,
        "limits": limits if limits and all(map(math.isfinite, limits)) else None,
    }
