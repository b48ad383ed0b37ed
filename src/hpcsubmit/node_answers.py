"""What the nodes' cleaning jobs answer: their logs, read while they come in."""

import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import NamedTuple

from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.node_cleaning import Asked
from hpcsubmit.queue import statuses
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from hpcsubmit.values import bytes_text

LOOK = 0.3
"""Seconds between two looks at the logs."""
FIRST_ASK, LONGEST_ASK = 2.0, 15.0
"""Seconds between two questions to the scheduler; the interval doubles."""
SETTLE = 5.0
"""Seconds in which a log on a network file system may still appear after its job has ended."""
_SHOWN = 3

_FOLDER = re.compile(r"(?:would remove|removed) ([0-9]+) KiB: (.*)")
_TOTAL = re.compile(r"total: removed [0-9]+, kept [0-9]+, failed [0-9]+, (-?[0-9]+) KiB")


class Report(NamedTuple):
    """What the job of one node did, or would do.

    size: bytes that are free now, or would be. folders: what is removed, each with its bytes. kept, failed:
    what is not, each with the reason.
    """

    size: int
    folders: tuple[tuple[str, int], ...]
    kept: tuple[str, ...]
    failed: tuple[str, ...]


class Answer(NamedTuple):
    """What there is to say of one node.

    text: one line. report: None where its job said nothing. failed: whether something went wrong there.
    pending: whether the job may still do its work.
    """

    node: str
    text: str
    report: Report | None = None
    failed: bool = False
    pending: bool = False


def parse_report(log: str) -> Report | None:
    """Read a node's log, of a job that began again its last attempt; None where its last line is missing."""
    lines: list[str] = []
    found: Report | None = None
    for line in log.splitlines():
        lines.append(line)
        if total := _TOTAL.fullmatch(line):
            found = _report(int(total[1]) * 1024, lines)
            lines = []
    return found


def _report(size: int, lines: Sequence[str]) -> Report:
    folders = (_FOLDER.fullmatch(line) for line in lines)
    return Report(
        size=size,
        folders=tuple((folder[2], int(folder[1]) * 1024) for folder in folders if folder),
        kept=tuple(line.removeprefix("kept: ") for line in lines if line.startswith("kept: ")),
        failed=tuple(line.removeprefix("failed: ") for line in lines if line.startswith("failed: ")),
    )


def text_of(report: Report, *, listing: bool) -> str:
    """Say in one line what the job of a node did, or would do."""
    count = len(report.folders)
    size = bytes_text(max(report.size, 0))
    if count:
        folders = f"{count} folder{'s' if count > 1 else ''}"
        text = f"would remove {folders}, {size}" if listing else f"removed {folders}, {size} freed"
    else:
        text = "nothing removed" if report.failed else "nothing to remove"
    if report.kept:
        text += f"; kept {_first(report.kept)}"
    if report.failed:
        text += f"; could not remove {_first(report.failed)}"
    return text


def _first(lines: Sequence[str]) -> str:
    more = len(lines) - _SHOWN
    return "; ".join(lines[:_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def answers(
    asked: Sequence[Asked], scheduler: Scheduler, *, seconds: float, listing: bool, settle: float = SETTLE
) -> Iterator[Answer]:
    """Give one answer for each node as its job ends; after some seconds, what is known of the others."""
    waiting = {task.job: task for task in asked}
    started = time.monotonic()
    ask_at, interval = started + FIRST_ASK, FIRST_ASK
    known: dict[JobId, JobStatus] = {}
    ended: dict[JobId, float] = {}
    while waiting:
        yield from _said(waiting, listing=listing)
        now = time.monotonic()
        last = now - started >= seconds
        if waiting and (last or now >= ask_at):
            ask_at, interval = now + interval, min(2 * interval, LONGEST_ASK)
            known = statuses(scheduler, list(waiting))
            for job in (job for job, status in known.items() if status.state.ended):
                ended.setdefault(job, now)
        for job in [job for job in waiting if job in ended and now - ended[job] >= settle]:
            yield _without_report(waiting.pop(job), known.get(job))
        if last:
            break
        time.sleep(min(LOOK, max(0.0, started + seconds - now)))
    for task in waiting.values():
        yield _not_yet(task, known.get(task.job))


def _said(waiting: dict[JobId, Asked], *, listing: bool) -> Iterator[Answer]:
    """Give the answers that are there, and take their jobs out of those that are waited for."""
    for folder in {task.log.parent for task in waiting.values()}:
        with suppress(OSError):
            os.listdir(folder)  # noqa: PTH208 - a network file system then asks its server for news
    for job, task in list(waiting.items()):
        report = parse_report(_read(task))
        if report is not None:
            del waiting[job]
            failed = bool(report.failed)
            yield Answer(node=task.node, text=text_of(report, listing=listing), report=report, failed=failed)


def _without_report(task: Asked, status: JobStatus | None) -> Answer:
    """Say of a job that ended without its last line what its log ends with."""
    state = status.state.value if status else "no longer known"
    lines = [line for line in _read(task).splitlines() if line.strip()]
    said = f"{lines[-1]} (see {task.log})" if lines else f"and wrote nothing to {task.log}"
    return Answer(node=task.node, text=f"failed: job {task.job} is {state}: {said}", failed=True)


def _not_yet(task: Asked, status: JobStatus | None) -> Answer:
    text = f"no answer yet: job {task.job} is {described(status)}"
    return Answer(node=task.node, text=text, pending=True)


def described(status: JobStatus | None) -> str:
    """Return a job's state, with the reason where it is pending."""
    if status is None:
        return "unknown to the scheduler"
    if status.state is JobState.PENDING and status.detail not in ("", "None"):
        return f"pending ({status.detail})"
    return status.state.value.lower()


def _read(task: Asked) -> str:
    try:
        return task.log.read_text("utf-8", errors="replace")
    except OSError:
        return ""
