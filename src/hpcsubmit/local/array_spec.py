"""The numbers of a job array: what `--array` says, and the short forms in which Slurm writes them."""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

from hpcsubmit.errors import HpcSubmitError

MAX_ARRAY_SIZE = 1001
"""Slurm's default MaxArraySize: every number of an array is below it."""
NO_TASK = "4294967294"
"""What Slurm writes where an array's number would stand and there is none."""
_ITEM = re.compile(r"([0-9]{1,9})(?:-([0-9]{1,9})(?::([0-9]{1,9}))?)?")
_STEP_COUNT, _STEP_SPAN = 6, 11  # what it takes for `0-90:10` instead of a list (seen with Slurm 22.05)


@dataclass(frozen=True, slots=True, kw_only=True)
class ArraySpec:
    """What `--array=1-8:2%4` asks for: the tasks' numbers, the step, and how many may run at once."""

    numbers: tuple[int, ...]
    step: int
    limit: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArrayPlace:
    """Where a job stands in its array.

    job: the array's id; task: its number, None for the one record of all tasks that wait, whose numbers are
    `waiting`, such as `3-8%2`. The rest is alike for all tasks.
    """

    job: int
    task: int | None
    waiting: str
    count: int
    lowest: int
    highest: int
    step: int
    limit: int | None

    @property
    def label(self) -> str:
        """What squeue and sacct call it: `12_3`, `12_[4-8%2]`."""
        if self.task is not None:
            return f"{self.job}_{self.task}"
        return f"{self.job}_[{self.waiting}]" if self.waiting else str(self.job)

    @property
    def numbers(self) -> str:
        """What scontrol calls ArrayTaskId."""
        return str(self.task) if self.task is not None else self.waiting or NO_TASK


def parse_array(text: str) -> ArraySpec:
    """Reads `1,3,7-9`, `0-99:10`, `1-8%2`; a limit of 0 is none. Raises HpcSubmitError in Slurm's words."""
    body, percent, limit = text.partition("%")
    numbers = parse_numbers(body)
    if not numbers or (percent and not re.fullmatch("[0-9]{1,9}", limit)):
        raise HpcSubmitError(
            "sbatch: error: Batch job submission failed: Invalid job array specification",
            f"write numbers below {MAX_ARRAY_SIZE}, such as 1-8, 0-99:10 or 1,3,7-9, and %4 for four at once",
        )
    steps = re.findall(r":([0-9]+)", body)
    return ArraySpec(numbers=numbers, step=int(steps[-1]) if steps else 1, limit=int(limit or 0) or None)


def parse_numbers(text: str) -> tuple[int, ...]:
    """The numbers of a list, each once and in order; empty for what is no list of an array's numbers."""
    items = [_ITEM.fullmatch(item) for item in text.split(",")]
    found: set[int] = set()
    for item in items:
        numbers = _span(item) if item else range(0)
        if not numbers:
            return ()
        found.update(numbers)
    return tuple(sorted(found))


def _span(item: re.Match[str]) -> range:
    first, last, step = int(item[1]), int(item[2] or item[1]), int(item[3] or 1)
    return range(first, last + 1, step) if step and last < MAX_ARRAY_SIZE else range(0)


def short_numbers(numbers: Sequence[int]) -> str:
    """Numbers in order, as Slurm writes them: `1-3,5`; `0-90:10` for six or more that go beyond ten."""
    gaps = {after - before for before, after in pairwise(numbers)}
    if len(numbers) >= _STEP_COUNT and len(gaps) == 1 and numbers[-1] - numbers[0] >= _STEP_SPAN:
        (gap,) = gaps
        if gap > 1:
            return f"{numbers[0]}-{numbers[-1]}:{gap}"
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0])
    ]
    return ",".join(f"{run[0]}" if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def place_of(spec: ArraySpec, job: int, task: int | None, waiting: Collection[int] = ()) -> ArrayPlace:
    """A task's place in the array of this id; without a task, that of all those that wait."""
    short = short_numbers(sorted(waiting))
    return ArrayPlace(
        job=job,
        task=task,
        waiting=f"{short}%{spec.limit}" if short and spec.limit else short,
        count=len(spec.numbers),
        lowest=spec.numbers[0],
        highest=spec.numbers[-1],
        step=spec.step,
        limit=spec.limit,
    )
