"""`--follow`: stays with a job, and turns its end into an exit code or an error."""

from typing import BinaryIO

import click

from hpcsubmit.cli.commands import INTERRUPTED
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.follow import Followed, follow
from hpcsubmit.host import Host
from hpcsubmit.plan import Plan
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from hpcsubmit.submit import Submission


def follow_job(done: Submission, plan: Plan, scheduler: Scheduler, host: Host, output: BinaryIO) -> int:
    """Copy the job's output until it ends; return 0, or 130 where the user leaves it.

    Of arrays the log of each task is printed when it ends. Raises HpcSubmitError, with the job's exit code
    or that of the first task that failed, where it ended otherwise.
    """
    if plan.trials:
        return _follow_tasks(done, plan, scheduler, host, output)
    try:
        followed = follow(done.job, log=done.log, run_dir=plan.run_dir, scheduler=scheduler, output=output)
    except KeyboardInterrupt:
        click.echo(f"\njob {done.job} goes on; hpcsubmit cancel {done.job} ends it", err=True)
        return INTERRUPTED
    if followed.code != 0:
        raise _failed(followed, done, plan, host)
    return 0


def _follow_tasks(done: Submission, plan: Plan, scheduler: Scheduler, host: Host, output: BinaryIO) -> int:
    from hpcsubmit.cli.following_array import follow_tasks  # late: for arrays alone

    ended = follow_tasks(done, plan, scheduler, output)
    if isinstance(ended, int):
        return ended
    raise (_of_build(done.build, plan, host) if done.build else None) or ended


def _failed(followed: Followed, done: Submission, plan: Plan, host: Host) -> HpcSubmitError:
    if done.build and (error := _of_build(done.build, plan, host)):
        return error
    state = followed.status.state.value if followed.status else "ended"
    return HpcSubmitError(
        f"job {done.job} is {state}, exit code {followed.code}",
        f"its whole output is in {done.log}",
        exit_code=followed.code,
    )


def _of_build(build: JobId, plan: Plan, host: Host) -> HpcSubmitError | None:
    """The error of a job that never ran since its environment could not be built; None for another end."""
    from hpcsubmit.environments.job import failure  # late: for failed builds alone

    failed = failure(plan.virtualenv.path, build, host) if plan.virtualenv else None
    if failed is None:
        return None
    click.echo("".join(f"  {line}\n" for line in failed.lines), nl=False, err=True)
    return HpcSubmitError(f"the job did not run: {failed.message}", failed.hint)
