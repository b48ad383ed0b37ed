"""The state of a job, and the parsers of what squeue, scontrol and sacct say of it; pure."""

import re
from collections.abc import Mapping
from enum import StrEnum

from hpcsubmit.frozen import frozen
from hpcsubmit.slurm import JobId, task_numbers


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
    """Read lines of SQUEUE_FORMAT; a line of several tasks such as `12_[1-9%2]` is one status of each."""
    found = []
    for line in stdout.splitlines():
        fields = line.split("|", 4)
        if len(fields) != 5:
            continue
        label, state, reason, nodes, comment = fields
        parsed = JobState.parse(state)
        detail = reason if parsed is JobState.PENDING else nodes
        found += [JobStatus(job=job, state=parsed, detail=detail, comment=comment) for job in _jobs(label)]
    return tuple(found)


def _jobs(label: str) -> tuple[JobId, ...]:
    """Read `12`, `12_3` or `12_[4-8%2]`; empty for anything else."""
    match = re.fullmatch(r"([0-9]{1,10})(?:_(?:([0-9]{1,10})|\[([^]]*)\]))?", label, re.ASCII)
    if match is None:
        return ()
    number = int(match[1])
    if match[3] is not None:
        return tuple(JobId(number=number, task=task) for task in task_numbers(match[3]))
    return (JobId(number=number, task=int(match[2]) if match[2] else None),)


def parse_scontrol_jobs(stdout: str) -> tuple[JobStatus, ...]:
    """Read the lines of `scontrol --oneliner show job [JOB]`; what tells no known state is left out.

    A line is a job, a task of an array, or all its tasks that wait or never began: one status of each.
    """
    found: list[JobStatus] = []
    for line in stdout.splitlines():
        fields = dict(word.split("=", 1) for word in line.split() if "=" in word)
        state = JobState.parse(fields.get("JobState", ""))
        if state is JobState.UNKNOWN:
            continue
        code, signal = _exit_code(fields.get("ExitCode", "0:0"))
        found += [
            JobStatus(
                job=job,
                state=state,
                exit_code=code if state.ended else None,
                signal=signal,
                detail=fields.get("Reason" if state is JobState.PENDING else "NodeList", ""),
                comment=fields.get("Comment", ""),
            )
            for job in _scontrol_ids(fields)
        ]
    return tuple(found)


def _scontrol_ids(fields: Mapping[str, str]) -> tuple[JobId, ...]:
    """An array's tasks have its id in ArrayJobId, and in JobId one of their own.

    Where all tasks that waited were cancelled one by one, Slurm 22.05 keeps a line without a task's number.
    """
    job, array = fields.get("JobId", ""), fields.get("ArrayJobId", "")
    if not array.isdecimal():
        return _jobs(job)
    return _jobs(f"{array}_[{fields.get('ArrayTaskId', '')}]") or _jobs(array)


def parse_sacct(stdout: str) -> tuple[JobStatus, ...]:
    """Read `sacct --allocations --parsable2 --noheader` lines of SACCT_FORMAT.

    A requeued job has a line for each attempt; the last one counts. Tasks of an array that wait or never
    began share a line, `12_[4-8]`; what another line says of one of them is newer.
    """
    alone: dict[JobId, JobStatus] = {}
    together: dict[JobId, JobStatus] = {}
    for line in stdout.splitlines():
        fields = line.split("|")
        if len(fields) < 3:
            continue
        state = JobState.parse(fields[1])
        code, signal = _exit_code(fields[2])
        exit_code = code if state.ended else None
        found = together if fields[0].endswith("]") else alone
        for job in _jobs(fields[0]):
            found[job] = JobStatus(job=job, state=state, exit_code=exit_code, signal=signal)
    return tuple((together | alone).values())


def _exit_code(text: str) -> tuple[int, int]:
    """Split Slurm's `CODE:SIGNAL`."""
    match = re.fullmatch(r"([0-9]+):([0-9]+)", text, re.ASCII)
    return (int(match[1]), int(match[2])) if match else (0, 0)
