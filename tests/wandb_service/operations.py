"""The GraphQL operations that wandb's client asks for, answered by name.

An answer holds every field that any version of the client is known to ask for; it takes what it wants.
Seen of wandb 0.30 and 0.31, whose requests all come from its `wandb-core`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from wandb_service.account import NotFoundError
from wandb_service.answers import connection, file_node, run_node, sampled, sweep_node
from wandb_service.query import in_order, matches

if TYPE_CHECKING:
    from collections.abc import Callable

    from wandb_service.account import Account
    from wandb_service.things import Run, Sweep

Values: TypeAlias = dict[str, Any]


def answer(account: Account, name: str, given: Values, base: str) -> Values | None:
    """The data of an operation with these variables; None for one that is not known here.

    base: the address of this server. Raises NotFoundError and RefusedError.
    """
    if name == "CreateRunFiles":
        return _create_run_files(account, given, base)
    if name in _CONSTANT:
        return _CONSTANT[name]
    known = _KNOWN.get(name)
    return known(account, given) if known else None


def _viewer(account: Account, given: Values) -> Values:
    del given  # it has none
    teams = [{"node": {"name": name}} for name in account.entities or (account.user,)]
    viewer = {
        "id": "user-1", "entity": account.user, "username": account.user, "name": account.user,
        "email": f"{account.user}@example.org", "flags": "{}", "admin": False, "deletedAt": None,
        "teams": {"edges": teams}, "apiKeys": {"edges": []},
    }  # fmt: skip
    return {"viewer": viewer}


def _place(account: Account, given: Values, project: str = "") -> tuple[str, str]:
    """The entity and the project that variables name, under the names that operations have for them."""
    entity = given.get("entityName") or given.get("entity") or account.user
    named = project or given.get("projectName") or given.get("project") or "uncategorized"
    return str(entity), str(named)


def _project(entity: str, project: str) -> Values:
    return {
        "id": f"project-{entity}-{project}", "internalId": "1", "name": project, "entityName": entity,
        "readOnly": False, "entity": {"id": f"entity-{entity}", "name": entity},
    }  # fmt: skip


def _upsert_sweep(account: Account, given: Values) -> Values:
    if given.get("id"):
        sweep = account.change_sweep(given["id"], state=given.get("state"), config=given.get("config"))
    else:
        entity, project = _place(account, given)
        sweep = account.create_sweep(
            entity, project, given.get("config") or "", given.get("displayName") or ""
        )
    account.keep()
    node = {"name": sweep.name, "id": sweep.id, "project": _project(sweep.entity, sweep.project)}
    return {"upsertSweep": {"sweep": node, "configValidationWarnings": []}}


def _find_sweep(account: Account, given: Values) -> Sweep | None:
    return account.sweep(*_place(account, given), str(given.get("sweep") or given.get("name")))


def _sweep(account: Account, given: Values) -> Values:
    account.settle()
    entity, project = _place(account, given)
    if not account.has_project(entity, project):
        return {"project": None}
    sweep = _find_sweep(account, given)
    runs = account.runs_of(sweep) if sweep else []
    return {"project": _project(entity, project) | {"sweep": sweep_node(sweep, runs) if sweep else None}}


def _create_agent(account: Account, given: Values) -> Values:
    sweep = _find_sweep(account, given)
    if sweep is None:
        raise NotFoundError(f"sweep {given.get('sweep')} not found")
    agent = account.create_agent(sweep, str(given.get("host")))
    return {"createAgent": {"agent": {"id": agent.id}}}


def _heartbeat(account: Account, given: Values) -> Values:
    alive = json.loads(given.get("runState") or "{}")
    commands = account.heartbeat(given["id"], alive)
    return {"agentHeartbeat": {"agent": {"id": given["id"]}, "commands": json.dumps(commands)}}


def _upsert_bucket(account: Account, given: Values) -> Values:
    run = next((r for r in account.runs if r.id == given.get("id")), None)
    new = False
    if run is None:
        entity, project = _place(account, given)
        run, new = account.upsert_run(entity, project, str(given.get("name")))
    run.config |= json.loads(given.get("config") or "{}")
    run.summary |= json.loads(given.get("summaryMetrics") or "{}")
    run.tags = list(given.get("tags") or run.tags)
    texts = {"display_name": "displayName", "group": "groupName", "job_type": "jobType", "notes": "notes"}
    for ours, theirs in (texts | {"host": "host", "sweep": "sweep"}).items():
        setattr(run, ours, given.get(theirs) or getattr(run, ours))
    account.keep()
    bucket = run_node(run) | {"project": _project(run.entity, run.project)}
    return {"upsertBucket": {"bucket": bucket, "inserted": new}}


def _resume_status(account: Account, given: Values) -> Values:
    entity, project = _place(account, given)
    run = account.run(entity, project, str(given.get("name")))
    return {"model": _project(entity, project) | {"bucket": run_node(run) if run else None}}


def _runs(account: Account, given: Values) -> Values:
    account.settle()
    entity, project = _place(account, given)
    if not account.has_project(entity, project):
        return {"project": None}
    filters = json.loads(given.get("filters") or "{}")
    there = [run for run in account.runs if (run.entity, run.project) == (entity, project)]
    found = in_order((run for run in there if matches(run, filters)), given.get("order") or "+created_at")
    listed = connection([run_node(run) for run in found], given.get("cursor"), given.get("perPage") or 50)
    return {"project": _project(entity, project) | {"runCount": len(found), "runs": listed}}


def _run(account: Account, given: Values) -> Values:
    """Whatever is asked about one run."""
    account.settle()
    entity, project = _place(account, given)
    run = account.run(entity, project, str(given.get("name") or given.get("run") or given.get("runName")))
    return {"project": _project(entity, project) | {"run": _whole(run, given) if run else None}}


def _whole(run: Run, given: Values) -> Values:
    specs = given.get("specs") or ([given["spec"]] if given.get("spec") else [])
    low, high = int(given.get("minStep") or 0), int(given.get("maxStep") or 1 << 60)
    rows = [row for row in run.history if low <= int(row.get("_step", 0)) < high]
    files = connection([file_node(run, name) for name in sorted(run.files)], None, 1000)
    return run_node(run) | {
        "history": [json.dumps(row) for row in rows],
        "events": run.lines.get("wandb-events.jsonl", []),
        "sampledHistory": [sampled(run, json.loads(spec)) for spec in specs],
        "parquetHistory": {"parquetUrls": [], "liveData": rows},
        "fileCount": len(run.files),
        "files": files,
    }


def _create_run_files(account: Account, given: Values, base: str) -> Values:
    run = account.run(*_place(account, given), str(given.get("run")))
    if run is None:
        raise NotFoundError(f"run {given.get('run')} not found")
    place = f"{base}/storage/{run.entity}/{run.project}/{run.name}"
    files = [{"name": name, "uploadUrl": f"{place}/{name}"} for name in given.get("files") or []]
    return {"createRunFiles": {"runID": run.id, "uploadHeaders": [], "files": files}}


def _stop_run(account: Account, given: Values) -> Values:
    run = next((r for r in account.runs if r.id == given.get("id")), None)
    if run is None:
        raise NotFoundError(f"run {given.get('id')} not found")
    run.stop_asked = True
    return {"stopRun": {"success": True}}


_CONSTANT: Final[dict[str, Values]] = {
    "ServerFeaturesQuery": {"serverInfo": {"features": []}},
    "OrganizationCoreWeaveOrganizationID": {"entity": {"organization": None}},
    "OrgFeatureFlags": {"organization": None},
    "MarkRunFilesUploaded": {"markRunFilesUploaded": {"success": True}},
}
_KNOWN: Final[dict[str, Callable[[Account, Values], Values]]] = {
    **dict.fromkeys(("Viewer", "GetViewer", "GetDefaultEntity"), _viewer),
    "UpsertSweep": _upsert_sweep,
    **dict.fromkeys(("SweepWithRuns", "GetSweep", "GetSweepLegacy", "GetSweepState"), _sweep),
    "CreateAgent": _create_agent,
    "Heartbeat": _heartbeat,
    "UpsertBucket": _upsert_bucket,
    "RunResumeStatus": _resume_status,
    "Runs": _runs,
    **dict.fromkeys(("Run", "RunState", "RunFullHistory", "RunSampledHistory", "RunHistoryKeys"), _run),
    **dict.fromkeys(("RunFiles", "QueryRunInfo", "HistoryPage", "SampledHistoryPage"), _run),
    "RunParquetHistory": _run,
    "StopRun": _stop_run,
}
