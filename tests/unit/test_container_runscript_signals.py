"""An image's runscript and signals: they reach the program, its code stays, and the folder is cleaned."""

import os
import signal
from pathlib import Path

import pytest

from image_building import (
    Image,
    can_mount,
    children,
    ended,
    in_work,
    send,
    start_counting,
    wait_for,
    wait_for_lines,
)

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs mounts of its own: root or user namespaces")


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path).make()


@pytest.mark.parametrize("name", ["TERM", "HUP"])
def test_a_request_to_end_reaches_the_program_once_and_its_code_is_kept(image: Image, name: str) -> None:
    heard, process = start_counting(image)
    number = signal.Signals[f"SIG{name}"]
    send(process, number)
    wait_for_lines(heard, 1)
    for again in (number, signal.SIGTERM, number, signal.SIGHUP):
        send(process, again)
    assert image.left() == {"left", ".hpcsubmit-before"}, "the program is still at work"
    Path(f"{heard}.go").touch()
    said = ended(process)
    assert (said.code, said.stderr) == (7, "")
    assert heard.read_text() == f"SIG{name}\n"
    assert image.left() == set()


def test_ctrl_c_ends_the_program_as_the_terminal_tells_it_and_the_folder_is_cleaned(image: Image) -> None:
    heard, process = start_counting(image)
    send(process, signal.SIGINT)  # the program itself gets none here, and none is passed on
    for pid in children(process.pid):
        os.kill(pid, signal.SIGTERM)
    Path(f"{heard}.go").touch()
    assert ended(process).code == 7
    assert heard.read_text() == "SIGTERM\n"
    assert image.left() == set()


def test_other_signals_reach_the_program_and_it_goes_on(image: Image) -> None:
    heard, process = start_counting(image)
    for count, name in enumerate(("USR1", "USR2", "USR1"), 1):
        send(process, signal.Signals[f"SIG{name}"])
        wait_for_lines(heard, count)
    Path(f"{heard}.go").touch()
    assert ended(process).code == 0
    assert heard.read_text().split() == ["SIGUSR1", "SIGUSR2", "SIGUSR1"]
    assert image.left() == set()


def test_a_program_that_term_ends_makes_143_and_is_cleaned_up_after(image: Image) -> None:
    process = image.start(*in_work(image, ": >left; exec sleep 60"))
    wait_for(image.host_folder / "left")
    send(process, signal.SIGTERM)
    assert ended(process).code == 143
    assert image.left() == set()


def test_a_job_that_is_told_to_end_as_a_whole_makes_143(image: Image) -> None:
    processes = [image.start(*in_work(image, f": >{number}; exec sleep 60")) for number in range(8)]
    for number in range(8):
        wait_for(image.host_folder / str(number))
    for pid in [pid for process in processes for pid in (*children(process.pid), process.pid)]:
        os.kill(pid, signal.SIGTERM)
    assert [ended(process).code for process in processes] == [143] * 8
    assert image.left() == set()
