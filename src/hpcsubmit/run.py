"""One submission as its folder tells it."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from hpcsubmit.frozen import frozen
from hpcsubmit.plan import RECORDS
from hpcsubmit.record import EXIT, PLAN, RESULT, STARTED, expand_log
from hpcsubmit.slurm import JobId


@frozen
class Run:
    """One submission as its folder tells it.

    created: UTC, ISO 8601. log: the pattern that sbatch got.
    virtualenv, data, collected: the paths of its environment, of the manifest of its data, and of the folder
    that its results are collected in; "" where it has none.
    build: the job that builds its environment and that it waits for, None for none.
    job: its job id, from result.json or else from what the script wrote when it began; None where neither
    is there. refused: what sbatch said, "" where it did not refuse. exit_code: what the script ended with.
    """

    run_id: str
    folder: Path
    created: str
    cluster: str
    scheduler: str
    kind: str
    exp_name: str
    project: str
    job_name: str
    command: str
    command_line: str
    log: str
    version: str
    job: JobId | None = None
    code: str = ""
    refused: str = ""
    started: str = ""
    host: str = ""
    exit_code: int | None = None
    virtualenv: str = ""
    data: str = ""
    collected: str = ""
    build: JobId | None = None

    @property
    def log_path(self) -> Path | None:
        """The job's log; None while the job's id is not known."""
        return None if self.job is None else Path(expand_log(self.log, self.job))

    @property
    def results_path(self) -> Path | None:
        """The folder of the job's results; None where it collects none, or its id is not known."""
        return Path(self.collected) / str(self.job) if self.collected and self.job else None

    def as_json(self) -> dict[str, Any]:
        """Return the run as plain data; a job that is not known is null."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "folder": str(self.folder),
            "job": None if self.job is None else str(self.job),
            "log": str(self.log_path) if self.job else None,
            "build": None if self.build is None else str(self.build),
        }


def read_run(folder: Path) -> Run | None:
    """Read one run's folder; None where its plan.json is missing or damaged."""
    plan, result = _read_json(folder / PLAN), _read_json(folder / RESULT)
    started = dict(line.split("=", 1) for line in _read_text(folder / STARTED).splitlines() if "=" in line)
    job = str(result.get("job") or started.get("job") or "")
    code, build = _read_text(folder / EXIT).strip(), str(result.get("build") or "")
    texts = (
        "run_id", "created", "cluster", "scheduler", "kind", "exp_name", "project", "job_name", "command",
        "command_line", "log", "version",
    )  # fmt: skip
    if any(not isinstance(plan.get(name), str) for name in texts):
        return None
    return Run(
        **{name: plan[name] for name in texts},
        folder=folder,
        job=JobId.parse(job) if job.isdecimal() else None,
        code=str(result.get("code") or ""),
        refused=str(result.get("refused") or ""),
        started=started.get("time", ""),
        host=started.get("host", ""),
        exit_code=int(code) if code.isdecimal() else None,
        virtualenv=str(plan.get("virtualenv") or ""),
        build=JobId.parse(build) if build.isdecimal() else None,
        data=str(plan.get("data") or ""),
        collected=str(plan.get("collected") or ""),
    )


def read_runs(scratch_dirs: Iterable[Path]) -> list[Run]:
    """Read every run below the given projects' scratch folders, oldest first."""
    found = (read_run(folder) for scratch_dir in scratch_dirs for folder in _run_folders(scratch_dir))
    return sorted((run for run in found if run), key=lambda run: (run.created, run.run_id))


def _run_folders(scratch_dir: Path) -> Iterator[Path]:
    try:
        yield from (scratch_dir / RECORDS / "runs").iterdir()
    except OSError:
        return


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(_read_text(path))
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def _read_text(path: Path) -> str:
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
