"""The numbers that a trial's program leaves: metrics.json, metrics.jsonl, or JSON at the end of its log."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

Metrics = Mapping[str, float]
Curve = Sequence[Metrics]
NO_METRICS: Metrics = MappingProxyType({})

FINAL, STEPS = "metrics.json", "metrics.jsonl"
_LARGEST_FILE = 64_000_000
"""Bytes that are read of one file of metrics; what is longer was hardly meant as one."""
_END_OF_LOG = 65_536
"""Bytes at the end of a log that the last line of JSON is looked for in."""
_NOT_NUMBERS = {"NaN": "nan", "Infinity": "inf", "-Infinity": "-inf"}
"""How wandb, and our own JSON, write what JSON has no numbers for."""


class Found(NamedTuple):
    """What a trial has measured: final numbers, one set of numbers a step, and what is wrong with a file."""

    final: Metrics = NO_METRICS
    curve: Curve = ()
    note: str = ""


def read_metrics(folder: Path, points: int | None) -> Found:
    """Read the metrics that a program wrote into its folder; a broken file is a note, never an error.

    points: how many of the steps to keep, spread over all of them; None for all. With 0, metrics.jsonl is
    opened only where there is no metrics.json.
    """
    final, note = _read_final(folder / FINAL)
    curve: list[Metrics] = []
    if isinstance(final, list):
        curve = [numbers(step) for step in final if isinstance(step, dict)]
        final = curve[-1] if curve else {}
    elif points != 0 or not final:
        curve, broken = _read_steps(folder / STEPS)
        note = note or broken
    values = numbers(final) if final else _last_values(curve)
    return Found(values, thinned(curve, points), note)


def last_json_line(log: Path) -> Metrics:
    """Return the numbers of the last line of a log that is a JSON object; none without such a line."""
    try:
        with log.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - _END_OF_LOG))
            lines = file.read().splitlines()
    except OSError:
        return {}
    for line in reversed(lines):
        if line.strip().startswith(b"{") and isinstance(found := _parsed(line), dict):
            return numbers(found)
    return {}


def numbers(values: Mapping[str, Any]) -> Metrics:
    """Keep the numbers of an object, without the names that wandb keeps for itself (`_step`)."""
    return {
        str(name): number
        for name, value in values.items()
        if not str(name).startswith("_") and (number := _number(value)) is not None
    }


def measured_in(steps: Iterable[Metrics]) -> tuple[str, ...]:
    """Return the names of all numbers, in the order in which they first appear."""
    return tuple(dict.fromkeys(name for step in steps for name in step))


def thinned(curve: Sequence[Metrics], points: int | None) -> Curve:
    """Keep about `points` steps of a curve, the first and the last among them; all for None."""
    if points is None or len(curve) <= points:
        return tuple(curve)
    if points < 2:
        return ()
    last = len(curve) - 1
    return tuple(curve[round(step * last / (points - 1))] for step in range(points))


def _number(value: object) -> float | None:
    if isinstance(value, str):
        return float(_NOT_NUMBERS[value]) if value in _NOT_NUMBERS else None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        return float(value)
    except OverflowError:  # an integer of more than 308 digits
        return float("inf") if value > 0 else float("-inf")


def _read_final(path: Path) -> tuple[Any, str]:
    """The object or list in metrics.json, {} without one, and what is wrong with it."""
    text = _read(path)
    if text is None:
        return {}, ""
    found = _parsed(text)
    if isinstance(found, dict | list):
        return found, ""
    return {}, f"{FINAL} is {'empty' if not text.strip() else 'broken, or half written'}"


def _read_steps(path: Path) -> tuple[list[Metrics], str]:
    """The steps of metrics.jsonl; a last line that is still being written is no mistake."""
    lines = [line for line in (_read(path) or b"").split(b"\n") if line.strip()]
    found = [_parsed(line) for line in lines]
    curve = [numbers(each) for each in found if isinstance(each, dict)]
    broken = sum(not isinstance(each, dict) for each in found[:-1])
    return curve, f"{STEPS}: {broken} of {len(lines)} lines are broken" if broken else ""


def _last_values(curve: Iterable[Metrics]) -> Metrics:
    """The last value of every number: not every step need tell all of them."""
    last: dict[str, float] = {}
    for step in curve:
        last.update(step)
    return last


def _read(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_LARGEST_FILE)
    except OSError:
        return None


def _parsed(text: bytes) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
