"""`--follow` for arrays: prints each task's log when it ends, and tells how many are left."""

from dataclasses import replace
from functools import partial
from typing import BinaryIO

import click

from hpcsubmit.array_status import summary
from hpcsubmit.cli.commands import INTERRUPTED
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.follow_array import follow_array
from hpcsubmit.plan import Plan
from hpcsubmit.run import read_run
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.submit import Submission


def follow_tasks(
    done: Submission, plan: Plan, scheduler: Scheduler, output: BinaryIO
) -> HpcSubmitError | int:
    """Stay until all tasks have ended; return 0, 130 where the user leaves them, or what went wrong.

    Raises HpcSubmitError where the run's record cannot be read.
    """
    recorded = read_run(plan.run_dir)
    if recorded is None or recorded.array is None:
        raise HpcSubmitError(
            f"the record {plan.run_dir} cannot be read: its tasks are not followed",
            f"see hpcsubmit status {done.job}",
        )
    run = replace(recorded, job=done.job, jobs=done.jobs)
    try:
        followed = follow_array(
            run, scheduler=scheduler, output=output, progress=partial(click.echo, err=True)
        )
    except KeyboardInterrupt:
        click.echo(f"\nrun {run.run_id} goes on; hpcsubmit cancel {run.run_id} ends it", err=True)
        return INTERRUPTED
    if not followed.code:
        return 0
    return HpcSubmitError(
        f"run {run.run_id} did not end well: {summary(followed.statuses)}, exit code {followed.code}",
        f"hpcsubmit status {run.run_id} lists the tasks that failed",
        exit_code=followed.code,
    )
