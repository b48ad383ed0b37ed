"""Slurm's words, pure: directives, job ids, job states, and parsers of what its commands print."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from hpcsubmit.errors import HpcSubmitError, UsageError

_BARE = re.compile(r"[A-Za-z0-9_@%+=:,./^~-]+")


def quote_directive(value: str) -> str:
    r"""Return `value` as an `#SBATCH` line must hold it.

    sbatch does not read directives as bash does: inside single quotes it still eats backslashes.
    Double quotes with `\` and `"` escaped round-trip (seen on Slurm 22.05.8).
    """
    if _BARE.fullmatch(value):
        return value
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@dataclass(frozen=True, slots=True, kw_only=True)
class Directive:
    """One `#SBATCH --name=value` line; a `value` of None is an option without one."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        """Return the option as sbatch takes it on its own command line, unquoted."""
        return f"--{self.name}" if self.value is None else f"--{self.name}={self.value}"

    @property
    def line(self) -> str:
        """The whole line of the batch script."""
        value = "" if self.value is None else f"={quote_directive(self.value)}"
        return f"#SBATCH --{self.name}{value}"


@dataclass(frozen=True, slots=True, kw_only=True)
class JobId:
    """A Slurm job number, with the array task's number where there is one."""

    number: int
    task: int | None = None

    def __str__(self) -> str:
        return str(self.number) if self.task is None else f"{self.number}_{self.task}"

    @classmethod
    def parse(cls, text: str) -> "JobId":
        """Read `4242` or `4242_7`; raises UsageError for anything else."""
        match = re.fullmatch(r"([0-9]{1,10})(?:_([0-9]{1,10}))?", text, re.ASCII)
        if match is None:
            raise UsageError(
                f"'{text}' is neither a job id nor a run id",
                "give a job id such as 4242 or a run id; hpcsubmit runs lists both",
            )
        return cls(number=int(match[1]), task=int(match[2]) if match[2] else None)


class JobState(StrEnum):
    """The states of a job that hpcsubmit tells apart (squeue(1), JOB STATE CODES, Slurm 22.05 to 24.11)."""

    PENDING = "PENDING"
    CONFIGURING = "CONFIGURING"
    RUNNING = "RUNNING"
    SUSPENDED = "SUSPENDED"
    COMPLETING = "COMPLETING"
    REQUEUED = "REQUEUED"
    COMPLETED = "COMPLETED"
    FAILED = "FAILED"
    CANCELLED = "CANCELLED"
    TIMEOUT = "TIMEOUT"
    OUT_OF_MEMORY = "OUT_OF_MEMORY"
    NODE_FAIL = "NODE_FAIL"
    BOOT_FAIL = "BOOT_FAIL"
    DEADLINE = "DEADLINE"
    PREEMPTED = "PREEMPTED"
    UNKNOWN = "UNKNOWN"

    @property
    def ended(self) -> bool:
        """Whether a job in this state will never run again by itself."""
        return self in _ENDED

    @classmethod
    def parse(cls, text: str) -> "JobState":
        """Read a state as squeue, scontrol or sacct print it (`CANCELLED by 1002`, `COMPLETED+`)."""
        word = text.split()[0].rstrip("+") if text.split() else ""
        return _SPELLINGS.get(word, cls.UNKNOWN)


_ENDED = frozenset(
    {
        JobState.COMPLETED,
        JobState.FAILED,
        JobState.CANCELLED,
        JobState.TIMEOUT,
        JobState.OUT_OF_MEMORY,
        JobState.NODE_FAIL,
        JobState.BOOT_FAIL,
        JobState.DEADLINE,
        JobState.PREEMPTED,
    }
)
_SPELLINGS: Mapping[str, JobState] = {state.value: state for state in JobState} | {
    "REQUEUE_HOLD": JobState.PENDING,
    "REQUEUE_FED": JobState.PENDING,
    "SPECIAL_EXIT": JobState.PENDING,
    "RESV_DEL_HOLD": JobState.PENDING,
    "RESIZING": JobState.RUNNING,
    "SIGNALING": JobState.RUNNING,
    "STAGE_OUT": JobState.COMPLETING,
    "STOPPED": JobState.SUSPENDED,
    "REVOKED": JobState.CANCELLED,
    "LAUNCH_FAILED": JobState.FAILED,
    "RECONFIG_FAIL": JobState.FAILED,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class JobStatus:
    """What one Slurm command said of one job.

    exit_code: the batch script's code, 0 to 255; None while the job has not ended.
    signal: the signal that ended the batch script, 0 for none.
    detail: the pending reason, or the nodes of a running job.
    """

    job: JobId
    state: JobState
    exit_code: int | None = None
    signal: int = 0
    detail: str = ""
    comment: str = ""


def parse_submission(stdout: str) -> JobId:
    """Read sbatch's `Submitted batch job 4242 [on cluster X]`; raises HpcSubmitError for anything else."""
    match = re.search(r"^Submitted batch job ([0-9]+)(?: on cluster \S+)?$", stdout, re.MULTILINE | re.ASCII)
    if match is None:
        raise HpcSubmitError(
            f"sbatch ended well but named no job: {stdout.strip()[:200]!r}",
            "see whether the job is there with squeue --me, then cancel it or wait for it",
        )
    return JobId(number=int(match[1]))


SQUEUE_FORMAT = "%i|%T|%r|%N|%k"
"""What hpcsubmit asks squeue for: job, state, pending reason, nodes, comment. The comment comes last: it
alone may hold a bar."""

SACCT_FORMAT = "JobID,State,ExitCode"


def parse_squeue(stdout: str) -> tuple[JobStatus, ...]:
    """Read lines of SQUEUE_FORMAT; lines of array summaries such as `12_[1-9]` are left out."""
    found = []
    for line in stdout.splitlines():
        fields = line.split("|", 4)
        if len(fields) != 5 or not re.fullmatch(r"[0-9]+(_[0-9]+)?", fields[0], re.ASCII):
            continue
        job, state, reason, nodes, comment = fields
        parsed = JobState.parse(state)
        detail = reason if parsed is JobState.PENDING else nodes
        found.append(JobStatus(job=JobId.parse(job), state=parsed, detail=detail, comment=comment))
    return tuple(found)


def parse_scontrol_job(stdout: str, job: JobId) -> JobStatus | None:
    """Read `scontrol --oneliner show job JOB`; None where it says nothing of a state."""
    fields = dict(word.split("=", 1) for word in stdout.split() if "=" in word)
    if "JobState" not in fields:
        return None
    state = JobState.parse(fields["JobState"])
    code, signal = _exit_code(fields.get("ExitCode", "0:0"))
    return JobStatus(
        job=job,
        state=state,
        exit_code=code if state.ended else None,
        signal=signal,
        detail=fields.get("NodeList", ""),
        comment=fields.get("Comment", ""),
    )


def parse_sacct(stdout: str) -> tuple[JobStatus, ...]:
    """Read `sacct --allocations --parsable2 --noheader` lines of SACCT_FORMAT.

    A requeued job has a line for each attempt; the last one counts.
    """
    found: dict[JobId, JobStatus] = {}
    for line in stdout.splitlines():
        fields = line.split("|")
        if len(fields) < 3 or not re.fullmatch(r"[0-9]+(_[0-9]+)?", fields[0], re.ASCII):
            continue
        job, state = JobId.parse(fields[0]), JobState.parse(fields[1])
        code, signal = _exit_code(fields[2])
        found[job] = JobStatus(job=job, state=state, exit_code=code if state.ended else None, signal=signal)
    return tuple(found.values())


def _exit_code(text: str) -> tuple[int, int]:
    """Split Slurm's `CODE:SIGNAL`."""
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else (0, 0)


KEPT_CALLER_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})


def caller_variables(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that sbatch must not inherit, sorted.

    `SBATCH_*` override the script's directives and `SLURM_*`, `SRUN_*` of another allocation break the new
    job's steps (all seen on Slurm 22.05.8).
    """
    prefixes = ("SBATCH_", "SRUN_", "SLURM_")
    return tuple(sorted(n for n in names if n.startswith(prefixes) and n not in KEPT_CALLER_VARIABLES))
