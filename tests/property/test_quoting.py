"""What templates print is what a real bash reads, whatever the value."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from golden.cases import HOUR, context, shipped
from hpcsubmit.plan import plan
from hpcsubmit.render import comment, quote, render, words
from hpcsubmit.request import Request
from hpcsubmit.shellwords import Word

VALUES = st.text(st.characters(min_codepoint=1, codec="utf-8"), max_size=30)
NAMES = st.text(
    st.characters(min_codepoint=1, codec="utf-8", exclude_characters="/\n\r\\"),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", ".."))


def bash(script: str) -> bytes:
    environ = {"PATH": os.environ["PATH"]}  # bash complains of a locale that the machine does not have
    done = subprocess.run(["bash", "-s"], input=script.encode(), env=environ, capture_output=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, b"")
    return done.stdout


@settings(max_examples=100, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=20))
def test_quoted_values_come_back_from_bash(values: list[str]) -> None:
    exported = "".join(f"export v{n}={quote(value)}\n" for n, value in enumerate(values))
    printed = "".join(f'printf "%s\\0" "$v{n}"\n' for n in range(len(values)))
    assert bash(exported + printed) == "".join(f"{value}\0" for value in values).encode()


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES | st.integers() | NAMES.map(Path), max_size=20))
def test_words_come_back_from_bash_in_order(values: list[str | int | Path]) -> None:
    assert bash(f'printf "%s\\0" start {words(values)}\n') == b"".join(
        f"{value}\0".encode() for value in ["start", *values]
    )


@settings(max_examples=60, deadline=None)
@given(VALUES)
def test_a_word_of_the_users_is_printed_as_it_is(raw: str) -> None:
    assert str(quote(Word(raw=raw, literal=None))) == raw


@settings(max_examples=60, deadline=None)
@given(st.lists(VALUES, min_size=1, max_size=20))
def test_a_comment_never_becomes_a_command(values: list[str]) -> None:
    script = "".join(f"# {comment(value)}\n" for value in values)
    assert script.count("\n") == len(values)
    assert bash(script + "echo end\n") == b"end\n"


@settings(max_examples=40, deadline=None)
@given(NAMES, NAMES)
def test_the_exports_of_a_script_come_back_from_bash(project: str, scratch: str) -> None:
    facts = replace(
        context(), project_root=Path("/home", project), scratch_dir=Path("/scratch", scratch, project)
    )
    made = plan(Request(time=HOUR), shipped("generic"), facts)
    lines = render(made).split("# ---- What the program finds in its environment\n")[1]
    exports = lines[: lines.index("export PYTHONUNBUFFERED")]
    names = [name for name, _ in made.exports]
    shown = bash(exports + "".join(f'printf "%s\\0" "${name}"\n' for name in names))
    assert shown == "".join(f"{value}\0" for _, value in made.exports).encode()
