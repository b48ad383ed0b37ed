"""Finds the command, runs it, and turns every error into its two lines and its exit code."""

import importlib
import os
import shlex
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path

import click

from hpcsubmit.cli.commands import COMMANDS, INTERRUPTED
from hpcsubmit.cli.options import StrayWord, option_names
from hpcsubmit.errors import HpcSubmitError, UsageError, did_you_mean

BUG = 3


def run(argv: Sequence[str]) -> int:
    """Run one command line; return the exit code of A2. Never raises."""
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files need not be UTF-8
    try:
        return _dispatch(list(argv))
    except HpcSubmitError as error:
        return _tell(error)
    except click.UsageError as error:
        return _tell(_in_our_words(error))
    except (KeyboardInterrupt, click.Abort):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # or Python fails at its own flush
        return 1
    except OSError as error:
        return _tell(_of_the_system(error)) if error.errno else _tell_bug(error)
    except Exception as error:  # noqa: BLE001 - the boundary: whatever is left is a bug of ours
        return _tell_bug(error)


def _dispatch(argv: list[str]) -> int:
    name = "submit"
    if argv and not argv[0].startswith("-"):
        name = argv.pop(0)
        if name not in COMMANDS:
            raise _unknown_command(name)
    command: click.Command = importlib.import_module(f"hpcsubmit.cli.{name}").command
    prog = "hpcsubmit" if name == "submit" else f"hpcsubmit {name}"
    try:
        return command.main(args=list(argv), prog_name=prog, standalone_mode=False) or 0
    except (click.NoSuchOption, StrayWord) as error:
        late = _late_command(argv, command) if name == "submit" else 0
        if not late:
            raise
        right = shlex.join(("hpcsubmit", *argv[late:]))
        hint = f"write {right}, and behind it what it takes of {shlex.join(argv[:late])}"
        raise UsageError(f"the command '{argv[late]}' stands behind options", hint) from error


def _late_command(argv: Sequence[str], command: click.Command) -> int:
    """The place of a command behind options, which is no value of theirs and no option's name; 0 for none."""
    options = (p for p in command.params if isinstance(p, click.Option) and not p.is_flag)
    with_value = {name for option in options for name in (*option.opts, *getattr(option, "also", ()))}
    meant = {word for word in COMMANDS if f"--{word}" not in with_value}
    return next((at for at, word in enumerate(argv) if word in meant and argv[at - 1] not in with_value), 0)


def _unknown_command(name: str) -> UsageError:
    from hpcsubmit.cli.submit import command  # late: for mistakes alone

    known = [*COMMANDS, *option_names(command)]
    return UsageError(f"there is no command '{name}'", did_you_mean(name, known))


def _in_our_words(error: click.UsageError) -> UsageError:
    """Rewrite what click found wrong: one line, and the nearest right spelling as the hint."""
    if error.ctx and isinstance(error, click.NoSuchOption):
        hint = did_you_mean(error.option_name, option_names(error.ctx.command))
        return UsageError(f"there is no option {error.option_name}", hint)
    if error.ctx and isinstance(error, click.BadOptionUsage):
        return _wrong_number_of_values(error.option_name, error.ctx)
    message = error.format_message().rstrip(".")
    name = error.ctx.command_path if error.ctx else "hpcsubmit"
    return UsageError(message[:1].lower() + message[1:], f"see {name} --help")


def _wrong_number_of_values(name: str, ctx: click.Context) -> UsageError:
    """An option without its value, or a flag with one."""
    option = next(p for p in ctx.command.params if name in (*p.opts, *getattr(p, "also", ())))
    if isinstance(option, click.Option) and option.is_flag:
        return UsageError(f"{name} takes no value", f"write {name} alone")
    meaning = getattr(option, "help", None)
    hint = f"write {name} {option.make_metavar(ctx)}" + (f": {meaning.rstrip('.')}" if meaning else "")
    return UsageError(f"{name} has no value", hint)


def _of_the_system(error: OSError) -> HpcSubmitError:
    """What the system refused and no module expected: a folder that is closed, a full disk under stdout."""
    return HpcSubmitError(
        f"{error.filename or 'the output'}: {error.strerror}",
        "check that it is there, its permissions and the space left",
    )


def _tell(error: HpcSubmitError) -> int:
    with suppress(OSError):  # stderr itself may be what is broken
        click.echo(f"error: {' '.join(error.message.splitlines())}", err=True)
        if error.hint:
            click.echo(f"hint: {error.hint}", err=True)
    return error.exit_code


def _tell_bug(error: Exception) -> int:
    import tempfile  # late: for bugs alone
    import traceback

    text = "".join(traceback.format_exception(error))
    name = f"hpcsubmit-bug-{datetime.now(UTC):%Y%m%d-%H%M%S}-"
    try:
        descriptor, path = tempfile.mkstemp(prefix=name, suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError:
        path = ""
        click.echo(text, err=True)
    where = f"; the traceback is in {Path(path)}" if path else ""
    click.echo(f"error: a bug in hpcsubmit: {type(error).__name__}{where}", err=True)
    click.echo("hint: send that file to the developers of hpcsubmit, with the command you typed", err=True)
    return BUG
