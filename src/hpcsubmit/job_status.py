"""The state of a job, and the parsers of what squeue, scontrol and sacct say of it; pure."""

import re
from collections.abc import Mapping
from enum import StrEnum

from hpcsubmit.frozen import frozen
from hpcsubmit.slurm import JobId


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


@frozen
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


def parse_scontrol_jobs(stdout: str) -> tuple[JobStatus, ...]:
    """Read the lines of `scontrol --oneliner show job [JOB]`; what tells no known state is left out."""
    lines = (dict(word.split("=", 1) for word in line.split() if "=" in word) for line in stdout.splitlines())
    found = (_scontrol_job(fields) for fields in lines if fields.get("JobId", "").isdecimal())
    return tuple(status for status in found if status.state is not JobState.UNKNOWN)


def _scontrol_job(fields: Mapping[str, str]) -> JobStatus:
    state = JobState.parse(fields.get("JobState", ""))
    code, signal = _exit_code(fields.get("ExitCode", "0:0"))
    return JobStatus(
        job=JobId(number=int(fields["JobId"])),
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
