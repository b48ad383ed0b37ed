"""`-W ranks` in real bash: how the ranks end together, and what the job's code is."""

import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from ranks_node import Node, signal_all, step_of

FAIL = (
    "import os, signal, sys, time\n"
    "if os.environ['RANK'] == os.environ['FAILS']:\n"
    "    while len(os.listdir('started')) < 3: time.sleep(0.05)\n"
    "    sys.exit(7)\n"
    "if os.environ['RANK'] == os.environ.get('DEAF'):\n"
    "    signal.signal(signal.SIGTERM, lambda *_: print('no', flush=True))\n"
    "open('started/' + os.environ['RANK'], 'x').close()\n"
    "while True: time.sleep(1)\n"
)
"""One of four fails when the others have begun."""
PATIENT = (
    "import os, signal, sys, time\n"
    "def told(*_):\n"
    "    print('told', flush=True)\n"
    "    time.sleep(float(os.environ['NAP']))\n"
    "    sys.exit(int(os.environ['CODE']))\n"
    "signal.signal(signal.SIGTERM, told)\n"
    "print('ready', flush=True)\n"
    "while True: time.sleep(1)\n"  # a signal that comes just before a call waits until it returns
)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node.below(tmp_path, hurried=True)
    yield made
    made.end()


@pytest.mark.parametrize("rank", ["0", "2"])
def test_one_failing_rank_ends_the_others_with_its_code_and_is_named(node: Node, rank: str) -> None:
    code, lines = node.run(FAIL, gpus=4, environ={"FAILS": rank})
    assert (code, node.exit_code) == (7, 7)
    assert lines == [f"hpcsubmit: rank {rank} ended with exit code 7: the others are told to end"]


@pytest.mark.parametrize("gpus", [2, 8])
def test_a_rank_that_fails_at_once_ends_those_that_have_hardly_begun(node: Node, gpus: int) -> None:
    program = "import os, sys, time\ntime.sleep(300 * int(os.environ['RANK'] != '0'))\nsys.exit(3)\n"
    code, lines = node.run(program, gpus=gpus)
    assert code == 3
    assert lines == ["hpcsubmit: rank 0 ended with exit code 3: the others are told to end"]


def test_a_program_that_is_not_there_ends_the_job(node: Node) -> None:
    code, lines = node.run("", before="X=1 /no/such/python")
    assert code == 127
    assert any("/no/such/python: No such file" in line for line in lines)


def test_a_rank_that_a_signal_killed_gives_128_and_the_signal(node: Node) -> None:
    program = "import os, time\nos.kill(os.getpid(), 11) if os.environ['RANK'] == '1' else time.sleep(300)\n"
    code, lines = node.run(program)
    assert code == 139
    assert lines == ["hpcsubmit: rank 1 ended with exit code 139: the others are told to end"]


def test_a_rank_that_does_not_end_by_itself_is_killed_after_ten_seconds(node: Node) -> None:
    code, lines = node.run(FAIL, gpus=4, environ={"FAILS": "1", "DEAF": "3"})
    assert code == 7
    assert lines == ["hpcsubmit: rank 1 ended with exit code 7: the others are told to end", "[3] no"]


def test_the_words_of_the_failure_come_once(node: Node) -> None:
    program = "import os, sys\nsys.exit(int(os.environ['RANK']))\n"
    code, lines = node.run(program, gpus=4)
    assert code in (1, 2, 3)
    assert lines == [f"hpcsubmit: rank {code} ended with exit code {code}: the others are told to end"]


@pytest.mark.parametrize("code", [0, 5])
def test_term_reaches_every_rank_once_and_is_answered_as_each_likes(node: Node, code: int) -> None:
    process = node.start(PATIENT, gpus=3, environ={"NAP": "3", "CODE": str(code)})
    node.wait_for("ready", 3)
    task = step_of(process)[:1]
    signal_all(task, signal.SIGTERM)
    node.wait_for("told", 3)
    signal_all(task, signal.SIGTERM)  # Slurm sends it twice
    assert process.wait(timeout=120) == code
    said = [f"{label}{word}" for label in ("", "[1] ", "[2] ") for word in ("ready", "told")]
    assert sorted(node.output.splitlines()) == sorted(said)


def test_a_term_from_slurm_leaves_the_killing_to_slurm(node: Node) -> None:
    """It gives 30 s, or what --collect-grace says; ten are for those that another's failure ends."""
    process = node.start(PATIENT, environ={"NAP": "4", "CODE": "0"})
    node.wait_for("ready", 2)
    signal_all(step_of(process), signal.SIGTERM)
    assert process.wait(timeout=120) == 0


@pytest.mark.parametrize("number", [signal.SIGUSR1, signal.SIGUSR2])
@pytest.mark.parametrize("to_all", [True, False])
def test_signals_that_users_send_reach_the_ranks_and_end_nothing(
    node: Node, number: signal.Signals, to_all: bool
) -> None:
    program = (
        "import os, signal, sys, time\n"  # a line in one write: a second signal may come within the first
        f"signal.signal({number.value}, lambda *_: os.write(1, b'noted\\n'))\n"
        "signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(1)\n"
    )
    process = node.start(program)
    node.wait_for("ready", 2)
    step = step_of(process)
    signal_all(step if to_all else step[:1], number)
    node.wait_for("noted\n", 2)
    signal_all(step[:1], signal.SIGTERM)
    assert process.wait(timeout=120) == 0
    assert set(node.output.splitlines()) == {"ready", "[1] ready", "noted", "[1] noted"}


def test_a_process_that_outlives_its_rank_does_not_hold_the_job(node: Node) -> None:
    program = (
        "import os, subprocess\n"
        "if os.environ['RANK'] == '1':\n"
        "    child = subprocess.Popen(['/bin/sleep', '300'])\n"
        "    open('child', 'w').write(str(child.pid))\n"
        "print('done')\n"
    )
    code, lines = node.run(program)
    os.kill(int((node.project / "child").read_text()), signal.SIGKILL)
    assert (code, sorted(lines)) == (0, ["[1] done", "done"])


def test_nothing_of_the_job_is_left_behind(node: Node) -> None:
    process = node.start(FAIL, gpus=4, environ={"FAILS": "0"})
    assert process.wait(timeout=120) == 7
    deadline = time.monotonic() + 60  # a shell that has told its last may not have ended yet
    while left := members(process.pid):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)
    assert not list((node.root / "tmp").iterdir())


def members(group: int) -> list[str]:
    """The processes of a group that have not ended."""
    listed = subprocess.run(
        ["ps", "-eo", "pgid,args"], capture_output=True, text=True, timeout=60, check=True
    )
    own = [line for line in listed.stdout.splitlines() if line.split()[0] == str(group)]
    return [line for line in own if "defunct" not in line]
