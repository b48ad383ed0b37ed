"""Splits one simple bash command into its words, and refuses what bash would make more of.

The rules are those of bash(1), "QUOTING", "EXPANSION" and "SHELL GRAMMAR". Where bash's reading depends on
finer points (quotes inside "${x:-...}", say) the word is refused: what is accepted, bash reads the same way.
"""

import re
from bisect import bisect_left
from dataclasses import field
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen

SCRIPT_HINT = (
    "put it in a script, say run.sh, and write here: bash run.sh (to pass such characters to the program, "
    "write them in single quotes)"
)
_SHELL_SYNTAX = {
    "|": "a pipe (|)",
    "&": "an & (a second command)",
    ";": "a ; (a second command)",
    "<": "a redirection (<)",
    ">": "a redirection (>)",
    "(": "a ( (a subshell or an array)",
    ")": "a ) (the end of a subshell or an array)",
    "`": "a command in back-ticks",
}
# What bash may expand where it is not quoted; wider than bash, which wants a whole pattern or {a,b}.
_EXPANDED = frozenset("*?[{~")
_CONTROL = r"[\x00-\x08\x0b-\x1f\x7f-\x9f]"
_ANSI_C_QUOTED = r"(?s)'(?:[^\\']|\\.)*'"
_COMMENT_LINE = r"[ \t]*#[^\n]*\n"
_BLANKS_AFTER_BACKSLASH = r"\\[ \t]+\n"
_ARITHMETIC = r"[A-Za-z0-9_ \t+*/%<>=!&|^~?:,()-]"
# Not `${ command; }` (bash 5.3), an array, a positional parameter or `${x@P}`, which may all mean more.
_PARAMETER = r"(?s)\{[#!]?[A-Za-z_][A-Za-z0-9_]*(?:[:=+?#%/^,-].*)?\}"


@frozen
class Word:
    """One word of a command.

    raw: its bash source, quotes kept, continued lines joined.
    literal: what the program receives, or None where bash may expand it ($, unquoted * ? [ { ~, $'...').
    line: where it begins in its file, from 1; 0 for a word that was added.
    """

    raw: str
    literal: str | None
    line: int = field(default=0, compare=False)

    def begins_with(self, text: str) -> bool:
        """Whether the word surely begins with text, whatever bash expands behind it."""
        known = re.sub(r"\A[\"']", "", self.raw) if self.literal is None else self.literal
        return known.startswith(text)


def split_words(text: str, source: Path) -> tuple[Word, ...]:
    """Split the text of a file that holds at most one command; comments and blank lines are dropped.

    Raises HpcSubmitError, naming source and line, for a second command and for all shell syntax beyond words.
    """
    reader = _Reader(text.removeprefix("\ufeff").replace("\r\n", "\n") + "\n", source)
    try:
        return reader.words()
    except RecursionError:
        raise HpcSubmitError(f"{source}: $ expressions are nested too deeply", SCRIPT_HINT) from None


class _Reader:
    """Reads from left to right, as bash does: a backslash-newline vanishes before anything looks at it."""

    def __init__(self, text: str, source: Path) -> None:
        self._text = text
        self._source = source
        self._line_ends = [found.start() for found in re.finditer("\n", text)]
        self._at = 0
        self._raw: list[str] = []
        self._literal: list[str] = []
        self._expands = False

    def words(self) -> tuple[Word, ...]:
        """All words of the one command."""
        if found := re.search(_CONTROL, self._text):
            hint = "delete it; only blanks, tabs and line ends separate words"
            raise self._error(found.start(), f"a control character ({found[0]!r})", hint)
        words: list[Word] = []
        ended = False
        while char := self._peek_past_comments():
            if char == "#":
                self._at = self._text.index("\n", self._at)
            elif char in " \t\n":
                ended = ended or (char == "\n" and bool(words))
                self._at += 1
            elif ended:
                raise self._second_command(words[-1])
            else:
                words.append(self._word())
        return tuple(words)

    def _word(self) -> Word:
        start = self._at
        self._raw, self._literal, self._expands = [], [], False
        while (char := self._peek()) and char not in " \t\n":
            self._part(char)
        literal = None if self._expands else "".join(self._literal)
        return Word(raw="".join(self._raw), literal=literal, line=self._line(start))

    def _part(self, char: str) -> None:
        if char == "'":
            self._single_quoted()
        elif char == '"':
            self._double_quoted()
        elif char == "\\":
            self._escaped()
        elif char == "$":
            self._dollar(in_double=False)
        elif char in _SHELL_SYNTAX:
            raise self._refused(self._at, _SHELL_SYNTAX[char])
        else:
            self._expands = self._expands or char in _EXPANDED
            self._keep(char, char)

    def _single_quoted(self) -> None:
        end = self._text.find("'", self._at + 1)
        if end < 0:
            raise self._unclosed(self._at, "'", "a closing '")
        chunk = self._text[self._at : end + 1]
        self._keep(chunk, chunk[1:-1])

    def _double_quoted(self) -> None:
        opened = self._at
        self._keep('"', "")
        while (char := self._peek()) != '"':
            if not char:
                raise self._unclosed(opened, '"', 'a closing "')
            if char == "$":
                self._dollar(in_double=True)
            elif char == "`":
                raise self._refused(self._at, _SHELL_SYNTAX[char])
            elif char == "\\":
                pair = self._text[self._at : self._at + 2]
                self._keep(pair, pair[1] if pair[1] in '$`"\\' else pair)
            else:
                self._keep(char, char)
        self._keep('"', "")

    def _escaped(self) -> None:
        if re.compile(_BLANKS_AFTER_BACKSLASH).match(self._text, self._at):
            hint = "delete the blanks after the backslash: only a backslash at the very end continues a line"
            raise self._error(self._at, "blanks follow the backslash at the line's end", hint)
        pair = self._text[self._at : self._at + 2]
        self._keep(pair, pair[1])

    def _dollar(self, *, in_double: bool) -> None:
        opened = self._at
        self._expands = True
        self._keep("$", "")
        char = self._peek()
        if char == "(":
            self._arithmetic(opened)
        elif char == "{":
            self._parameter(opened, in_double=in_double)
        elif char == "'" and not in_double:
            self._ansi_c_quoted(opened)
        elif char == "$":
            # The two are the shell's process id: the second begins no expansion of its own.
            self._keep("$", "")
            if self._peek() == "(":
                raise self._refused(self._at, _SHELL_SYNTAX["("])
        elif char == "[" or (char and char in "0123456789@*#"):
            hint = (
                f"write '${char}' in single quotes for the characters themselves, and $((...)) for arithmetic"
            )
            raise self._error(opened, f"${char} means nothing here: the command is not in a script", hint)

    def _ansi_c_quoted(self, opened: int) -> None:
        found = re.compile(_ANSI_C_QUOTED).match(self._text, self._at)
        if not found:
            raise self._unclosed(opened, "$'", "a closing '")
        self._keep(found[0], "")

    def _arithmetic(self, opened: int) -> None:
        self._keep("(", "")
        if self._peek() != "(":
            raise self._refused(opened, "a command in $(...)")
        self._keep("(", "")
        depth = 2
        while depth:
            char = self._peek()
            if char == "$":
                self._dollar(in_double=True)
                continue
            # The last two must touch: `$((a) )` is a subshell in a command substitution.
            apart = char == ")" and depth == 2 and not self._text.startswith("))", self._at)
            if apart or not re.match(_ARITHMETIC, char):
                raise self._refused(opened, "more than arithmetic in $((...))")
            depth += {"(": 1, ")": -1}.get(char, 0)
            self._keep(char, "")

    def _parameter(self, opened: int, *, in_double: bool) -> None:
        first = len(self._raw)
        while (char := self._peek()) != "}":
            if not char:
                raise self._unclosed(opened, "${", "a closing }")
            if char in "(`" or (in_double and char in "'\"\\"):
                raise self._refused(self._at, f"{char} inside " + ('"${...}"' if in_double else "${...}"))
            if char == "$":
                self._dollar(in_double=in_double)
            elif char in "'\"\\":
                self._part(char)
            else:
                self._keep(char, "")
        self._keep("}", "")
        inside = "".join(self._raw[first:])
        if not re.fullmatch(_PARAMETER, inside):
            raise self._refused(opened, f"${inside!s:.40}, which is no plain variable")

    def _peek_past_comments(self) -> str:
        """As _peek, between words: a comment line behind a backslash is dropped, and the command goes on.

        bash would end the command there; people comment out single options of a long command.
        """
        while self._text.startswith("\\\n", self._at):
            self._at += 2
            while found := re.compile(_COMMENT_LINE).match(self._text, self._at):
                self._at = found.end()
        return self._peek()

    def _peek(self) -> str:
        """Look at the next character behind continued lines, "" at the end."""
        while self._text.startswith("\\\n", self._at):
            self._at += 2
        return self._text[self._at : self._at + 1]

    def _keep(self, raw: str, literal: str) -> None:
        """Take raw, which lies at the reading point, into the word."""
        self._raw.append(raw)
        self._literal.append(literal)
        self._at += len(raw)

    def _line(self, at: int) -> int:
        return bisect_left(self._line_ends, at) + 1

    def _error(self, at: int, message: str, hint: str) -> HpcSubmitError:
        return HpcSubmitError(f"{self._source}, line {self._line(at)}: {message}", hint)

    def _refused(self, at: int, what: str) -> HpcSubmitError:
        return self._error(at, f"{what}, but the file holds one simple command", SCRIPT_HINT)

    def _unclosed(self, at: int, opening: str, closing: str) -> HpcSubmitError:
        return self._error(
            at, f"{opening} is never closed", f"add {closing}, or write \\ before the {opening}"
        )

    def _second_command(self, last: Word) -> HpcSubmitError:
        hint = (
            f"end the line of {last.raw!r:.40} with a backslash to continue it, "
            "or put the commands in a script, say run.sh, and write: bash run.sh"
        )
        return self._error(self._at, "a second command, but the file holds one", hint)
