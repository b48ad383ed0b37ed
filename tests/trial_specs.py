"""Sweeps as sweep.json describes them, and what trial.py writes for the batch script."""

from pathlib import Path
from typing import Any

from hpcsubmit import trial

TRIAL = Path(trial.__file__)
PLAIN = {"kind": "plain", "nodes": 1, "gpus": 1, "nodes_flag": "--num_nodes", "gpus_flag": "--gpus"}
RUN = ["python", "-m", "torch.distributed.run"]
LIMIT = 300.0
"""Seconds that anything here may take at most."""
BETWEEN = {"min": 1e-4, "max": 1e-2}
DRAWN_FROM: dict[str, Any] = {
    "lr": {"distribution": "log_uniform_values", **BETWEEN},
    "n": {"min": 1, "max": 1000},
}
DRAWN: list[dict[str, Any]] = [
    {"lr": 0.0069669802096, "n": 172},
    {"lr": 0.000292535358075, "n": 226},
    {"lr": 0.000268227857552, "n": 826},
]
"""The trials of `drawn(DRAWN_FROM)`, as they were drawn in 2026."""


def spec(**given: Any) -> dict[str, Any]:
    """A sweep.json of 2 x 3 combinations, with some things changed."""
    made: dict[str, Any] = {
        "name": "",
        "method": "grid",
        "parameters": [["lr", {"values": [0.001, 0.003]}], ["n", {"values": [1, 2, 3]}]],
        "trials": 6,
        "seeds": [],
        "random_seed": 0,
        "program": "train.py",
        "command": [],
        "metric": None,
        "tags": [],
        "run": "r20260131-235959-a2b3",
        "sweep": "",
        "file": "/home/u/sweeper.yml",
        "launch": PLAIN,
    }
    return {**made, **given}


def drawn(parameters: dict[str, Any], trials: int = 3, **given: Any) -> dict[str, Any]:
    return spec(method="random", parameters=[*map(list, parameters.items())], trials=trials, **given)


def launch(kind: str) -> dict[str, Any]:
    return {**PLAIN, "kind": kind, "nodes": 2, "gpus": 4}


def items(file: Path) -> tuple[dict[str, str], list[str], list[str]]:
    """The variables, the launcher's words and the program's, of a launch file."""
    found = file.read_text("utf-8").split("\0")
    assert found.pop() == ""
    exports, rest = found[1 : 1 + int(found[0])], found[1 + int(found[0]) :]
    number = int(rest[0])
    pairs = (export.partition("=") for export in exports)
    return {name: value for name, _, value in pairs}, rest[1 : 1 + number], rest[1 + number :]
