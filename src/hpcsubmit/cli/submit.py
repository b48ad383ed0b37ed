"""`hpcsubmit [OPTIONS]`, which is also `hpcsubmit submit [OPTIONS]`."""

from typing import Any

import click

from hpcsubmit import __version__
from hpcsubmit.cli.asked import OPTIONS, request_of
from hpcsubmit.cli.commands import COMMANDS
from hpcsubmit.cli.options import GreedyCommand
from hpcsubmit.cli.submission import carried_out, desk_of, made_ready, request_at, shown


def _submit(**options: Any) -> int:
    asked = request_of(options)
    desk = desk_of(options)
    ready = made_ready(request_at(options, desk, asked), desk)
    return carried_out(ready, desk) if shown([ready], desk) else 0


def _version(ctx: click.Context, param: click.Parameter, asked: Any) -> None:  # noqa: ARG001 - click's
    if asked:
        click.echo(f"hpcsubmit {__version__}")
        ctx.exit()


def _help(ctx: click.Context, param: click.Parameter, asked: Any) -> None:  # noqa: ARG001 - click's
    if asked:
        click.echo(ctx.get_help())
        ctx.exit()


class SubmitCommand(GreedyCommand):
    """The command that submits; its help also lists the other commands."""

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands after the options."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, text in COMMANDS.items()])


command = SubmitCommand(
    "submit",
    callback=_submit,
    params=[
        *OPTIONS,
        click.Option(
            ["--version"], is_flag=True, expose_value=False, is_eager=True, help="Print the version.",
            callback=_version,
        ),
        click.Option(  # click's own looks for translations of its text: 0.7 ms at every start
            ["-h", "--help"], is_flag=True, expose_value=False, is_eager=True, callback=_help,
            help="Show this message and exit.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Submit the project of the current folder as a Slurm job: the command in "
    "experiment_configurations.txt, on as many GPUs and nodes as you ask for.",
)  # fmt: skip
