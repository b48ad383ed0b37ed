"""What was submitted: one folder per submission, with one writer, on the project's scratch.

It holds plan.json, script.sh and python/, which the job imports hpcsubmit.comm from, written before sbatch;
result.json, written after it; and the files `started` and `exit`, which the batch script writes. A submission
of many trials also has sweep.json, which says what their numbers stand for, and tasks/, with a folder for
each trial that has begun.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import make_folder, write_atomically
from hpcsubmit.plan import Plan
from hpcsubmit.slurm import JobId

PLAN, SCRIPT, RESULT, STARTED, EXIT = "plan.json", "script.sh", "result.json", "started", "exit"


SPEC = "sweep.json"
TASKS, TRIAL = "tasks", "trial"
"""The folder with a folder for each trial, and the file in it that tells how the trial ended."""
_LIBRARY = ("python/hpcsubmit/__init__.py", "python/hpcsubmit/comm.py", "python/hpcsubmit/trial.py")
_PACKAGE = """\"\"\"hpcsubmit inside a job: comm, and whatever an installed hpcsubmit has besides.\"\"\"

__path__ = __import__("pkgutil").extend_path(__path__, __name__)
__version__ = "{version}"
"""


def expand_log(pattern: str, job: JobId, task: int | None = None) -> str:
    """Return the path that Slurm writes for a pattern with `%j` or, for a task of an array, `%A` and `%a`.

    job: the array's id, where it is one; task: the task's index in it. `%%` is a `%`.
    """
    names = {"%j": str(job.number), "%A": str(job.number)} | ({} if task is None else {"%a": str(task)})
    parts = pattern.split("%%")
    for name, text in names.items():
        parts = [part.replace(name, text) for part in parts]
    return "%".join(parts)


def write_intention(plan: Plan, script: str, created: str) -> Path:
    """Make the run's folder and write what is about to be submitted; return the script's path.

    Raises HpcSubmitError; a folder that could not be written whole is removed again.
    """
    make_folder(plan.run_dir.parent)
    make_folder(plan.run_dir, mode=0o700, new=True)
    intention = {
        "run_id": plan.run_id,
        "created": created,
        "cluster": plan.cluster,
        "scheduler": plan.scheduler,
        "kind": plan.shown_kind,
        "exp_name": plan.exp_name,
        "project": str(plan.project_root),
        "job_name": plan.job_name,
        "command": plan.command_text,
        "command_line": plan.command_line,
        "log": plan.log,
        "version": plan.version,
        "directives": [str(directive) for directive in plan.directives],
        "virtualenv": str(plan.virtualenv.path) if plan.virtualenv else "",
        "output_dir": str(plan.output_dir),
        "data": str(plan.data.manifest) if plan.data else "",
        "collected": str(plan.collect.folder) if plan.collect else "",
        "sweep": plan.trials.sweep_path if plan.trials else "",
        "array": _array(plan),
    }
    try:
        write_atomically(plan.run_dir / SCRIPT, script, mode=0o700)
        write_atomically(plan.run_dir / PLAN, _json(intention))
        if plan.spec is not None:
            write_atomically(plan.run_dir / SPEC, json.dumps(plan.spec) + "\n")
        _write_library(plan)
    except HpcSubmitError:
        withdraw(plan.run_dir)
        raise
    return plan.run_dir / SCRIPT


def _write_library(plan: Plan) -> None:
    make_folder(plan.library / "hpcsubmit")
    package, *modules = _LIBRARY if plan.given_words else _LIBRARY[:2]
    write_atomically(plan.run_dir / package, _PACKAGE.format(version=plan.version))
    for name in modules:
        write_atomically(plan.run_dir / name, Path(__file__).with_name(Path(name).name).read_text("utf-8"))


def _array(plan: Plan) -> dict[str, Any] | None:
    if plan.trials is None:
        return None
    array = plan.trials.array
    return {"trials": array.trials, "per_task": array.per_task, "blocks": [list(b) for b in array.blocks]}


def withdraw(folder: Path) -> None:
    """Remove the record of a submission that came to nothing before sbatch was asked."""
    for name in (PLAN, SCRIPT, SPEC, *_LIBRARY):
        with suppress(OSError):  # what went wrong first is what to tell
            (folder / name).unlink()
    for below in ("python/hpcsubmit", "python", ""):
        with suppress(OSError):
            (folder / below).rmdir()


def write_result(folder: Path, **values: str | Sequence[str]) -> None:
    """Complete a record: `job`, `build` (the job that it waits for) and `code`, or `refused`.

    `jobs`: the ids of a submission's arrays, in their order; `job` is the first of them. Raises
    HpcSubmitError.
    """
    write_atomically(folder / RESULT, _json(values))


def _json(values: Mapping[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
