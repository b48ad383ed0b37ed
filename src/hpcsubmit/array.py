"""How many trials become arrays of tasks: blocks, tasks and the trials of each; pure."""

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.values import Walltime

DEFAULT_MAX_ARRAY_SIZE = 1001
"""Slurm's own MaxArraySize where a site sets none (slurm.conf(5))."""
SHORTEST_TRIAL = 60
"""Seconds of --time that a trial must keep where a task runs several: Slurm counts in whole minutes."""


@frozen
class Limits:
    """What Slurm takes here; None stands for "not known".

    max_array_size: Slurm's MaxArraySize: every index of an array is below it.
    max_jobs: how many jobs, pending and running, this user may have; array tasks are counted singly.
    queued: how many of them he has now.
    source: who says max_jobs, for messages: `MaxSubmitJobs of account def-x`.
    """

    max_array_size: int | None = None
    max_jobs: int | None = None
    queued: int = 0
    source: str = ""

    @property
    def most_tasks(self) -> int:
        """The most tasks of one array: indices begin at 1."""
        size = DEFAULT_MAX_ARRAY_SIZE if self.max_array_size is None else self.max_array_size
        return size - 1

    @property
    def free(self) -> int | None:
        """How many tasks may be submitted now; None where nobody counts them."""
        return None if self.max_jobs is None else max(0, self.max_jobs - self.queued)


@frozen
class Array:
    """The trials of one submission, dealt out to tasks, and the tasks to blocks: one sbatch call each.

    Trials and tasks are numbered from 1 through all blocks; task k runs the trials (k-1) * per_task + 1 to
    k * per_task, one after another. A block is (offset, size): its indices are 1 to size, its task numbers
    offset + index. throttle: the most tasks that run at once, of all blocks together; None for no limit.
    notes: lines for the preview: several trials in a task, several arrays.
    """

    trials: int
    tasks: int
    per_task: int
    throttle: int | None
    blocks: tuple[tuple[int, int], ...]
    notes: tuple[str, ...] = ()

    @property
    def directive(self) -> str:
        """What `--array` is in the script: `1-8%10`, of the first block."""
        return self.spec(self.blocks[0])

    def spec(self, block: tuple[int, int]) -> str:
        """What `--array` is for a block."""
        return f"1-{block[1]}" + (f"%{self.throttle}" if self.throttle else "")

    def trials_of(self, task: int) -> range:
        """Return the trials of a task, in the order in which it runs them."""
        return range((task - 1) * self.per_task + 1, min(self.trials, task * self.per_task) + 1)

    def place(self, trial: int) -> tuple[int, int]:
        """Return where a trial runs: which block, counted from 0, and the index (`%a`) of its task there."""
        task = (trial - 1) // self.per_task + 1
        block = next(b for b, (offset, size) in enumerate(self.blocks) if task <= offset + size)
        return block, task - self.blocks[block][0]


def array_of(
    trials: int, limits: Limits, *, throttle: int | None, walltime: Walltime, per_task: int | None = None
) -> Array:
    """Deal trials (at least 1) out to tasks and blocks within the limits.

    per_task: how many trials each task runs; None for as few as fit, while each keeps SHORTEST_TRIAL of
    walltime, which is the task's. Raises HpcSubmitError where they do not fit, with the largest number that
    does.
    """
    if limits.most_tasks < 1:
        raise HpcSubmitError(
            f"Slurm takes no job arrays here (MaxArraySize {limits.max_array_size})",
            "submit single jobs, or ask the site's support for arrays",
        )
    several = per_task or _fewest_per_task(trials, limits.free, walltime)
    tasks = -(-trials // several)
    if limits.free is not None and tasks > limits.free:
        raise _too_many(trials, limits, walltime, per_task)
    blocks = _blocks(tasks, limits.most_tasks)
    return Array(
        trials=trials,
        tasks=tasks,
        per_task=several,
        throttle=throttle,
        blocks=blocks,
        notes=(
            *([_several_note(trials, tasks, several, limits, walltime)] if several > 1 else []),
            *([_blocks_note(len(blocks), limits, throttle)] if len(blocks) > 1 else []),
        ),
    )


def _fewest_per_task(trials: int, free: int | None, walltime: Walltime) -> int:
    """As few as fit into the free jobs, and at most as many as walltime has room for."""
    if not free:
        return 1
    return min(-(-trials // free), _most_per_task(walltime))


def _most_per_task(walltime: Walltime) -> int:
    return max(1, walltime.seconds // SHORTEST_TRIAL)


def _blocks(tasks: int, most: int) -> tuple[tuple[int, int], ...]:
    return tuple((offset, min(most, tasks - offset)) for offset in range(0, tasks, most))


def _too_many(trials: int, limits: Limits, walltime: Walltime, per_task: int | None) -> HpcSubmitError:
    free, source = limits.free or 0, f" ({limits.source})" if limits.source else ""
    problem = (
        f"{trials} trials do not fit: the limit of submitted jobs here is {limits.max_jobs}{source}, array "
        f"tasks counted singly, and {limits.queued} are queued"
    )
    return HpcSubmitError(problem, _what_fits(free, walltime, per_task))


def _what_fits(free: int, walltime: Walltime, per_task: int | None) -> str:
    if not free:
        return "wait until some of them have ended; hpcsubmit runs lists those of this project"
    if per_task:
        fits = f"at most {free * per_task} fit now with {per_task} in each task"
        return f"{fits}: ask for fewer, for more in each (--trials-per-task), or wait"
    most = _most_per_task(walltime)
    several = f", or {free * most} with {most} in each (--time {clock(walltime.seconds)})" * (most > 1)
    return f"at most {free} fit now, one per task{several}: ask for fewer, give a longer --time, or wait"


def _several_note(trials: int, tasks: int, per_task: int, limits: Limits, walltime: Walltime) -> str:
    where = f"each of {tasks} tasks" if tasks > 1 else "one task"
    each, whole = clock(walltime.seconds // per_task), clock(walltime.seconds)
    reason = ""
    if limits.free is not None and trials > limits.free:
        source = f" ({limits.source})" if limits.source else ""
        reason = f"; {limits.free} of {limits.max_jobs} jobs are free here{source}"
    return f"{per_task} trials one after another in {where}: {each} each of --time {whole}{reason}"


def _blocks_note(number: int, limits: Limits, throttle: int | None) -> str:
    most = limits.most_tasks
    text = f"{number} arrays: Slurm here takes at most {most} tasks in one (MaxArraySize {most + 1})"
    if throttle:
        text += f"; each waits for the one before it, so that {throttle} tasks at most run at once"
    return text


def clock(seconds: int) -> str:
    """Print a time as `00:20:00`, a day and more as `01-00:00:00`."""
    text = str(Walltime(seconds=max(1, seconds)))
    return text.removeprefix("00-")
