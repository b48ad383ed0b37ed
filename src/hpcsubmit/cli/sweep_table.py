"""The results of a sweep as text in columns."""

from collections.abc import Sequence

from hpcsubmit.cli.table import align
from hpcsubmit.sweeps.export import counts
from hpcsubmit.sweeps.ranking import Ranking, varying
from hpcsubmit.sweeps.rows import State, SweepResults, Trial
from hpcsubmit.sweeps.statistics import Group, unused
from hpcsubmit.sweeps.texts import number_text, seconds_text, value_text

_NARROWEST = 5
"""Characters that a column keeps, whatever is cut."""
_GAP = 2
_ALWAYS_TOLD = (State.FINISHED, State.FAILED, State.RUNNING, State.MISSING)


def headline(results: SweepResults) -> str:
    """Return the line that says how many trials there are, and in which states."""
    found = counts(results.trials)
    told = [state for state in State if state in _ALWAYS_TOLD or found[state.value]]
    states = ", ".join(f"{found[state.value]} {state.value}" for state in told)
    return f"{len(results.trials)} trials of {results.title}: {states}"


def trial_lines(ranking: Ranking, width: int | None) -> list[str]:
    """Return the table of trials, a line each; columns are cut where they do not fit the width."""
    trials = ranking.trials
    names = varying(trials)
    seeds = any(trial.seed is not None for trial in trials)
    metric = ranking.metric.name if ranking.metric else None
    notes = any(trial.note for trial in trials)
    heading = ["TRIAL", *names]
    heading += ["SEED"] * seeds + [metric or ""] * (metric is not None) + ["STATE", "TIME"] + ["NOTE"] * notes
    rows = [heading]
    for trial in trials:
        row = [str(trial.number), *(_parameter(trial, name) for name in names)]
        row += ["-" if trial.seed is None else str(trial.seed)] * seeds
        row += [number_text(trial.metrics.get(metric))] if metric is not None else []
        row += [trial.state_text, seconds_text(trial.seconds)] + [trial.note] * notes
        rows.append(row)
    return fitted(rows, width, last_is_free=notes)


def group_lines(groups: Sequence[Group], metric: str, width: int | None) -> list[str]:
    """Return the table of the seeds' statistics, a line a combination of parameters."""
    names = varying([trial for group in groups for trial in group.trials])
    rows = [[*(names or ["PARAMETERS"]), f"MEAN {metric}", "STD", "95% INTERVAL", "N", "LEFT OUT"]]
    for group in groups:
        found = group.summary
        shown = [_value(group.parameters, name) for name in names] or ["(all)"]
        interval = f"{number_text(found.low)} to {number_text(found.high)}" if found.n > 1 else "-"
        mean = number_text(found.mean) if found.n else "-"
        rows.append([*shown, mean, number_text(found.std), interval, str(found.n), unused(group)])
    return fitted(rows, width)


def fitted(rows: Sequence[Sequence[str]], width: int | None, *, last_is_free: bool = False) -> list[str]:
    """Align rows within a width, None for any: the widest columns are cut, never below five characters.

    last_is_free: whether the last column may go beyond the width.
    """
    if width is None:
        return align(rows)
    columns = len(rows[0]) - last_is_free
    widths = [max(len(row[column]) for row in rows) for column in range(columns)]
    while sum(widths) + _GAP * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    cut = [[*map(_cut, row[:columns], widths), *row[columns:]] for row in rows]
    return align(cut)


def _cut(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"


def _parameter(trial: Trial, name: str) -> str:
    return _value(trial.parameters, name)


def _value(parameters: object, name: str) -> str:
    return value_text(parameters[name]) if isinstance(parameters, dict) and name in parameters else "-"
