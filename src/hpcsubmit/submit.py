"""Carries out a plan: the only place where a submission changes anything."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

from hpcsubmit.environments.link import link_to, note_scratch
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

    jobs: all of them, where the trials need more than one array; `job` is the first. line: sbatch's line with
    the job, one for each. remarks: what else sbatch said, "" for nothing. log: the file that the
    job will write. build: the job that builds its environment and that it waits for, None for none.
    """

    job: JobId
    jobs: tuple[JobId, ...]
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
    pause: float = 0,
) -> Submission:
    """Make the folders, write the record, pack the data, build the environment, submit, complete the record.

    The record comes first: what it names is needed from then on, and not cleaned away.
    pack: packs the data of the plan. pause: seconds between two calls of sbatch, where the site wants it.

    Raises HpcSubmitError; a record whose job was refused says so, and one whose sbatch gave no answer stays
    incomplete, for `hpcsubmit runs` to find the job.
    """
    for folder in plan.folders:
        make_folder(folder)
    if plan.virtualenv:  # before the record: who looks for jobs finds it by this
        note_scratch(plan.virtualenv.path, plan.scratch_dir.parent)
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
        taken = _submit_and_record(plan, path, scheduler, build, pause)
    except KeyboardInterrupt:
        raise HpcSubmitError(
            f"interrupted while sbatch was at work: run {plan.run_id} may or may not be submitted",
            "hpcsubmit runs looks for its job; do not submit again before it says what became of it",
            exit_code=INTERRUPTED,
        ) from None
    with suppress(HpcSubmitError, KeyboardInterrupt):  # the record is already good without it
        write_result(plan.run_dir, **_result(taken.jobs, build), code=code_state(project.root, host))
    return Submission(
        job=taken.jobs[0],
        jobs=tuple(taken.jobs),
        line="\n".join(taken.lines),
        remarks="\n".join(taken.remarks),
        log=Path(expand_log(plan.log, taken.jobs[0])),
        build=build,
    )


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


class _Taken(NamedTuple):
    """What sbatch said, of every array so far."""

    jobs: list[JobId]
    lines: list[str]
    remarks: list[str]

    def add(self, accepted: Accepted) -> None:
        self.jobs.append(accepted.job)
        self.lines.append(accepted.line)
        if accepted.remarks:
            self.remarks.append(accepted.remarks)


def _result(jobs: Sequence[JobId], build: JobId | None) -> dict[str, Any]:
    several = {"jobs": [str(job) for job in jobs]} if len(jobs) > 1 else {}
    return {"job": str(jobs[0])} | several | ({"build": str(build)} if build else {})


def _submit_and_record(
    plan: Plan, script: Path, scheduler: Scheduler, build: JobId | None, pause: float
) -> _Taken:
    """Submit every array of the plan, and write what sbatch said at once.

    build: the job that must end well before; where it fails, Slurm removes those that wait for it.
    """
    taken = _Taken([], [], [])
    for options, arguments in _calls(plan, build, taken.jobs):
        if taken.jobs:
            time.sleep(pause)
        try:
            taken.add(scheduler.submit(script, *options, arguments=arguments))
        except Unanswered:
            raise
        except HpcSubmitError as error:
            raise _refused(plan, taken.jobs, scheduler, error) from error
        try:
            write_result(plan.run_dir, **_result(taken.jobs, build))
        except HpcSubmitError as error:  # the job is there: its id must reach the user
            taken.remarks.append(
                f"warning: the record of job {taken.jobs[-1]} is not complete: {error.message}"
            )
    return taken


def _calls(
    plan: Plan, build: JobId | None, before: Sequence[JobId]
) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """The options of sbatch and the arguments of the script, for every array; a single job is one call.

    The script itself says the first array. before: the jobs of the calls that were made.
    Slurm throttles each array by itself, and a site's promise is about all of them: a throttled array waits
    until the one before it has ended, well or not.
    """
    array = plan.trials.array if plan.trials else None
    for block in array.blocks if array else ((0, 0),):
        waits = [f"afterok:{build}"] if build else []
        if array and array.throttle and before:
            waits.append(f"afterany:{before[-1]}")
        options = [f"--dependency={','.join(waits)}"] if waits else []
        options += ["--kill-on-invalid-dep=yes"] if build else []
        if not before:
            yield options, ()
        elif array:
            yield [*options, f"--array={array.spec(block)}"], (str(block[0]),)


def _refused(
    plan: Plan, jobs: Sequence[JobId], scheduler: Scheduler, error: HpcSubmitError
) -> HpcSubmitError:
    """Record what sbatch said, and end the arrays that it took before: a part of the trials is none."""
    with suppress(HpcSubmitError):  # what sbatch said is what to tell
        write_result(plan.run_dir, refused=error.message)
    left = []
    if jobs:
        from hpcsubmit.queue import cancel  # late: for failures alone
    for job in reversed(jobs):  # an array may wait for the end of the one before it
        try:
            cancel(scheduler, job)
        except HpcSubmitError:
            left.append(str(job))
    if left:
        with suppress(HpcSubmitError):
            write_result(plan.run_dir, **_result(jobs, None), refused=error.message)
        hint = f"end what is left of it first: scancel {' '.join(left)}"
        return HpcSubmitError(f"{error.message}; of its arrays some were taken", hint)
    return error


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
