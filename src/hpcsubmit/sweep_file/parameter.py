"""What a sweep file says of one parameter: the short forms written out, and all that wandb would refuse."""

import math
from collections.abc import Iterator
from typing import Any

from hpcsubmit.errors import did_you_mean
from hpcsubmit.sweep_file.looks import number_meant
from hpcsubmit.sweep_file.source import Keys, Source
from hpcsubmit.trial import Definition, choices, distribution_name

_RANGE, _MEAN, _SHAPE = ("min", "max"), ("mu", "sigma"), ("a", "b")
NEEDED = {
    "constant": ("value",),
    "categorical": ("values",),
    "categorical_w_probabilities": ("values", "probabilities"),
    "int_uniform": _RANGE,
    **{f"{q}{name}": _RANGE for q in ("", "q_") for name in ("uniform", "log_uniform", "log_uniform_values")},
    **{f"inv_{name}": _RANGE for name in ("log_uniform", "log_uniform_values")},
    **{f"{q}{name}": () for q in ("", "q_") for name in ("normal", "log_normal", "beta")},
}
"""The distributions of wandb's sweeps (0.3), and the keys that each needs."""
_PLAIN = frozenset((str, int, float, bool, type(None)))
_DEEPEST = 20
_LARGEST_EXPONENT = 700
"""exp() of more is no number any more."""


def written_out(given: Any, keys: Keys, source: Source) -> Definition:
    """Return the definition of a parameter; a list stands for its values, and anything else for its value.

    Raises HpcSubmitError where wandb would refuse it.
    """
    if given is None or given == {}:
        hint = "write its value or a list of values behind it; `value: null` is Python's None"
        raise source.mistake(keys, "is empty", hint)
    if isinstance(given, list):
        given = {"values": given}
    definition = given if isinstance(given, dict) else {"value": given}
    if "parameters" in definition:
        return {"parameters": _group(definition, keys, source)}
    _check_keys(definition, keys, source)
    for key in ("value", "values"):
        if key in definition:
            _check_plain(definition[key], (*keys, key), source)
    if "values" in definition:
        _check_values(definition, keys, source)
    _check_numbers(definition, keys, source)
    return definition


def _group(definition: Definition, keys: Keys, source: Source) -> Definition:
    other = next((key for key in definition if key != "parameters"), None)
    if other is not None:
        hint = f"move '{other}' below `parameters:`, or out of the group"
        raise source.mistake((*keys, str(other)), "stands beside the parameters of a group", hint)
    inside, below = definition["parameters"], (*keys, "parameters")
    if not isinstance(inside, dict) or not inside:
        raise source.mistake(below, "has no parameters", "write them below it, or leave the group out")
    return {
        parameter_name(name, below, source): written_out(each, (*below, str(name)), source)
        for name, each in inside.items()
    }


def parameter_name(name: Any, above: Keys, source: Source) -> str:
    """Return the name of a parameter; raises HpcSubmitError for what YAML reads as something else."""
    if not isinstance(name, str):
        hint = f"put the name in quotes, if it is one: '{name}'"
        raise source.mistake((*above, str(name)), f"is read as {_kind(name)}, not as a name", hint)
    source.check_text(name, (*above, name))
    return name


def _check_keys(definition: Definition, keys: Keys, source: Source) -> None:
    """Check that the distribution is known, and that it has the keys it needs and no others."""
    name = distribution_name(definition)
    if name not in NEEDED:
        raise source.mistake(
            (*keys, "distribution"), f"is '{name}', which wandb does not know", did_you_mean(name, NEEDED)
        )
    needed = NEEDED[name]
    known = {"distribution", *needed, *(_MEAN if "normal" in name else _SHAPE if "beta" in name else ())}
    known |= {"q"} if name.startswith("q_") else set()
    for key in definition:
        if key not in known:
            raise source.mistake((*keys, str(key)), *_unknown(key, definition, name, known))
    missing = [key for key in needed if key not in definition]
    if missing:
        raise source.mistake(keys, f"has no {' and no '.join(missing)}", f"the distribution {name} needs it")


def _unknown(key: Any, definition: Definition, name: str, known: set[str]) -> tuple[str, str]:
    every = {*_RANGE, *_MEAN, *_SHAPE, "value", "values", "probabilities", "q", "distribution", "parameters"}
    if key in every:
        return f"does not go with the distribution {name}", f"it takes {', '.join(sorted(known))}"
    if isinstance(definition[key], dict) or every.isdisjoint(definition):
        return "is no key of a parameter", "put the parameters of a group below `parameters:`"
    return "is no key of a parameter", did_you_mean(str(key), every)


def _check_plain(value: Any, keys: Keys, source: Source, depth: int = 0) -> None:
    """Check that JSON can hold a value: wandb's server, and the record, keep it as JSON."""
    inside = (
        value if isinstance(value, list) else list(value.values()) if isinstance(value, dict) else [value]
    )
    if isinstance(value, dict):
        for name in value:
            parameter_name(name, keys, source)
    kinds = set(map(type, inside))
    if str in kinds:
        texts = inside if kinds == {str} else [each for each in inside if isinstance(each, str)]
        source.check_text("".join(texts), keys)
    if kinds <= _PLAIN:
        return
    for each in inside:
        if isinstance(each, list | dict) and depth < _DEEPEST:
            _check_plain(each, keys, source, depth + 1)
        elif type(each) not in _PLAIN:
            nested = isinstance(each, list | dict)
            problem = "is nested too deeply" if nested else f"holds {_kind(each)}: {each}"
            hint = "use fewer levels" if nested else f"put it in quotes: '{each}'"
            raise source.mistake(keys, problem, hint)


def _check_values(definition: Definition, keys: Keys, source: Source) -> None:
    values, at = definition["values"], (*keys, "values")
    if not isinstance(values, list):
        glued = isinstance(values, str) and values.startswith("-")
        hint = "put a blank behind each dash: - 0.1" if glued else f"write [{values}], or `value: {values}`"
        raise source.mistake(at, f"is {_kind(values)}, not a list", hint)
    if not values:
        hint = "give at least one value, or leave the parameter out"
        raise source.mistake(at if at in source.lines else keys, "has no values", hint)
    if "probabilities" not in definition:
        return
    weights, at = definition["probabilities"], (*keys, "probabilities")
    if not isinstance(weights, list) or not all(_is_number(each) and each >= 0 for each in weights):
        raise source.mistake(at, "is not a list of numbers from 0 to 1", "write one for each of the values")
    if len(weights) != len(values):
        problem = f"are {len(weights)} for {len(values)} values"
        raise source.mistake(at, problem, "write one for each of the values")
    if not math.isclose(sum(weights), 1, rel_tol=1e-5):
        raise source.mistake(at, f"comes to {sum(weights):.6g} in all", "let the probabilities sum to 1")


def _check_numbers(definition: Definition, keys: Keys, source: Source) -> None:
    """Check the numbers of a distribution: what they are, and how they stand to each other."""
    name = distribution_name(definition)
    whole = (int,) if name == "int_uniform" else (int, float)
    for key in (*_RANGE, *_MEAN, *_SHAPE, "q"):
        if key in definition and not _is_number(definition[key], whole):
            raise source.mistake((*keys, key), *_not_a_number(definition[key], whole))
    for key in ("q", "a", "b"):
        if definition.get(key, 1) <= 0:
            raise source.mistake((*keys, key), f"is {definition[key]}", "it must be above 0")
    if definition.get("sigma", 1) < 0:
        raise source.mistake((*keys, "sigma"), f"is {definition['sigma']}", "it must be 0 or more")
    if "min" in definition:
        _check_range(name, definition["min"], definition["max"], keys, source)


def _check_range(name: str, low: float, high: float, keys: Keys, source: Source) -> None:
    if low >= high:
        hint = "write the smaller one as min; for a single value write value"
        raise source.mistake((*keys, "min"), f"is {low}, which is not below max, {high}", hint)
    if name.endswith("log_uniform_values") and low <= 0:
        raise source.mistake((*keys, "min"), f"is {low}", f"{name} needs a min above 0")
    if name.endswith("log_uniform") and max(abs(low), abs(high)) > _LARGEST_EXPONENT:
        hint = f"min and max are exponents of e here; {name}_values takes the values themselves"
        raise source.mistake(keys, f"goes to e to the power of {max(low, high, key=abs)}", hint)


def exponents_warning(definition: Definition) -> str:
    """Say what a logarithmic distribution draws whose exponents look like the values; "" for another one."""
    name = distribution_name(definition)
    if not name.endswith("log_uniform") or not 0 <= definition["min"] < definition["max"] <= 1:
        return ""
    low, high = (math.exp(definition[key]) for key in ("min", "max"))
    return (
        f"is drawn from {low:.3g} to {high:.3g}: min and max are exponents of e; {name}_values takes values"
    )


def _not_a_number(given: Any, whole: tuple[type, ...]) -> tuple[str, str]:
    problem = f"is {_kind(given)}: {given}"
    if isinstance(given, str) and (number := number_meant(given)):
        return problem, f"YAML reads it as text; write {number}"
    return problem, f"write a {'whole ' if float not in whole else ''}number"


def _is_number(value: Any, types: tuple[type, ...] = (int, float)) -> bool:
    return type(value) in types and math.isfinite(value)


def _kind(value: Any) -> str:
    names = {str: "text", int: "a number", float: "a number", bool: "true or false", type(None): "nothing"}
    names |= {list: "a list", dict: "a mapping"}
    return names.get(type(value), "a date" if hasattr(value, "isoformat") else "something that is not plain")


def check_in_grid(definition: Definition, keys: Keys, source: Source) -> None:
    """Raise HpcSubmitError where a grid cannot have a parameter, or would run the same trial twice."""
    for place, leaf in leaves(definition, keys):
        if choices(leaf) is None:
            at = (*place, "distribution") if "distribution" in leaf else place
            problem = f"has the distribution {distribution_name(leaf)}, which has no end of values for a grid"
            raise source.mistake(
                at if at in source.lines else place, problem, "list values, or use method: random"
            )
        twice = _twice(leaf["values"]) if "values" in leaf else ()
        if twice:
            at = (*place, "values")
            hint = "write each value once: a grid would run the same trials again"
            raise source.mistake(at if at in source.lines else place, f"has {twice[0]!r} twice", hint)


def leaves(definition: Definition, keys: Keys) -> Iterator[tuple[Keys, Definition]]:
    """Give the parameters of a group, or the one parameter, with the keys that lead to them."""
    if "parameters" not in definition:
        yield keys, definition
        return
    for name, each in definition["parameters"].items():
        yield from leaves(each, (*keys, "parameters", name))


def _twice(values: list[Any]) -> tuple[Any, ...]:
    """The first value that stands in a list before, if there is one; 1, 1.0 and true are not the same."""
    try:
        if len(set(values)) == len(values):
            return ()
    except TypeError:  # lists and mappings among them
        pass
    seen: set[str] = set()
    for value in values:
        text = repr(value)
        if text in seen:
            return (value,)
        seen.add(text)
    return ()
