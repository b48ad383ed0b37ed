"""Records of a sweep as its jobs leave them, to read results from."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

RUN_ID = "r20260131-235959-a2b3"
GRID = [["lr", {"values": [0.001, 0.01, 0.1]}], ["optimizer", {"values": ["sgd", "adam"]}]]
ACCURACY = {"name": "accuracy", "goal": "maximize"}


@dataclass(frozen=True)
class TrialRecords:
    """The record of one submission below a project's scratch folder, and the outputs of its trials."""

    scratch_dir: Path
    run_id: str = RUN_ID

    @property
    def folder(self) -> Path:
        return self.scratch_dir / "hpcsubmit" / "runs" / self.run_id

    @property
    def outputs(self) -> Path:
        return self.scratch_dir / "exp" / "runs" / self.run_id

    def submitted(
        self,
        parameters: Sequence[Sequence[Any]],
        trials: int,
        *,
        per_task: int = 1,
        blocks: Sequence[Sequence[int]] = (),
        jobs: Sequence[str] = ("4242",),
        array: bool = True,
        **spec: Any,
    ) -> None:
        """Write what hpcsubmit writes: plan.json, sweep.json, result.json."""
        tasks = -(-trials // per_task)
        shape = {"trials": trials, "per_task": per_task, "blocks": blocks or [[0, tasks]]}
        plan = {
            "run_id": self.run_id,
            "created": "2026-01-31T23:59:59+00:00",
            "cluster": "plai",
            "scheduler": "slurm",
            "kind": "plain",
            "exp_name": "exp",
            "project": "/home/u/gan",
            "job_name": "standard-gan-exp",
            "command": "python train.py",
            "command_line": "hpcsubmit sweep run sweeper.yml",
            "log": str(self.scratch_dir / "logs" / "gan_%A_%a.out"),
            "version": "1",
            "output_dir": str(self.outputs),
            "array": shape if array else None,
        }
        self._json("plan.json", plan)
        self._json("result.json", {"job": jobs[0], "jobs": list(jobs), "code": "abc"})
        defaults = {"name": "", "method": "grid", "seeds": [], "random_seed": 0, "metric": None, "sweep": ""}
        self._json("sweep.json", {**defaults, "parameters": parameters, "trials": trials, **spec})

    def began(self, trial: int) -> Path:
        """What there is while a trial runs whose task begins with it; the folder of its records."""
        folder = self.folder / "tasks" / str(trial)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "started").write_text("job=4242\nhost=plai01\ntime=2026-02-01T00:00:00Z\n")
        (folder / "command").write_text("0\0")
        return folder

    def ended(self, trial: int, code: int = 0, *, seconds: int = 75, wandb: str = "") -> None:
        """The end of a trial."""
        end = f"2026-02-01T{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}Z"
        lines = (
            f"code={code}",
            "started=2026-02-01T00:00:00Z",
            f"ended={end}",
            "host=plai01",
            f"job=4242_{trial}",
            f"wandb={wandb}",
        )
        (self.began(trial) / "trial").write_text("\n".join(lines) + "\n")

    def wrote(self, trial: int, text: str, name: str = "metrics.json") -> None:
        """A file in the trial's OUTPUT_DIR."""
        path = self.outputs / str(trial) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")

    def finished(self, trial: int, **metrics: float) -> None:
        """A trial that wrote its metrics and ended well."""
        self.ended(trial)
        self.wrote(trial, json.dumps(metrics))

    def _json(self, name: str, values: object) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / name).write_text(json.dumps(values), "utf-8")


def grid_with_every_state(records: TrialRecords) -> None:
    """Six trials: 1 to 3 finished, 4 failed, 5 stopped, 6 missing."""
    records.submitted(GRID, 6, metric=ACCURACY, name="digits")
    for trial, accuracy in ((1, 0.5), (2, 0.75), (3, 0.625)):
        records.finished(trial, accuracy=accuracy, loss=1 - accuracy)
    records.ended(4, 9)
    records.began(5).joinpath("exit").write_text("143\n")
