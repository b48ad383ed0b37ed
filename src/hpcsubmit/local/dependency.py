"""`--dependency`: which jobs must have ended before one begins, as sbatch reads it."""

import re
from enum import StrEnum
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError

_ELSEWHERE = ("after", "afterburstbuffer", "aftercorr", "afternotok", "expand")
_JOB = re.compile(r"0*[1-9][0-9]*(?:_(?:[0-9]+|\*))?", re.ASCII)


class Kind(StrEnum):
    """AFTEROK: the job ended well; AFTERANY: it ended; SINGLETON: no earlier job of the same name is left."""

    AFTEROK = "afterok"
    AFTERANY = "afterany"
    SINGLETON = "singleton"


class Condition(NamedTuple):
    """One thing to wait for. job: `12`, `12_3`, or "" for a singleton."""

    kind: Kind
    job: str = ""


def parse_dependency(text: str) -> tuple[Condition, ...]:
    """Reads `afterok:12:13_4,afterany:14`, all of which must hold, or `singleton`; "" asks for nothing.

    Raises HpcSubmitError in Slurm's words, and for what Slurm knows and this cluster does not.
    """
    return tuple(condition for part in text.split(",") if text for condition in _conditions(part))


def _conditions(part: str) -> list[Condition]:
    word, *jobs = part.split(":")
    if word in _ELSEWHERE or "?" in part or "+" in part:
        raise HpcSubmitError(
            f"sbatch: error: the cluster `local` has no --dependency={part}",
            "afterok, afterany and singleton are known here, joined by commas",
        )
    if word == Kind.SINGLETON and not jobs:
        return [Condition(Kind.SINGLETON)]
    if word not in (Kind.AFTEROK, Kind.AFTERANY) or not jobs or not all(map(_JOB.fullmatch, jobs)):
        raise HpcSubmitError(
            "sbatch: error: Batch job submission failed: Job dependency problem",
            "write afterok:JOB, afterany:JOB:JOB or singleton",
        )
    return [Condition(Kind(word), job.removesuffix("_*")) for job in jobs]
