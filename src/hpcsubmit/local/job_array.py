"""A job array: its records, in the folder of the job that has the array's id.

`jobs/A/array` is a job's folder of its own, for what all tasks have in common and how those stand that wait.
`tasks/N` in it has the job id of a task that was started, or nothing for one that was cancelled before. As in
Slurm every task gets an id of its own when it starts, and the last one the array's.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from hpcsubmit.local.array_spec import ArraySpec, place_of
from hpcsubmit.local.directives import output_path
from hpcsubmit.local.job import Entry, Job, JobFolder, JobState, Standing
from hpcsubmit.local.records import locked, read_record, write_record


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlan:
    """What the tasks are made from. output: the log's name before %a and its like; gpus: per node."""

    spec: ArraySpec
    output: str
    gpus: int


@dataclass(frozen=True, slots=True)
class JobArray:
    """The array whose id is the name of `path`, the folder of the task that gets this id too."""

    path: Path
    plan: ArrayPlan

    @classmethod
    def make(cls, path: Path, plan: ArrayPlan) -> "JobArray":
        """A new array. Its job is written to `records`, as any job's."""
        array = cls(path, plan)
        array._tasks.mkdir(mode=0o700, parents=True)
        write_record(array.records.path / "array.json", asdict(plan))
        return array

    @classmethod
    def find(cls, path: Path) -> "JobArray | None":
        """The array in a job's folder; None for a job that is none."""
        record = read_record(path / "array" / "array.json")
        with suppress(TypeError, KeyError):
            spec = ArraySpec(**{**record["spec"], "numbers": tuple(record["spec"]["numbers"])})
            return cls(path, ArrayPlan(**{**record, "spec": spec}))
        return None

    @property
    def id(self) -> int:
        """The array's id."""
        return int(self.path.name)

    @property
    def records(self) -> JobFolder:
        """What all tasks have in common. Its lock is held by the array's runner, for its life."""
        return JobFolder(self.path / "array")

    @property
    def _tasks(self) -> Path:
        return self.records.path / "tasks"

    @property
    def _cancelled(self) -> Path:
        return self.records.path / "cancelled"

    @contextmanager
    def deciding(self) -> Iterator[None]:
        """Held by whoever starts a task or cancels what waits, so that each task goes one way only."""
        with locked(self.records.path / "deciding"):
            yield

    def waiting(self) -> list[int]:
        """The tasks that neither started nor were cancelled one by one."""
        decided = {path.name for path in self._tasks.iterdir()}
        return [number for number in self.plan.spec.numbers if str(number) not in decided]

    def decide(self, number: int, job: str) -> None:
        """Records the id of a task that starts, or "" for one that never will. Only while deciding."""
        partial = self.records.path / ".task"
        partial.write_text(job, "ascii")
        partial.replace(self._tasks / str(number))

    def take_out(self, number: int) -> bool:
        """Cancels one task, if it waits: nothing is left of it then, as in Slurm. Returns whether it did."""
        with self.deciding():
            waits = number in self.waiting() and self._standing(of_any=True).state.active
            if not waits:
                return False
            self.decide(number, "")
            return True

    def cancel_waiting(self) -> None:
        """Cancels all tasks that wait."""
        with self.deciding():
            if self._standing(of_any=True).state.active:
                self._cancelled.touch()

    def is_over(self) -> bool:
        """Whether no task waits any more."""
        return self._cancelled.exists() or not self.waiting()

    def task(self, number: int) -> JobFolder | None:
        """The job of a task that was started."""
        try:
            job = (self._tasks / str(number)).read_text("ascii")
        except FileNotFoundError:
            return None
        return JobFolder(self.path.with_name(job)) if job else None

    def started(self) -> list[JobFolder]:
        """The jobs of all tasks that were started, in the tasks' order."""
        numbers = sorted(int(path.name) for path in self._tasks.iterdir())
        return [folder for folder in map(self.task, numbers) if folder]

    def job_of(self, number: int, job: Job, job_id: int, gpus: tuple[str, ...]) -> Job:
        """A task's job, made from the array's own."""
        name = output_path(
            self.plan.output, job_id=job_id, job_name=job.name, user=job.user, array=(self.id, number)
        )
        place = place_of(self.plan.spec, self.id, number)
        return replace(job, id=job_id, output=str(Path(job.workdir) / name), gpus=gpus, array=place)

    def entries(self) -> list[Entry]:
        """Those that wait, all in one, and then the started tasks in order.

        A task that starts in between is in both, and never in none.
        """
        return list(filter(None, [self.entry_of_waiting(), *map(entry_of, self.started())]))

    def entry(self, number: int) -> Entry | None:
        """One task; None for a number that is not the array's, or was taken out."""
        waiting = self.entry_of_waiting() if number in self.waiting() else None
        if waiting is not None:
            job = self.job_of(number, waiting.job, self.id, waiting.job.gpus)
            return waiting._replace(job=job)
        folder = self.task(number)  # asked for last: it may have started just now
        return entry_of(folder) if folder else None

    def entry_of_waiting(self) -> Entry | None:
        """All tasks that wait or never started, in one entry; None where there are none.

        An array whose tasks were taken out before any could have its id is CANCELLED, without tasks.
        """
        waiting, job = self.waiting(), self.records.job()
        if job is None or (not waiting and JobFolder(self.path).job()):
            return None
        place = place_of(self.plan.spec, self.id, None, waiting)
        return Entry(replace(job, array=place), self._standing(of_any=bool(waiting)))

    def _standing(self, *, of_any: bool) -> Standing:
        standing = self.records.standing()
        if self._cancelled.exists():
            moment = self._cancelled.stat().st_mtime
            return replace(standing, state=JobState.CANCELLED, started=moment, ended=moment)
        return standing if of_any else replace(standing, state=JobState.CANCELLED)


def entry_of(folder: JobFolder) -> Entry | None:
    """A job by its folder; None where the record is missing or of another version."""
    job = folder.job()
    return Entry(job, folder.standing()) if job else None
