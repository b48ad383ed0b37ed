"""The results of a sweep for other programs: as plain data and as CSV."""

import csv
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from hpcsubmit.sweeps.ranking import Ranking, measured
from hpcsubmit.sweeps.rows import State, SweepResults, Trial
from hpcsubmit.sweeps.statistics import Group, grouped, without_seed


def counts(trials: Sequence[Trial]) -> dict[str, int]:
    """Return how many trials are in each state, zeros too."""
    found = Counter(trial.state for trial in trials)
    return {state.value: found[state] for state in State}


def seed_groups(ranking: Ranking) -> tuple[Group, ...]:
    """Return the groups of trials that differ in their seed alone; none without seeds or metric."""
    if ranking.metric is None or all(trial.seed is None for trial in ranking.trials):
        return ()
    by_number = sorted(ranking.trials, key=lambda trial: trial.number)
    return grouped(by_number, ranking.metric.name)


def as_json(results: SweepResults, ranking: Ranking) -> dict[str, Any]:
    """Return everything as plain data; what JSON has no number for is text (`plain`)."""
    metric = ranking.metric
    return {
        "title": results.title,
        "run": results.run_id,
        "jobs": list(results.jobs),
        "cluster": results.cluster,
        "method": results.method,
        "command": results.command,
        "source": results.source,
        "entity": results.entity,
        "project": results.project,
        "created": results.created,
        "metric": {"name": metric.name, "goal": metric.goal and metric.goal.value} if metric else None,
        "counts": counts(results.trials),
        "best": ranking.best.number if ranking.best else None,
        "notes": list(ranking.notes),
        "trials": [_trial(trial) for trial in ranking.trials],
        "groups": [_group(group) for group in seed_groups(ranking)],
    }


def plain(value: Any) -> Any:
    """Return a value whose numbers are all finite: NaN and the infinities become text, at any depth."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, Mapping):
        return {str(name): plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [plain(each) for each in value]
    return value


def as_csv(ranking: Ranking) -> str:
    """Return a line a trial: its parameters as `param.NAME`, its metrics as `metric.NAME`."""
    trials = ranking.trials
    parameters = list(dict.fromkeys(name for trial in trials for name in without_seed(trial)))
    metrics = measured(trials)
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(
        [
            "trial",
            "name",
            *(f"param.{name}" for name in parameters),
            "seed",
            *(f"metric.{name}" for name in metrics),
            *("state", "exit_code", "seconds", "host", "job", "note"),
        ]
    )
    for trial in trials:
        chosen = [_cell(trial.parameters[name]) if name in trial.parameters else "" for name in parameters]
        measures = [repr(trial.metrics[name]) if name in trial.metrics else "" for name in metrics]
        ended = (trial.state.value, trial.exit_code, trial.seconds, trial.host, trial.job, trial.note)
        writer.writerow([trial.number, trial.name, *chosen, trial.seed, *measures, *ended])
    return file.getvalue()


def _cell(value: Any) -> str:
    """Text as it is, everything else as JSON has it, so that nothing is rounded."""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _trial(trial: Trial) -> dict[str, Any]:
    values = trial._asdict() | {"state": trial.state.value}
    found: dict[str, Any] = plain(values)
    return found


def _group(group: Group) -> dict[str, Any]:
    values = {
        "parameters": group.parameters,
        "trials": [trial.number for trial in group.trials],
        **group.summary._asdict(),
        "unfinished": group.unfinished,
        "without": group.without,
    }
    found: dict[str, Any] = plain(values)
    return found
