"""Carries out a plan: the only place where a submission changes anything."""

from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environment import build_virtualenv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host, make_folder
from hpcsubmit.plan import Plan
from hpcsubmit.project import Project
from hpcsubmit.record import expand_log, write_intention, write_result
from hpcsubmit.scheduler import Accepted, Scheduler, Unanswered
from hpcsubmit.slurm import JobId

INTERRUPTED = 130
GIT_TIMEOUT = 5.0
"""Seconds that git may take to name the state of the code; a record without it is still a record."""


class Submission(NamedTuple):
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
        taken, remarks = _submit_and_record(plan, path, scheduler)
    except KeyboardInterrupt:
        raise HpcSubmitError(
            f"interrupted while sbatch was at work: run {plan.run_id} may or may not be submitted",
            "hpcsubmit runs looks for its job; do not submit again before it says what became of it",
            exit_code=INTERRUPTED,
        ) from None
    with suppress(HpcSubmitError, KeyboardInterrupt):  # the record is already good without it
        write_result(plan.run_dir, job=str(taken.job), code=code_state(project.root, host))
    log = Path(expand_log(plan.log, taken.job))
    return Submission(job=taken.job, line=taken.line, remarks=remarks, log=log)


def _submit_and_record(plan: Plan, script: Path, scheduler: Scheduler) -> tuple[Accepted, str]:
    """Submit, and write what sbatch said at once; return that, and the remarks for the user."""
    try:
        taken = scheduler.submit(script)
    except Unanswered:
        raise
    except HpcSubmitError as error:
        with suppress(HpcSubmitError):  # what sbatch said is what to tell
            write_result(plan.run_dir, refused=error.message)
        raise
    try:
        write_result(plan.run_dir, job=str(taken.job))
    except HpcSubmitError as error:  # the job is there: its id must reach the user
        warning = f"warning: the record of job {taken.job} is not complete: {error.message}"
        return taken, "\n".join(filter(None, (taken.remarks, warning)))
    return taken, taken.remarks


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
