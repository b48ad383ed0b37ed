"""Means, deviations and intervals over seeds."""

import math
from itertools import pairwise

import pytest

from hpcsubmit.sweeps.rows import State, Trial
from hpcsubmit.sweeps.statistics import grouped, student_t, summarize, unused

# NIST/SEMATECH e-Handbook of Statistical Methods, 1.3.6.7.2: upper critical values of Student's t, 0.975.
NIST = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228,
    2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086,
    2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
FAR = {40: 2.021, 60: 2.000, 80: 1.990, 100: 1.984, 200: 1.972, math.inf: 1.960}


def integrated(t: float, df: int) -> float:
    """The probability of -t to t: Student's density, summed by Simpson's rule."""
    log_height = math.lgamma((df + 1) / 2) - math.lgamma(df / 2) - math.log(df * math.pi) / 2
    pieces = 2000
    step = t / pieces

    def density(x: float) -> float:
        return math.exp(log_height - (df + 1) / 2 * math.log1p(x * x / df))

    weights = (1 if n in (0, pieces) else 4 if n % 2 else 2 for n in range(pieces + 1))
    return 2 * step / 3 * math.fsum(weight * density(n * step) for n, weight in enumerate(weights))


def trial(number: int, seed: int | None, state: State = State.FINISHED, **metrics: float) -> Trial:
    return Trial(number, {"lr": 0.1}, seed, state, metrics=metrics)


def test_the_quantiles_are_those_of_the_printed_table() -> None:
    assert [round(student_t(df), 3) for df in range(1, 31)] == list(NIST)
    assert {df: round(student_t(df), 3) for df in FAR} == FAR


@pytest.mark.parametrize("df", range(1, 201))
def test_every_quantile_encloses_95_percent(df: int) -> None:
    assert integrated(student_t(df), df) == pytest.approx(0.95, abs=1e-9)


def test_the_quantiles_fall_towards_the_normal_one() -> None:
    quantiles = [student_t(df) for df in (*range(1, 201), 10_000, math.inf)]
    assert all(one > next_one for one, next_one in pairwise(quantiles))
    assert quantiles[-1] == pytest.approx(1.959963984540054, abs=1e-12)


def test_other_probabilities_have_their_quantiles() -> None:
    assert student_t(1, 0.5) == pytest.approx(1)  # tan(pi/4)
    assert student_t(2, 0.5) == pytest.approx(math.sqrt(2 / 3))


def test_a_sample_has_mean_deviation_and_interval() -> None:
    found = summarize([2, 4, 4, 4, 5, 5, 7, 9])
    assert (found.n, found.mean) == (8, 5)
    assert found.std == pytest.approx(math.sqrt(32 / 7))
    half = 2.364624251592785 * math.sqrt(32 / 7) / math.sqrt(8)  # t of 7 degrees of freedom
    assert found.low == pytest.approx(5 - half)
    assert found.high == pytest.approx(5 + half)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert summarize([3.5]) == (1, 0, 3.5, None, None, None)
    empty = summarize([])
    assert (empty.n, empty.std, empty.low) == (0, None, None)
    assert math.isnan(empty.mean)


def test_equal_values_have_an_interval_without_width() -> None:
    assert summarize([0.1] * 3)[:2] == (3, 0)
    assert summarize([0.5] * 3)[2:] == (0.5, 0.0, 0.5, 0.5)


def test_what_is_not_a_number_is_counted_and_left_out() -> None:
    found = summarize([1, math.nan, 3, math.inf, -math.inf])
    assert (found.n, found.not_numbers, found.mean) == (2, 3, 2)
    assert summarize([math.nan])[:2] == (0, 1)


def test_a_small_deviation_beside_a_large_mean_is_kept() -> None:
    assert summarize([1e9 + 4, 1e9 + 7, 1e9 + 13, 1e9 + 16]).std == pytest.approx(math.sqrt(30))


def test_large_values_do_not_overflow() -> None:
    found = summarize([1e308, 1.2e308])
    assert found.mean == pytest.approx(1.1e308)
    assert found.std == pytest.approx(0.2e308 / math.sqrt(2))


def test_trials_are_grouped_by_what_is_not_their_seed() -> None:
    rows = [
        Trial(number, {"lr": lr, "seed": seed}, seed, State.FINISHED, metrics={"acc": lr + seed})
        for number, (lr, seed) in enumerate(((0.5, 1), (0.25, 1), (0.5, 2), (0.25, 2)), 1)
    ]
    groups = grouped(rows, "acc")
    assert [group.parameters for group in groups] == [{"lr": 0.5}, {"lr": 0.25}]
    assert [[each.number for each in group.trials] for group in groups] == [[1, 3], [2, 4]]
    assert [group.summary.mean for group in groups] == [2.0, 1.75]


def test_values_that_only_look_alike_are_different_groups() -> None:
    rows = [
        Trial(number, {"x": x}, number, State.FINISHED) for number, x in enumerate((1, "1", True, [1], 1), 1)
    ]
    assert [[each.number for each in group.trials] for group in grouped(rows, "acc")] == [
        [1, 5],
        [2],
        [3],
        [4],
    ]


def test_a_group_tells_what_its_statistics_leave_out() -> None:
    rows = [
        trial(1, 1, acc=1.0),
        trial(2, 2, State.FAILED, acc=9.0),
        trial(3, 3, State.MISSING),
        trial(4, 4, loss=1.0),
        trial(5, 5, acc=math.nan),
    ]
    (group,) = grouped(rows, "acc")
    assert (group.summary.n, group.summary.mean) == (1, 1.0)
    assert unused(group) == "2 not finished, 1 without a value, 1 not a number"
    assert unused(grouped(rows[:1], "acc")[0]) == ""
