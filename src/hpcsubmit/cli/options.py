"""The options of a submission: their spellings, values and help."""

from collections.abc import Callable, Sequence
from typing import Any

import click

from hpcsubmit.errors import UsageError, did_you_mean
from hpcsubmit.request import LAUNCHER_NAMES, Launcher


class Value(click.ParamType[Any]):
    """An option's value that a function reads; the function raises UsageError."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name = name
        self._parse = parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Return the parsed value."""
        return self._parse(value) if isinstance(value, str) else value


class Option(click.Option):
    """An option with further spellings that are accepted and not shown in the help.

    shown_default: what the help says of the value where the option is not given.
    """

    def __init__(self, *args: Any, also: Sequence[str] = (), shown_default: str = "", **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.also = tuple(also)
        self.shown_default = shown_default

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """Give the parser all spellings."""
        shown = self.opts
        self.opts = [*shown, *self.also]
        super().add_to_parser(parser, ctx)
        self.opts = shown

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Return the option's line of the help, with its default."""
        record = super().get_help_record(ctx)
        if record is None or not self.shown_default:
            return record
        return record[0], f"{record[1]} [default: {self.shown_default}]"


class StrayWord(UsageError):
    """A word that is neither an option nor the value of one."""


class GreedyCommand(click.Command):
    """A command whose options named in `greedy` take every word up to the next option."""

    greedy = ("-d", "--data", "--collect")

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat a greedy option before each of its words, then let click read them."""
        ctx.allow_extra_args = True  # so that it is not click who names the first of them
        try:
            stray = super().parse_args(ctx, spread(args, self.greedy))
        except click.BadOptionUsage as error:
            error.ctx = error.ctx or ctx  # which click 8.2 forgets
            raise
        if stray:
            hint = f"{did_you_mean(stray[0], option_names(self))} a value stands behind its option"
            raise StrayWord(f"'{stray[0]}' belongs to no option", hint)
        return stray


def option_names(command: click.Command) -> list[str]:
    """Return the spellings of a command's options that its help shows."""
    shown = (p for p in command.params if isinstance(p, click.Option) and not p.hidden)
    return ["--help", *(name for option in shown for name in option.opts)]


def spread(args: Sequence[str], greedy: Sequence[str]) -> list[str]:
    """Rewrite `--data a b` as `--data a --data b`; a word that begins with `-` ends the list."""
    found: list[str] = []
    current = ""
    for position, word in enumerate(args):
        name, equals, _ = word.partition("=")
        if current and not word.startswith("-"):
            found += [current, word]
        elif word in greedy:
            current = word
            following = args[position + 1 : position + 2]
            if not following or following[0].startswith("-"):
                found.append(word)  # click says that its value is missing
        else:
            current = name if equals and name in greedy else ""
            found.append(word)
    return found


def parse_launcher(text: str) -> Launcher:
    """Read --which-distributed; raises UsageError with the nearest name."""
    if text not in LAUNCHER_NAMES:
        hint = f"{did_you_mean(text, LAUNCHER_NAMES)} there are {', '.join(LAUNCHER_NAMES)}"
        raise UsageError(f"--which-distributed cannot be '{text}'", hint)
    return LAUNCHER_NAMES[text]


def parse_name(option: str) -> Callable[[str], str]:
    """Return a reader of names of accounts, partitions, GPU types and clusters."""

    def parse(text: str) -> str:
        if not text or not all(c.isascii() and (c.isalnum() or c in "._-+:@,") for c in text):
            raise UsageError(f"{option} cannot be '{text}'", "use letters, digits, . _ - and +")
        if text.startswith("-"):
            raise UsageError(f"{option} has no value: '{text}' is an option", f"write {option}=NAME")
        return text

    return parse
