"""Carries out a plan: the only place where a submission changes anything."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from hpcsubmit.environment import build_virtualenv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host, make_folder
from hpcsubmit.plan import Plan
from hpcsubmit.project import Project
from hpcsubmit.record import expand_log, write_intention, write_result
from hpcsubmit.scheduler import Scheduler, Unanswered
from hpcsubmit.slurm import JobId

GIT_TIMEOUT = 5.0
"""Seconds that git may take to name the state of the code; a record without it is still a record."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A job that the scheduler accepted.

    line: sbatch's line with the job. remarks: what else sbatch said, "" for nothing. log: the file that the
    job will write.
    """

    job: JobId
    line: str
    remarks: str
    log: Path


def submit(plan: Plan, script: str, *, project: Project, scheduler: Scheduler, host: Host) -> Submission:
    """Make the folders, build the environment, write the record, submit, and complete the record.

    Raises HpcSubmitError; a record whose job was refused says so, and one whose sbatch gave no answer stays
    incomplete, for `hpcsubmit runs` to find the job.
    """
    for folder in plan.folders:
        make_folder(folder)
    build_virtualenv(plan.virtualenv, project, host)
    path = write_intention(plan, script, datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        taken = scheduler.submit(path)
    except Unanswered:
        raise
    except HpcSubmitError as error:
        write_result(plan.run_dir, refused=error.message)
        raise
    write_result(plan.run_dir, job=str(taken.job), code=code_state(project.root, host))
    log = Path(expand_log(plan.log, taken.job))
    return Submission(job=taken.job, line=taken.line, remarks=taken.remarks, log=log)


def code_state(root: Path, host: Host) -> str:
    """Name the commit of the project's code, with `-dirty` where files differ; "" outside git."""
    if not any((folder / ".git").exists() for folder in (root, *root.parents)):
        return ""
    argv = ("git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = host.run(argv, timeout=GIT_TIMEOUT)
    except HpcSubmitError:
        return ""
    return done.stdout.strip() if done.code == 0 else ""
