"""Stays with the arrays of a run until all their tasks have ended, and prints the log of each that ends."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

from hpcsubmit.array_status import NEVER_BEGAN, RECORDED, recorded_code, summary, task_statuses
from hpcsubmit.follow import FIRST_ASK, GIVE_UP, LONGEST_ASK, SETTLE, exit_code_of, refresh
from hpcsubmit.frozen import frozen
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.queue import queued, statuses
from hpcsubmit.record import EXIT
from hpcsubmit.run import Run
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId

LOOK = 0.5
"""Seconds between two looks at the run folder."""
FEW = 100
"""Tasks whose files are looked at: when so few are left and all have ended, Slurm is asked at once."""


@frozen
class FollowedArray:
    """How the tasks of a run ended.

    statuses: what the scheduler said last of each task, in order; UNKNOWN where nobody knew how it ended.
    code: 0 where all were COMPLETED with 0, else the exit code of the first task that was not.
    """

    statuses: tuple[JobStatus, ...]
    code: int

    @property
    def failed(self) -> tuple[JobStatus, ...]:
        """The tasks that did not end well, in order."""
        return tuple(status for status in self.statuses if code_of(status))


def code_of(status: JobStatus) -> int:
    """Return the exit code that stands for a task's end, as `follow.exit_code_of`; 1 where nobody knows."""
    return 1 if status.state is JobState.UNKNOWN else exit_code_of(status)


def follow_array(
    run: Run,
    *,
    scheduler: Scheduler,
    output: BinaryIO,
    progress: Callable[[str], None],
    give_up: float = GIVE_UP,
) -> FollowedArray:
    """Print each task's log when it ends, in the order in which tasks end; return when all have ended.

    progress: is called with `5 done, 2 running, 1 pending` whenever that changes. give_up: seconds after
    which a task that nobody knows has ended.
    """
    following = _Following(run, scheduler, output, give_up)
    interval, shown = FIRST_ASK, ""
    while True:
        asked = time.monotonic()
        following.ask()
        if (text := summary(following.statuses)) != shown:
            progress(text)
            shown = text
        if not following.waiting:
            break
        while (waited := time.monotonic() - asked) < interval:
            if waited >= FIRST_ASK and following.have_written_their_ends():
                break
            time.sleep(LOOK)
        interval = min(2 * interval, LONGEST_ASK)
    code = next((code for code in map(code_of, following.statuses) if code), 0)
    return FollowedArray(statuses=following.statuses, code=code)


class _Following:
    """What is known of the tasks; waiting: those that have not ended, as far as is known."""

    def __init__(self, run: Run, scheduler: Scheduler, output: BinaryIO, give_up: float) -> None:
        self._run, self._scheduler, self._output, self._give_up = run, scheduler, output, give_up
        tasks = [JobId(number=job.number, task=index) for job in run.jobs for index in run.tasks_of(job)]
        self._seen = {task: JobStatus(job=task, state=JobState.UNKNOWN) for task in tasks}
        self._silent_since: dict[JobId, float] = {}
        self.waiting = dict.fromkeys(tasks)  # in their order

    @property
    def statuses(self) -> tuple[JobStatus, ...]:
        """What was said last of each task, in order."""
        return tuple(self._seen.values())

    def ask(self) -> None:
        """Ask Slurm for the tasks that are left, and print the logs of those that have ended."""
        left: dict[JobId, list[int]] = {}
        for task in self.waiting:
            left.setdefault(JobId(number=task.number), []).append(task.task or 0)
        answer = statuses(self._scheduler, list(left), left)
        self._seen |= {task: answer[task] for task in self.waiting if task in answer}
        ended = [task for task in self.waiting if task in answer and answer[task].state.ended]
        ended += self._given_up(answer)
        for task in ended:
            del self.waiting[task]
        if ended:
            self._print(ended)

    def _given_up(self, answer: Mapping[JobId, JobStatus]) -> list[JobId]:
        """The tasks of which Slurm has long said nothing, though it answers or they have an exit code."""
        now = time.monotonic()
        silent = {task: self._silent_since.get(task, now) for task in self.waiting if task not in answer}
        self._silent_since = silent
        over = [task for task, since in silent.items() if now - since >= self._give_up]
        if over and queued(self._scheduler) is None:
            over = [task for task in over if recorded_code(self._run, task) is not None]
        for status in task_statuses(self._run, over, self._others(over) | dict(answer)):
            self._seen[status.job] = status
        return over

    def _others(self, over: Sequence[JobId]) -> dict[JobId, JobStatus]:
        """What Slurm itself said of the other tasks: it knows, or has known, their arrays."""
        seen = dict(self._seen)
        for task in over:
            del seen[task]
        return {
            task: status
            for task, status in seen.items()
            if status.state is not JobState.UNKNOWN and status.detail not in (RECORDED, NEVER_BEGAN)
        }

    def _print(self, ended: Sequence[JobId]) -> None:
        time.sleep(SETTLE)  # once for all of them
        for task in sorted(ended, key=self._moment):
            self._output.write(f"==> task {task}, {_said(self._seen[task])} <==\n".encode())
            log = self._run.log_of(self._run.trials_of(task).start)
            if log is not None:
                refresh(log)
                _copy(log, self._output)
        self._output.flush()

    def _moment(self, task: JobId) -> float:
        """When a task wrote its end; what wrote none comes last."""
        try:
            return self._end(task).stat().st_mtime
        except OSError:
            return float("inf")

    def _end(self, task: JobId) -> Path:
        return self._run.task_folder(self._run.trials_of(task).start) / EXIT

    def have_written_their_ends(self) -> bool:
        """Whether few tasks are left, and all of them wrote their exit code: then Slurm is asked at once."""
        return len(self.waiting) <= FEW and all(self._end(task).exists() for task in self.waiting)


def _said(status: JobStatus) -> str:
    if status.state is JobState.UNKNOWN:
        return "how it ended is not known"
    plain = status.state in (JobState.COMPLETED, JobState.FAILED)
    return ("" if plain else f"{status.state.value}, ") + f"exit code {exit_code_of(status)}"


def _copy(log: Path, output: BinaryIO) -> None:
    """Copy a whole log, and end its last line; a task that never began has none."""
    last = b"\n"
    try:
        with log.open("rb") as file:
            while chunk := file.read(1 << 16):
                output.write(chunk)
                last = chunk[-1:]
    except OSError as error:
        if not isinstance(error, FileNotFoundError):
            output.write(f"{log} could not be read: {error.strerror}".encode())
            last = b""
    if last != b"\n":
        output.write(b"\n")
