"""The sets of parameters that a sweep's configuration asks for, by their number."""

from __future__ import annotations

import math
import random
from typing import Any, Final

METHODS: Final = ("grid", "random", "bayes")


class Search:
    """The parameter sets of one sweep: a grid's in order (the last changes fastest), or drawn by number.

    Bayes draws as random does: nobody tests the quality of its guesses here. Raises ValueError for a
    configuration that the real server refuses.
    """

    def __init__(self, config: dict[str, Any]) -> None:
        self.method = str(config.get("method"))
        if self.method not in METHODS:
            raise ValueError(f"invalid method {config.get('method')!r}: it is one of {', '.join(METHODS)}")
        if self.method == "bayes" and not (config.get("metric") or {}).get("name"):
            raise ValueError("a bayes sweep needs a metric")
        self._leaves = _leaves(config.get("parameters"))
        if not self._leaves:
            raise ValueError("parameters are missing")
        self._choices = [_choices(spec) for _, spec in self._leaves] if self.method == "grid" else []
        self._cap: int | None = config.get("run_cap")

    @property
    def expected(self) -> int | None:
        """How many runs there will be; None where nothing bounds them."""
        size = math.prod(len(choices) for choices in self._choices) if self.method == "grid" else None
        bounds = [bound for bound in (size, self._cap) if bound is not None]
        return min(bounds) if bounds else None

    def at(self, number: int) -> dict[str, Any] | None:
        """The set of a number from 0 on; None where there are no more."""
        expected = self.expected
        if expected is not None and number >= expected:
            return None
        found: dict[str, Any] = {}
        for (path, _), value in zip(self._leaves, self._values(number), strict=True):
            _put(found, path, value)
        return found

    def _values(self, number: int) -> list[Any]:
        if self.method != "grid":
            draws = random.Random(number)
            return [_draw(spec, draws) for _, spec in self._leaves]
        values = []
        for choices in reversed(self._choices):
            number, index = divmod(number, len(choices))
            values.append(choices[index])
        return values[::-1]


def _leaves(parameters: Any, above: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
    """The parameters with their paths: groups of them nest under a key `parameters`."""
    if not isinstance(parameters, dict) or not all(isinstance(spec, dict) for spec in parameters.values()):
        raise ValueError("parameters are a mapping of names to mappings")
    found: list[tuple[tuple[str, ...], dict[str, Any]]] = []
    for name, spec in parameters.items():
        path = (*above, str(name))
        found += _leaves(spec["parameters"], path) if "parameters" in spec else [(path, spec)]
    return found


def _choices(spec: dict[str, Any]) -> list[Any]:
    if "value" in spec:
        return [spec["value"]]
    if isinstance(spec.get("values"), list) and spec["values"]:
        return list(spec["values"])
    if spec.get("distribution") == "int_uniform":
        return list(range(spec["min"], spec["max"] + 1))
    raise ValueError("a grid needs value or values for every parameter")


def _draw(spec: dict[str, Any], draws: random.Random) -> Any:
    if "value" in spec:
        return spec["value"]
    if "values" in spec:
        return draws.choices(spec["values"], spec.get("probabilities"))[0]
    low, high = spec.get("min", 0), spec.get("max", 1)
    match spec.get("distribution", "uniform"):
        case "int_uniform":
            return draws.randint(low, high)
        case "uniform":
            return draws.uniform(low, high)
        case "q_uniform":
            return round(draws.uniform(low, high) / spec.get("q", 1)) * spec.get("q", 1)
        case "log_uniform_values":
            return math.exp(draws.uniform(math.log(low), math.log(high)))
        case "log_uniform":
            return math.exp(draws.uniform(low, high))
        case "normal":
            return draws.gauss(spec.get("mu", 0), spec.get("sigma", 1))
        case other:
            raise ValueError(f"unknown distribution {other!r}")


def _put(found: dict[str, Any], path: tuple[str, ...], value: Any) -> None:
    for name in path[:-1]:
        found = found.setdefault(name, {})
    found[path[-1]] = value
