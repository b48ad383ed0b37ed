"""The page of a sweep's results: tiles, plots and tables, in one file."""

from collections.abc import Sequence

from hpcsubmit.page import render_page
from hpcsubmit.sweeps.export import counts, seed_groups
from hpcsubmit.sweeps.page_data import left_out, page_data
from hpcsubmit.sweeps.page_table import page_table
from hpcsubmit.sweeps.ranking import Ranking, varying
from hpcsubmit.sweeps.rows import SweepResults, Trial
from hpcsubmit.sweeps.statistics import Group, unused
from hpcsubmit.sweeps.texts import number_text, seconds_text, value_text


def results_page(results: SweepResults, ranking: Ranking) -> str:
    """Return the page as HTML."""
    groups, table = seed_groups(ranking), page_table(ranking)
    names, data = varying(ranking.trials), page_data(ranking, groups)
    best, metric = ranking.best, ranking.metric
    return render_page(
        "sweep_results",
        data,
        results=results,
        facts=_facts(results),
        counts=counts(ranking.trials),
        time=seconds_text(sum(trial.seconds or 0.0 for trial in ranking.trials)),
        metric=metric,
        best=best,
        best_value=number_text(best.metrics.get(metric.name)) if best and metric else "",
        best_parameters=_texts(best, names) if best else (),
        notes=(*ranking.notes, *left_out(ranking, groups), *table.notes),
        table=table,
        names=names,
        groups=[_group_cells(group, names) for group in groups],
        measured=any(trial["value"] is not None for trial in data["trials"]),
        curves=bool(data["curves"]["metrics"]),
    )


def _facts(results: SweepResults) -> list[tuple[str, str]]:
    submitted = results.created.replace("T", " ")[:16]
    named = [
        ("run", results.run_id),
        ("jobs" if len(results.jobs) > 1 else "job", ", ".join(results.jobs)),
        ("cluster", results.cluster),
        ("submitted", f"{submitted} UTC" if submitted else ""),
        ("method", results.method),
        ("from", results.source),
        ("command", results.command),
    ]
    return [(name, value) for name, value in named if value]


def _texts(trial: Trial, names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value_text(trial.parameters[name])) for name in names if name in trial.parameters]


def _group_cells(group: Group, names: Sequence[str]) -> tuple[str, ...]:
    """A line of the seeds' statistics: parameters, mean, deviation, interval, count, what is left out."""
    found, chosen = group.summary, group.parameters
    interval = f"{number_text(found.low)} to {number_text(found.high)}" if found.n > 1 else "-"
    return (
        *(value_text(chosen[name]) if name in chosen else "-" for name in names),
        number_text(found.mean) if found.n else "-",
        number_text(found.std),
        interval,
        str(found.n),
        unused(group),
    )
