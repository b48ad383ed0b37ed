"""A grid that is never expanded is the grid; a trial's words reach the batch script as they are."""

import itertools
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcsubmit import trial

NAMES = st.text("abcdefgh_.-", min_size=1, max_size=8)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
VALUES = st.recursive(SCALARS, lambda each: st.lists(each, max_size=3), max_leaves=4)
RANGES = st.tuples(st.integers(-5, 5), st.integers(1, 3)).map(lambda two: {"min": two[0], "max": sum(two)})
LEAVES = (
    st.lists(VALUES, min_size=1, max_size=4).map(lambda values: {"values": values})
    | VALUES.map(lambda value: {"value": value})
    | RANGES
)
DEFINITIONS = st.recursive(
    LEAVES,
    lambda each: st.dictionaries(NAMES, each, min_size=1, max_size=3).map(
        lambda group: {"parameters": group}
    ),
    max_leaves=4,
)
GRIDS = st.dictionaries(NAMES, DEFINITIONS, min_size=1, max_size=3)
PLAIN = {"kind": "plain", "nodes": 1, "gpus": 1, "nodes_flag": "--num_nodes", "gpus_flag": "--gpus"}


def spec(parameters: dict[str, Any], **given: Any) -> dict[str, Any]:
    made = {"method": "grid", "parameters": [list(pair) for pair in parameters.items()], "seeds": []}
    more = {"name": "", "program": "t.py", "command": [], "tags": [], "run": "r", "launch": PLAIN}
    return {**made, **more, "trials": 10**9, **given}


def listed(definition: dict[str, Any]) -> list[Any]:
    """The values of a parameter, written out as wandb does."""
    if "parameters" in definition:
        group = definition["parameters"]
        return [
            dict(zip(group, values, strict=True))
            for values in itertools.product(*(listed(each) for each in group.values()))
        ]
    if "min" in definition:
        return list(range(definition["min"], definition["max"] + 1))
    return list(definition["values"]) if "values" in definition else [definition["value"]]


@given(GRIDS)
def test_the_trials_of_a_grid_are_its_product_in_the_same_order(grid: dict[str, Any]) -> None:
    expected = [
        dict(zip(grid, values, strict=True)) for values in itertools.product(*map(listed, grid.values()))
    ]
    sweep = spec(grid)
    assert trial.combinations(sweep) == len(expected)
    found = [trial.parameters(sweep, number) for number in range(1, min(len(expected), 200) + 1)]
    assert repr(found) == repr(expected[:200])  # repr: 1, 1.0 and True are not the same
    assert repr(trial.parameters(sweep, len(expected))) == repr(expected[-1])


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_a_number_and_the_digits_that_it_stands_for_are_one_to_one(
    sizes: list[int], data: st.DataObject
) -> None:
    sweep = spec({f"p{index}": {"min": 0, "max": size - 1} for index, size in enumerate(sizes)})
    number = data.draw(st.integers(1, math.prod(sizes)))
    back = 0
    for size, digit in zip(sizes, trial.parameters(sweep, number).values(), strict=True):
        back = back * size + digit
    assert back + 1 == number


@given(st.lists(st.integers(), max_size=4), st.integers(1, 60))
def test_seeds_change_fastest_and_every_combination_has_all_of_them(seeds: list[int], number: int) -> None:
    sweep = spec({"n": {"values": [1, 2, 3, 4]}}, seeds=seeds, trials=4 * max(1, len(seeds)))
    number = (number - 1) % sweep["trials"] + 1
    pairs = [(n, seed) for n in (1, 2, 3, 4) for seed in seeds or (None,)]
    found = (trial.parameters(sweep, number)["n"], trial.seed_of(sweep, number))
    assert found == pairs[number - 1]


READ = r"""
while IFS= read -r -d '' item; do items+=("$item"); done <"$1"
exports=${items[0]} launchers=${items[items[0] + 1]}
for item in "${items[@]:1:exports}"; do export "${item?}"; done
words=("${items[@]:exports + 2:launchers}" "${items[@]:exports + 2 + launchers}")
printf '%s\0' "$WANDB_RUN_GROUP" "${words[@]}"
"""
"""How the batch script reads a launch file."""
WORDS = st.text(st.characters(codec="utf-8", exclude_characters="\0$"), max_size=12)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(WORDS, min_size=1, max_size=5), WORDS.filter(bool))
def test_words_and_variables_reach_bash_byte_for_byte(tmp_path: Path, words: list[str], name: str) -> None:
    sweep = spec({"n": {"value": 1}}, trials=1, command=["python", *words], name=name)
    (tmp_path / "sweep.json").write_text(json.dumps(sweep), "utf-8")
    take = [trial.__file__, "take", f"{tmp_path}/sweep.json", "1", f"{tmp_path}/command"]
    subprocess.run([sys.executable, "-I", *take], check=True, timeout=60)
    done = subprocess.run(
        ["bash", "-c", READ, "bash", tmp_path / "command"], capture_output=True, check=True, timeout=60
    )
    assert done.stdout.decode("utf-8").split("\0")[:-1] == [name, "python", *words]
