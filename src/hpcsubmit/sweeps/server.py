"""Sweeps on the wandb server: made, looked at and changed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsubmit.frozen import frozen
from hpcsubmit.host import Host
from hpcsubmit.sweeps.asking import ask
from hpcsubmit.wandb_sweep import WandbSweepId

PATIENCE = 600.0
"""Seconds for the curves of all runs of a sweep: the server is asked once for each."""
OVER = frozenset(("FINISHED", "CANCELED", "CANCELLED", "STOPPED", "FAILED", "CRASHED"))
"""The states of a sweep that starts no more runs."""


@frozen
class Created:
    """A sweep that the server has made. url: its page."""

    sweep: WandbSweepId
    url: str


@frozen
class BestRun:
    """The run with the best value of the sweep's metric so far. run: its id. config: its parameters."""

    run: str
    name: str
    metric: str
    value: float
    config: Mapping[str, Any]


@frozen
class SweepOnServer:
    """A sweep as the server tells it.

    config: as its file had it. counts: runs by state: finished, running, failed, crashed, killed, ...
    expected: how many runs there will be, of a grid or by run_cap; None where nothing bounds them.
    """

    sweep: WandbSweepId
    state: str
    name: str
    url: str
    method: str
    config: Mapping[str, Any]
    counts: Mapping[str, int]
    expected: int | None
    best: BestRun | None

    @property
    def finished(self) -> int:
        """Runs that ended well."""
        return self.counts.get("finished", 0)

    @property
    def running(self) -> int:
        """Runs that have not ended."""
        return sum(self.counts.get(state, 0) for state in ("running", "pending", "preempting"))

    @property
    def failed(self) -> int:
        """Runs that ended otherwise: failed, crashed, killed."""
        return sum(self.counts.values()) - self.finished - self.running

    @property
    def left(self) -> int | None:
        """Runs that nobody has begun; None where nothing bounds them."""
        return None if self.expected is None else max(0, self.expected - sum(self.counts.values()))

    @property
    def over(self) -> bool:
        """Whether the sweep starts no more runs, also when agents ask."""
        return self.state in OVER


def create(
    config: Mapping[str, Any], *, entity: str, project: str, host: Host, environment: Path | None = None
) -> Created:
    """Make a sweep on the server; raises HpcSubmitError.

    config: as wandb takes it. entity: "" for the user's own. environment: of the project's jobs, whose
    Python is taken where hpcsubmit's own has no wandb.
    """
    request = {"action": "create", "config": dict(config), "entity": entity, "project": project}
    answer = ask(request, host, environment)
    sweep = WandbSweepId(sweep=answer["sweep"], entity=answer["entity"], project=answer["project"])
    return Created(sweep=sweep, url=answer["url"])


def look(sweep: WandbSweepId, host: Host, environment: Path | None = None) -> SweepOnServer:
    """Ask the server about a sweep; raises HpcSubmitError. sweep: with entity and project."""
    answer = ask({"action": "look", "sweep": str(sweep)}, host, environment, sweep=sweep)
    return SweepOnServer(
        sweep=sweep,
        state=str(answer["state"]).upper(),
        name=answer["name"],
        url=answer["url"],
        method=answer["method"],
        config=answer["config"],
        counts=answer["runs"],
        expected=answer["expected"],
        best=BestRun(**answer["best"]) if answer["best"] else None,
    )


def runs(
    sweep: WandbSweepId, host: Host, environment: Path | None = None, *, metric: str = "", samples: int = 0
) -> tuple[Mapping[str, Any], ...]:
    """Ask the server for the runs of a sweep, oldest first, as `rows.rows_of_server` takes them.

    metric: "" for the sweep's own. samples: how many points of its history to fetch of each run.
    Raises HpcSubmitError.
    """
    request = {"action": "runs", "sweep": str(sweep), "metric": metric, "samples": samples}
    answer = ask(request, host, environment, sweep=sweep, timeout=PATIENCE)
    return tuple(answer["runs"])


def set_state(sweep: WandbSweepId, to: str, host: Host, environment: Path | None = None) -> str:
    """Change the state of a sweep: stop, cancel, pause or resume; return the state that it has then.

    Raises HpcSubmitError, also where wandb refuses it: a sweep that has ended cannot be paused.
    """
    answer = ask({"action": "state", "sweep": str(sweep), "to": to}, host, environment, sweep=sweep)
    return str(answer["state"]).upper()
