"""hpcsubmit.trial: a trial's parameters follow from its number, in a grid and where they are drawn."""

import ast
import gc
import math
import sys
from typing import Any

import pytest

from hpcsubmit import trial
from hpcsubmit.trial import TrialError, parameters, seed_of
from trial_specs import BETWEEN, DRAWN, DRAWN_FROM, TRIAL, drawn, spec


def test_the_file_is_of_python_3_8_and_imports_nothing_but_its_library() -> None:
    source = TRIAL.read_text("utf-8")
    tree = ast.parse(source, feature_version=(3, 8))
    imported = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        str(node.module).split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert imported - {"__future__"} <= sys.stdlib_module_names
    assert len(source.splitlines()) < 470


def test_the_last_parameter_changes_fastest() -> None:
    found = [tuple(parameters(spec(), number).values()) for number in range(1, 7)]
    assert found == [(0.001, 1), (0.001, 2), (0.001, 3), (0.003, 1), (0.003, 2), (0.003, 3)]


def test_every_combination_runs_once_with_each_seed() -> None:
    repeated = spec(seeds=[5, 7], trials=12)
    assert trial.combinations(repeated) == 6
    found = [(*parameters(repeated, number).values(), seed_of(repeated, number)) for number in range(1, 13)]
    assert len(set(found)) == 12
    assert found[:3] == [(0.001, 1, 5), (0.001, 1, 7), (0.001, 2, 5)]


def test_repeats_have_a_seed_and_nothing_else() -> None:
    repeats = spec(parameters=[], program="", seeds=[1, 2, 5], trials=3)
    assert trial.combinations(repeats) == 1
    assert [(parameters(repeats, number), seed_of(repeats, number)) for number in (1, 3)] == [
        ({}, 1),
        ({}, 5),
    ]
    assert seed_of(spec(), 1) is None


@pytest.mark.parametrize("number", [0, 7, -1])
def test_a_trial_outside_of_the_sweep_is_refused(number: int) -> None:
    with pytest.raises(TrialError, match=f"there is no trial {number}: they are numbered from 1 to 6"):
        parameters(spec(), number)


def test_more_trials_than_the_grid_has_are_damage() -> None:
    with pytest.raises(TrialError, match="fewer combinations than there are trials"):
        parameters(spec(trials=7), 7)


def test_groups_count_as_their_parameters_and_come_as_mappings() -> None:
    optim = {"parameters": {"name": {"value": "sgd"}, "lr": {"values": [0.1, 0.2]}}}
    grouped = spec(parameters=[["optim", optim], ["n", {"values": [1, 2]}]], trials=4)
    assert trial.combinations(grouped) == 4
    assert parameters(grouped, 3) == {"optim": {"name": "sgd", "lr": 0.2}, "n": 1}


def test_whole_numbers_and_steps_are_part_of_a_grid_as_wandb_has_them() -> None:
    steps = {"distribution": "q_uniform", "min": 0.1, "max": 0.5, "q": 0.1}
    whole = spec(parameters=[["n", {"min": 3, "max": 5}], ["s", steps]], trials=12)
    assert trial.combinations(whole) == 12  # the upper end of steps is left out, that of whole numbers is not
    assert [parameters(whole, number)["s"] for number in range(1, 5)] == [0.1, 0.2, 0.3, 0.4]
    assert [parameters(whole, number)["n"] for number in (1, 5, 12)] == [3, 4, 5]


def test_a_grid_of_100_000_combinations_is_decoded_without_looking_at_other_trials() -> None:
    large = spec(parameters=[[f"p{n}", {"values": list(range(10))}] for n in range(5)], trials=100_000)
    calls = 0

    def count(frame: Any, event: str, _: Any) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    gc.disable()  # it may call what other tests have left to it
    sys.setprofile(count)
    try:
        found = parameters(large, 98_766)
    finally:
        sys.setprofile(None)
        gc.enable()
    assert list(found.values()) == [9, 8, 7, 6, 5]
    assert calls <= 120


# ---- Random search


@pytest.mark.parametrize(
    ("definition", "at", "expected"),
    [
        ({"value": "a"}, 0.9, "a"),
        ({"values": ["a", "b", "c"]}, 0.0, "a"),
        ({"values": ["a", "b", "c"]}, 0.999, "c"),
        ({"values": ["a", "b", "c"], "probabilities": [0.5, 0.0, 0.5]}, 0.499, "a"),
        ({"values": ["a", "b", "c"], "probabilities": [0.5, 0.0, 0.5]}, 0.5, "c"),
        ({"values": ["a", "b", "c"], "probabilities": [0.5, 0.499999, 0.0]}, 1 - 2**-53, "b"),
        ({"min": 1, "max": 3}, 0.0, 1),
        ({"min": 1, "max": 3}, 0.999, 3),
        ({"min": 1.0, "max": 3}, 0.25, 1.5),
        ({"distribution": "uniform", "min": 1, "max": 3}, 0.25, 1.5),
        ({"distribution": "q_uniform", "min": 0, "max": 100, "q": 10}, 0.26, 30),
        ({"distribution": "q_uniform", "min": 0, "max": 1, "q": 0.25}, 0.3, 0.25),
        ({"distribution": "log_uniform", "min": 0, "max": 2}, 0.5, math.e),
        ({"distribution": "log_uniform_values", **BETWEEN}, 0.5, 1e-3),
        ({"distribution": "q_log_uniform", "min": 0, "max": 4}, 0.5, 7),
        ({"distribution": "q_log_uniform_values", "min": 1, "max": 100, "q": 3}, 0.5, 9),
        ({"distribution": "inv_log_uniform", "min": 0, "max": 4}, 0.25, math.exp(-3)),
        ({"distribution": "inv_log_uniform_values", **BETWEEN}, 0.5, 1e-3),
        ({"distribution": "normal"}, 0.5, 0.0),
        ({"distribution": "normal", "mu": 10, "sigma": 2}, 0.8413447460685429, 12.0),
        ({"distribution": "normal", "mu": 10, "sigma": 0}, 0.0, 10.0),
        ({"distribution": "q_normal", "mu": 10, "sigma": 2, "q": 5}, 0.9, 15),
        ({"distribution": "log_normal"}, 0.8413447460685429, math.e),
        ({"distribution": "q_log_normal", "mu": 2}, 0.5, 7),
    ],
)
def test_values_are_the_quantiles_of_wandb_s_distributions(
    definition: dict[str, Any], at: float, expected: Any
) -> None:
    value = trial.DISTRIBUTIONS[trial.distribution_name(definition)](definition, at)
    assert value == (pytest.approx(expected) if isinstance(expected, float) else expected)
    assert type(value) is type(expected)


def test_what_is_drawn_stays_as_it_was_drawn_before() -> None:
    """The numbers of a sweep that ran are not to change with a new version of Python, or of this file."""
    assert [parameters(drawn(DRAWN_FROM), number) for number in (1, 2, 3)] == DRAWN


def test_a_value_depends_on_its_own_name_and_trial_alone() -> None:
    lr, n = {"min": 0.0, "max": 1.0}, {"min": 0, "max": 10**9}
    alone = [parameters(drawn({"lr": lr}), number)["lr"] for number in (1, 2, 3)]
    beside = [parameters(drawn({"n": n, "lr": lr}, 50), number)["lr"] for number in (1, 2, 3)]
    assert alone == beside
    assert len(set(alone)) == 3
    other = [parameters(drawn({"lr": lr}, random_seed=1), number)["lr"] for number in (1, 2, 3)]
    assert set(other).isdisjoint(alone)
    same = parameters(drawn({"a": lr, "b": lr, "g": {"parameters": {"a": lr}}}), 1)
    assert len({same["a"], same["b"], same["g"]["a"]}) == 3


def test_the_draws_of_a_sweep_fill_the_range() -> None:
    values = [parameters(drawn({"lr": {"min": 0.0, "max": 1.0}}, 1000), n)["lr"] for n in range(1, 1001)]
    tenths = [sum(tenth <= value * 10 < tenth + 1 for value in values) for tenth in range(10)]
    assert min(tenths) > 60


def test_repeats_of_a_random_sweep_draw_once_for_all_seeds() -> None:
    repeated = drawn({"lr": {"min": 0.0, "max": 1.0}}, 6, seeds=[1, 2])
    assert trial.combinations(repeated) == 3
    found = [parameters(repeated, number)["lr"] for number in range(1, 7)]
    assert found[0::2] == found[1::2]
    assert len(set(found)) == 3
