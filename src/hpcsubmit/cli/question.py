"""The question before something that cannot be taken back."""

import sys

import click

from hpcsubmit.errors import HpcSubmitError


def agreed(question: str) -> bool:
    """Ask on the terminal; only y and yes agree, and the end of the input does not."""
    click.echo(f"{question} [y/N] ", nl=False, err=True)
    answer = sys.stdin.buffer.readline()
    if not answer.endswith(b"\n"):
        click.echo(err=True)
    return answer.strip().lower() in (b"y", b"yes")


def require_agreement(question: str, *, yes: bool) -> None:
    """Return where the user agrees, by --yes or on a terminal; raises HpcSubmitError where not."""
    if yes:
        return
    if not (sys.stdin and sys.stdin.isatty()):
        raise HpcSubmitError(
            "nothing is removed without a terminal to ask on", "add --yes to remove what is listed above"
        )
    if not agreed(question):
        raise HpcSubmitError(
            "nothing is removed, as you answered", "add --yes to remove without the question"
        )
