"""`hpcsubmit sweep rerun RUN`."""

import os
import sys
from typing import Any

import click

from hpcsubmit.cli.asked import MEMORY
from hpcsubmit.cli.options import Option, Value
from hpcsubmit.cli.question import agreed
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import find_run
from hpcsubmit.host import Host
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.sweeps.rerun import rerun, trials_to_rerun
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.values import Walltime


def _rerun(word: str, *, failed: bool, yes: bool, parsable: bool, **overrides: Any) -> None:
    host = Host(environ=dict(os.environ))
    run = find_run(word, host, host.folder())
    scheduler = scheduler_for(run.scheduler, host)
    trials = read_trials(run.folder, points=0).trials  # those of a sweep on a server too: by their numbers
    chosen = trials_to_rerun(run, trials, scheduler, failed=failed)
    shown = ", ".join(map(str, chosen[:20])) + (f", ... {chosen[-1]}" if len(chosen) > 20 else "")
    click.echo(f"run again: {len(chosen)} of {len(trials)} trials of {run.run_id}: {shown}", err=True)
    if not yes and sys.stdin and sys.stdin.isatty() and not agreed("Submit?"):
        raise HpcSubmitError("not submitted, as you answered", "add --yes to submit without the question")
    asked = {name: value for name, value in overrides.items() if value is not None}
    options = [f"--{name.replace('_', '-')}={value}" for name, value in asked.items()]
    for taken in rerun(run, chosen, scheduler, options):
        if taken.remarks:
            click.echo(taken.remarks, err=True)
        click.echo(str(taken.job) if parsable else taken.line)


command = click.Command(
    "rerun",
    callback=_rerun,
    params=[
        click.Argument(["word"], metavar="RUN|JOB"),
        click.Option(
            ["--failed"], is_flag=True,
            help="Only trials that began: they failed, were cancelled or out of time. Without it also those "
            "that never began, once nothing of the run is in the queue.",
        ),
        Option(["-t", "--time"], type=Value("dd-HH:MM:SS", Walltime.parse), help="Another time limit."),
        Option(["-m", "--mem-per-gpu"], type=MEMORY, help="Another amount of memory per GPU."),
        click.Option(["-y", "--yes"], is_flag=True, help="Do not ask before submitting."),
        click.Option(["--parsable"], is_flag=True, help="Print the job ids alone."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Submit the trials of a sweep, or of repeats, again that have no result. They keep their numbers, "
    "parameters and folders: a program that finds its checkpoint in $OUTPUT_DIR goes on from there.",
)  # fmt: skip
