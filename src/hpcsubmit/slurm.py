"""Slurm's words, pure: directives, job ids, and what sbatch prints and must not inherit."""

import re
from collections.abc import Iterable

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.frozen import frozen

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


@frozen
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


@frozen
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


MOST_TASKS = 4_000_001
"""The largest MaxArraySize that Slurm takes (slurm.conf(5)): no task has this number."""


def task_numbers(text: str) -> tuple[int, ...]:
    """Read the numbers of an array's tasks as Slurm writes them: `3`, `3-8%2`, `0-90:10`, `1,3,7-9`.

    What is no number of a task, such as the `...` of a list that was cut off, is left out.
    """
    found: set[int] = set()
    for item in text.partition("%")[0].split(","):
        match = re.fullmatch(r"([0-9]{1,10})(?:-([0-9]{1,10})(?::([0-9]{1,10}))?)?", item, re.ASCII)
        if match and int(match[2] or match[1]) < MOST_TASKS:
            found.update(range(int(match[1]), int(match[2] or match[1]) + 1, int(match[3] or 1) or 1))
    return tuple(sorted(found))


def parse_submission(stdout: str) -> JobId:
    """Read sbatch's `Submitted batch job 4242 [on cluster X]`; raises HpcSubmitError for anything else."""
    match = re.search(r"^Submitted batch job ([0-9]+)(?: on cluster \S+)?$", stdout, re.MULTILINE | re.ASCII)
    if match is None:
        raise HpcSubmitError(
            f"sbatch ended well but named no job: {stdout.strip()[:200]!r}",
            "see whether the job is there with squeue --me, then cancel it or wait for it",
        )
    return JobId(number=int(match[1]))


KEPT_CALLER_VARIABLES = frozenset({"SLURM_CONF", "SLURM_CLUSTERS"})


def caller_variables(names: Iterable[str]) -> tuple[str, ...]:
    """Return the names that Slurm's commands must not inherit, sorted.

    `SBATCH_*` override the script's directives and `SLURM_*`, `SRUN_*` of another allocation break the new
    job's steps (all seen on Slurm 22.05.8); `SQUEUE_*` and `SACCT_*` hide jobs from the questions about them.
    """
    prefixes = ("SBATCH_", "SRUN_", "SLURM_", "SQUEUE_", "SACCT_", "SINFO_")
    return tuple(sorted(n for n in names if n.startswith(prefixes) and n not in KEPT_CALLER_VARIABLES))
