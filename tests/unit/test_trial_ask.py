"""trial.py ask: what stands in for `python` below wandb's agent has the batch script launch the run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from trial_specs import LIMIT, RUN, TRIAL, items, launch, spec


class Script:
    """The batch script's side of the questions: a folder with the FIFO, which it holds open."""

    def __init__(self, folder: Path, sweep: dict[str, Any]) -> None:
        self.folder = folder / "asks of a job"
        self.folder.mkdir()
        os.mkfifo(self.folder / "asks")
        self.fifo = os.open(self.folder / "asks", os.O_RDWR)
        self.spec = folder / "sweep.json"
        self.spec.write_text(json.dumps(sweep), "utf-8")
        self.asking: list[subprocess.Popen[str]] = []

    def ask(self, *arguments: str, **environ: str) -> subprocess.Popen[str]:
        known = {"HPCSUBMIT_ASKS": str(self.folder), "HPCSUBMIT_SPEC": str(self.spec), "PATH": os.defpath}
        process = subprocess.Popen(
            [sys.executable, "-I", str(TRIAL), "ask", *arguments],
            env={**known, **environ},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.asking.append(process)
        return process

    def hear(self) -> Path:
        """The launch file of the next question."""
        os.set_blocking(self.fifo, False)
        name: str = wait_for(self._read)
        assert name.endswith("\n")
        return self.folder / name[:-1]

    def _read(self) -> str:
        try:
            return os.read(self.fifo, 4096).decode()
        except BlockingIOError:
            return ""

    def answer(self, question: Path, code: int) -> None:
        new = self.folder / "new"
        new.write_text(f"{code}\n")
        new.rename(f"{question}.code")

    def close(self) -> None:
        for process in self.asking:
            process.kill()
            process.communicate(timeout=LIMIT)
        os.close(self.fifo)


@pytest.fixture
def script(tmp_path: Path) -> Iterator[Script]:
    script = Script(tmp_path, spec(launch=launch("torchrun")))
    yield script
    script.close()


def wait_for(found: Callable[[], Any]) -> Any:
    end = time.monotonic() + LIMIT
    while not (answer := found()):
        assert time.monotonic() < end, "nothing came"
        time.sleep(0.02)
    return answer


def ended(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=LIMIT)
    return process.returncode, stdout, stderr


def watchers(script: Script) -> list[str]:
    """The processes that name a file of this folder in their command lines, but for those that ask."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            line = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
        if f"{script.folder}/" in line:
            found.append(line)
    return found


def test_a_question_is_launched_and_answered_with_the_exit_code(script: Script) -> None:
    asking = script.ask(
        "train.py",
        "--a=b c",
        WANDB_RUN_ID="x1",
        WANDB_SWEEP_ID="s1",
        WANDB_API_KEY="secret",
        WANDB_IDENTITY_TOKEN_FILE="secret",
        OTHER="1",
    )
    question = script.hear()
    assert items(question) == ({"WANDB_RUN_ID": "x1", "WANDB_SWEEP_ID": "s1"}, RUN, ["train.py", "--a=b c"])
    assert asking.poll() is None
    script.answer(question, 7)
    assert ended(asking) == (7, "", "")
    wait_for(lambda: not watchers(script))
    assert not Path(f"{question}.stop").exists()


def test_a_run_that_the_agent_ends_is_asked_to_stop_and_its_code_still_waited_for(script: Script) -> None:
    asking = script.ask("train.py")
    question = script.hear()
    asking.send_signal(signal.SIGTERM)
    wait_for(Path(f"{question}.stop").exists)
    assert asking.poll() is None
    script.answer(question, 143)
    assert ended(asking) == (143, "", "")


def test_a_question_that_is_killed_stops_its_run_too(script: Script) -> None:
    asking = script.ask("train.py")
    question = script.hear()
    wait_for(lambda: len(watchers(script)) == 1)
    asking.kill()
    wait_for(Path(f"{question}.stop").exists)
    assert ended(asking) == (-signal.SIGKILL, "", "")
    wait_for(lambda: not watchers(script))


def test_two_questions_of_one_agent_do_not_mix(script: Script) -> None:
    first = script.ask("one.py")
    question = script.hear()
    second = script.ask("two.py")
    other = script.hear()
    assert (items(question)[2], items(other)[2]) == (["one.py"], ["two.py"])
    script.answer(other, 2)
    assert ended(second)[0] == 2
    script.answer(question, 1)
    assert ended(first)[0] == 1


def test_a_command_that_cannot_be_launched_answers_itself(script: Script) -> None:
    asking = script.ask("-u")
    assert ended(asking) == (2, "", "hpcsubmit: the sweep's command gives python nothing to run\n")
    assert [path.read_text() for path in script.folder.glob("*.code")] == ["2\n"]


def test_without_a_script_that_listens_there_is_an_error(script: Script) -> None:
    (script.folder / "asks").unlink()
    os.mkfifo(script.folder / "asks")
    code, _, stderr = ended(script.ask("train.py"))
    assert (code, stderr) == (2, f"hpcsubmit: [Errno 6] No such device or address: '{script.folder}/asks'\n")


def test_a_job_that_ends_without_an_answer_ends_the_question(script: Script) -> None:
    asking = script.ask("train.py")
    script.hear()
    shutil.rmtree(script.folder)
    assert ended(asking) == (2, "", "hpcsubmit: the job ended before it told how the run went\n")
