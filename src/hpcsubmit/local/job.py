"""One job: what was asked, how it stands, and the folder that keeps both.

A folder holds small files, each written by one process and replaced as a whole: `job.json` by sbatch or its
array's runner, `state.json` by whoever holds `lock` (the runner, for its life), and one folder below
`steps/` per srun. The job's environment is never written: it may hold secrets.
"""

from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.local.array_spec import ArrayPlace
from hpcsubmit.local.nodelist import counts, node_list
from hpcsubmit.local.records import is_locked, read_record, write_record


class JobState(StrEnum):
    """Slurm's job states, as far as they happen here. PENDING: it waits for its turn, or for its runner."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    COMPLETING = "COMPLETING"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    NODE_FAIL = "NODE_FAIL"

    @property
    def active(self) -> bool:
        """Whether the job still has processes, so that squeue lists it."""
        return self in (JobState.PENDING, JobState.RUNNING, JobState.COMPLETING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What was asked, fixed at submission.

    gpus: CUDA_VISIBLE_DEVICES of each node; seconds: the time limit, None for none; warning: how many
    seconds before it the script gets USR1, None for never; submitted: Unix time; append: whether the log
    keeps what it holds; dependency: what must happen first, "" for nothing; ends_with_it: whether the job is
    cancelled once that can't happen any more; array: None for a job that is no array; arguments: the
    script's own.
    """

    id: int
    name: str
    script: str
    workdir: str
    output: str
    nodes: int
    tasks_per_node: int
    cpus_per_task: int
    gpus: tuple[str, ...]
    seconds: int | None
    warning: int | None
    comment: str
    submitted: float
    user: str
    uid: int
    host: str
    append: bool = True
    dependency: str = ""
    ends_with_it: bool = False
    array: ArrayPlace | None = None
    arguments: tuple[str, ...] = ()

    @property
    def label(self) -> str:
        """What squeue and sacct call the job: `12`, `12_3`, `12_[4-8]`."""
        return self.array.label if self.array else str(self.id)

    @property
    def tasks(self) -> int:
        """Tasks of the job on all nodes."""
        return self.nodes * self.tasks_per_node

    @property
    def cpus_per_node(self) -> int:
        """CPUs that the job asked for on each node."""
        return self.tasks_per_node * self.cpus_per_task

    @property
    def node_list(self) -> str:
        """All nodes in short form, `local[1-2]`."""
        return node_list(range(self.nodes))

    @property
    def task_counts(self) -> str:
        """Tasks per node in short form, `2(x2)`."""
        return counts([self.tasks_per_node] * self.nodes)


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a job stands.

    exit_code, signal: of the batch script, as in Slurm's `ExitCode=code:signal`; started, ended: Unix time;
    runner, batch: process ids; scratch: the folder that holds the nodes' private folders, "" for a job that
    never began.
    """

    state: JobState = JobState.PENDING
    reason: str = "None"
    exit_code: int = 0
    signal: int = 0
    started: float | None = None
    ended: float | None = None
    runner: int = 0
    batch: int = 0
    scratch: str = ""


class Entry(NamedTuple):
    """One line of squeue, scontrol or sacct: a job, or all tasks of an array that wait, and how it stands."""

    job: Job
    standing: Standing


@dataclass(frozen=True, slots=True)
class JobFolder:
    """The records of one job at `path`."""

    path: Path

    @property
    def script(self) -> Path:
        """The copy of the batch script: editing the original does not change a job, as with Slurm."""
        return self.path / "script"

    @property
    def commands(self) -> Path:
        """The folder of the stand-ins, first on the job's PATH."""
        return self.path / "bin"

    @property
    def lock(self) -> Path:
        """Locked by the runner for its life: a free lock means a dead runner."""
        return self.path / "lock"

    @property
    def steps(self) -> Path:
        """The folder with one folder per step."""
        return self.path / "steps"

    def write_job(self, job: Job) -> None:
        """Records what was asked. Called once."""
        write_record(self.path / "job.json", asdict(job))

    def job(self) -> Job | None:
        """What was asked; None where the record is missing or of another version."""
        record = read_record(self.path / "job.json")
        with suppress(TypeError, KeyError):
            place = record.get("array")
            array = ArrayPlace(**place) if place else None
            arguments = tuple(record.get("arguments", ()))
            gpus = tuple(record["gpus"])
            return Job(**{**record, "gpus": gpus, "array": array, "arguments": arguments})
        return None

    def write_standing(self, standing: Standing) -> None:
        """Records how the job stands. Only for the holder of the lock."""
        write_record(self.path / "state.json", asdict(standing))

    def recorded(self) -> Standing:
        """What the runner wrote last, be it alive or not."""
        record = read_record(self.path / "state.json")
        with suppress(TypeError, KeyError, ValueError):
            return Standing(**{**record, "state": JobState(record["state"])})
        return Standing()

    def standing(self) -> Standing:
        """How the job stands now: NODE_FAIL where the runner died before it wrote an end."""
        standing = self.recorded()
        if standing.state.active and not is_locked(self.lock):
            standing = self.recorded()  # the runner may have ended between the two looks
            return lost(standing) if standing.state.active else standing
        return standing


def lost(standing: Standing) -> Standing:
    """The end of a job whose runner died."""
    return replace(standing, state=JobState.NODE_FAIL, reason="NodeDown")
