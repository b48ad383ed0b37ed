"""What the trials of a submission came to, read from its records: one to three small files a trial."""

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.record import EXIT, PLAN, RESULT, SPEC, STARTED, TASKS, TRIAL, expand_log
from hpcsubmit.slurm import JobId
from hpcsubmit.sweeps.metrics import Found, last_json_line, read_metrics
from hpcsubmit.sweeps.rows import Goal, Metric, State, SweepResults, Trial, flat, seed_in
from hpcsubmit.trial import parameters, seed_of

_ALL_POINTS, _FEWEST_POINTS = 200_000, 20
"""Steps of all learning curves together, and of one: they are kept in memory, and written into a page."""


class _Records(NamedTuple):
    """What is the same for all trials of a submission.

    begun, made: the numbers of the trials that have a folder of records, and one of outputs.
    per_task: trials of a task. blocks: the first task less one, how many tasks, and the job, of each array.
    """

    folder: Path
    spec: dict[str, Any]
    outputs: Path
    begun: frozenset[str]
    made: frozenset[str]
    log: str
    per_task: int
    blocks: Sequence[tuple[int, int, str]]


def read_trials(run_folder: Path, *, points: int | None = 0) -> SweepResults:
    """Read the trials of a submission.

    points: how many steps of each learning curve to keep, None for all (`read_metrics`); fewer where many
    trials would have more than 200,000 together.
    Raises HpcSubmitError where the submission has no trials, or its records are damaged.
    """
    plan, result, spec = (_read_object(run_folder / name) for name in (PLAN, RESULT, SPEC))
    if spec is None:
        if (run_folder / SPEC).exists():
            raise _damaged(run_folder)
        raise HpcSubmitError(
            f"run {run_folder.name} has no trials: it is neither a sweep nor repeated",
            f"hpcsubmit runs show {run_folder.name} tells of it",
        )
    plan, result = plan or {}, result or {}
    try:
        trials = _trials(_records(run_folder, plan, result, spec), points)
        metric = _metric(spec.get("metric"))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        raise _damaged(run_folder) from error
    return SweepResults(
        title=str(spec.get("name") or run_folder.name),
        run_id=run_folder.name,
        trials=trials,
        metric=metric,
        method=str(spec.get("method") or ""),
        command=str(plan.get("command") or ""),
        source=str(spec.get("sweep") or spec.get("file") or ""),
        entity=str(spec.get("entity") or ""),
        project=str(spec.get("project") or ""),
        created=str(plan.get("created") or ""),
        cluster=str(plan.get("cluster") or ""),
        jobs=tuple(_jobs(result)),
    )


def _damaged(run_folder: Path) -> HpcSubmitError:
    return HpcSubmitError(
        f"{run_folder / SPEC} is damaged: it does not tell what the trials are",
        "submit the sweep again; the outputs of its trials are untouched",
    )


def _records(
    folder: Path, plan: Mapping[str, Any], result: Mapping[str, Any], spec: dict[str, Any]
) -> _Records:
    array = plan.get("array") or {}
    outputs = Path(str(plan.get("output_dir") or folder / "outputs"))
    jobs = [*_jobs(result), ""]
    sizes = array.get("blocks") or [[0, int(spec["trials"])]]
    return _Records(
        folder=folder,
        spec=spec,
        outputs=outputs,
        begun=_names(folder / TASKS),
        made=_names(outputs),
        log=str(plan.get("log") or ""),
        per_task=int(array.get("per_task") or 1),
        blocks=[
            (int(offset), int(size), jobs[min(number, len(jobs) - 1)])
            for number, (offset, size) in enumerate(sizes)
        ],
    )


def _jobs(result: Mapping[str, Any]) -> list[str]:
    jobs = result.get("jobs") or ([result["job"]] if result.get("job") else [])
    return [str(job) for job in jobs]


def _trials(records: _Records, points: int | None) -> tuple[Trial, ...]:
    trials = int(records.spec["trials"])
    if points:
        points = max(_FEWEST_POINTS, min(points, _ALL_POINTS // max(1, trials)))
    on_server = bool(records.spec.get("sweep"))  # which alone knows the parameters
    decode: Callable[..., Any] = (lambda *_: {}) if on_server else parameters
    read = [
        _trial(number, flat(decode(records.spec, number)), records, points) for number in range(1, trials + 1)
    ]
    return tuple(read)


def _trial(number: int, chosen: Mapping[str, Any], records: _Records, points: int | None) -> Trial:
    ended = _ended(records, number)
    code = ended.get("code", "")
    state = _state(code, number, records)
    seed = seed_of(records.spec, number)
    if state is State.MISSING:
        return Trial(number, chosen, seed_in(chosen) if seed is None else seed, state)
    found = _found(number, ended.get("job", ""), records, points)
    return Trial(
        number=number,
        parameters=chosen,
        seed=seed_in(chosen) if seed is None else seed,
        state=state,
        exit_code=int(code) if code.isdecimal() else None,
        metrics=found.final,
        curve=found.curve,
        seconds=_seconds(ended.get("started", ""), ended.get("ended", "")),
        host=ended.get("host", ""),
        job=ended.get("job", ""),
        name=ended.get("wandb", ""),
        note=found.note,
    )


def _state(code: str, number: int, records: _Records) -> State:
    if code.isdecimal():
        return State.FAILED if int(code) else State.FINISHED
    first = (number - 1) // records.per_task * records.per_task + 1
    tasks = records.folder / TASKS
    if str(number) in records.begun:
        # A task that ran some trials again began with another one of them.
        began_with = number if (tasks / str(number) / STARTED).exists() else first
        return State.STOPPED if (tasks / str(began_with) / EXIT).exists() else State.RUNNING
    task_has_ended = str(first) in records.begun and (tasks / str(first) / EXIT).exists()
    return State.STOPPED if task_has_ended else State.MISSING


def _found(number: int, job: str, records: _Records, points: int | None) -> Found:
    """What a trial has measured; the end of its log is looked at only where it wrote no file."""
    found = Found()
    if str(number) in records.made:
        found = read_metrics(records.outputs / str(number), points)
    if found.final or found.note or records.per_task != 1 or not records.log:
        return found
    array, _, index = (job or _job_of(number, records)).partition("_")
    if not array.isdecimal() or (index and not index.isdecimal()):
        return found
    log = expand_log(records.log, JobId(number=int(array)), int(index) if index else None)
    return found._replace(final=last_json_line(Path(log)))


def _job_of(number: int, records: _Records) -> str:
    """The task that a trial was submitted as, `4242_7`; "" where its array is not known."""
    task = (number - 1) // records.per_task + 1
    for offset, size, job in records.blocks:
        if offset < task <= offset + size and job:
            return f"{job}_{task - offset}"
    return ""


def _ended(records: _Records, number: int) -> dict[str, str]:
    """The lines key=value that a trial's end left; {} where it has not ended."""
    if str(number) not in records.begun:
        return {}
    try:
        text = (records.folder / TASKS / str(number) / TRIAL).read_text("utf-8", errors="replace")
    except OSError:
        return {}
    return dict(line.split("=", 1) for line in text.splitlines() if "=" in line)


def _seconds(started: str, ended: str) -> float | None:
    try:
        return max(0.0, (datetime.fromisoformat(ended) - datetime.fromisoformat(started)).total_seconds())
    except (ValueError, TypeError):  # missing, or one of them without its zone
        return None


def _metric(known: Any) -> Metric | None:
    if not known:
        return None
    goal = known.get("goal")
    return Metric(str(known["name"]), Goal(goal) if goal else None)


def _names(folder: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in folder.iterdir())
    except OSError:
        return frozenset()


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text("utf-8", errors="replace"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
