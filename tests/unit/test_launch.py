"""What each kind of job makes of the user's command."""

from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, shipped
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import read_command
from hpcsubmit.launch import JobKind, Program, kind_of, mpi_flavours, program_for
from hpcsubmit.profile import Profile
from hpcsubmit.request import LAUNCHER_NAMES, Launcher, Request

GENERIC = shipped("generic")


def program(kind: JobKind, command: str, profile: Profile = GENERIC, nodes: int = 2) -> Program:
    request = Request(time=HOUR, gpus=3, num_nodes=nodes)
    return program_for(
        kind, read_command(command, Path("/p/experiment_configurations.txt")), request, profile
    )


def line(made: Program) -> str:
    """The command as the script starts it; the options of torchrun or accelerate stand as `...`."""
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
        (2, 2, Launcher.ACCELERATE, JobKind.ACCELERATE),
        (2, 2, Launcher.SRUN, JobKind.SRUN),
        (1, 1, Launcher.PMI, JobKind.PMI),
        (1, 1, Launcher.RANKS, JobKind.RANKS),
    ],
)
def test_the_kind_follows_from_gpus_nodes_and_launcher(
    gpus: int, nodes: int, launcher: Launcher | None, kind: JobKind
) -> None:
    assert kind_of(Request(time=HOUR, gpus=gpus, num_nodes=nodes, launcher=launcher)) is kind


def test_a_sentence_names_every_kind() -> None:
    shown = [kind.shown for kind in JobKind if kind.shown.startswith("an ")]
    assert shown == ["an accelerate job", "an srun job"]
    assert JobKind.PLAIN.shown == "a plain job"


def test_script_is_the_older_name_of_torchrun() -> None:
    assert LAUNCHER_NAMES["script"] is LAUNCHER_NAMES["torchrun"] is Launcher.TORCHRUN


@pytest.mark.parametrize(
    "command", ["python main.py --gpus 7", "./run.sh a 'b c'", "$CONDA/bin/python -u x.py"]
)
def test_a_plain_job_starts_the_command_as_it_is(command: str) -> None:
    assert line(program(JobKind.PLAIN, command)) == command


@pytest.mark.parametrize("kind", [JobKind.SRUN, JobKind.PMI, JobKind.RANKS])
@pytest.mark.parametrize(
    "command", ["python main.py --gpus 7", "$CONDA/bin/python -u x.py rank={rank} 'b c'"]
)
def test_srun_pmi_and_ranks_start_the_command_as_it_is(kind: JobKind, command: str) -> None:
    made = program(kind, command, nodes=1)
    assert line(made) == command
    assert made.python == made.arguments[0]


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


@pytest.mark.parametrize("kind", [kind for kind in JobKind if kind.distributed])
@pytest.mark.parametrize(
    "command", ["./train.sh", "bash run.sh", "ipython main.py", "python2.sh x", "$PY main.py"]
)
def test_a_distributed_command_must_start_with_python(kind: JobKind, command: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(kind, command)
    assert raised.value.message.startswith(
        f"{kind.shown} starts Python on every rank, but the command in /p/"
    )
    assert raised.value.hint == "begin the command with python, or ask for one GPU on one node without -W"


@pytest.mark.parametrize("kind", [JobKind.TORCHRUN, JobKind.ACCELERATE])
@pytest.mark.parametrize("command", ["python", "python -u", "python3 -u -u"])
def test_a_launcher_needs_something_to_run(kind: JobKind, command: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(kind, command)
    assert raised.value.message.endswith("gives python nothing to run")
    assert raised.value.hint == "write the script behind it: python main.py"


@pytest.mark.parametrize(
    ("command", "started", "no_python"),
    [
        ("python main.py --train", "accelerate launch ... main.py --train", False),
        ("python3.11 -u main.py", "accelerate launch ... main.py", False),
        ("python -m gan.train -x", "accelerate launch ... -m gan.train -x", False),
        ("/opt/bin/python main.py", "/opt/bin/python -m accelerate.commands.launch ... main.py", False),
        ("$CONDA/bin/python -m x", "$CONDA/bin/python -m accelerate.commands.launch ... -m x", False),
        ("python -O main.py", "accelerate launch ... python -O main.py", True),
        ("accelerate launch main.py -x", "accelerate launch ... main.py -x", False),
        (
            "accelerate launch --mixed_precision bf16 main.py --num_processes 3 --multi_gpu",
            "accelerate launch ... --mixed_precision bf16 main.py --num_processes 3 --multi_gpu",
            False,
        ),
        ("accelerate launch -m gan --machine_rank 1", "accelerate launch ... -m gan --machine_rank 1", False),
        ("/opt/bin/accelerate launch main.py", "/opt/bin/accelerate launch ... main.py", False),
        (
            "python -u -W ignore -m accelerate.commands.launch main.py",
            "python -u -W ignore -m accelerate.commands.launch ... main.py",
            False,
        ),
        (
            "/opt/bin/python -m accelerate.commands.launch --fp8_format HYBRID main.py",
            "/opt/bin/python -m accelerate.commands.launch ... --fp8_format HYBRID main.py",
            False,
        ),
    ],
)
def test_accelerate_starts_the_commands_python_or_what_the_user_gives_it(
    command: str, started: str, no_python: bool
) -> None:
    made = program(JobKind.ACCELERATE, command)
    assert (line(made), made.no_python, made.own_strategy) == (started, no_python, False)


@pytest.mark.parametrize(
    ("command", "python"),
    [
        ("python3 main.py", "python3"),
        ("accelerate launch main.py", "python"),
        ("/opt/bin/python -m accelerate.commands.launch main.py", "/opt/bin/python"),
        ("/opt/bin/python -um accelerate.commands.launch main.py", "/opt/bin/python"),
    ],
)
def test_the_python_of_accelerates_ranks_is_known(command: str, python: str) -> None:
    assert program(JobKind.ACCELERATE, command).python.raw == python


@pytest.mark.parametrize(
    ("options", "own"),
    [
        ("--mixed_precision bf16", False),
        ("--use_fsdp", True),
        ("--use-fsdp", True),
        ("--use_deepspeed --zero_stage 3", True),
        ("--config_file=$HOME/fsdp.yaml", True),
        ("--config_file fsdp.yaml", True),
        ("--cpu", True),
    ],
)
def test_a_strategy_of_the_users_own_is_seen(options: str, own: bool) -> None:
    assert program(JobKind.ACCELERATE, f"accelerate launch {options} main.py").own_strategy is own
    assert not program(JobKind.ACCELERATE, f"accelerate launch main.py {options}").own_strategy


@pytest.mark.parametrize(
    ("words", "option"),
    [
        ("--num_processes 4 main.py", "--num_processes"),
        ("--num-processes=4 main.py", "--num_processes"),
        ("--num_proc 4 main.py", "--num_processes"),
        ("--mixed_precision bf16 --machine_rank=$RANK main.py", "--machine_rank"),
        ("--main_process_port 29500 -m gan", "--main_process_port"),
        ("--multi_gpu main.py", "--multi_gpu"),
        ("--gpu_ids 0,1 main.py", "--gpu_ids"),
        ("--num_machines 2 $SCRIPT", "--num_machines"),
    ],
)
def test_what_follows_from_the_job_is_refused_among_accelerates_own_options(words: str, option: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(JobKind.ACCELERATE, f"accelerate launch {words}")
    assert raised.value.message.endswith(f"gives accelerate {option}, which hpcsubmit sets itself")
    assert raised.value.hint == f"leave {option} out: it follows from --gpus and --num-nodes"


def test_accelerate_launch_alone_runs_nothing() -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(JobKind.ACCELERATE, "accelerate launch")
    assert raised.value.message.endswith("gives accelerate nothing to run")
    assert raised.value.hint == "write the script behind it: accelerate launch main.py"


@pytest.mark.parametrize("command", ["accelerate test", "accelerate launch main.py"])
def test_other_launchers_do_not_start_accelerate(command: str) -> None:
    for kind in (JobKind.TORCHRUN, JobKind.SRUN):
        with pytest.raises(HpcSubmitError):
            program(kind, command)


def test_ranks_are_on_one_node() -> None:
    with pytest.raises(HpcSubmitError) as raised:
        program(JobKind.RANKS, "python main.py", nodes=2)
    assert raised.value.message == "-W ranks starts its processes on one node, and 2 are asked for"
    assert raised.value.hint == "ask for --num-nodes 1, or for -W torchrun or -W srun on several"


LISTS = {
    "22.05": (
        "MPI plugin types are...\n\tnone\n\tcray_shasta\n\tpmi2\n",
        ("none", "cray_shasta", "pmi2"),
    ),
    "22.05 with pmix": (
        "MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix\nspecific pmix versions available: pmix_v3,pmix_v4",
        ("none", "pmi2", "pmix", "pmix_v3", "pmix_v4"),
    ),
    "20.11": (
        "srun: MPI types are...\nsrun: cray_shasta\nsrun: pmi2\nsrun: none\n",
        ("cray_shasta", "pmi2", "none"),
    ),
    "nothing": ("", ()),
}


@pytest.mark.parametrize("version", LISTS)
def test_every_slurms_list_of_mpi_flavours_is_read(version: str) -> None:
    said, known = LISTS[version]
    assert mpi_flavours(said) == known
