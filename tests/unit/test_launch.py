"""What each kind of job makes of the user's command."""

from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, shipped
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import read_command
from hpcsubmit.launch import JobKind, Program, kind_of, program_for
from hpcsubmit.profile import Profile
from hpcsubmit.request import LAUNCHER_NAMES, Launcher, Request

GENERIC = shipped("generic")


def program(kind: JobKind, command: str, profile: Profile = GENERIC) -> Program:
    request = Request(time=HOUR, gpus=3, num_nodes=2)
    return program_for(
        kind, read_command(command, Path("/p/experiment_configurations.txt")), request, profile
    )


def line(made: Program) -> str:
    """The command as the script starts it; torchrun's own options stand as `...`."""
    launcher = [*(word.raw for word in made.launcher), "..."] if made.launcher else []
    return " ".join([*launcher, *(word.raw for word in made.arguments)])


@pytest.mark.parametrize(
    ("gpus", "nodes", "launcher", "kind"),
    [
        (1, 1, None, JobKind.PLAIN),
        (2, 1, None, JobKind.LIGHTNING),
        (1, 2, None, JobKind.LIGHTNING),
        (1, 1, Launcher.LIGHTNING, JobKind.LIGHTNING),
        (1, 1, Launcher.TORCHRUN, JobKind.TORCHRUN),
        (8, 8, Launcher.TORCHRUN, JobKind.TORCHRUN),
    ],
)
def test_the_kind_follows_from_gpus_nodes_and_launcher(
    gpus: int, nodes: int, launcher: Launcher | None, kind: JobKind
) -> None:
    assert kind_of(Request(time=HOUR, gpus=gpus, num_nodes=nodes, launcher=launcher)) is kind


def test_script_is_the_older_name_of_torchrun() -> None:
    assert LAUNCHER_NAMES["script"] is LAUNCHER_NAMES["torchrun"] is Launcher.TORCHRUN


@pytest.mark.parametrize(
    "command", ["python main.py --gpus 7", "./run.sh a 'b c'", "$CONDA/bin/python -u x.py"]
)
def test_a_plain_job_starts_the_command_as_it_is(command: str) -> None:
    assert line(program(JobKind.PLAIN, command)) == command


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        ("python main.py", "python main.py"),
        ("python main.py --lr 1 --num_nodes 7 --gpus 8 --x", "python main.py --lr 1 --x"),
        ("python main.py --gpus=8 --num_nodes=7", "python main.py"),
        ("python main.py --use_gpus_flag x --lr 0.1", "python main.py --use_gpus_flag x --lr 0.1"),
        ("python main.py --gpus --lr 1", "python main.py --lr 1"),
        ("python main.py '--gpus' \"8\" -- --gpus 1", "python main.py -- --gpus 1"),
        ("python main.py --name 'hello world' $X", "python main.py --name 'hello world' $X"),
    ],
)
def test_lightning_removes_its_two_flags_exactly_and_appends_them_last(command: str, kept: str) -> None:
    assert line(program(JobKind.LIGHTNING, command)) == f"{kept} --num_nodes 2 --gpus 3"


def test_the_names_of_lightnings_flags_are_configurable() -> None:
    profile = replace(GENERIC, lightning_gpus_flag="--devices", lightning_nodes_flag="--nodes")
    started = line(program(JobKind.LIGHTNING, "python main.py --devices 1 --gpus 9 --nodes=1", profile))
    assert started == "python main.py --gpus 9 --nodes 2 --devices 3"


@pytest.mark.parametrize(
    ("command", "started", "no_python"),
    [
        ("python main.py --train", "torchrun ... main.py --train", False),
        ("python3 main.py", "torchrun ... main.py", False),
        ("python3.11 -u main.py", "torchrun ... main.py", False),
        ("python -m gan.train -x", "torchrun ... -m gan.train -x", False),
        ("python -u -u -m gan.train", "torchrun ... -m gan.train", False),
        ("/opt/py/bin/python main.py", "/opt/py/bin/python -m torch.distributed.run ... main.py", False),
        ("$CONDA/bin/python3 main.py", "$CONDA/bin/python3 -m torch.distributed.run ... main.py", False),
        ("python -O main.py", "torchrun ... python -O main.py", True),
        ("python -u -W ignore main.py", "torchrun ... python -W ignore main.py", True),
        ("python main.py -u", "torchrun ... main.py -u", False),
    ],
)
def test_torchrun_starts_the_commands_python(command: str, started: str, no_python: bool) -> None:
    made = program(JobKind.TORCHRUN, command)
    assert (line(made), made.no_python) == (started, no_python)


def test_assignments_stand_before_the_program() -> None:
    made = program(JobKind.TORCHRUN, "LR='1e-3' A+=x python main.py")
    assert [word.raw for word in made.assignments] == ["LR='1e-3'", "A+=x"]
    assert made.names == ("LR", "A")


@pytest.mark.parametrize("kind", [JobKind.LIGHTNING, JobKind.TORCHRUN])
@pytest.mark.parametrize(
    "command", ["./train.sh", "bash run.sh", "ipython main.py", "python2.sh x", "$PY main.py"]
)
def test_a_distributed_command_must_start_with_python(kind: JobKind, command: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(kind, command)
    assert raised.value.message.startswith(
        f"a {kind.value} job starts Python on every rank, but the command in /p/"
    )
    assert raised.value.hint == "begin the command with python, or ask for one GPU on one node without -W"


@pytest.mark.parametrize("command", ["python", "python -u", "python3 -u -u"])
def test_torchrun_needs_something_to_run(command: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(JobKind.TORCHRUN, command)
    assert raised.value.message.endswith("gives python nothing to run")
    assert raised.value.hint == "write the script behind it: python main.py"
