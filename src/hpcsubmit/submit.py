"""Carries out a plan: the only place where a submission changes anything."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from hpcsubmit.environments.link import link_to
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.host import Host, hangups_interrupt, make_folder
from hpcsubmit.plan import Plan
from hpcsubmit.project import Project
from hpcsubmit.record import expand_log, withdraw, write_intention, write_result
from hpcsubmit.scheduler import Accepted, Scheduler, Unanswered
from hpcsubmit.slurm import JobId

INTERRUPTED = 130
GIT_TIMEOUT = 5.0
"""Seconds that git may take to name the state of the code; a record without it is still a record."""


@frozen
class Submission:
    """A job that the scheduler accepted.

    line: sbatch's line with the job. remarks: what else sbatch said, "" for nothing. log: the file that the
    job will write. build: the job that builds its environment and that it waits for, None for none.
    """

    job: JobId
    line: str
    remarks: str
    log: Path
    build: JobId | None


def submit(
    plan: Plan,
    script: str,
    *,
    project: Project,
    scheduler: Scheduler,
    host: Host,
    pack: Callable[[], None] | None = None,
) -> Submission:
    """Make the folders, write the record, pack the data, build the environment, submit, complete the record.

    The record comes first: what it names is needed from then on, and not cleaned away.
    pack: packs the data of the plan.

    Raises HpcSubmitError; a record whose job was refused says so, and one whose sbatch gave no answer stays
    incomplete, for `hpcsubmit runs` to find the job.
    """
    for folder in plan.folders:
        make_folder(folder)
    path = write_intention(plan, script, datetime.now(UTC).isoformat(timespec="seconds"))
    try:
        with hangups_interrupt():
            if pack is not None:
                pack()
            build = _environment(plan, host, scheduler)
    except BaseException:
        withdraw(plan.run_dir)
        raise
    try:
        taken, remarks = _submit_and_record(plan, path, scheduler, build)
    except KeyboardInterrupt:
        raise HpcSubmitError(
            f"interrupted while sbatch was at work: run {plan.run_id} may or may not be submitted",
            "hpcsubmit runs looks for its job; do not submit again before it says what became of it",
            exit_code=INTERRUPTED,
        ) from None
    with suppress(HpcSubmitError, KeyboardInterrupt):  # the record is already good without it
        write_result(plan.run_dir, **_result(taken.job, build), code=code_state(project.root, host))
    log = Path(expand_log(plan.log, taken.job))
    return Submission(job=taken.job, line=taken.line, remarks=remarks, log=log, build=build)


def _environment(plan: Plan, host: Host, scheduler: Scheduler) -> JobId | None:
    """See that the environment is there; return the job that builds it, None where it is ready."""
    virtualenv = plan.virtualenv
    if virtualenv is None:
        return None
    if virtualenv.build:
        from hpcsubmit.environments.build import build_virtualenv  # late: for builds alone

        if job := build_virtualenv(virtualenv, host, scheduler):
            return job
    link_to(virtualenv.path)
    if not (virtualenv.path / "bin" / "python").exists():
        raise HpcSubmitError(
            f"the environment {virtualenv.path} is gone by now", "submit again: it is built anew"
        )
    return None


def _result(job: JobId, build: JobId | None) -> dict[str, str]:
    return {"job": str(job)} | ({"build": str(build)} if build else {})


def _submit_and_record(
    plan: Plan, script: Path, scheduler: Scheduler, build: JobId | None
) -> tuple[Accepted, str]:
    """Submit, and write what sbatch said at once; return that, and the remarks for the user.

    build: the job that must end well before; where it fails, Slurm removes the one that waits for it.
    """
    options = (f"--dependency=afterok:{build}", "--kill-on-invalid-dep=yes") if build else ()
    try:
        taken = scheduler.submit(script, *options)
    except Unanswered:
        raise
    except HpcSubmitError as error:
        with suppress(HpcSubmitError):  # what sbatch said is what to tell
            write_result(plan.run_dir, refused=error.message)
        raise
    try:
        write_result(plan.run_dir, **_result(taken.job, build))
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
