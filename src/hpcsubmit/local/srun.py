"""srun: reads what is asked, takes a step id and runs the step."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.environment import kill_wait
from hpcsubmit.local.job import JobState
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.labels import LabelledOutput
from hpcsubmit.local.processes import Tree
from hpcsubmit.local.running_step import RunningStep
from hpcsubmit.local.signals import FORWARDED, SignalInbox
from hpcsubmit.local.srun_options import parse, plan_step
from hpcsubmit.local.steps import claim_step


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`srun OPTIONS PROGRAM ...` in a job; the tasks' highest exit code, 128 + n for signal n."""
    options = parse(arguments)
    folder = jobs.find(os.environ.get("SLURM_JOB_ID", ""))
    job = folder.job() if folder else None
    if folder is None or job is None:
        raise HpcSubmitError(
            "srun: error: not in a job of the cluster `local`", "call srun in a batch script"
        )
    step = plan_step(options, os.environ, job)
    inbox = SignalInbox(FORWARDED)
    with claim_step(folder) as number:
        standing = folder.standing()
        if standing.state is not JobState.RUNNING:
            raise HpcSubmitError(
                f"srun: error: Slurm job {job.id} has expired",
                "a job that ends starts no more steps: start them before, and let them wait",
            )
        running = RunningStep(
            job=job,
            folder=folder,
            step=replace(step, id=number),
            options=options,
            inbox=inbox,
            scratch=Path(standing.scratch),
            kill_wait=kill_wait(os.environ),
            tree=Tree.adopt(jobs.runners),
            labels=LabelledOutput() if options.label else None,
        )
        return running.run()
