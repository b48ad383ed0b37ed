"""A launcher in the command of a job that starts all ranks itself: refused, in sweeps too, or told."""

import pytest

from golden.cases import HOUR, context, shipped
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.inner_launcher import launcher_in
from hpcsubmit.launch import JobKind
from hpcsubmit.plan import plan
from hpcsubmit.request import Launcher, Request
from hpcsubmit.trial import TrialError, fit
from sandbox import Sandbox
from sweep_desk import GRID, SweepDesk
from trial_specs import launch

RUN = "python -m torch.distributed.run --nproc_per_node 2 w.py"
OFFLINE = ("sweep", "run", "--offline")


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


def asked(launcher: Launcher | None = None, gpus: int = 2, nodes: int = 1) -> Request:
    return Request(time=HOUR, gpus=gpus, num_nodes=nodes, launcher=launcher)


def notes(command: str, request: Request) -> tuple[str, ...]:
    return plan(request, shipped("generic"), context(command)).notes


def refusal(command: str, request: Request) -> HpcSubmitError:
    with pytest.raises(HpcSubmitError) as raised:
        notes(command, request)
    return raised.value


def sweep(command: str) -> str:
    return f"{GRID}command: [{command}]\n"


@pytest.mark.parametrize(
    ("command", "name", "script"),
    [
        ("python -m torch.distributed.run w.py", "torch.distributed.run", "w.py"),
        ("python3.11 -m torch.distributed.launch -m pack", "torch.distributed.launch", "main.py"),
        ("/e/bin/python3 -u -m torch.distributed.run w.py", "torch.distributed.run", "w.py"),
        ("python -W ignore -X dev -m torch.distributed.run a/b.py", "torch.distributed.run", "a/b.py"),
        ("python -Wignore -um torch.distributed.run w.py", "torch.distributed.run", "w.py"),
        ("python -mtorch.distributed.run w.py", "torch.distributed.run", "w.py"),
        ("python --check-hash-based-pycs never -m torch.distributed.run", "torch.distributed.run", "main.py"),
        ("python -X importtime -uBm torch.distributed.run w.py", "torch.distributed.run", "w.py"),
        ("python -m torchrun w.py", "torchrun", "w.py"),
        ("python -m accelerate.commands.launch w.py", "accelerate.commands.launch", "w.py"),
        (
            "python -m accelerate.commands.accelerate_cli launch w.py",
            "accelerate.commands.accelerate_cli launch",
            "w.py",
        ),
        ("python -u /e/bin/accelerate launch w.py", "accelerate launch", "w.py"),
        ("python /e/bin/torchrun w.py", "torchrun", "w.py"),
        ("/e/bin/torchrun --standalone w.py", "torchrun", "w.py"),
        ("accelerate launch w.py", "accelerate launch", "w.py"),
        ("accelerate-launch w.py", "accelerate-launch", "w.py"),
    ],
)
def test_a_launcher_is_known_however_it_is_started(command: str, name: str, script: str) -> None:
    kind = JobKind.ACCELERATE if "accelerate" in command else JobKind.TORCHRUN
    assert launcher_in(command.split(" ")) == (name, kind, script)


@pytest.mark.parametrize(
    "command",
    [
        "python main.py",
        "python main.py -m torch.distributed.run",
        "python -m gan.train -m torch.distributed.run",
        "python -W ignore main.py -m torch.distributed.run",
        "python -c -m torch.distributed.run",
        "python -V -m torch.distributed.run",
        "python -- main.py -m torch.distributed.run",
        "python -m torch.utils.bottleneck w.py",
        "python -m",
        "python -",
        "python",
        "accelerate test",
        "bash -m torch.distributed.run",
        "",
    ],
)
def test_what_is_no_launcher_is_taken_for_none(command: str) -> None:
    assert launcher_in(command.split()) is None


@pytest.mark.parametrize(
    ("launcher", "kind"),
    [
        (None, "a lightning job"),
        (Launcher.LIGHTNING, "a lightning job"),
        (Launcher.TORCHRUN, "a torchrun job"),
        (Launcher.ACCELERATE, "an accelerate job"),
        (Launcher.SRUN, "an srun job"),
        (Launcher.PMI, "a pmi job"),
        (Launcher.RANKS, "a ranks job"),
    ],
)
def test_ranks_that_would_each_start_all_ranks_are_refused(launcher: Launcher | None, kind: str) -> None:
    error = refusal(RUN, asked(launcher))
    assert error.exit_code == 1
    assert error.message == (
        f"{kind} starts every rank itself, but the command in /home/u/gan/experiment_configurations.txt "
        "starts torch.distributed.run, and each rank would start all of them again"
    )
    assert error.hint == (
        "leave out torch.distributed.run and its options, such as --nproc_per_node, and write the script "
        "itself: python w.py; -W torchrun starts it on every GPU"
    )


@pytest.mark.parametrize(
    ("command", "name"),
    [
        ("python -m accelerate.commands.launch --num_processes 2 w.py", "accelerate.commands.launch"),
        ("accelerate launch --num_processes 2 w.py", "accelerate launch"),
    ],
)
def test_the_cure_for_accelerate_is_its_own_kind_of_job(command: str, name: str) -> None:
    assert refusal(command, asked(Launcher.SRUN)).hint == (
        f"leave out {name} and its options, such as --num_processes, and write the script itself: "
        "python w.py; -W accelerate starts it on every GPU"
    )
    own = command.replace("--num_processes 2", "--mixed_precision bf16")
    assert not [note for note in notes(own, asked(Launcher.ACCELERATE)) if "launch" in note]


@pytest.mark.parametrize("command", ["torchrun w.py", "'torchrun' w.py", '"$VENV/bin/torchrun" w.py'])
def test_torchrun_by_its_name_is_told_apart_from_other_programs(command: str) -> None:
    assert "starts torchrun, and each rank" in refusal(command, asked(Launcher.TORCHRUN)).message
    assert "starts torchrun, and each rank" in refusal(f"python {command}", asked()).message


@pytest.mark.parametrize("launcher", [Launcher.TORCHRUN, Launcher.ACCELERATE])
def test_one_gpu_on_each_of_several_nodes_is_several_ranks_of_a_launcher(launcher: Launcher) -> None:
    assert "would start all of them again" in refusal(RUN, asked(launcher, gpus=1, nodes=2)).message


@pytest.mark.parametrize("launcher", [None, *(each for each in Launcher if each is not Launcher.ACCELERATE)])
def test_one_process_may_start_a_launcher(launcher: Launcher | None) -> None:
    assert not [note for note in notes(RUN, asked(launcher, gpus=1)) if "torch.distributed" in note]


@pytest.mark.parametrize("launcher", [None, Launcher.SRUN, Launcher.PMI])
def test_one_task_on_each_node_may_start_a_launcher_with_a_note(launcher: Launcher | None) -> None:
    note = "each of the 3 nodes starts torch.distributed.run by itself: only its own options can join them"
    assert note in notes(RUN, asked(launcher, gpus=1, nodes=3))
    assert not [
        found for found in notes("python w.py", asked(launcher, gpus=1, nodes=3)) if "by itself" in found
    ]


def test_a_job_for_each_seed_is_checked_alike(sandbox: Sandbox) -> None:
    sandbox.write(RUN)
    for argv in (("--gpus", "2"), ("--gpus", "2", "--repeat", "2")):
        said = sandbox.refuses(*argv)
        assert said.error.startswith(
            f"a lightning job starts every rank itself, but the command in {sandbox.experiment}"
        )
        assert said.hint.endswith("python w.py; -W torchrun starts it on every GPU")
    assert sandbox.hpcsubmit().code == 0


# --- sweeps


@pytest.mark.parametrize(
    "command",
    [
        "'${env}', '${interpreter}', -m, torch.distributed.run, --nproc_per_node, 2, '${program}', '${args}'",
        "'${env}', OMP_NUM_THREADS=1, python3, -u, -m, torch.distributed.run, '${program}', '${args}'",
        "torchrun, '${program}', '${args}'",
    ],
)
@pytest.mark.parametrize("argv", [OFFLINE, ("sweep", "run")])
def test_a_sweeps_command_is_refused_at_submission(
    desk: SweepDesk, command: str, argv: tuple[str, ...]
) -> None:
    path = desk.file(sweep(command))
    said = desk.box.refuses(*argv, "--trial-gpus", "2", "-W", "torchrun")
    name = "torchrun" if command.startswith("torchrun") else "torch.distributed.run"
    assert said.error == (
        f"{path}, line 6: command starts {name}, but a torchrun job starts every rank of a trial itself"
    )
    assert said.hint == (
        f"leave out {name} and its options, such as --nproc_per_node, and write the script itself: "
        "python main.py; -W torchrun starts it on every GPU"
    )


def test_a_trial_on_one_gpu_may_start_a_launcher(desk: SweepDesk) -> None:
    desk.file(sweep("python, -m, torch.distributed.run, '${program}', '${args}'"))
    desk.submits(*OFFLINE)


@pytest.mark.parametrize("kind", ["torchrun", "lightning", "accelerate", "srun", "pmi", "ranks"])
@pytest.mark.parametrize(
    ("command", "module"),
    [
        ("python -m torch.distributed.run w.py", "torch.distributed.run"),
        (
            "/usr/bin/env A=1 python3 -W ignore -u -m torch.distributed.launch w.py",
            "torch.distributed.launch",
        ),
        ("python -m accelerate.commands.launch w.py", "accelerate.commands.launch"),
        ("python -um torch.distributed.run w.py", "torch.distributed.run"),
        ("python -mtorch.distributed.run w.py", "torch.distributed.run"),
        ("python -uW ignore -Xdev -m torch.distributed.run w.py", "torch.distributed.run"),
        ("python --check-hash-based-pycs never -m torch.distributed.run", "torch.distributed.run"),
        ("python -m torchrun w.py", "torchrun"),
        ("python -u /e/bin/torchrun w.py", "torchrun"),
        ("python /e/bin/accelerate launch w.py", "accelerate launch"),
    ],
)
def test_a_command_that_only_the_server_knew_is_refused_on_the_node(
    kind: str, command: str, module: str
) -> None:
    with pytest.raises(TrialError) as raised:
        fit(command.split(" "), launch(kind))
    assert str(raised.value) == (
        f"{kind} starts every rank itself, but the sweep's command starts {module}: leave it out"
    )


@pytest.mark.parametrize(
    "command",
    [
        "python main.py -m torch.distributed.run",
        "python -uW ignore main.py -m torch.distributed.run",
        "python -c -m torch.distributed.run",
        "python -m gan.train -m torch.distributed.run",
        "python /e/bin/accelerate test",
    ],
)
def test_on_the_node_what_is_no_launcher_is_taken_for_none(command: str) -> None:
    words = command.split()
    assert fit(words, launch("srun")) == ([], words)


def test_on_the_node_a_launcher_may_be_started_once() -> None:
    words = RUN.split(" ")
    assert fit(words, launch("plain")) == ([], words)
    assert fit(words, {**launch("srun"), "gpus": 1}) == ([], words)
    assert fit(words, {**launch("torchrun"), "gpus": 1, "nodes": 1})[1] == words[1:]
    with pytest.raises(TrialError, match="starts every rank itself"):
        fit(words, {**launch("torchrun"), "gpus": 1})


# --- placeholders


@pytest.mark.parametrize(
    ("command", "named"),
    [
        ("python main.py rank={rank}", "{rank}"),
        ("OUT={local_rank} python main.py", "{local_rank}"),
        ("python main.py '{master_port}' {master_port}", "{master_port}"),
        ("python main.py rank={rank} world_size={world_size}", "{rank} and {world_size}"),
    ],
)
@pytest.mark.parametrize("launcher", [each for each in Launcher if each is not Launcher.RANKS])
def test_a_forgotten_ranks_is_noted(command: str, named: str, launcher: Launcher) -> None:
    note = (
        f"the command names {named}, which -W ranks alone fills in: the program gets them as they are written"
    )
    for request in (asked(launcher), asked(None), asked(None, gpus=1)):
        assert note in notes(command, request)
    assert not [found for found in notes(command, asked(Launcher.RANKS)) if "alone fills in" in found]


@pytest.mark.parametrize("command", ["python main.py ${rank} {seed} {ranks} rank", "python main.py --x '{}'"])
def test_other_braces_are_not_noted(command: str) -> None:
    assert not [note for note in notes(command, asked()) if "fills in" in note]


def test_bash_s_own_rank_is_none_that_is_filled_in() -> None:
    note = "the command names no {rank}: its processes differ by the variable RANK alone"
    assert note in notes("python main.py ${rank}", asked(Launcher.RANKS))


def test_a_sweeps_command_is_noted_too(desk: SweepDesk) -> None:
    desk.file(sweep("python, '${program}', 'rank={rank}'"))
    said = desk.submits(*OFFLINE, "--trial-gpus", "2", "-W", "torchrun")
    assert "note: the command names {rank}, which -W ranks alone fills in: " in said.stderr
    said = desk.submits(*OFFLINE, "--trial-gpus", "2", "-W", "ranks")
    assert "alone fills in" not in said.stderr
