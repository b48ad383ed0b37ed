"""What trials are compared by, and their order."""

import math

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweeps.ranking import ranked
from hpcsubmit.sweeps.rows import Goal, Metric, State, SweepResults, Trial

LR = [["lr", {"values": [0.1, 0.2, 0.3, 0.4]}]]


def results(*trials: Trial, metric: Metric | None = None) -> SweepResults:
    return SweepResults(title="t", run_id="r", trials=trials, metric=metric)


def trial(number: int, state: State = State.FINISHED, **metrics: float) -> Trial:
    return Trial(number, {}, None, state, metrics=metrics)


@pytest.mark.parametrize(
    ("goal", "order"), [(Goal.MAXIMIZE, [3, 1, 2, 4, 5]), (Goal.MINIMIZE, [1, 3, 2, 4, 5])]
)
def test_the_goal_decides_the_order_and_unfinished_trials_come_last(goal: Goal, order: list[int]) -> None:
    rows = (trial(1, a=1), trial(2), trial(3, a=2), trial(4, State.FAILED, a=9), trial(5, a=math.nan))
    found = ranked(results(*rows, metric=Metric("a", goal)))
    assert [row.number for row in found.trials] == order
    assert found.best is not None
    assert found.best.number == order[0]
    assert found.notes == ("1 of the values of a are not numbers (NaN or infinite)",)


def test_without_a_goal_nothing_is_guessed() -> None:
    found = ranked(results(trial(1, accuracy=1), trial(2, accuracy=2)))
    assert (found.metric, found.best) == (Metric("accuracy"), None)
    assert [row.number for row in found.trials] == [1, 2]
    told = "in the order of the trials: no goal is known for accuracy; give --goal minimize or maximize"
    assert found.notes == (told,)


def test_of_several_numbers_none_is_chosen() -> None:
    found = ranked(results(trial(1, a=1, b=2), trial(2, a=1, b=3)))
    assert (found.metric, found.notes) == (None, ("no metric is chosen; give --metric with one of: a, b",))


def test_the_only_number_that_all_finished_trials_have_is_the_metric() -> None:
    found = ranked(results(trial(1, a=1, b=2), trial(2, a=1), trial(3, State.FAILED)))
    assert found.metric == Metric("a")


def test_a_chosen_metric_overrides_that_of_the_sweep_and_its_goal() -> None:
    rows = results(trial(1, a=1, b=2), metric=Metric("a", Goal.MAXIMIZE))
    assert ranked(rows, "b").metric == Metric("b")
    assert ranked(rows, "b", Goal.MINIMIZE).metric == Metric("b", Goal.MINIMIZE)
    assert ranked(rows, "a").metric == Metric("a", Goal.MAXIMIZE)


def test_an_unknown_metric_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(HpcSubmitError) as caught:
        ranked(results(trial(1, accuracy=1, loss=2)), "acuracy")
    assert caught.value.message == "no trial has a metric 'acuracy'"
    assert caught.value.hint == "did you mean accuracy?"


def test_a_metric_of_the_sweep_that_no_trial_has_is_told() -> None:
    found = ranked(results(trial(1, a=1), metric=Metric("acc", Goal.MAXIMIZE)))
    assert found.best is None
    assert found.notes == ("no trial has the metric acc of the sweep; there are: a",)
    assert ranked(results(trial(1, State.RUNNING))).notes == ("no trial has written a metric yet",)
