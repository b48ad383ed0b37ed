"""The runs there are: where their records lie, and the jobs of those whose submission was cut short."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.folders import local_scratch
from hpcsubmit.host import Host
from hpcsubmit.place import scheduler_here
from hpcsubmit.project import find_project
from hpcsubmit.queue import find_by_comment
from hpcsubmit.run import Run, read_runs
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.slurm import JobId
from hpcsubmit.values import is_run_id


def history(host: Host, folder: Path) -> list[Run]:
    """Return the runs of the project of `folder`, or of every project where there is none, oldest first.

    A run without a job id is looked for by its id in the comments of the user's jobs.
    """
    try:
        name = find_project(folder).name
    except HpcSubmitError:
        name = ""
    return _with_jobs(read_runs(_scratch_dirs(host, name)), host)


def all_runs(host: Host, also: Iterable[Path] = ()) -> list[Run]:
    """Return the runs of every project, oldest first. also: scratch folders besides those that are known."""
    return _with_jobs(read_runs(_scratch_dirs(host, "", also)), host)


def find_run(text: str, host: Host, folder: Path) -> Run:
    """Find a run by its id, by its job's, by that of any of its arrays, or of a task of them.

    Of two jobs of one number it is the newest, first in this project. Raises UsageError for a text that is
    none of these, HpcSubmitError where there is no such run.
    """
    job = None if is_run_id(text) else JobId.parse(text)
    for runs in (history(host, folder), all_runs(host)):
        found = [run for run in runs if run.run_id == text or (job is not None and _has(run, job))]
        if found:
            return found[-1]
    raise HpcSubmitError(f"there is no run {text}", "hpcsubmit runs lists the runs there are")


def _has(run: Run, job: JobId) -> bool:
    """Whether a job, or the array that a task belongs to, is the run's, or ran trials of it again."""
    own = job in run.jobs if job.task is None else job.task in run.tasks_of(job)
    return own or _is_again(run, job)


def _is_again(run: Run, job: JobId) -> bool:
    return any(job.number == rerun.number for rerun in run.reruns)


class Target(NamedTuple):
    """What a command names, on the queue that it is in. run: its record, None without one.

    jobs: a single job, all arrays of a run, one of them, or one task; empty where no job is known.
    """

    scheduler: str
    jobs: tuple[JobId, ...]
    run: Run | None

    @property
    def job(self) -> JobId | None:
        """The job, or the first of the arrays; None where it is not known."""
        return self.jobs[0] if self.jobs else None

    @property
    def is_array(self) -> bool:
        """Whether arrays are named as a whole, as far as the record tells."""
        return bool(self.run and self.run.array) and not any(job.task for job in self.jobs)


def find_target(text: str, host: Host, folder: Path) -> Target:
    """Find a job by its run or by its id; an id without a record is taken to be on the cluster here.

    A run's id names all of its arrays, and so does `4242_[1-1000]+9` as lists show them; a job's id names
    one array, `4242_7` a task of it.

    Raises UsageError for a text that is neither, HpcSubmitError where there is no such run.
    """
    shown = re.fullmatch(r"([0-9]{1,10})_\[[0-9-]+\](\+[0-9]+)?", text, re.ASCII)
    text = shown[1] if shown else text
    try:
        run = find_run(text, host, folder)
    except UsageError:
        raise
    except HpcSubmitError:
        if is_run_id(text):
            raise
        return Target(scheduler=scheduler_here(host, folder), jobs=(JobId.parse(text),), run=None)
    if not is_run_id(text) and _is_again(run, JobId.parse(text)):
        return Target(run.scheduler, jobs=(JobId.parse(text),), run=None)  # Slurm alone knows its tasks
    whole = is_run_id(text) or not run.array or bool(shown and shown[2])
    return Target(run.scheduler, jobs=run.jobs if whole else (JobId.parse(text),), run=run)


def reruns_of(targets: Iterable[Target]) -> list[Target]:
    """Return the arrays that ran trials again of runs that are named as a whole."""
    whole = [target.run for target in targets if target.run and target.jobs == target.run.jobs]
    return [Target(run.scheduler, jobs=(job,), run=None) for run in whole for job in run.reruns]


def where_nothing_was_looked_for(host: Host) -> str:
    """Return what to tell of places that may hold runs and are not known, "" for nothing."""
    if host.environ.get("SCRATCH") or host.which("sbatch") is None:  # a laptop has no other place
        return ""
    return "note: SCRATCH is not set: these are the runs of the embedded cluster alone"


def _scratch_dirs(host: Host, name: str, also: Iterable[Path] = ()) -> Iterable[Path]:
    """The projects' folders below $SCRATCH, below the embedded cluster's own scratch, and below others."""
    roots = {Path(host.environ["SCRATCH"])} if host.environ.get("SCRATCH") else set()
    for root in sorted(roots | {local_scratch(host), *also}):
        if name:
            yield root / name
        else:
            yield from (below.parents[1] for below in root.glob("*/hpcsubmit/runs"))


def _with_jobs(runs: list[Run], host: Host) -> list[Run]:
    """Give runs whose submission was cut short the jobs that the scheduler has under their run id."""
    cut_short = [run for run in runs if not run.is_submitted and not run.refused]
    found: dict[str, tuple[JobId, ...]] = {}
    for kind in sorted({run.scheduler for run in cut_short}):
        found |= find_by_comment(scheduler_for(kind, host), [run.run_id for run in cut_short])
    return [_with(run, found[run.run_id]) if run.run_id in found else run for run in runs]


def _with(run: Run, found: Sequence[JobId]) -> Run:
    """A run with the jobs that were found; arrays are submitted one after another, with growing ids."""
    jobs = tuple(sorted({*run.jobs, *found} - {*run.reruns}, key=lambda job: job.number))
    jobs = jobs[: len(run.array.blocks)] if run.array else jobs[-1:]
    return replace(run, job=jobs[0], jobs=jobs) if jobs else run
