"""`hpcsubmit sweep status ID`."""

import json
import os
from collections.abc import Mapping
from typing import Any

import click

from hpcsubmit.cli.sweep_named import named_sweep
from hpcsubmit.cli.table import align
from hpcsubmit.host import Host
from hpcsubmit.sweeps.rows import flat
from hpcsubmit.sweeps.server import BestRun, SweepOnServer, look


def _status(*, word: str, as_json: bool) -> None:
    host = Host(environ=dict(os.environ))
    sweep, environment = named_sweep(word, host)
    found = look(sweep, host, environment)
    if as_json:
        click.echo(json.dumps(_plain(found), indent=2, ensure_ascii=False))
        return
    rows = [
        ("sweep", str(found.sweep) + (f" ({found.name})" if found.name not in ("", sweep.sweep) else "")),
        ("state", found.state.lower()),
        ("address", found.url),
        ("runs", _runs(found)),
    ]
    click.echo("\n".join(align([*rows, *_best(found.best, found.config)])))


def _runs(found: SweepOnServer) -> str:
    """`3 finished, 1 running, 2 failed, of 12`; the states of those that failed are told apart."""
    unusual = {"finished", "running", "pending", "preempting"}
    bad = ", ".join(
        f"{count} {state}" for state, count in sorted(found.counts.items()) if state not in unusual
    )
    whole = "without an end" if found.expected is None else f"of {found.expected}"
    return f"{found.finished} finished, {found.running} running, {bad or '0 failed'}, {whole}"


def _best(best: BestRun | None, config: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The best value and the parameters that the sweep varies."""
    if best is None:
        return [("best", "-")]
    varied = flat({name: best.config[name] for name in config.get("parameters") or {} if name in best.config})
    rows = [("best", f"{best.metric} {best.value:.6g} (run {best.run})")]
    return [*rows, *((f"  {name}", str(value)) for name, value in varied.items())]


def _plain(found: SweepOnServer) -> dict[str, Any]:
    own = {name: getattr(found, name) for name in ("state", "name", "url", "method", "expected", "left")}
    runs = {"finished": found.finished, "running": found.running, "failed": found.failed}
    best = None if found.best is None else dict(vars(found.best))
    return {"sweep": str(found.sweep), **own, "runs": runs, "states": dict(found.counts), "best": best}


command = click.Command(
    "status",
    callback=_status,
    params=[
        click.Argument(["word"], metavar="SWEEP|RUN|JOB"),
        click.Option(["--json", "as_json"], is_flag=True, help="Print it as JSON."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say how far a sweep on the wandb server is, and which run is the best so far. The sweep is named "
    "by ID, by ENTITY/PROJECT/ID, or by a run or a job that works for it.",
)
