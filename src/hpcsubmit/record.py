"""What was submitted: one folder per submission, with one writer, on the project's scratch.

It holds plan.json, script.sh and python/, which the job imports hpcsubmit.comm from, written before sbatch;
result.json, written after it; and the files `started` and `exit`, which the batch script writes.
"""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import make_folder, write_atomically
from hpcsubmit.plan import Plan
from hpcsubmit.slurm import JobId

PLAN, SCRIPT, RESULT, STARTED, EXIT = "plan.json", "script.sh", "result.json", "started", "exit"


_LIBRARY = ("python/hpcsubmit/__init__.py", "python/hpcsubmit/comm.py")
_PACKAGE = """\"\"\"hpcsubmit inside a job: comm, and whatever an installed hpcsubmit has besides.\"\"\"

__path__ = __import__("pkgutil").extend_path(__path__, __name__)
__version__ = "{version}"
"""


def expand_log(pattern: str, job: JobId) -> str:
    """Return the path that Slurm writes for a pattern with `%j` and `%%`."""
    return "%".join(part.replace("%j", str(job.number)) for part in pattern.split("%%"))


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
        "kind": plan.kind.value,
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
    }
    try:
        write_atomically(plan.run_dir / SCRIPT, script, mode=0o700)
        write_atomically(plan.run_dir / PLAN, _json(intention))
        _write_library(plan)
    except HpcSubmitError:
        withdraw(plan.run_dir)
        raise
    return plan.run_dir / SCRIPT


def _write_library(plan: Plan) -> None:
    make_folder(plan.library / "hpcsubmit")
    comm = Path(__file__).with_name("comm.py").read_text("utf-8")
    for name, text in zip(_LIBRARY, (_PACKAGE.format(version=plan.version), comm), strict=True):
        write_atomically(plan.run_dir / name, text)


def withdraw(folder: Path) -> None:
    """Remove the record of a submission that came to nothing before sbatch was asked."""
    for name in (PLAN, SCRIPT, *_LIBRARY):
        with suppress(OSError):  # what went wrong first is what to tell
            (folder / name).unlink()
    for below in ("python/hpcsubmit", "python", ""):
        with suppress(OSError):
            (folder / below).rmdir()


def write_result(folder: Path, **values: str) -> None:
    """Complete a record: `job`, `build` (the job that it waits for) and `code`, or `refused`.

    Raises HpcSubmitError.
    """
    write_atomically(folder / RESULT, _json(values))


def _json(values: dict[str, Any]) -> str:
    return json.dumps(values, indent=2, ensure_ascii=False) + "\n"
