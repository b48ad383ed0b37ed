"""What `python WORDS` runs, read from its words as the real one takes them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsubmit.trial import Run, launcher_in, python_runs
from trial_specs import LIMIT

CODE = "import json, sys; print(json.dumps(['{}', sys.argv[1:]]))"
COMMAND = CODE.format("command")
PEP = "--check-hash-based-pycs"


def script(at: int) -> Run:
    return Run("script", "prog.py", at)


def module(at: int) -> Run:
    return Run("module", "mod", at)


def command(at: int) -> Run:
    return Run("command", COMMAND, at)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("runs")
    (made / "prog.py").write_text(f"# -x leaves out a first line\n{CODE.format('script')}\n")
    (made / "mod.py").write_text(f"{CODE.format('module')}\n")
    return made


def really_run(arguments: list[str], folder: Path) -> list[object] | None:
    """What this Python runs: its kind and its arguments; None where that is its input or nothing."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=folder,
        env={"LANG": "C.UTF-8"},
        input=f"{CODE.format('input')}\n",
        capture_output=True,
        text=True,
        timeout=LIMIT,
    )
    said = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('["')]
    return said[0] if said and said[0][0] != "input" else None


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["prog.py"], script(0)),
        (["prog.py", "-m", "mod"], script(0)),
        (["-u", "prog.py", "-c", "x"], script(1)),
        (["-bBdEOPqRsStvx", "prog.py"], script(1)),
        (["-I", "-OO", "-i", "prog.py"], script(3)),
        (["-W", "ignore", "prog.py"], script(2)),
        (["-uW", "ignore", "prog.py", "a"], script(2)),
        (["-Wignore", "prog.py"], script(1)),
        (["-W", "", "prog.py"], script(2)),
        (["-W", "-m", "prog.py"], script(2)),
        (["-X", "dev", "prog.py"], script(2)),
        (["-Ximporttime", "prog.py"], script(1)),
        (["-uBX", "importtime", "prog.py"], script(2)),
        (["-Wignore::DeprecationWarning:mod", "prog.py"], script(1)),
        ([PEP, "never", "prog.py"], script(2)),
        (["-u-check-hash-based-pycs", "never", "prog.py"], script(2)),
        (["--", "prog.py", "--", "a"], script(1)),
        (["-u-", "prog.py"], script(1)),
        (["-m", "mod"], module(1)),
        (["-m", "mod", "-m", "prog.py"], module(1)),
        (["-mmod", "prog.py"], module(0)),
        (["-um", "mod", "a"], module(1)),
        (["-uBmmod", "a"], module(0)),
        (["-X", "dev", "-Wm", "-Sm", "mod", "--", "-u"], module(4)),
        (["-c", COMMAND, "prog.py"], command(1)),
        (["-uc", COMMAND, "-m", "mod"], command(1)),
        ([f"-c{COMMAND}", "a"], command(0)),
        ([], None),
        (["-"], None),
        (["-u", "-", "prog.py"], None),
        (["--", "-"], None),
        (["--"], None),
        (["-m"], None),
        (["-uc"], None),
        (["-W"], None),
        (["-X", "prog.py"], None),
        ([PEP], None),
        ([PEP, "prog.py"], None),
        (["-V", "prog.py"], None),
        (["-uV", "-m", "mod"], None),
        (["-h", "prog.py"], None),
        (["-?", "prog.py"], None),
        (["--help", "prog.py"], None),
        (["--help-env", "-m", "mod"], None),
        (["--version", "--", "prog.py"], None),
    ],
)
def test_it_is_what_the_real_python_runs(arguments: list[str], expected: Run | None, folder: Path) -> None:
    assert python_runs(arguments) == expected
    behind = [expected.kind, arguments[expected.at + 1 :]] if expected else None
    assert really_run(arguments, folder) == behind


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["-m", "", "prog.py"], Run("module", "", 1)),
        (["-m", "-u", "prog.py"], Run("module", "-u", 1)),
        (["--", "-m", "mod"], Run("script", "-m", 1)),
        (["", "a"], Run("script", "", 0)),
        (["-Zu", "--new-flag", "prog.py"], script(2)),
        (["-c", "a\nb\n", "x"], Run("command", "a\nb\n", 1)),
        (["-uca\nb"], Run("command", "a\nb", 0)),
        (["-W\n", "prog.py"], script(1)),
    ],
)
def test_what_fails_later_or_in_this_python_is_read_too(arguments: list[str], expected: Run) -> None:
    assert python_runs(arguments) == expected


@pytest.mark.parametrize(
    ("line", "launcher", "behind"),
    [
        ("python -uW ignore -m torch.distributed.run a.py", "torch.distributed.run", ["a.py"]),
        ("/e/bin/python3.12 -mtorch.distributed.launch", "torch.distributed.launch", []),
        ("python -Xdev /e/bin/accelerate launch a.py", "accelerate launch", ["a.py"]),
        (
            "python -um accelerate.commands.accelerate_cli launch a.py",
            "accelerate.commands.accelerate_cli launch",
            ["a.py"],
        ),
        ("/e/bin/accelerate-launch a.py", "accelerate-launch", ["a.py"]),
        ("python -um accelerate.commands.accelerate_cli test", "", []),
        ("python -V -m torch.distributed.run", "", []),
        ("python -c torchrun a.py", "", []),
        ("python - torchrun", "", []),
        ("bash torchrun", "", []),
        ("python", "", []),
    ],
)
def test_a_launcher_and_its_words_are_found(line: str, launcher: str, behind: list[str]) -> None:
    assert launcher_in(line.split()) == (launcher, behind)
