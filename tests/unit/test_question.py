"""The question before a submission, asked on a real terminal."""

import os
import pty
import select
import signal
import subprocess
import time

import pytest

from sandbox import HPCSUBMIT, Sandbox

QUESTION = b"Submit? [y/N]"


def at_a_terminal(
    sandbox: Sandbox, *argv: str, typed: bytes, question: bytes = QUESTION
) -> tuple[int, bytes]:
    """Run it with a terminal as stdin and stderr, and type when it asks; return code and screen."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*HPCSUBMIT, *argv],
        cwd=sandbox.project,
        env=sandbox.environ | {"TERM": "xterm"},
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=theirs,
        start_new_session=True,
        preexec_fn=lambda: os.close(os.open(os.ttyname(0), os.O_RDWR)),  # makes it the controlling terminal
    )
    os.close(theirs)
    shown, deadline = b"", time.monotonic() + 120
    while time.monotonic() < deadline:
        ended = process.poll() is not None  # before the look: what is said last is read
        ready, _, _ = select.select([ours], [], [], 0.05)
        try:
            shown += os.read(ours, 65536) if ready else b""
        except OSError:  # the other end is closed
            break
        if typed and question in shown:
            os.write(ours, typed)
            typed = b""
        if ended and not ready:
            break
    os.close(ours)
    return process.wait(timeout=120), shown


def submitted(sandbox: Sandbox) -> bool:
    return (sandbox.root / "sbatch.argv").exists()


@pytest.mark.parametrize("answer", [b"y\n", b"yes\n", b"Y\n", b" YES \n"])
def test_yes_submits(sandbox: Sandbox, answer: bytes) -> None:
    code, shown = at_a_terminal(sandbox, typed=answer)
    assert (code, submitted(sandbox)) == (0, True), shown
    assert shown.index(b"--job-name") < shown.index(QUESTION)


@pytest.mark.parametrize("answer", [b"n\n", b"\n", b"no\n", b"yep\n", b"\xff\n", b"\x04"])
def test_anything_else_ends_with_code_1_and_nothing_done(sandbox: Sandbox, answer: bytes) -> None:
    before = sandbox.tree()
    code, shown = at_a_terminal(sandbox, typed=answer)
    assert code == 1
    assert b"\nerror: not submitted, as you answered\r\n" in shown
    assert b"\nhint: add --yes to submit without the question\r\n" in shown
    assert sandbox.tree() == before
    assert not submitted(sandbox)


def test_ctrl_c_ends_with_code_130_and_nothing_done(sandbox: Sandbox) -> None:
    before = sandbox.tree()
    code, shown = at_a_terminal(sandbox, typed=b"\x03")
    assert code == 128 + signal.SIGINT
    assert b"interrupted" in shown
    assert b"Traceback" not in shown
    assert sandbox.tree() == before
    assert not submitted(sandbox)


@pytest.mark.parametrize("argv", [("--yes",), ("-y",)])
def test_with_yes_it_does_not_ask(sandbox: Sandbox, argv: tuple[str, ...]) -> None:
    code, shown = at_a_terminal(sandbox, *argv, typed=b"")
    assert (code, submitted(sandbox)) == (0, True)
    assert QUESTION not in shown
    assert b"--job-name" in shown  # the preview is always there


def test_a_dry_run_does_not_ask(sandbox: Sandbox) -> None:
    code, shown = at_a_terminal(sandbox, "--dry-run", typed=b"")
    assert (code, submitted(sandbox)) == (0, False)
    assert QUESTION not in shown


def test_without_a_terminal_it_does_not_ask(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit(stdin="n\n")
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n")
    assert QUESTION.decode() not in said.stderr
    assert "--job-name" in said.stderr
