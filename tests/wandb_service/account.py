"""All that one wandb server holds, and what happens to it. Times come from one clock."""

from __future__ import annotations

import json
import random
import string
import threading
import time
from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from wandb_service.things import ACTIVE, Agent, Run, Sweep

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOST_AFTER = 300.0
"""Seconds without a sign of life after which a run counts as crashed, as on the real server."""


class NotFoundError(LookupError):
    """What a request names is not there."""


class RefusedError(ValueError):
    """What a request asks for cannot be done."""


class Account:
    """The sweeps, agents and runs of one user, kept in a file where one is named.

    entities: the teams that the user belongs to, the own first; none: every name will do.
    asked: how often each operation was asked for. unknown: the operations that nothing here answers.
    """

    def __init__(
        self,
        *,
        entities: tuple[str, ...] = (),
        store: Path | None = None,
        lost_after: float = LOST_AFTER,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.lock = threading.RLock()
        self.entities = entities
        self.asked: Counter[str] = Counter()
        self.unknown: list[str] = []
        self.sweeps: list[Sweep] = []
        self.agents: list[Agent] = []
        self.runs: list[Run] = []
        self._store, self._lost_after, self._clock = store, lost_after, clock
        if store and store.exists():
            self._load(json.loads(store.read_text("utf-8")))

    @property
    def user(self) -> str:
        return self.entities[0] if self.entities else "tester"

    # Looking up

    def has_project(self, entity: str, project: str) -> bool:
        places = [(s.entity, s.project) for s in self.sweeps] + [(r.entity, r.project) for r in self.runs]
        return (entity, project) in places

    def sweep(self, entity: str, project: str, name: str) -> Sweep | None:
        place = (entity, project)
        return next((s for s in self.sweeps if s.name == name and (s.entity, s.project) == place), None)

    def run(self, entity: str, project: str, name: str) -> Run | None:
        place = (entity, project)
        return next((r for r in self.runs if r.name == name and (r.entity, r.project) == place), None)

    def runs_of(self, sweep: Sweep) -> list[Run]:
        return [run for run in self.runs if run.sweep == sweep.name and run.project == sweep.project]

    # Sweeps and agents

    def create_sweep(self, entity: str, project: str, config: str, display_name: str) -> Sweep:
        self._check_entity(entity)
        sweep = Sweep(
            name=self._new_name(), number=len(self.sweeps) + 1, entity=entity, project=project,
            config=config, created=self._clock(), display_name=display_name,
        )  # fmt: skip
        try:
            sweep.search.at(0)
        except (KeyError, TypeError, ValueError) as error:
            raise RefusedError(f"Invalid sweep config: {error}") from None
        self.sweeps.append(sweep)
        return sweep

    def change_sweep(self, sweep_id: str, *, state: str | None, config: str | None) -> Sweep:
        sweep = next((s for s in self.sweeps if s.id == sweep_id), None)
        if sweep is None:
            raise NotFoundError(f"sweep {sweep_id} not found")
        if config:
            sweep.configure(config)
        sweep.state = state or sweep.state
        if sweep.state == "CANCELED":
            for run in self.runs_of(sweep):
                run.stop_asked = run.stop_asked or run.alive
        self.settle()
        return sweep

    def create_agent(self, sweep: Sweep, host: str) -> Agent:
        now = self._clock()
        agent = Agent(number=len(self.agents) + 1, host=host, sweep=sweep.name, created=now, heartbeat=now)
        self.agents.append(agent)
        if sweep.state == "PENDING":
            sweep.state = "RUNNING"
        return agent

    def heartbeat(self, agent_id: str, alive: dict[str, bool]) -> list[dict[str, Any]]:
        """What an agent is to do now. alive: the runs whose programs it has running."""
        agent = next((a for a in self.agents if a.id == agent_id), None)
        sweep = next((s for s in self.sweeps if agent and s.name == agent.sweep), None)
        if agent is None or sweep is None:
            raise NotFoundError(f"agent {agent_id} not found")
        agent.heartbeat = self._clock()
        mine = [run for run in self.runs_of(sweep) if run.agent == agent_id]
        for run in mine:
            if run.name in alive:
                run.heartbeat = agent.heartbeat
            elif run.alive:  # its program is gone, and it never said how it ended
                run.state = "killed" if run.stop_asked else "crashed"
        self.settle()
        working = [run for run in mine if run.name in alive]
        if working:
            return [{"type": "stop", "run_id": run.name} for run in working if run.stop_asked]
        if sweep.state == "PAUSED":
            return []
        return [self._next(sweep, agent) or {"type": "exit"}]

    def _next(self, sweep: Sweep, agent: Agent) -> dict[str, Any] | None:
        """Hand the next run of a sweep to an agent."""
        if sweep.state not in ACTIVE or sweep.exhausted:
            return None
        kind = "resume" if sweep.requeued else "run"
        if sweep.requeued:
            run = next(r for r in self.runs_of(sweep) if r.name == sweep.requeued[0])
            del sweep.requeued[0]
        else:
            run = self._add_run(self._new_name(), sweep.entity, sweep.project)
            values = sweep.search.at(sweep.given) or {}
            run.config = {name: {"value": value} for name, value in values.items()}
            run.sweep, run.display_name = sweep.name, f"sweep-{sweep.given + 1}"
            sweep.given += 1
        run.agent, run.state, run.heartbeat, run.preempting = agent.id, "pending", agent.heartbeat, False
        agent.runs.append(run.name)
        return {
            "type": kind, "run_id": run.name, "program": sweep.settings.get("program"),
            "args": {name: item for name, item in run.config.items() if name in _names(sweep)},
        }  # fmt: skip

    # Runs

    def upsert_run(self, entity: str, project: str, name: str) -> tuple[Run, bool]:
        """The run of a name that a program begins or goes on with, and whether it is new."""
        self._check_entity(entity)
        run = self.run(entity, project, name)
        new = run is None
        run = run or self._add_run(name, entity, project)
        if run.state != "running":
            run.state, run.exit_code = "running", None
            run.starts += 1
        run.heartbeat = self._clock()
        return run, new

    def take(self, run: Run, stream: dict[str, Any]) -> None:
        """Take what a run's program sends."""
        run.heartbeat = self._clock()
        run.take(stream)
        sweep = self.sweep(run.entity, run.project, run.sweep)
        if sweep and run.state == "preempted" and run.name not in sweep.requeued:
            sweep.requeued.append(run.name)
        self.settle()

    def settle(self) -> None:
        """Find the runs that are lost and the sweeps that are done, and keep all in the file."""
        now = self._clock()
        for run in self.runs:
            if run.alive and now - run.heartbeat > self._lost_after:
                run.state = "crashed"
        for sweep in self.sweeps:
            at_work = any(run.alive for run in self.runs_of(sweep))
            if sweep.state == "RUNNING" and not at_work and sweep.exhausted:
                sweep.state = "FINISHED"
        self.keep()

    def keep(self) -> None:
        if self._store:
            unfinished = self._store.with_name(f".{self._store.name}.new")
            unfinished.write_text(json.dumps(self.state(), indent=1), "utf-8")
            unfinished.replace(self._store)

    def state(self) -> dict[str, Any]:
        """All of it, as plain data."""
        return {
            "sweeps": [asdict(sweep) | {"expected": sweep.search.expected} for sweep in self.sweeps],
            "agents": [asdict(agent) | {"id": agent.id} for agent in self.agents],
            "runs": [asdict(run) | {"values": run.values, "history": run.history} for run in self.runs],
            "asked": dict(self.asked),
            "unknown": self.unknown,
        }

    def _load(self, state: dict[str, Any]) -> None:
        def fields(it: dict[str, Any], *derived: str) -> dict[str, Any]:
            return {name: value for name, value in it.items() if name not in derived}

        self.sweeps = [Sweep(**fields(it, "expected")) for it in state["sweeps"]]
        self.agents = [Agent(**fields(it, "id")) for it in state["agents"]]
        self.runs = [Run(**fields(it, "values", "history")) for it in state["runs"]]
        self.asked = Counter(state["asked"])

    def _add_run(self, name: str, entity: str, project: str) -> Run:
        now = self._clock()
        number = len(self.runs) + 1
        run = Run(
            name=name, number=number, entity=entity, project=project, created=now, heartbeat=now,
            state="pending", display_name=f"run-{number}",
        )  # fmt: skip
        self.runs.append(run)
        return run

    def _check_entity(self, entity: str) -> None:
        if self.entities and entity not in self.entities:
            raise NotFoundError(f"entity {entity} not found during upsertBucket")

    def _new_name(self) -> str:
        return "".join(random.choices(string.ascii_lowercase + string.digits, k=8))


def _names(sweep: Sweep) -> set[str]:
    return set(sweep.settings.get("parameters") or {})
