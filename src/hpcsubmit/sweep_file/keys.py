"""The keys of a sweep file that are no parameters: which there are, and what they may be."""

from collections.abc import Mapping
from typing import Any

from hpcsubmit.errors import did_you_mean
from hpcsubmit.sweep_file.composite import WORKERS
from hpcsubmit.sweep_file.source import Source

_METHODS = ("grid", "random", "bayes")
OWN = (*WORKERS, "_seed", "_tags")
"""The keys that wandb does not have; its server is not sent them."""
_KNOWN = (
    "program", "method", "metric", "parameters", "command", "name", "description", "entity", "project",
    "run_cap", "early_terminate", "controller", "kind", "apiVersion", *OWN,
)  # fmt: skip
"""The keys of wandb's sweeps (0.3) that hpcsubmit can do something about."""
_ELSEWHERE = ("job", "image_uri", "scheduler", "metrics")
"""Those for which wandb needs a queue or a scheduler of its own."""
_TEXTS = ("program", "name", "entity", "project")


def check_keys(values: Mapping[Any, Any], source: Source) -> None:
    """Raise HpcSubmitError for a key that a sweep file cannot have, and for a value that is none of it."""
    for key, value in values.items():
        name = str(key)
        if name in _ELSEWHERE:
            hint = "name a program, and a metric, in its place; or start such a sweep with wandb itself"
            raise source.mistake((name,), "needs wandb's own queue or scheduler", hint)
        if name not in _KNOWN:
            raise source.mistake((name,), "is no key of a sweep file", did_you_mean(name, _KNOWN))
        if name in _TEXTS and (not isinstance(value, str) or not value.strip()):
            raise source.mistake((name,), "is empty" if value in (None, "") else "is not text", "write text")
        if name in _TEXTS:
            source.check_text(value, (name,))
    method = values.get("method")
    if method is None:
        raise source.mistake(("method",), "is missing", "write method: grid, for every combination")
    if method not in _METHODS:
        raise source.mistake(("method",), f"is '{method}'", did_you_mean(str(method), _METHODS))
    _check_number(values.get("run_cap"), "run_cap", 1, source)
    _check_number(values.get("_seed"), "_seed", 0, source)
    _check_metric(values, source)


def _check_number(value: Any, key: str, least: int, source: Source) -> None:
    if (key,) in source.lines and (type(value) is not int or value < least):
        raise source.mistake((key,), f"is {value}", f"write a whole number from {least}")


def _check_metric(values: Mapping[Any, Any], source: Source) -> None:
    metric = values.get("metric")
    if metric is None and values["method"] != "bayes":
        return
    if not isinstance(metric, dict) or not isinstance(metric.get("name"), str):
        hint = "write `name: accuracy` and `goal: maximize` below metric:"
        problem = "has no name" if metric else "is missing, and bayes needs one"
        raise source.mistake(("metric",), problem, hint)
    goal = metric.get("goal", "minimize")
    if goal not in ("minimize", "maximize"):
        raise source.mistake(("metric", "goal"), f"is '{goal}'", "write minimize or maximize")
    known = ("name", "goal", "target", "impute", "impute_while_running")
    for key in metric:
        if key not in known:
            raise source.mistake(("metric", str(key)), "is no key of a metric", did_you_mean(str(key), known))
