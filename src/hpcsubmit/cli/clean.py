"""`hpcsubmit clean nodes|data|env`."""

import importlib

import click

from hpcsubmit.errors import UsageError, did_you_mean

WHAT = {
    "nodes": "what jobs left on the nodes' own disks",
    "data": "packed data that have changed since",
    "env": "environments that were superseded or not finished",
}
"""What can be cleaned. Each is `command` in the module clean_NAME, imported when asked for."""


class CleanCommand(click.Group):
    """The commands below `hpcsubmit clean`, each imported when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return what can be cleaned."""
        return list(WHAT)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; raises UsageError for an unknown one, with the nearest name."""
        if cmd_name not in WHAT:
            raise UsageError(f"hpcsubmit clean does not know '{cmd_name}'", did_you_mean(cmd_name, WHAT))
        found: click.Command = importlib.import_module(f"hpcsubmit.cli.clean_{cmd_name}").command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(WHAT.items()))


def _clean(ctx: click.Context) -> None:
    if ctx.invoked_subcommand is None:
        raise UsageError("hpcsubmit clean needs to know what", f"write hpcsubmit clean {' or '.join(WHAT)}")


command = CleanCommand(
    "clean",
    callback=click.pass_context(_clean),
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Remove what nothing needs any more.",
)
