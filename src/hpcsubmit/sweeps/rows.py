"""The rows of a sweep's results: one a trial, wherever it was told from."""

from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Any, NamedTuple

from hpcsubmit.frozen import frozen
from hpcsubmit.sweeps.metrics import NO_METRICS, Curve, Metrics, numbers


class State(StrEnum):
    """What became of a trial."""

    FINISHED = "finished"
    FAILED = "failed"
    RUNNING = "running"
    STOPPED = "stopped"
    """Its task ended without it: cancelled, out of time, or a node that failed."""
    MISSING = "missing"
    """Not started."""


class Trial(NamedTuple):
    """One trial.

    number: from 1. parameters: without the seed of --seeds. exit_code: None where it has not ended by itself.
    metrics: its final numbers; NaN and the infinities are kept. curve: its metrics step by step.
    seconds: from its start to its end. host, job: where it ran, "" where that is not known.
    name: its run on the wandb server, "" without one. note: what is wrong with its metrics, "" for nothing.
    """

    number: int
    parameters: Mapping[str, Any]
    seed: int | None
    state: State
    exit_code: int | None = None
    metrics: Metrics = NO_METRICS
    curve: Curve = ()
    seconds: float | None = None
    host: str = ""
    job: str = ""
    name: str = ""
    note: str = ""

    @property
    def state_text(self) -> str:
        """The state as it is shown, a failed trial's with its exit code."""
        return f"{self.state.value} ({self.exit_code})" if self.exit_code else self.state.value


class Goal(StrEnum):
    """What a metric should become."""

    MINIMIZE = "minimize"
    MAXIMIZE = "maximize"


class Metric(NamedTuple):
    """The number that trials are compared by; without a goal none is the best."""

    name: str
    goal: Goal | None = None


@frozen
class SweepResults:
    """All trials of a sweep, in their order.

    title: its name, or its id where it has none. source: its file, or the address on the server.
    entity, project: what its runs were told of where they belong on wandb's server.
    metric: the one that the sweep file names. Texts are "" where they are not known.
    """

    title: str
    run_id: str
    trials: tuple[Trial, ...]
    metric: Metric | None = None
    method: str = ""
    command: str = ""
    source: str = ""
    entity: str = ""
    project: str = ""
    created: str = ""
    cluster: str = ""
    jobs: tuple[str, ...] = ()


_SERVER_STATES = {
    "finished": State.FINISHED,
    "failed": State.FAILED,
    "running": State.RUNNING,
    "preempting": State.RUNNING,
    "pending": State.MISSING,
}
"""wandb's states of a run; whatever else it has (crashed, killed, preempted) ended without its program."""


def rows_of_server(runs: Iterable[Mapping[str, Any]]) -> tuple[Trial, ...]:
    """Make rows of what the wandb server tells of a sweep's runs, oldest first.

    Each run: id, name, state, config, summary (final values), seconds, history (a list of objects); all but
    the id may be missing. A parameter named `seed` is the run's seed.
    """
    return tuple(_row_of_server(number, run) for number, run in enumerate(runs, 1))


def _row_of_server(number: int, run: Mapping[str, Any]) -> Trial:
    config = flat({key: value for key, value in (run.get("config") or {}).items() if key[:1] != "_"})
    seconds = run.get("seconds")
    return Trial(
        number=number,
        parameters=config,
        seed=seed_in(config),
        state=_SERVER_STATES.get(str(run.get("state")), State.STOPPED),
        metrics=numbers(run.get("summary") or {}),
        curve=tuple(numbers(step) for step in run.get("history") or () if isinstance(step, dict)),
        seconds=float(seconds) if isinstance(seconds, int | float) else None,
        name=str(run.get("name") or run.get("id") or ""),
    )


def flat(parameters: Mapping[str, Any], above: str = "") -> dict[str, Any]:
    """Return the parameters of groups beside the others, named `GROUP.NAME`."""
    found: dict[str, Any] = {}
    for name, value in parameters.items():
        found |= flat(value, f"{above}{name}.") if isinstance(value, dict) else {above + name: value}
    return found


def seed_in(parameters: Mapping[str, Any]) -> int | None:
    """Return the seed that is one of the parameters, None where none is."""
    seed = parameters.get("seed")
    return seed if isinstance(seed, int) and not isinstance(seed, bool) else None
