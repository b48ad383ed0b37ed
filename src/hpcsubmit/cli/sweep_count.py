"""The question for the number of a sweep's runs."""

import sys

import click

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.values import positive_int


def ask_number(proposed: int | None) -> int:
    """Ask on stderr and read the answer from stdin, a terminal or not.

    proposed: what an empty answer stands for, None for nothing. A wrong answer is asked again on a terminal;
    raises UsageError for one elsewhere, HpcSubmitError at the end of the input.
    """
    while True:
        click.echo(f"Number of sweeps{f' [{proposed}]' if proposed else ''}: ", nl=False, err=True)
        line = sys.stdin.readline() if sys.stdin else ""
        terminal = bool(sys.stdin and sys.stdin.isatty())
        if not (terminal and line.endswith("\n")):  # nobody has ended the line on the screen
            click.echo(err=True)
        if not line:
            raise HpcSubmitError(
                "the number of sweeps was asked for, and the input ended", "give it: --num-sweeps 8"
            )
        if not line.strip() and proposed:
            return proposed
        try:
            return positive_int(line.strip(), "the number of sweeps")
        except UsageError as error:
            hint = "answer with a whole number above 0"
            if not terminal:
                raise UsageError(error.message, hint) from error
            click.echo(f"{error.message}: {hint}", err=True)
