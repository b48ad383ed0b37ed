"""The table of the results page: all trials, each cell with what it is sorted by."""

from collections.abc import Sequence
from itertools import islice
from typing import Any, NamedTuple

from hpcsubmit.sweeps.ranking import Ranking, measured, varying
from hpcsubmit.sweeps.rows import Trial
from hpcsubmit.sweeps.texts import number_text, seconds_text, value_text

_MOST_METRICS = 6


class Column(NamedTuple):
    """kind: number (aligned to the right), state or text."""

    name: str
    kind: str


class Row(NamedTuple):
    """One trial: of each cell its text and what it is sorted by, a number, text, or None for nothing."""

    number: int
    state: str
    best: bool
    cells: tuple[tuple[str, Any], ...]


class Table(NamedTuple):
    """The table. notes: what does not fit into it."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    notes: tuple[str, ...]


class _Shape(NamedTuple):
    """The columns that not every table has. texts: the parameters that have a value that is no number."""

    parameters: Sequence[str]
    texts: frozenset[str]
    metrics: Sequence[str]
    seeds: bool
    places: bool
    notes: bool


def page_table(ranking: Ranking) -> Table:
    """Return the table of all trials, in their order, with the metric first among at most six numbers."""
    trials = ranking.trials
    names = varying(trials)
    first = [ranking.metric.name] if ranking.metric else []
    others = [name for name in measured(trials) if name not in first]
    shape = _Shape(
        parameters=names,
        texts=frozenset(name for name in names if any(_is_text(trial, name) for trial in trials)),
        metrics=[*first, *islice(others, _MOST_METRICS - len(first))],
        seeds=any(trial.seed is not None for trial in trials),
        places=any(trial.host or trial.job for trial in trials),
        notes=any(trial.note for trial in trials),
    )
    rows = tuple(
        Row(trial.number, trial.state.value, trial is ranking.best, tuple(_cells(trial, shape)))
        for trial in trials
    )
    hidden = len(first) + len(others) - len(shape.metrics)
    told = (f"the table has {_MOST_METRICS} metrics, and leaves out {hidden}; --csv has all",)
    return Table(tuple(_columns(shape)), rows, told if hidden else ())


def _columns(shape: _Shape) -> list[Column]:
    return [
        Column("trial", "number"),
        *(Column(name, "text" if name in shape.texts else "number") for name in shape.parameters),
        *([Column("seed", "number")] * shape.seeds),
        *(Column(name, "number") for name in shape.metrics),
        Column("state", "state"),
        Column("time", "number"),
        *([Column("host", "text"), Column("job", "text")] * shape.places),
        *([Column("note", "text")] * shape.notes),
    ]


def _cells(trial: Trial, shape: _Shape) -> list[tuple[str, Any]]:
    cells: list[tuple[str, Any]] = [(str(trial.number), trial.number)]
    cells += [_parameter(trial, name) for name in shape.parameters]
    if shape.seeds:
        cells.append(("-" if trial.seed is None else str(trial.seed), trial.seed))
    cells += [(number_text(trial.metrics.get(name)), trial.metrics.get(name)) for name in shape.metrics]
    cells += [(trial.state_text, trial.state_text), (seconds_text(trial.seconds), trial.seconds)]
    if shape.places:
        cells += [(trial.host, trial.host), (trial.job, trial.job)]
    if shape.notes:
        cells.append((trial.note, trial.note))
    return cells


def _parameter(trial: Trial, name: str) -> tuple[str, Any]:
    if name not in trial.parameters:
        return "-", None
    value = trial.parameters[name]
    return value_text(value), value_text(value) if _is_text(trial, name) else value


def _is_text(trial: Trial, name: str) -> bool:
    value = trial.parameters.get(name, 0)
    return isinstance(value, bool) or not isinstance(value, int | float)
