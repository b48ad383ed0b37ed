"""Runs, sweeps and files as the API shows them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from wandb_service.things import EVENTS, HISTORY, OUTPUT, iso

if TYPE_CHECKING:
    from wandb_service.things import Run, Sweep


def run_node(run: Run) -> dict[str, Any]:
    """One run, with every field but those that take arguments.

    The client resumes a run only where its wandbConfig has a `t`: a sweep's run that nothing began has none.
    """
    rows = run.lines.get(HISTORY, [])
    steps = [int(row.get("_step", -1)) for row in run.history]
    keys = sorted({key for row in run.history for key in row})
    return {
        "id": run.id, "name": run.name, "displayName": run.display_name, "sweepName": run.sweep or None,
        "state": run.state, "group": run.group or None, "jobType": run.job_type or None, "tags": run.tags,
        "commit": None, "readOnly": False, "createdAt": iso(run.created), "heartbeatAt": iso(run.heartbeat),
        "description": run.notes, "notes": run.notes, "projectId": "1", "exitcode": run.exit_code,
        "config": json.dumps(run.config), "summaryMetrics": json.dumps(run.summary), "systemMetrics": "{}",
        "wandbConfig": json.dumps({"t": {}} if run.starts else {}),
        "user": {"name": run.entity, "username": run.entity},
        "historyKeys": {"lastStep": max(steps, default=-1), "keys": {key: {} for key in keys}},
        "historyLineCount": len(rows), "historyTail": json.dumps(rows[-1:]),
        "eventsLineCount": len(run.lines.get(EVENTS, [])),
        "eventsTail": json.dumps(run.lines.get(EVENTS, [])[-1:]),
        "logLineCount": len(run.lines.get(OUTPUT, [])),
        "shouldStop": run.stop_asked, "stopped": run.stop_asked, "running": run.alive,
        "failed": run.state in ("failed", "crashed"), "sampledHistory": [],
    }  # fmt: skip


def sweep_node(sweep: Sweep, runs: list[Run]) -> dict[str, Any]:
    """One sweep with its runs."""
    return {
        "id": sweep.id, "name": sweep.name, "displayName": sweep.display_name or None,
        "method": sweep.search.method, "state": sweep.state, "description": None, "config": sweep.config,
        "createdAt": iso(sweep.created), "updatedAt": None, "heartbeatAt": None,
        "bestLoss": None, "earlyStopJobRunning": False, "controller": None, "scheduler": None,
        "runCount": len(runs), "runCountExpected": sweep.search.expected,
        "runs": {"edges": [{"node": run_node(run)} for run in runs]},
    }  # fmt: skip


def file_node(run: Run, name: str) -> dict[str, Any]:
    """One file of a run."""
    url = f"/storage/{run.entity}/{run.project}/{run.name}/{name}"
    return {
        "id": f"{run.id}-{name}", "name": name, "url": url, "directUrl": url, "md5": None, "digest": None,
        "sizeBytes": str(len(run.files[name])), "mimetype": None, "updatedAt": iso(run.heartbeat),
    }  # fmt: skip


def sampled(run: Run, spec: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a run's history that have all keys of a specification, as many as it wants at most."""
    keys = spec.get("keys") or []
    rows = [row for row in run.history if all(key in row for key in keys)]
    wanted = int(spec.get("samples") or len(rows) or 1)
    every = -(-len(rows) // wanted) or 1
    return [{key: row[key] for key in keys} if keys else row for row in rows[::every]]


def connection(nodes: list[dict[str, Any]], cursor: str | None, size: int) -> dict[str, Any]:
    """One page of nodes, behind the one that a cursor names."""
    start = int(cursor or 0)
    page = list(enumerate(nodes))[start : start + size]
    end = start + len(page)
    return {
        "edges": [{"node": node, "cursor": str(number + 1)} for number, node in page],
        "pageInfo": {"__typename": "PageInfo", "endCursor": str(end), "hasNextPage": end < len(nodes)},
    }
