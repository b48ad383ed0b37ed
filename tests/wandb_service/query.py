"""The filters and orders of lists of runs."""

from __future__ import annotations

import operator
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from wandb_service.things import Run

_TESTS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "$eq": operator.eq,
    "$ne": operator.ne,
    "$gt": lambda value, bound: value is not None and value > bound,
    "$gte": lambda value, bound: value is not None and value >= bound,
    "$lt": lambda value, bound: value is not None and value < bound,
    "$lte": lambda value, bound: value is not None and value <= bound,
    "$in": lambda value, among: value in among,
    "$nin": lambda value, among: value not in among,
    "$regex": lambda value, pattern: re.search(pattern, str(value)) is not None,
}


def matches(run: Run, filters: dict[str, Any]) -> bool:
    """Whether a run passes filters in MongoDB's style."""
    return all(_passes(run, key, wanted) for key, wanted in filters.items())


def _passes(run: Run, key: str, wanted: Any) -> bool:
    if key == "$and":
        return all(matches(run, part) for part in wanted)
    if key == "$or":
        return any(matches(run, part) for part in wanted)
    value = _field(run, key)
    if not isinstance(wanted, dict):
        return wanted in value if isinstance(value, list) else bool(value == wanted)
    return all(_TESTS[name](value, bound) for name, bound in wanted.items())


def in_order(runs: Iterable[Run], order: str) -> list[Run]:
    """Sort runs by `+field` or `-field`; those without a value come last."""
    found, name = list(runs), order[1:] if order[:1] in "+-" else order
    with_value = [run for run in found if _is_number(_field(run, name))]
    with_value.sort(key=lambda run: float(_field(run, name)), reverse=order.startswith("-"))
    return with_value + [run for run in found if not _is_number(_field(run, name))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float)


def _field(run: Run, name: str) -> Any:
    head, _, rest = name.partition(".")
    if head == "config":
        return run.values.get(rest.removesuffix(".value"))
    if head == "summary_metrics":
        return run.summary.get(rest)
    names = {
        "created_at": "created",
        "createdAt": "created",
        "jobType": "job_type",
        "heartbeat_at": "heartbeat",
    }
    return getattr(run, names.get(name, name), None)
