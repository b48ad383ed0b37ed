"""The lines of `hpcsubmit status` for arrays."""

from collections.abc import Sequence

from hpcsubmit.array_status import first_failed, overall, summary, word_of
from hpcsubmit.cli.runs import array_text, job_text
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.standing import Standing

MOST_TASKS = 20
"""Tasks that are shown with a line each."""

Line = tuple[str, ...] | str
"""The cells of a row, or a line of its own between them."""


def exit_text(status: JobStatus) -> str:
    """Return Slurm's `CODE:SIGNAL`; `-` for a job that has not ended."""
    return "-" if status.exit_code is None else f"{status.exit_code}:{status.signal}"


def array_lines(standing: Standing, *, whole: bool) -> list[Line]:
    """Return one line for the tasks together; whole: those that failed or run as well, the first of them."""
    lines: list[Line] = [_row(standing)]
    if not whole:
        return lines
    by_word = {word: [s for s in standing.statuses if word_of(s) == word] for word in ("failed", "running")}
    shown = by_word["failed"] + by_word["running"]
    lines += [_task_row(status, standing) for status in shown[:MOST_TASKS]]
    if shown[MOST_TASKS:]:
        lines.append(f"... and {len(shown) - MOST_TASKS} more: hpcsubmit status JOB_TASK")
    return lines


def _row(standing: Standing) -> tuple[str, ...]:
    run, tasks = standing.target.run, standing.statuses
    failed = first_failed(tasks)
    code = exit_text(failed) if failed else "0:0" if standing.has_ended else "-"
    state = overall(tasks)
    text = "unknown" if state is JobState.UNKNOWN else state.value
    return _name(standing), text, code, run.run_id if run else "-", _summary(standing)


def _name(standing: Standing) -> str:
    run, job = standing.target.run, standing.target.jobs[0]
    if run is not None and standing.target.jobs == run.jobs:
        return job_text(run)
    return array_text(job, run.tasks_of(job) if run else _indices(standing.statuses))


def _indices(tasks: Sequence[JobStatus]) -> list[int]:
    return [status.job.task for status in tasks if status.job.task is not None]


def _summary(standing: Standing) -> str:
    """The counts, with what it is that all that is left waits for."""
    text, tasks, run = summary(standing.statuses), standing.statuses, standing.target.run
    if overall(tasks) is JobState.PENDING:
        reasons = {status.detail for status in tasks if status.state is JobState.PENDING} - {"", "None"}
        text += f" ({', '.join(sorted(reasons))})" if reasons else ""
    if run and run.array and not run.is_submitted:
        text += f"; {len(run.jobs)} of {len(run.array.blocks)} arrays are known"
    return text


def _task_row(status: JobStatus, standing: Standing) -> tuple[str, ...]:
    run = standing.target.run
    trials = run.trials_of(status.job) if run else range(0)
    name = f"trial {trials[0]}" if len(trials) == 1 else f"trials {trials[0]}-{trials[-1]}" if trials else "-"
    return str(status.job), status.state.value, exit_text(status), name, status.detail
