"""The record of a run of arrays, as a submission and its tasks leave it, in a folder of the test's own."""

import json
from collections.abc import Sequence
from pathlib import Path

from hpcsubmit.run import Run, read_run

TEXTS = ("cluster", "kind", "exp_name", "project", "job_name", "command", "command_line", "version")
RUN_ID = "r20260131-235959-a2b3"


def write_run(
    folder: Path,
    sizes: Sequence[int] = (8,),
    *,
    jobs: Sequence[int] = (4242,),
    per_task: int = 1,
    trials: int | None = None,
    **plan: str,
) -> Run:
    """Write plan.json and result.json of arrays with so many tasks each; return the run as it is read."""
    folder.mkdir(parents=True)
    offsets = [sum(sizes[:number]) for number in range(len(sizes))]
    array = {
        "trials": sum(sizes) * per_task if trials is None else trials,
        "per_task": per_task,
        "blocks": [list(block) for block in zip(offsets, sizes, strict=True)],
    }
    own = {"created": "2026-01-31T23:59:59+00:00", "run_id": folder.name, "scheduler": "slurm"}
    own |= {"log": f"{folder}/logs/%A_%a.out"}
    (folder / "plan.json").write_text(json.dumps(dict.fromkeys(TEXTS, "") | own | {"array": array} | plan))
    if jobs:
        ids = [str(job) for job in jobs]
        (folder / "result.json").write_text(json.dumps({"job": ids[0], "jobs": ids}))
    (folder / "logs").mkdir()
    run = read_run(folder)
    assert run is not None
    return run


def end_trial(
    run: Run, trial: int, code: int, *, files: Sequence[str] = ("started", "trial", "exit")
) -> None:
    """Write what the job writes when a trial has ended."""
    texts = {"started": "job=1\n", "exit": f"{code}\n", "trial": f"code={code}\njob={run.job_of(trial)}\n"}
    folder = run.task_folder(trial)
    folder.mkdir(parents=True, exist_ok=True)
    for name in files:
        (folder / name).write_text(texts[name])
