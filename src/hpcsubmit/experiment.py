"""The experiment file: one bash command, kept as it is written, and what hpcsubmit must know of it."""

import re
import shlex
from dataclasses import replace
from pathlib import Path, PurePosixPath

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.shellwords import SCRIPT_HINT, Word, split_words

LARGEST_FILE = 1_000_000
"""Bytes; a command cannot be longer on Linux anyway (a program's words share 2 MB with its environment)."""

_ASSIGNMENT = r"([A-Za-z_][A-Za-z0-9_]*)\+?="
_ARRAY_ELEMENT = r"[A-Za-z_][A-Za-z0-9_]*\["
_PYTHON = r"(?s)(?:.*/)?python(?:3(?:\.[0-9]+)?)?"
_NEGATIVE_NUMBER = r"-[0-9.]"
_RESERVED = frozenset(
    (*("!", "[[", "]]", "{", "}", "case", "coproc", "do", "done", "elif", "else", "esac", "fi", "for", "if"),
     *("function", "in", "select", "then", "time", "until", "while"))
)  # fmt: skip
# Builtins whose arguments bash reads as assignments; none of them is a program.
_DECLARATIONS = frozenset(("alias", "declare", "eval", "export", "let", "local", "readonly", "typeset"))


@frozen
class Command:
    """One simple command.

    assignments: the leading NAME=value (or NAME+=value) words. In a script they stand as `NAME=value` and
        `export NAME`: `export NAME=value` would expand braces, which an assignment does not.
    words: the program and its arguments, at least one. A word may hold a newline inside quotes.
    source: the file that it comes from, for messages.
    """

    assignments: tuple[Word, ...] = ()
    words: tuple[Word, ...]
    source: Path

    @property
    def text(self) -> str:
        """The command as bash source: assignments and words as written, joined by one blank."""
        return " ".join(word.raw for word in (*self.assignments, *self.words))

    @property
    def assigned_names(self) -> tuple[str, ...]:
        """The names of the variables that the assignments set, in order."""
        found = (re.match(_ASSIGNMENT, word.raw) for word in self.assignments)
        return tuple(match[1] for match in found if match)

    @property
    def program(self) -> str:
        """The first word: its value where that is known now, its source otherwise."""
        return _shown(self.words[0])

    @property
    def python_word(self) -> bool:
        """Whether the program's base name is python, python3 or python3.N; `$VENV/bin/python` is one."""
        return bool(re.fullmatch(_PYTHON, _shown(self.words[0])))

    @property
    def starts_wandb_agent(self) -> bool:
        """Whether it is `wandb agent ...` or `python -m wandb agent ...`, -m after options such as -u."""
        words = [_shown(word) for word in self.words]
        if "agent" not in words:
            return False
        if not self.python_word:
            return PurePosixPath(words[0]).name == "wandb" and words[1] == "agent"
        from hpcsubmit.trial import python_runs  # late: few commands name an agent

        run = python_runs(words[1:])
        return run is not None and run[:2] == ("module", "wandb") and words[run.at + 2 :][:1] == ["agent"]

    def without_flags(self, names: tuple[str, ...]) -> "Command":
        """Remove `--x V` and `--x=V` for each name `--x`, up to a bare `--`, and nothing else.

        A flag's value is the next word, unless that is missing or an option itself: `--gpus --lr 1` keeps
        `--lr 1`, while in `--gpus -1` the number is the value.
        """
        kept = [self.words[0]]
        arguments = list(self.words[1:])
        while arguments:
            word = arguments.pop(0)
            if word.literal == "--":
                kept += [word, *arguments]
                break
            if word.literal in names:
                del arguments[: 1 if arguments and _is_value(arguments[0]) else 0]
            elif not any(word.begins_with(f"{name}=") for name in names):
                kept.append(word)
        return replace(self, words=tuple(kept))

    def with_words(self, *literals: str) -> "Command":
        """Append words that the program receives exactly as given."""
        added = (Word(raw=shlex.quote(literal), literal=literal) for literal in literals)
        return replace(self, words=(*self.words, *added))


def read_command_file(path: Path) -> Command:
    """Read an experiment file: UTF-8, with or without a BOM, at most LARGEST_FILE bytes.

    Raises HpcSubmitError where it cannot be read, and as read_command does.
    """
    data = _start_of(path)
    if len(data) > LARGEST_FILE:
        hint = "give the file that holds the command; a very long list belongs into a file of its own"
        raise HpcSubmitError(f"{path} is larger than {LARGEST_FILE} bytes", hint)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise HpcSubmitError(f"{path}, line {line}: not UTF-8 text", "save the file as UTF-8") from None
    return read_command(text, path)


def read_command(text: str, source: Path) -> Command:
    """Read the one simple command in text; source names the file in messages.

    Raises HpcSubmitError, with the line, for anything else than one command that starts a program.
    """
    words = split_words(text, source)
    if not words:
        hint = "write the command into it, for example: python main.py --train"
        raise HpcSubmitError(f"{source}: there is no command in it", hint)
    count = next((i for i, word in enumerate(words) if not re.match(_ASSIGNMENT, word.raw)), len(words))
    if count == len(words):
        hint = f"write the program behind {words[-1].raw!r:.40}, on the same line"
        raise HpcSubmitError(f"{source}, line {words[0].line}: variables are set for no program", hint)
    _check_program(words[count], source)
    return Command(assignments=words[:count], words=words[count:], source=source)


def _start_of(path: Path) -> bytes:
    """Read one byte more than is allowed, at most."""
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_FILE + 1)
    except FileNotFoundError:
        hint = "write the command into it, for example: python main.py --train"
        raise HpcSubmitError(f"{path}: there is no such experiment file", hint) from None
    except IsADirectoryError:
        raise HpcSubmitError(f"{path} is a folder", "give the file in it that holds the command") from None
    except OSError as error:
        hint = "check the path, and that you may read the file"
        raise HpcSubmitError(f"{path} cannot be read: {error.strerror}", hint) from error


def _check_program(word: Word, source: Path) -> None:
    """Raise HpcSubmitError where the first word starts no program."""
    shown = _shown(word)
    if shown.endswith(".py"):
        problem, hint = f"{shown} is not a program", f"write python before it: python {word.raw}"
    elif word.raw in _RESERVED:
        problem, hint = f"{shown} is a word of the shell's grammar, not a program", SCRIPT_HINT
    elif word.raw in _DECLARATIONS:
        problem = f"{shown} is a command of the shell, not a program"
        hint = "write NAME=value before the program to set a variable for it"
    elif "[" in word.raw and re.match(_ARRAY_ELEMENT, word.raw):
        problem, hint = f"{shown} begins like an array element, not like a program", SCRIPT_HINT
    elif not shown:
        problem, hint = "the program is an empty word", "write the program first: python main.py"
    else:
        return
    raise HpcSubmitError(f"{source}, line {word.line}: {problem}", hint)


def _shown(word: Word) -> str:
    """Show the word's value where it is known now, otherwise its source less the quotes around it."""
    return word.raw.strip("\"'") if word.literal is None else word.literal


def _is_value(word: Word) -> bool:
    return not word.begins_with("-") or bool(re.match(_NEGATIVE_NUMBER, word.literal or ""))
