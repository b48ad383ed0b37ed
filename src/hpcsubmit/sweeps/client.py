"""Asks the wandb server about sweeps, by wandb's own Python API.

hpcsubmit never imports this file: it starts it with a Python that has wandb, writes one request to its stdin
and reads one answer from the last line of its stdout, both JSON objects (`ACTIONS` says which). What goes
wrong is an answer too: {"error": "unauthorized"|"unknown"|"unreachable"|"other", "message": ..., "url": ...}.
The key comes with the environment, or from wandb's own ~/.netrc. Python 3.9 or newer; written for wandb 0.30.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

PROBE_SECONDS = 10
PAGE = 200
"""Runs that are asked for at once."""
INTERNAL = "_"
"""What the names begin with that wandb itself adds to summaries."""

Answer = dict[str, Any]


def create(request: Answer) -> Answer:
    """Make a sweep. config: as a sweep file has it. entity, project: "" for wandb's own choice."""
    import wandb

    sweep = wandb.sweep(
        request["config"], entity=request.get("entity") or None, project=request.get("project") or None
    )
    api = _api()  # wandb.sweep has left the names that the server chose in its settings
    entity = api.settings["entity"] or os.environ.get("WANDB_ENTITY") or api.default_entity
    project = api.settings["project"] or os.environ.get("WANDB_PROJECT")
    url = api.sweep(f"{entity}/{project}/{sweep}").url
    return {"entity": entity, "project": project, "sweep": sweep, "url": url}


def look(request: Answer) -> Answer:
    """Tell of a sweep: ENTITY/PROJECT/ID."""
    api = _api()
    sweep = api.sweep(request["sweep"])
    config = sweep.config
    counts: dict[str, int] = {}
    for run in _runs(api, request["sweep"], lazy=True):
        counts[run.state] = counts.get(run.state, 0) + 1
    return {
        "state": sweep.state,
        "config": config,
        "url": sweep.url,
        "name": sweep.name,
        "method": config.get("method", ""),
        "runs": counts,
        "expected": _expected(sweep),
        "best": _best(sweep) if counts else None,
    }


def runs(request: Answer) -> Answer:
    """Tell of the runs of a sweep. samples: how many points of the metric's history to fetch of each run."""
    api = _api()
    metric = request.get("metric") or _metric(api.sweep(request["sweep"]).config)
    found = _runs(api, request["sweep"], lazy=False)
    return {"runs": [_run(run, metric, int(request.get("samples") or 0)) for run in found], "metric": metric}


def state(request: Answer) -> Answer:
    """Change the state of a sweep as `wandb sweep --stop` does. to: stop, cancel, pause or resume."""
    from wandb.cli.cli import cli

    cli.main(args=["sweep", f"--{request['to']}", request["sweep"]], standalone_mode=False)
    return {"state": _api().sweep(request["sweep"]).state}


def who(request: Answer) -> Answer:  # noqa: ARG001 - as all actions
    """Tell whose key it is: the entity that runs go to by default. Tell too which wandb this is."""
    import wandb

    return {"entity": _api().default_entity, "version": wandb.__version__}


def version(request: Answer) -> Answer:  # noqa: ARG001 - as all actions
    """Tell which wandb this is."""
    import wandb

    return {"version": wandb.__version__, "python": sys.executable}


ACTIONS = {"create": create, "look": look, "runs": runs, "state": state, "who": who, "version": version}


def _api() -> Any:
    import wandb

    return wandb.Api(timeout=30)


def _runs(api: Any, path: str, *, lazy: bool) -> Any:
    """The runs of a sweep, oldest first. lazy: without their configurations and summaries."""
    project, _, sweep = path.rpartition("/")
    wanted: dict[str, Any] = {"filters": {"sweep": sweep}, "order": "+created_at", "per_page": PAGE}
    try:
        return api.runs(project, lazy=lazy, **wanted)
    except TypeError:  # before wandb 0.22
        return api.runs(project, **wanted)


def _metric(config: Answer) -> str:
    return str((config.get("metric") or {}).get("name") or "")


def _expected(sweep: Any) -> int | None:
    """How many runs there will be: the server says it of grids; None where nothing bounds them."""
    told = getattr(sweep, "expected_run_count", None)
    cap = sweep.config.get("run_cap")
    bounds = [int(bound) for bound in (told, cap) if bound]
    return min(bounds) if bounds else None


def _best(sweep: Any) -> Answer | None:
    metric = _metric(sweep.config)
    run = sweep.best_run() if metric else None
    value = _value(dict(run.summary), metric) if run is not None else None
    if run is None or not isinstance(value, (int, float)):  # wandb writes "NaN" as text
        return None
    return {"run": run.id, "name": run.name, "metric": metric, "value": value, "config": dict(run.config)}


def _run(run: Any, metric: str, samples: int) -> Answer:
    summary = dict(run.summary)
    rows = run.history(keys=[metric], samples=samples, pandas=False) if metric and samples else []
    return {
        "id": run.id,
        "name": run.name,
        "state": run.state,
        "config": dict(run.config),
        "summary": {name: value for name, value in summary.items() if not name.startswith(INTERNAL)},
        "created": run.created_at,
        "seconds": _seconds(run, summary),
        "history": rows,
    }


def _value(summary: Answer, metric: str) -> Any:
    """The value of a metric; `a.b` is b of the group a where the summary has no `a.b`."""
    found: Any = summary.get(metric)
    if found is None:
        found = summary
        for part in metric.split("."):
            found = found.get(part) if hasattr(found, "get") else None
    return found


def _seconds(run: Any, summary: Answer) -> float | None:
    """How long a run took: as its summary says, or from its making to its last sign of life.

    After a resume wandb 0.30 writes 1e9 times the right number into the summary.
    """
    from datetime import datetime

    try:
        created, seen = (
            datetime.fromisoformat(str(time).rstrip("Z")) for time in (run.created_at, run.heartbeat_at)
        )
        alive = (seen - created).total_seconds()
    except (AttributeError, ValueError):
        alive = None
    told = summary.get("_runtime")
    if isinstance(told, (int, float)) and (alive is None or told <= alive + 60):
        return float(told)
    return alive


def _address() -> str:
    """The server that wandb will ask."""
    import wandb

    return str(wandb.setup().settings.base_url).rstrip("/")


def _check_reachable(address: str) -> None:
    """Raise OSError where nothing answers: wandb itself tries for 20 s, and then speaks of a busy service."""
    import urllib.error
    import urllib.request

    try:
        urllib.request.urlopen(address, timeout=PROBE_SECONDS).close()  # noqa: S310 - as wandb does
    except urllib.error.HTTPError:
        return  # an answer
    except urllib.error.URLError as error:
        if "CERTIFICATE" not in str(error.reason):  # wandb has certificates of its own
            raise


def _error(error: BaseException, address: str) -> Answer:
    text = " ".join(str(error).split()) or type(error).__name__
    names = {each.__name__ for each in type(error).__mro__}
    low = text.lower()
    if isinstance(error, OSError) or "did not respond in time" in low or "connection refused" in low:
        kind = "unreachable"
    elif "AuthenticationError" in names or any(
        sign in low for sign in ("not logged in", "api key", "credentials", "401")
    ):
        kind = "unauthorized"
    elif "not found" in low or "could not find" in low:
        kind = "unknown"
    else:
        kind = "other"
    return {"error": kind, "message": text, "url": address}


def _answer(request: Answer) -> Answer:
    address = ""
    try:
        action = ACTIONS[request["action"]]
        if action is not version:
            address = _address()
            _check_reachable(address)
        return action(request)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever went wrong is the answer
        return _error(error, address)


def _be_quiet() -> None:
    """Keep wandb from speaking, and its files out of the user's folders."""
    import atexit
    import shutil
    import tempfile

    folder = tempfile.mkdtemp(prefix="hpcsubmit-wandb-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)  # before wandb's own, which so come first
    os.environ.update(dict.fromkeys(("WANDB_DIR", "WANDB_CACHE_DIR", "WANDB_DATA_DIR"), folder))
    os.environ.update(WANDB_SILENT="true", WANDB_MODE="online", WANDB_ERROR_REPORTING="false")


def main() -> None:
    """Answer the request on stdin."""
    # The modules beside this file must not stand for Python's own of the same names, such as statistics.
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing is imported before this
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != own]  # noqa: PTH100
    request = json.load(sys.stdin)
    _be_quiet()
    answer = _answer(request)
    sys.stdout.write("\n" + json.dumps(answer, default=str) + "\n")


if __name__ == "__main__":
    main()
