"""One submission as its folder tells it."""

import json
from collections.abc import Iterable, Iterator
from itertools import takewhile
from pathlib import Path
from typing import Any

from hpcsubmit.array import Array
from hpcsubmit.frozen import frozen
from hpcsubmit.plan import RECORDS
from hpcsubmit.record import EXIT, PLAN, RESULT, STARTED, TASKS, TRIAL, expand_log
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
    array: how its trials are dealt out to the tasks of arrays, None for a single job, where `jobs` is that
    job alone; else the ids of the arrays, one for each block that is known to be submitted, and `job` is the
    first. sweep: ENTITY/PROJECT/ID of its sweep on a server, "" without one. reruns: the arrays that ran some
    of its trials again. directives: every option of sbatch.
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
    jobs: tuple[JobId, ...] = ()
    array: Array | None = None
    sweep: str = ""
    reruns: tuple[JobId, ...] = ()
    directives: tuple[str, ...] = ()

    @property
    def log_path(self) -> Path | None:
        """The job's log; None while the job's id is not known, and for arrays: each task has its own."""
        return None if self.job is None or self.array else Path(expand_log(self.log, self.job))

    @property
    def is_submitted(self) -> bool:
        """Whether all of its jobs are known: one, or each of its arrays."""
        return len(self.jobs) >= (len(self.array.blocks) if self.array else 1)

    @property
    def results_path(self) -> Path | None:
        """The folder of the job's results, or that of all tasks' folders; None where there are none."""
        if self.array:
            return Path(self.collected) if self.collected else None
        return Path(self.collected) / str(self.job) if self.collected and self.job else None

    def job_of(self, trial: int) -> JobId | None:
        """Return the task that runs a trial, `4242_7`; None where its array is not known.

        Raises ValueError for a trial that the submission does not have.
        """
        if self.array is None or not 1 <= trial <= self.array.trials:
            raise ValueError(f"run {self.run_id} has no trial {trial}")
        block, index = self.array.place(trial)
        return JobId(number=self.jobs[block].number, task=index) if block < len(self.jobs) else None

    def log_of(self, trial: int) -> Path | None:
        """Return the log of the task that runs a trial; None where its array is not known.

        Raises ValueError for a trial that the submission does not have.
        """
        job = self.job_of(trial)
        return None if job is None else Path(expand_log(self.log, job, job.task))

    def tasks_of(self, job: JobId) -> range:
        """Return the indices of the tasks of one of the run's arrays; empty for another job."""
        sizes = [size for _, size in self.array.blocks] if self.array else []
        known = {own.number: size for own, size in zip(self.jobs, sizes, strict=False)}
        return range(1, known.get(job.number, 0) + 1)

    def trials_of(self, job: JobId) -> range:
        """Return the trials that a task, `4242_7`, runs one after another; empty for another job."""
        for own, (offset, size) in zip(self.jobs, self.array.blocks if self.array else (), strict=False):
            if self.array and own.number == job.number and job.task and job.task <= size:
                return self.array.trials_of(offset + job.task)
        return range(0)

    def task_folder(self, trial: int) -> Path:
        """Return the folder with what the job wrote about a trial."""
        return self.folder / TASKS / str(trial)

    def as_json(self) -> dict[str, Any]:
        """Return the run as plain data; a job that is not known is null; the log of arrays is a pattern."""
        values = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return values | {
            "folder": str(self.folder),
            "job": None if self.job is None else str(self.job),
            "jobs": [str(job) for job in self.jobs],
            "reruns": [str(job) for job in self.reruns],
            "log": (str(self.log_path) if self.log_path else self.log) if self.job else None,
            "build": None if self.build is None else str(self.build),
            "array": self.array and _array_json(self.array),
        }


def _array_json(array: Array) -> dict[str, Any]:
    shown = {"trials": array.trials, "tasks": array.tasks, "per_task": array.per_task}
    return shown | {"blocks": [list(block) for block in array.blocks]}


def read_run(folder: Path) -> Run | None:
    """Read one run's folder; None where its plan.json is missing or damaged."""
    plan, result = _read_json(folder / PLAN), _read_json(folder / RESULT)
    started = read_fields(folder / STARTED)
    array = _array(plan.get("array"))
    jobs = _jobs(folder, result, array, started.get("job", ""))
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
        job=jobs[0] if jobs else None,
        code=str(result.get("code") or ""),
        refused=str(result.get("refused") or ""),
        started=started.get("time", ""),
        host=started.get("host", ""),
        exit_code=int(code) if code.isdecimal() else None,
        virtualenv=str(plan.get("virtualenv") or ""),
        build=JobId.parse(build) if build.isdecimal() else None,
        data=str(plan.get("data") or ""),
        collected=str(plan.get("collected") or ""),
        jobs=jobs,
        array=array,
        sweep=str(plan.get("sweep") or ""),
        reruns=tuple(map(JobId.parse, filter(_is_number, map(str, result.get("reruns") or ())))),
        directives=tuple(map(str, plan.get("directives") or ())),
    )


def _array(recorded: Any) -> Array | None:
    """Read what a plan says of its array; None for a single job, and for what is damaged."""
    try:
        trials, per_task = int(recorded["trials"]), int(recorded["per_task"])
        blocks = tuple((int(offset), int(size)) for offset, size in recorded["blocks"])
    except (TypeError, KeyError, ValueError):
        return None
    tasks = sum(size for _, size in blocks)
    if not (0 < trials <= tasks * per_task and all(size > 0 for _, size in blocks)):
        return None
    return Array(trials=trials, tasks=tasks, per_task=per_task, throttle=None, blocks=blocks)


def _jobs(folder: Path, result: dict[str, Any], array: Array | None, started: str) -> tuple[JobId, ...]:
    """The jobs that a record names: by result.json, or by what the job wrote when it began or ended."""
    listed = result.get("jobs")
    several = listed if array and isinstance(listed, list) else [result.get("job")]
    known = [str(job) for job in several if job]
    if not known:
        known = [_job_of_block(folder, array, offset) for offset, _ in array.blocks] if array else [started]
    return tuple(JobId.parse(job) for job in takewhile(_is_number, known))


def _job_of_block(folder: Path, array: Array, offset: int) -> str:
    """The array in which a block's first trial ran, as it was written down at its end; "" before that."""
    first = folder / TASKS / str(array.trials_of(offset + 1).start)
    return read_fields(first / TRIAL).get("job", "").partition("_")[0]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10


def read_fields(path: Path) -> dict[str, str]:
    """Read the lines `key=value` of a file; empty where it cannot be read."""
    return dict(line.split("=", 1) for line in _read_text(path).splitlines() if "=" in line)


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
