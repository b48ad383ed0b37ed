"""A command with further ones below it, each imported when it is asked for."""

import importlib
from collections.abc import Mapping

import click

from hpcsubmit.errors import UsageError, did_you_mean


class LazyGroup(click.Group):
    """`hpcsubmit NAME PART`, PART being `command` in the module cli/NAME_PART.

    parts: what there is, with a line of help each. shared: the modules of those that are in their `commands`.
    """

    def __init__(
        self,
        name: str,
        parts: Mapping[str, str],
        help: str,  # noqa: A002 - click's word
        shared: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(
            name,
            callback=click.pass_context(self._alone),
            invoke_without_command=True,
            context_settings={"help_option_names": ["-h", "--help"]},
            help=help,
        )
        self.parts = parts
        self.shared = shared or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the commands below this one."""
        return list(self.parts)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command; raises UsageError for an unknown one, with the nearest name."""
        if cmd_name not in self.parts:
            hint = did_you_mean(cmd_name, self.parts)
            raise UsageError(f"hpcsubmit {self.name} does not know '{cmd_name}'", hint)
        module = importlib.import_module(
            f"hpcsubmit.cli.{self.shared.get(cmd_name, f'{self.name}_{cmd_name}')}"
        )
        found: click.Command = module.commands[cmd_name] if cmd_name in self.shared else module.command
        return found

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self.parts.items()))

    def _alone(self, ctx: click.Context) -> None:
        if ctx.invoked_subcommand is None:
            whole = f"hpcsubmit {self.name}"
            raise UsageError(f"{whole} needs to know what", f"write {whole} {' or '.join(self.parts)}")
