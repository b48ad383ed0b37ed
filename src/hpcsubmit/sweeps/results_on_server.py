"""The results of a sweep on the wandb server: its runs, as the rows that records have."""

from pathlib import Path

from hpcsubmit.host import Host
from hpcsubmit.sweeps.rows import Goal, Metric, SweepResults, rows_of_server
from hpcsubmit.sweeps.server import look, runs
from hpcsubmit.wandb_sweep import WandbSweepId

ALL_POINTS = 1000
"""Steps of a learning curve that the server is asked for, where all are wanted: it sends samples of more."""


def results_on_server(
    sweep: WandbSweepId, host: Host, environment: Path | None, *, points: int | None
) -> SweepResults:
    """Ask the server for a sweep and all its runs; raises HpcSubmitError.

    environment: of the project's jobs, None without one. points: how many steps of each learning curve.
    """
    found = look(sweep, host, environment)
    samples = ALL_POINTS if points is None else points
    metric = found.config.get("metric") or {}
    name, goal = str(metric.get("name") or ""), metric.get("goal", "minimize")
    rows = rows_of_server(runs(sweep, host, environment, metric=name, samples=samples))
    return SweepResults(
        title=found.name or str(sweep),
        run_id=str(sweep),
        trials=rows,
        metric=Metric(name=name, goal=Goal(goal)) if name else None,
        method=found.method,
        source=found.url,
        entity=sweep.entity or "",
        project=sweep.project or "",
    )
