"""squeue: the jobs that have not ended."""

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.clock import elapsed, short, timestamp
from hpcsubmit.local.job import Entry, Job, JobState, Standing
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.lookup import active, asked, one_by_one
from hpcsubmit.local.nodelist import node_name

_DEFAULT_FORMAT = "%.18i %.9P %.8j %.8u %.2t %.10M %.6D %R"
_COMPACT = {JobState.PENDING: "PD", JobState.RUNNING: "R", JobState.COMPLETING: "CG"}
_FIELD = re.compile(r"%(\.?)(\d*)([A-Za-z%])")
_SHORT = {
    "-h": "--noheader",
    "-r": "--array",
    "-o": "--format",
    "-j": "--jobs",
    "-t": "--states",
    "-u": "--user",
    "-n": "--name",
}
_FLAGS = ("--noheader", "--me", "--array")
_WITH_VALUE = ("--format", "--jobs", "--states", "--user", "--name")


@dataclass(frozen=True, slots=True)
class _Row:
    job: Job
    standing: Standing

    @property
    def ran(self) -> float:
        return elapsed(self.standing.started, self.standing.ended)

    @property
    def left(self) -> float | None:
        return None if self.job.seconds is None else self.job.seconds - self.ran

    @property
    def end(self) -> float | None:
        started, limit = self.standing.started, self.job.seconds
        return started + limit if started and limit else None

    @property
    def nodes(self) -> str:
        return "" if self.standing.state is JobState.PENDING else self.job.node_list


_UNKNOWN: tuple[str, Callable[[_Row], str]] = ("", lambda _: "")
_COLUMNS: dict[str, tuple[str, Callable[[_Row], str]]] = {
    "%": ("%", lambda _: "%"),
    "A": ("JOBID", lambda row: str(row.job.id)),
    "B": ("EXEC_HOST", lambda _: node_name(0)),
    "C": ("CPUS", lambda row: str(row.job.nodes * row.job.cpus_per_node)),
    "D": ("NODES", lambda row: str(row.job.nodes)),
    "F": ("ARRAY_JOB_ID", lambda row: str(row.job.array.job if row.job.array else row.job.id)),
    "K": ("ARRAY_TASK_ID", lambda row: row.job.array.numbers if row.job.array else "N/A"),
    "L": ("TIME_LEFT", lambda row: short(row.left)),
    "M": ("TIME", lambda row: short(row.ran)),
    "N": ("NODELIST", lambda row: row.nodes),
    "P": ("PARTITION", lambda _: "local"),
    "R": ("NODELIST(REASON)", lambda row: row.nodes or f"({row.standing.reason})"),
    "S": ("START_TIME", lambda row: timestamp(row.standing.started).replace("Unknown", "N/A")),
    "T": ("STATE", lambda row: row.standing.state.value),
    "U": ("UID", lambda row: str(row.job.uid)),
    "V": ("SUBMIT_TIME", lambda row: timestamp(row.job.submitted)),
    "Z": ("WORK_DIR", lambda row: row.job.workdir),
    "a": ("ACCOUNT", lambda _: "(null)"),
    "e": ("END_TIME", lambda row: timestamp(row.end)),
    "i": ("JOBID", lambda row: row.job.label),
    "j": ("NAME", lambda row: row.job.name),
    "k": ("COMMENT", lambda row: row.job.comment or "(null)"),
    "l": ("TIME_LIMIT", lambda row: short(row.job.seconds)),
    "o": ("COMMAND", lambda row: row.job.script),
    "q": ("QOS", lambda _: "normal"),
    "r": ("REASON", lambda row: row.standing.reason),
    "t": ("ST", lambda row: _COMPACT[row.standing.state]),
    "u": ("USER", lambda row: row.job.user),
}


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`squeue [-h] [-r] [--format=F] [--jobs=1,2_3] [--me] [--states=S] [--name=N]`: jobs that go on.

    Those that wait come first. An array's tasks that wait share a line, unless -r or their own ids are given.
    A single id that was never given out is an error, as with Slurm; a job that has ended prints nothing.
    """
    options = _parse(arguments)
    form = options.get("--format", _DEFAULT_FORMAT)
    lines = [] if "--noheader" in options else [_fill(form, None)]
    for entry in _asked(options, jobs):
        for each in one_by_one(entry) if "--array" in options else [entry]:
            row = _Row(*each)
            if row.standing.state.active and _wanted(row, options):
                lines.append(_fill(form, row))
    sys.stdout.write("".join(f"{line}\n" for line in lines))
    return 0


def _parse(arguments: Sequence[str]) -> dict[str, str]:
    options: dict[str, str] = {}
    words = list(arguments)
    while words:
        name, equals, value = words.pop(0).partition("=")
        name = _SHORT.get(name, name)
        if name not in (*_FLAGS, *_WITH_VALUE):
            raise HpcSubmitError(
                f"squeue: unrecognized option '{name}'", f"known: {', '.join((*_FLAGS, *_WITH_VALUE))}"
            )
        if name in _WITH_VALUE and not equals:
            value = words.pop(0) if words else ""
        options[name] = value
    return options


def _asked(options: Mapping[str, str], jobs: Jobs) -> list[Entry]:
    if "--jobs" not in options:
        return active(jobs)
    ids = [word.strip() for word in options["--jobs"].split(",") if word.strip()]
    found = [asked(jobs, job_id) for job_id in ids]
    if len(ids) == 1 and found == [None]:
        raise HpcSubmitError("slurm_load_jobs error: Invalid job id specified")
    return [entry for entries in found for entry in entries or []]


def _wanted(row: _Row, options: Mapping[str, str]) -> bool:
    states = {word.upper() for word in options.get("--states", "all").split(",")}
    names = options.get("--name", row.job.name).split(",")
    users = options.get("--user", row.job.user).split(",")
    return (
        bool(states & {"ALL", row.standing.state.value, _COMPACT[row.standing.state]})
        and row.job.name in names
        and bool({row.job.user, str(row.job.uid)} & set(users))
    )


def _fill(form: str, row: _Row | None) -> str:
    """A job's line, or the header for None.

    `%i` is replaced as it is, `%10i` fills 10 columns to the left, `%.10i` to the right; too long is cut.
    """

    def field(match: re.Match[str]) -> str:
        right, width, letter = match.groups()
        title, value = _COLUMNS.get(letter, _UNKNOWN)
        text = title if row is None else value(row)
        if not width:
            return text
        return (text.rjust(int(width)) if right else text.ljust(int(width)))[: int(width)]

    return _FIELD.sub(field, form)
