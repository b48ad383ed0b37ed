"""`hpcsubmit gpus --watch`: looks again and again until Ctrl-C; and the command line of `gpus`."""

import json
import os
import pty
import select
import signal
import subprocess
import sys
import time
from contextlib import suppress
from typing import Any, Self

import pytest

from gpu_machine import TWO_IDLE, GpuMachine
from sandbox import HPCSUBMIT, Sandbox


@pytest.fixture
def machine(sandbox: Sandbox) -> GpuMachine:
    found = GpuMachine.of(sandbox)
    found.answers(gpus=TWO_IDLE, processes="")
    return found


class Watch:
    """A watch that runs, until it is interrupted or the block is left."""

    def __init__(self, machine: GpuMachine, *argv: str) -> None:
        self.process = subprocess.Popen(
            [*HPCSUBMIT, "gpus", *argv],
            cwd=machine.box.project,
            env=machine.box.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate(timeout=60)

    def line(self) -> str:
        """Wait for the next line."""
        assert self.process.stdout is not None
        assert select.select([self.process.stdout], [], [], 120)[0], "it prints nothing more"
        return self.process.stdout.readline()

    def look(self) -> Any:
        """Wait for the next line of JSON."""
        return json.loads(self.line())

    def interrupted(self) -> tuple[int, list[str]]:
        """Press Ctrl-C; return the exit code and the lines of stderr."""
        self.process.send_signal(signal.SIGINT)
        _, stderr = self.process.communicate(timeout=120)
        return self.process.returncode, [line for line in stderr.splitlines() if line]


def test_a_watch_prints_a_block_for_each_look_until_it_is_interrupted(machine: GpuMachine) -> None:
    with Watch(machine, "--watch", "0.5") as watch:
        for _ in range(2):
            title = watch.line()
            assert title.startswith(f"hpcsubmit gpus on {os.uname().nodename}, 2")
            assert title.endswith(", every 0.5 s\n")
            assert [watch.line()[:16] for _ in range(3)] == ["User: -, PID: -,"] * 2 + ["\n"]
        assert watch.interrupted() == (130, ["interrupted"])


def test_a_watch_in_json_prints_one_line_a_look(machine: GpuMachine) -> None:
    with Watch(machine, "--watch", ".2", "--json") as watch:
        first, second = watch.look(), watch.look()
        assert watch.interrupted()[0] == 130
    assert [len(first["gpus"]), len(second["gpus"])] == [2, 2]
    assert first["time"] <= second["time"]


def test_a_watch_goes_on_after_a_look_that_failed_and_says_so_once(machine: GpuMachine) -> None:
    with Watch(machine, "--watch", "0.1", "--json") as watch:
        assert len(watch.look()["gpus"]) == 2
        machine.answers(gpus_stderr="it is lost\n", gpus_code="15", gpus="")
        failed = 0
        for _ in range(200):
            look = watch.look()
            failed += look.get("note") == "nvidia-smi failed (exit code 15): it is lost"
            if failed == 3:
                break
        machine.answers(gpus=TWO_IDLE)
        machine.without("gpus_code", "gpus_stderr")
        looks = (watch.look() for _ in range(200))
        assert any(len(look.get("gpus", ())) == 2 for look in looks)
        code, stderr = watch.interrupted()
    assert (failed, code) == (3, 130)
    assert stderr.count("error: nvidia-smi failed (exit code 15): it is lost") == 1


def test_the_first_look_of_a_watch_fails_as_any_other(machine: GpuMachine) -> None:
    machine.answers(gpus="", gpus_code="15")
    said = machine.box.refuses("gpus", "--watch", "1")
    assert said.error == "nvidia-smi failed (exit code 15): no word"


def test_a_watch_clears_the_screen_of_a_terminal(machine: GpuMachine) -> None:
    ours, its = pty.openpty()
    argv = [*HPCSUBMIT, "gpus", "--watch", "0.1"]
    folder, environ = machine.box.project, machine.box.environ
    process = subprocess.Popen(argv, cwd=folder, env=environ, stdin=its, stdout=its, stderr=its)
    os.close(its)
    try:
        seen, deadline = b"", time.monotonic() + 120
        while seen.count(b"\x1b[H\x1b[2Jhpcsubmit gpus on ") < 2:
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 1)[0]:
                seen += os.read(ours, 4096)
        process.send_signal(signal.SIGINT)
        while process.poll() is None:  # a terminal that nobody reads lets nobody write
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 0.1)[0]:
                with suppress(OSError):  # the other end is closed
                    os.read(ours, 4096)
        assert process.returncode == 130
    finally:
        process.kill()
        process.wait(60)
        os.close(ours)


def test_a_watch_ends_when_nobody_reads_it_any_more(machine: GpuMachine) -> None:
    with Watch(machine, "--watch", "0.1") as watch:
        watch.line()
        assert watch.process.stdout is not None
        watch.process.stdout.close()
        watch.process.stdout = None
        assert watch.process.wait(120) == 1


@pytest.mark.parametrize("value", ["0", "-1", "x", "1e3", "nan", "inf", "0.01", "90000", "", "٣", "1s"])
def test_what_cannot_be_an_interval_is_wrong_usage(machine: GpuMachine, value: str) -> None:
    said = machine.box.refuses("gpus", f"--watch={value}", code=2)
    assert said.error == f"--watch '{value}' is not a number of seconds from 0.1 to 86400"
    assert said.hint == "write --watch 0.5, say"


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("2", "did you mean hpcsubmit --gpus 2? hpcsubmit gpus shows who uses which GPU"),
        ("--cluster plai", "--cluster takes no name here: it asks the Slurm that this machine belongs to"),
        ("mine", "write hpcsubmit gpus, with --cluster, --watch SECONDS or --json"),
    ],
)
def test_a_word_is_wrong_usage(machine: GpuMachine, line: str, hint: str) -> None:
    said = machine.box.refuses("gpus", *line.split(), code=2)
    assert (said.error, said.hint) == (f"hpcsubmit gpus does not know '{line.split()[-1]}'", hint)


def test_a_submission_loads_none_of_it(sandbox: Sandbox) -> None:
    code = (
        "import sys; from hpcsubmit.cli.main import run; run(['--dry-run']); "
        "print([name for name in sys.modules if name == 'pynvml' or 'hpcsubmit.gpus' in name])"
    )
    argv = [sys.executable, "-P", "-c", code]
    done = subprocess.run(
        argv, cwd=sandbox.project, env=sandbox.environ, capture_output=True, text=True, timeout=60
    )
    assert done.stdout.splitlines()[-1] == "[]"
