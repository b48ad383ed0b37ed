"""`hpcsubmit sweep stop|cancel|pause|resume ID`."""

import os
from functools import partial

import click

from hpcsubmit.cli.sweep_named import named_sweep
from hpcsubmit.host import Host
from hpcsubmit.sweeps.server import set_state

_HELP = {
    "stop": "Start no more runs of a sweep; those that are running end by themselves.",
    "cancel": "End a sweep: its agents end their runs.",
    "pause": "Start no more runs of a sweep for now; its agents wait.",
    "resume": "Start runs again of a sweep that was paused or stopped.",
}


def _change(to: str, *, word: str) -> None:
    host = Host(environ=dict(os.environ))
    sweep, environment = named_sweep(word, host)
    state = set_state(sweep, to, host, environment)
    click.echo(f"{sweep} is {state.lower()}")
    if to in ("stop", "cancel"):
        click.echo("its jobs that still wait will find no run left; hpcsubmit cancel RUN ends them", err=True)


commands = {
    name: click.Command(
        name,
        callback=partial(_change, name),
        params=[click.Argument(["word"], metavar="SWEEP|RUN|JOB")],
        context_settings={"help_option_names": ["-h", "--help"]},
        help=text,
    )
    for name, text in _HELP.items()
}
