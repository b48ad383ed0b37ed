"""What a wandb server keeps: runs, agents and sweeps."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import yaml

from wandb_service.search import Search

ALIVE: Final = frozenset({"pending", "running", "preempting"})
ACTIVE: Final = frozenset({"PENDING", "RUNNING", "PAUSED"})
"""The states of a sweep that may still start runs."""

HISTORY, SUMMARY, EVENTS, OUTPUT = (
    "wandb-history.jsonl", "wandb-summary.json", "wandb-events.jsonl", "output.log",
)  # fmt: skip


@dataclass(kw_only=True)
class Run:
    """One run. config: {name: {"value": ...}}, as the client sends it; history: one JSON object a line.

    agent: the agent that it was given to, "" for none. created, heartbeat: seconds since the epoch.
    stop_asked: whether somebody wants it to end; preempting: whether it said that it may be preempted.
    """

    name: str
    number: int
    entity: str
    project: str
    created: float
    heartbeat: float
    sweep: str = ""
    agent: str = ""
    state: str = "running"
    display_name: str = ""
    config: dict[str, Any] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    lines: dict[str, list[str]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    tags: list[str] = field(default_factory=list)
    group: str = ""
    job_type: str = ""
    notes: str = ""
    host: str = ""
    exit_code: int | None = None
    stop_asked: bool = False
    preempting: bool = False
    starts: int = 0

    @property
    def id(self) -> str:
        """The id of storage, by which some requests name it."""
        return f"run-{self.number}"

    @property
    def alive(self) -> bool:
        return self.state in ALIVE

    @property
    def history(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines.get(HISTORY, [])]

    @property
    def values(self) -> dict[str, Any]:
        """The configuration as the program wrote it: no wrapping, nothing of the client's own."""
        found = {name: item for name, item in self.config.items() if name != "_wandb"}
        return {
            name: item["value"] if isinstance(item, dict) and "value" in item else item
            for name, item in found.items()
        }

    def take(self, stream: dict[str, Any]) -> None:
        """Take a part of the file stream: lines at their offsets, so that one sent twice counts once."""
        for name, part in (stream.get("files") or {}).items():
            content = list(part.get("content") or [])
            if name == SUMMARY:
                self.summary = json.loads(content[-1]) if content else self.summary
                continue
            lines = self.lines.setdefault(name, [])
            lines[part.get("offset", len(lines)) :] = content
        self.preempting = self.preempting or bool(stream.get("preempting"))
        if stream.get("complete"):
            self.end(int(stream.get("exitcode") or 0))

    def end(self, code: int) -> None:
        """End by itself, with an exit code."""
        self.exit_code = code
        if code and self.preempting:
            self.state = "preempted"
        elif code and self.stop_asked:
            self.state = "killed"
        else:
            self.state = "failed" if code else "finished"


@dataclass(kw_only=True)
class Agent:
    """One `wandb agent`: the runs that it was given, oldest first."""

    number: int
    host: str
    sweep: str
    created: float
    heartbeat: float
    runs: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        return f"agent-{self.number}"


@dataclass(kw_only=True)
class Sweep:
    """One sweep.

    config: its YAML; given: how many parameter sets were handed out; requeued: runs to go on with.
    """

    name: str
    number: int
    entity: str
    project: str
    config: str
    created: float
    state: str = "PENDING"
    display_name: str = ""
    given: int = 0
    requeued: list[str] = field(default_factory=list)

    @property
    def id(self) -> str:
        """The id of storage, by which some requests name it."""
        return f"sweep-{self.number}"

    @cached_property
    def search(self) -> Search:
        return Search(self.settings)

    @cached_property
    def settings(self) -> dict[str, Any]:
        found = yaml.safe_load(self.config)
        if not isinstance(found, dict):
            raise ValueError("the configuration is no mapping")  # noqa: TRY004 - the user's mistake
        return found

    def configure(self, config: str) -> None:
        """Take another configuration; what was handed out stays so."""
        self.config = config
        for name in ("search", "settings"):
            self.__dict__.pop(name, None)

    @property
    def exhausted(self) -> bool:
        return not self.requeued and self.search.at(self.given) is None


def iso(seconds: float) -> str:
    """A time as the API writes it: UTC, without a zone."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
