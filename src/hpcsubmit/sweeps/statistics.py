"""Mean, standard deviation and a 95 % interval of the mean over repeats with other seeds."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple

from hpcsubmit.sweeps.rows import State, Trial

CONFIDENCE = 0.95


class Summary(NamedTuple):
    """The finite ones of some values.

    n: how many they are; not_numbers: how many NaN and infinities were left out.
    mean: NaN where n is 0. std: the sample's standard deviation, None below two values.
    low, high: the 95 % confidence interval of the mean by Student's t, None below two values.
    """

    n: int
    not_numbers: int
    mean: float
    std: float | None = None
    low: float | None = None
    high: float | None = None


class Group(NamedTuple):
    """The trials of one combination of parameters, which differ in their seed alone.

    parameters: without the seed. summary: of the finished ones' metric. unfinished: how many are left out
    because they have not finished; without: how many finished and have no such metric.
    """

    parameters: Mapping[str, Any]
    trials: tuple[Trial, ...]
    summary: Summary
    unfinished: int
    without: int


def summarize(values: Iterable[float]) -> Summary:
    """Summarize values; NaN and the infinities are counted and left out."""
    given = list(values)
    kept = [value for value in given if math.isfinite(value)]
    n, left_out = len(kept), len(given) - len(kept)
    if not kept:
        return Summary(n, left_out, math.nan)
    mean = math.fsum(value / n for value in kept)
    if n == 1:
        return Summary(n, left_out, mean)
    std = math.hypot(*(value - mean for value in kept)) / math.sqrt(n - 1)
    half = student_t(n - 1) * std / math.sqrt(n)
    return Summary(n, left_out, mean, std, mean - half, mean + half)


def grouped(trials: Sequence[Trial], metric: str) -> tuple[Group, ...]:
    """Group trials by their parameters less the seed, in the order in which each first appears."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(json.dumps(without_seed(trial), sort_keys=True, default=str), []).append(trial)
    return tuple(_group(members, metric) for members in groups.values())


def without_seed(trial: Trial) -> dict[str, Any]:
    """Return a trial's parameters but for one that is its seed."""
    return {name: value for name, value in trial.parameters.items() if name != "seed" or value != trial.seed}


def unused(group: Group) -> str:
    """Say which trials of a group are not in its statistics, and why; "" for none."""
    counted = (
        (group.unfinished, "not finished"),
        (group.without, "without a value"),
        (group.summary.not_numbers, "not a number"),
    )
    return ", ".join(f"{count} {why}" for count, why in counted if count)


def _group(members: Sequence[Trial], metric: str) -> Group:
    finished = [trial for trial in members if trial.state is State.FINISHED]
    values = [trial.metrics[metric] for trial in finished if metric in trial.metrics]
    return Group(
        parameters=without_seed(members[0]),
        trials=tuple(members),
        summary=summarize(values),
        unfinished=len(members) - len(finished),
        without=len(finished) - len(values),
    )


@cache
def student_t(df: float, confidence: float = CONFIDENCE) -> float:
    """Return the t that Student's distribution stays within, on both sides of 0, with this probability.

    df: degrees of freedom, a whole number from 1, or math.inf for the normal distribution.
    """
    low, high = 0.0, 1.0
    while _within(high, df) < confidence:
        low, high = high, 2 * high
    for _ in range(60):  # more would change no digit of a double
        middle = (low + high) / 2
        low, high = (middle, high) if _within(middle, df) < confidence else (low, middle)
    return (low + high) / 2


def _within(t: float, df: float) -> float:
    """The probability of values between -t and t: exact, as finite sums.

    Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.3 (odd) and 26.7.4 (even).
    """
    if math.isinf(df):
        return math.erf(t / math.sqrt(2))
    angle = math.atan2(t, math.sqrt(df))
    sine, cosine = math.sin(angle), math.cos(angle)
    odd = int(df) % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(odd, int(df) - 1, 2):
        total += term
        term *= cosine * cosine * (k + 1) / (k + 2)
    return 2 / math.pi * (angle + sine * total) if odd else sine * total
