"""What experiment.py makes of a command is what a real bash makes of it."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import read_command

BASH = shutil.which("bash") or ""
pytestmark = pytest.mark.skipif(not BASH, reason="there is no bash")
SOURCE = Path("experiment_configurations.txt")

# For each command that it reads (ended by NUL) bash prints every program that the command starts, with the
# arguments and the variable V1, and then what `bash -n` says of it. Programs are recorded instead of started,
# and not on stdout, which $(...) would swallow.
DRIVER = r"""
exec 3>&1
record() { printf '%s\0' START "$#" "$@" "${V1-unset}" >&3; }
python() { record python "$@"; }
command_not_found_handle() { record "$@"; }
bash=$1
export A='a  b' GLOB='*' EMPTY='' V_2=two
while IFS= read -r -d '' text; do
  if "$bash" -n -c -- "$text" 2>/dev/null; then valid=yes; else valid=no; fi
  ( PATH=/nonexistent; eval "$text" ) 2>/dev/null </dev/null
  printf '%s\0' END "$valid"
done
"""
SOME_FILES = ["b c", "f1", "f2"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """What bash does with a command: the argv of each program it starts, ended by V1; whether it parses."""

    started: tuple[tuple[str, ...], ...]
    valid: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Bash:
    """A real bash that runs one command after the other, in a folder with SOME_FILES."""

    stdin: IO[bytes]
    stdout: IO[bytes]
    folder: Path

    def run(self, text: str) -> Run:
        self.stdin.write(text.encode() + b"\0")
        self.stdin.flush()
        started = []
        while self._field() == "START":
            started.append(tuple(self._field() for _ in range(int(self._field()) + 1)))
        valid = self._field() == "yes"
        assert sorted(os.listdir(self.folder)) == SOME_FILES, "the command wrote a file"  # noqa: PTH208
        return Run(started=tuple(started), valid=valid)

    def _field(self) -> str:
        field = bytearray()
        while (byte := self.stdout.read(1)) != b"\0":
            assert byte, "bash ended"
            field += byte
        return field.decode()


@pytest.fixture(scope="module")
def bash(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bash]:
    folder = tmp_path_factory.mktemp("bash")
    for name in SOME_FILES:
        (folder / name).touch()
    argv = [BASH, "--norc", "--noprofile", "-c", DRIVER, "driver", BASH]
    environment = {"PATH": os.environ["PATH"], "HOME": "/home/tester", "LC_ALL": "C.UTF-8"}
    with ExitStack() as stack:
        process = stack.enter_context(
            subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=folder, env=environment)
        )
        assert process.stdin
        assert process.stdout
        yield Bash(stdin=process.stdin, stdout=process.stdout, folder=folder)


# fmt: off
IN_DOUBLE = [
    "a", " ", "\n", "\t", "'", "#", ";", "|", "&", "(", ")", "<", "*", "~", "{a,b}", "é", "!", "\\a", "\\n",
    "\\\\", '\\"', "\\$", "\\`", "\\\n", "$A", "${A}", "${NO:-d}", "${NO-d e}", "$ ", "$:", "$((1+2))", "$?",
]
IN_ANSI_C = ["a", " ", "\\n", "\\'", '"', "\\\\", "\\x41", "\\u00e9", "$A", "`", "\\\n", "\n", ";"]
EXPANDED = [
    "$A", "${A}", "$GLOB", "$EMPTY", "$NO", "${NO:-d e}", "${NO:-'d  e'}", '${NO:-"d  }"}', "${A#a}", "${#A}",
    "${A/ /_}", "${NO:-$A}", "${NO:-${A}x}", "${A:0:1}", "${!GLOB-x}", "${NO:-a\\}b}", "$((1 + 2))", "$$",
    "$?", "$(( (1+2) * 3 ))", "$(( V1 < 3 ? 1 : 2 ))", "*", "f?", "[f]1", "{a,b}", "{1..3}", "~", "~/x",
    "d=~/x", "w$=", "$.", "$%", "$\\\nA", "${\\\nA}", "$$'a'", "{}", "${NO:-{a}}", '$"a b"', "w\\\nw",
    "\\\n", "${NO:+x}",
]
# All that bash may read as more than one simple command, next to enough that is harmless.
NASTY = [
    "python", " ", " ", "\n", "\\\n", "\\", "'", '"', "$'", '$"', "$", "$$", "`", "$(", "$((", "((", "))",
    "(", ")", "<(", "<", ">", ">>", "2>&1", "<<E", "<<<", "|", "||", "&", "&&", ";", ";;", "!", "{", "}",
    "${", "${A:-", "#", " #", "a", "touch x", "> x", "if", "then", "fi", "[[", "]]", "V1=1", "V1=(", "a[",
    "]=", "time", "\t", "=", "é", "f() {", "function f", "coproc", "${A", ":-", "@P}", "$[", "]", "1", "+",
    "*", "export", "'\\''", '\\"', "!(", "case", "in", "for", "do", "done", "python a", "# c", " \\\n", "${ ",
    "other b", "${NO:-'", '"${NO:-', "\\ ",
]
# fmt: on


def joined(parts: list[str], opening: str, closing: str) -> st.SearchStrategy[str]:
    return st.lists(st.sampled_from(parts), max_size=5).map(lambda some: opening + "".join(some) + closing)


PIECE = st.one_of(
    st.text("abz019._-=/,:@%+^!]}#é漢\u00a0", min_size=1, max_size=6).map(lambda text: "w" + text),
    st.text('ab \t\n\\"$`;|&<>(){}*#é!', max_size=6).map(lambda text: f"'{text}'"),
    joined(IN_DOUBLE, '"', '"'),
    joined(IN_DOUBLE, '"', '$"'),
    joined(IN_ANSI_C, "$'", "'"),
    st.sampled_from(EXPANDED),
    st.sampled_from(["\\ w", *(f"\\{char}" for char in "$`\"'\\;|&<>()*?[]{}~#a!")]),
)
WORD = st.tuples(PIECE, PIECE, st.sampled_from(["", "$", "w"])).map("".join) | PIECE
BLANK = st.sampled_from([" ", "  ", "\t", " \\\n", "\\\n ", " \\\n\t\\\n "])
BEFORE = st.sampled_from(["", "\n", "# a comment; | (\n\n", "  # it's\n", " \t\n \\\n", "\\\n"])
ASSIGNED = st.sampled_from(
    ["", "V1=1 ", "V1='x  y' ", "V1=$A ", "V1+=more ", "V1={a,b} ", "V1=* ", "V1=~/x V_2= "]
)
ARGUMENTS = st.lists(st.tuples(BLANK, WORD).map("".join), max_size=4).map("".join)
AFTER = st.sampled_from(["", "\n", " # the end; $(", "\n\n# it's over\n", " \t\n", " \\\n"])
ONE_COMMAND = st.tuples(BEFORE, ASSIGNED, st.just("python"), ARGUMENTS, AFTER).map("".join)
ANYTHING = st.lists(st.sampled_from(NASTY), max_size=9).map("".join)


@settings(max_examples=250, deadline=None)
@given(ONE_COMMAND)
def test_bash_runs_the_same_from_the_file_and_from_the_text_of_the_command(bash: Bash, text: str) -> None:
    of_file = bash.run(text + "\n")
    assert of_file == bash.run(read_command(text, SOURCE).text)
    assert of_file.valid


@settings(max_examples=150, deadline=None)
@given(ONE_COMMAND)
def test_the_literals_of_words_are_what_bash_gives_the_program(bash: Bash, text: str) -> None:
    known = [word for word in read_command(text, SOURCE).words if word.literal is not None]
    (argv,) = bash.run(" ".join(word.raw for word in known)).started
    assert argv[:-1] == tuple(word.literal for word in known)


@settings(max_examples=100, deadline=None)
@given(ONE_COMMAND)
def test_a_file_with_windows_line_ends_and_a_bom_is_the_same_command(text: str) -> None:
    windows = "\ufeff" + text.replace("\n", "\r\n")
    assert read_command(windows, SOURCE) == read_command(text, SOURCE)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.text(st.characters(exclude_characters="\0", codec="utf-8"))))
def test_words_that_are_added_reach_the_program_exactly(bash: Bash, words: list[str]) -> None:
    (argv,) = bash.run(read_command("python", SOURCE).with_words(*words).text).started
    assert argv[1:-1] == tuple(words)


@settings(max_examples=1000, deadline=None)
@given(ANYTHING)
@example('python "${NO:-<(touch x)}"')
@example("python ${NO:->(touch x)}")
@example('python "$$(touch x)"')
@example('python "`touch x`"')
@example("python $$'\\';touch x #'")
@example("python $((1) )")
@example("python $(( $(touch x) ))")
@example("python $((`touch x`))")
@example("python ${ touch x; }")
@example("python \\\n# c\n;touch x")
@example("python $\\\n(touch x)")
@example("python $[$(touch x)]")
@example("a[$(touch x)]=1 python")
@example("a[b ;touch x]=1 python")
@example("python 'a\\\n';touch x")
@example("python $'\\';touch x'")
@example("python \"${NO:-'}\";touch x'")
def test_whatever_is_accepted_starts_one_program_at_most_and_writes_no_file(bash: Bash, text: str) -> None:
    try:
        command = read_command(text, SOURCE)
    except HpcSubmitError:
        return
    of_file = bash.run(text + "\n")
    assert of_file == bash.run(command.text)
    assert of_file.valid
    assert len(of_file.started) <= 1
