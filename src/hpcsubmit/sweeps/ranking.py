"""What trials are compared by, and their order."""

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.sweeps.metrics import measured_in
from hpcsubmit.sweeps.rows import Goal, Metric, State, SweepResults, Trial


class Ranking(NamedTuple):
    """Trials in the order in which they are shown.

    metric: None where there is none to compare by. best: None without a goal, or without a number.
    notes: why they are not in the order of a metric, and what was left out; a line each.
    """

    metric: Metric | None
    trials: tuple[Trial, ...]
    best: Trial | None
    notes: tuple[str, ...]


def ranked(results: SweepResults, name: str = "", goal: Goal | None = None) -> Ranking:
    """Order the trials by the metric of this name, else by the sweep file's, else by the only one there is.

    Finished trials come first, the best of them foremost; nothing is guessed: without a goal they stay
    as they are numbered. Raises HpcSubmitError for a metric that no trial has.
    """
    known = measured(results.trials)
    metric, notes = _chosen(results, name, goal, known)
    if metric is None:
        return Ranking(None, results.trials, None, notes)
    left_out = sum(not _is_number(trial.metrics.get(metric.name, 0.0)) for trial in results.trials)
    if left_out:
        notes += (f"{left_out} of the values of {metric.name} are not numbers (NaN or infinite)",)
    if metric.goal is None:
        told = f"no goal is known for {metric.name}; give --goal minimize or maximize"
        notes += (f"in the order of the trials: {told}",)
        return Ranking(metric, results.trials, None, notes)
    sign = 1.0 if metric.goal is Goal.MINIMIZE else -1.0
    ordered = sorted(results.trials, key=lambda trial: (*_place(trial, metric.name, sign), trial.number))
    first = ordered[0] if ordered and _place(ordered[0], metric.name, sign)[0] == 0 else None
    return Ranking(metric, tuple(ordered), first, notes)


def measured(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return the names of all numbers that trials have, in the order in which they first appear."""
    return measured_in(trial.metrics for trial in trials)


def varying(trials: Sequence[Trial]) -> tuple[str, ...]:
    """Return the names of the parameters that are not the same in all trials, seeds left out."""
    values: dict[str, set[str]] = {}
    for trial in trials:
        for name, value in trial.parameters.items():
            if name != "seed" or value != trial.seed:
                values.setdefault(name, set()).add(_key(value))
    everywhere = len(trials)
    told = {name: sum(name in trial.parameters for trial in trials) for name in values}
    return tuple(name for name, seen in values.items() if len(seen) > 1 or told[name] < everywhere)


def _chosen(
    results: SweepResults, name: str, goal: Goal | None, known: Sequence[str]
) -> tuple[Metric | None, tuple[str, ...]]:
    declared = results.metric
    if name:
        if known and name not in known:
            raise HpcSubmitError(f"no trial has a metric '{name}'", did_you_mean(name, known))
        same = declared is not None and declared.name == name
        return Metric(name, goal or (declared.goal if declared and same else None)), ()
    if declared is not None:
        told = f"no trial has the metric {declared.name} of the sweep; there are: {', '.join(known)}"
        return Metric(declared.name, goal or declared.goal), (
            (told,) if known and declared.name not in known else ()
        )
    common = _common(results.trials)
    if len(common) == 1:
        return Metric(common[0], goal), ()
    if known:
        return None, (f"no metric is chosen; give --metric with one of: {', '.join(known)}",)
    return None, ("no trial has written a metric yet",)


def _common(trials: Sequence[Trial]) -> list[str]:
    """The numbers that every finished trial has."""
    finished = [trial.metrics for trial in trials if trial.state is State.FINISHED]
    return [name for name in measured(trials) if finished and all(name in each for each in finished)]


def _place(trial: Trial, name: str, sign: float) -> tuple[int, float]:
    value = trial.metrics.get(name)
    if value is None or not _is_number(value) or trial.state is not State.FINISHED:
        return 1, 0.0
    return 0, sign * value


def _is_number(value: float) -> bool:
    return math.isfinite(value)


def _key(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
