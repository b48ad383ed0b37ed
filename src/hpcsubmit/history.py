"""The runs there are: where their records lie, and the jobs of those whose submission was cut short."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.folders import local_scratch
from hpcsubmit.host import Host
from hpcsubmit.prepare import scheduler_here
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


def all_runs(host: Host) -> list[Run]:
    """Return the runs of every project, oldest first."""
    return _with_jobs(read_runs(_scratch_dirs(host, "")), host)


def find_run(text: str, host: Host, folder: Path) -> Run:
    """Find a run by its id or by its job's; of two jobs of one number the newest, first in this project.

    Raises UsageError for a text that is neither, HpcSubmitError where there is no such run.
    """
    job = None if is_run_id(text) else JobId.parse(text)
    for runs in (history(host, folder), all_runs(host)):
        found = [run for run in runs if run.run_id == text or (job is not None and run.job == job)]
        if found:
            return found[-1]
    raise HpcSubmitError(f"there is no run {text}", "hpcsubmit runs lists the runs there are")


class Target(NamedTuple):
    """A job that a command names, on the queue that it is in. run: its record, None without one."""

    scheduler: str
    job: JobId | None
    run: Run | None


def find_target(text: str, host: Host, folder: Path) -> Target:
    """Find a job by its run or by its id; an id without a record is taken to be on the cluster here.

    Raises UsageError for a text that is neither, HpcSubmitError where there is no such run.
    """
    try:
        run = find_run(text, host, folder)
    except UsageError:
        raise
    except HpcSubmitError:
        if is_run_id(text):
            raise
        return Target(scheduler=scheduler_here(host, folder), job=JobId.parse(text), run=None)
    return Target(scheduler=run.scheduler, job=run.job, run=run)


def where_nothing_was_looked_for(host: Host) -> str:
    """Return what to tell of places that may hold runs and are not known, "" for nothing."""
    if host.environ.get("SCRATCH") or host.which("sbatch") is None:  # a laptop has no other place
        return ""
    return "note: SCRATCH is not set: these are the runs of the embedded cluster alone"


def _scratch_dirs(host: Host, name: str) -> Iterable[Path]:
    """The projects' folders below $SCRATCH and below the embedded cluster's own scratch."""
    roots = {Path(host.environ["SCRATCH"])} if host.environ.get("SCRATCH") else set()
    for root in sorted(roots | {local_scratch(host)}):
        if name:
            yield root / name
        else:
            yield from (below.parents[1] for below in root.glob("*/hpcsubmit/runs"))


def _with_jobs(runs: list[Run], host: Host) -> list[Run]:
    """Give runs whose submission was cut short the job that the scheduler has under their run id."""
    cut_short = [run for run in runs if run.job is None and not run.refused]
    jobs: dict[str, JobId] = {}
    for kind in sorted({run.scheduler for run in cut_short}):
        jobs |= find_by_comment(scheduler_for(kind, host), [run.run_id for run in cut_short])
    return [replace(run, job=jobs[run.run_id]) if run.run_id in jobs else run for run in runs]
