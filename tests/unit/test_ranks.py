"""`-W ranks` in real bash: what every rank is given, and where its output goes."""

import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from ranks_node import Node

TELL = (
    "import json, os, sys\n"
    "keys = ('RANK', 'LOCAL_RANK', 'WORLD_SIZE', 'LOCAL_WORLD_SIZE', 'CUDA_VISIBLE_DEVICES')\n"
    "print(json.dumps([sys.argv[1:], {key: os.environ.get(key) for key in keys}]))\n"
)
PORT = 10000 + 4242


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    made = Node.below(tmp_path)
    yield made
    made.end()


def told(lines: list[str]) -> dict[str, tuple[list[str], Mapping[str, str]]]:
    """What each rank said of itself, by the label before it."""
    found = {line.partition("[[")[0]: tuple(json.loads(f"[[{line.partition('[[')[2]}")) for line in lines}
    assert len(found) == len(lines)
    return found


def test_every_rank_gets_its_words_filled_in_and_sees_the_same_gpus(node: Node) -> None:
    words = (
        "rank={rank} world_size={world_size} local={local_rank} tcp://127.0.0.1:{master_port} {rank}{rank}"
    )
    code, lines = node.run(TELL, words, gpus=3)
    assert code == 0, lines
    said = told(lines)
    assert set(said) == {"", "[1] ", "[2] "}, "rank 0 has no label"
    for rank, label in enumerate(["", "[1] ", "[2] "]):
        given, environ = said[label]
        assert given == [
            f"rank={rank}", "world_size=3", f"local={rank}", f"tcp://127.0.0.1:{PORT}", f"{rank}{rank}"
        ]  # fmt: skip
        assert environ == {
            "RANK": str(rank),
            "LOCAL_RANK": str(rank),
            "WORLD_SIZE": "3",
            "LOCAL_WORLD_SIZE": "3",
            "CUDA_VISIBLE_DEVICES": "4,7",
        }


def test_words_with_blanks_globs_and_braces_arrive_as_they_are(node: Node) -> None:
    words = (
        r"""'a  b' '*' "{rank} of {world_size}" '{other}' '{rank' '' '&' '\' "it's" $'tab\t' *.py"""
        r""" '${rank}{rank}' '$ ${' '${{rank}'"""
    )
    code, lines = node.run(TELL, words)
    assert code == 0, lines
    for label, rank in (("", 0), ("[1] ", 1)):
        assert told(lines)[label][0] == [
            "a  b", "*", f"{rank} of 2", "{other}", "{rank", "", "&", "\\", "it's", "tab\t", "program.py",
            f"${{rank}}{rank}", "$ ${", f"${{{rank}",
        ]  # fmt: skip


def test_assignments_before_the_command_are_filled_in_too(node: Node) -> None:
    program = "import os\nprint([os.environ['OUT'], os.environ['PLAIN']])\n"
    code, lines = node.run(program, before="OUT='out {rank}' PLAIN=x")
    assert (code, sorted(lines)) == (0, ["['out 0', 'x']", "[1] ['out 1', 'x']"])


def test_every_rank_has_a_log_of_its_own(node: Node) -> None:
    program = "import os, sys\nprint('out', os.environ['RANK'])\nprint('err', file=sys.stderr)\n"
    code, lines = node.run(program, gpus=3)
    assert code == 0
    assert sorted(lines) == sorted(["out 0", "err", "[1] out 1", "[1] err", "[2] out 2", "[2] err"])
    assert [node.log(rank) for rank in range(3)] == [f"out {rank}\nerr\n" for rank in range(3)]


def test_lines_of_the_ranks_stay_whole(node: Node) -> None:
    program = (
        "for i in range(300):\n    print(i, 'x' * 200)\n"  # unbuffered: the line's end is a write of its own
    )
    code, lines = node.run(program)
    assert code == 0
    whole = [f"{label}{i} {'x' * 200}" for label in ("", "[1] ") for i in range(300)]
    assert sorted(lines) == sorted(whole)


def test_a_line_is_seen_at_once(node: Node) -> None:
    process = node.start("import time\nprint('here', flush=True)\ntime.sleep(300)\n")
    node.wait_for("here", 2)
    assert process.poll() is None
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(timeout=120)
    assert sorted(node.output.splitlines()) == ["[1] here", "here"]


def test_a_mawk_is_told_not_to_wait_for_more_lines(node: Node) -> None:
    """Debian's awk reads 4 kB before it prints, unless it is told otherwise (mawk 1.3.4)."""
    node.install(
        "awk",
        '#!/bin/bash\nif [ "$1 $2" = "-W version" ]; then echo mawk 1.3.4; exit; fi\n'
        'echo "$1 $2" >"$HOME/options"\nwhile read -r line; do echo "$4 $line"; done\n',
    )
    code, lines = node.run("print('x')\n")
    assert (code, sorted(lines)) == (0, ["label= x", "label=[1]  x"])
    assert (node.root / "options").read_text() == "-W interactive\n"


def test_the_last_lines_are_in_the_log_when_the_job_ends(node: Node) -> None:
    node.install("tee", '#!/bin/bash\nsleep 1\nexec /usr/bin/tee "$@"\n')
    code, lines = node.run("print('x')\n")
    assert (code, sorted(lines)) == (0, ["[1] x", "x"])


def test_the_users_variables_reach_the_ranks_as_they_are(node: Node) -> None:
    """Whatever the script calls its own variables."""
    names = (
        "rank", "event", "value", "code", "told", "limit", "left", "pids", "pipe", "output", "tries", "task",
        "word", "words", "filled", "awk", "label", "message", "rc", "top", "low",
    )  # fmt: skip
    theirs = {name: f"mine-{name}" for name in names}
    program = (
        f"import json, os\nprint(json.dumps([[], {{name: os.environ.get(name) for name in {names!r}}}]))\n"
    )
    code, lines = node.run(program, environ=theirs)
    assert code == 0, lines
    assert told(lines) == {label: ([], theirs) for label in ("", "[1] ")}


def test_where_no_log_can_be_written_no_line_is_lost(node: Node) -> None:
    # tee writes its complaint in pieces, which would stand between those of the other rank's.
    node.install("tee", '#!/bin/bash\nexec /usr/bin/tee "$@" 2>"$HOME/complaint-${1##*/}"\n')
    code, lines = node.run("print('x')\n", before="OUTPUT_DIR=/dev/null")
    assert (code, sorted(lines)) == (0, ["[1] x", "x"])
    for rank in range(2):
        assert "/dev/null" in (node.root / f"complaint-rank_{rank}.log").read_text()


def test_a_rank_begins_with_no_signal_caught_or_ignored_and_no_file_of_the_shells(node: Node) -> None:
    program = (
        "import os, signal\n"
        "for name in ('TERM', 'ALRM', 'USR1', 'USR2', 'HUP'):\n"
        "    assert signal.getsignal(getattr(signal, f'SIG{name}')) is signal.SIG_DFL, name\n"
        "print([n for n in range(3, 20) if os.path.exists(f'/proc/self/fd/{n}')])\n"
    )
    code, lines = node.run(program)
    assert (code, sorted(lines)) == (0, ["[1] [8]", "[8]"]), "8 is the batch script's, which srun keeps"
