"""plan(): every decision of a submission, by the tables of the contract."""

from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, TWO_BY_TWO, context, shipped
from hpcsubmit.context import Context
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.plan import Plan, plan
from hpcsubmit.profile import Profile
from hpcsubmit.request import Launcher, Request
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory, Walltime
from hpcsubmit.virtualenv import Virtualenv

PLAIN = Request(time=HOUR)
GENERIC = shipped("generic")


def directives(request: Request, profile: Profile, facts: Context | None = None) -> dict[str, str | None]:
    made = plan(request, profile, facts or context())
    names = [d.name for d in made.directives]
    assert len(names) == len(set(names))
    return {d.name: d.value for d in made.directives}


def notes(request: Request, profile: Profile, facts: Context | None = None) -> tuple[str, ...]:
    return plan(request, profile, facts or context()).notes


def test_the_default_job_on_cedar_is_the_contracts_first_example() -> None:
    assert directives(PLAIN, shipped("cedar")) == {
        "job-name": "standard-gan",
        "comment": "r20260131-235959-a2b3",
        "account": "rrg-kevinlb",
        "time": "00-01:00:00",
        "nodes": "1",
        "ntasks-per-node": "1",
        "cpus-per-task": "2",
        "gres": "gpu:v100l:1",
        "mem-per-gpu": "10G",
        "chdir": "/home/u/gan",
        "output": "/scratch/u/gan/hpc_outputs/standard_%j.out",
        "open-mode": "append",
    }


def test_on_plai_there_is_a_partition_no_account_and_no_gpu_type() -> None:
    found = directives(replace(PLAIN, account="me", gpu_type="a100"), shipped("plai"))
    assert (found["partition"], found["gres"]) == ("plai", "gpu:1")
    assert "account" not in found
    assert notes(replace(PLAIN, account="me", gpu_type="a100"), shipped("plai")) == (
        "--gpu-type a100 is ignored: the GPUs of 'plai' have no types",
        "--account me is ignored: 'plai' has no accounts",
    )


def test_generic_adds_nothing_of_its_own_and_passes_on_what_is_given() -> None:
    assert not {"account", "partition"} & directives(PLAIN, GENERIC).keys()
    found = directives(replace(PLAIN, account="a", partition="p", gpu_type="h100"), GENERIC)
    assert (found["account"], found["partition"], found["gres"]) == ("a", "p", "gpu:h100:1")


@pytest.mark.parametrize(
    ("launcher", "gpus", "nodes", "name", "log", "tasks"),
    [
        (None, 1, 1, "standard", "standard", 1),
        (None, 2, 1, "lightning_dist", "lightning", 2),
        (None, 1, 2, "lightning_dist", "lightning", 1),
        (Launcher.LIGHTNING, 1, 1, "lightning_dist", "lightning", 1),
        (Launcher.LIGHTNING, 4, 2, "lightning_dist", "lightning", 4),
        (Launcher.TORCHRUN, 1, 1, "torchrun_dist", "torchrun", 1),
        (Launcher.TORCHRUN, 4, 3, "torchrun_dist", "torchrun", 1),
        (Launcher.ACCELERATE, 4, 3, "accelerate_dist", "accelerate", 1),
        (Launcher.SRUN, 4, 3, "srun_dist", "srun", 4),
        (Launcher.PMI, 4, 3, "pmi_dist", "pmi", 4),
        (Launcher.RANKS, 4, 1, "ranks_dist", "ranks", 1),
    ],
)
def test_the_kinds_of_job_are_those_of_the_table(
    launcher: Launcher | None, gpus: int, nodes: int, name: str, log: str, tasks: int
) -> None:
    request = replace(PLAIN, launcher=launcher, gpus=gpus, num_nodes=nodes)
    found = directives(request, GENERIC)
    assert found["job-name"] == f"{name}-gan"
    assert found["output"] == f"/scratch/u/gan/hpc_outputs/{log}_%j.out"
    assert found["nodes"] == str(nodes)
    assert found["ntasks-per-node"] == str(tasks)
    assert found["gres"] == f"gpu:{gpus}"
    assert not {"ntasks", "gpus-per-task", "export", "array"} & found.keys()
    named = directives(replace(request, exp_name="testing"), GENERIC)
    assert named["job-name"] == f"{name}-gan-testing"
    assert named["output"] == f"/scratch/u/gan/hpc_outputs/{log}_testing_%j.out"


@pytest.mark.parametrize(
    ("cpus", "gpus", "launcher", "per_task", "note"),
    [
        (None, 1, None, 2, None),
        (None, 4, Launcher.LIGHTNING, 1, "2 CPUs do not divide among 4 tasks: each task gets 1"),
        (8, 4, Launcher.LIGHTNING, 2, None),
        (9, 4, Launcher.LIGHTNING, 3, "9 CPUs do not divide among 4 tasks: each task gets 3"),
        (9, 4, Launcher.TORCHRUN, 9, None),
        (9, 4, Launcher.ACCELERATE, 9, None),
        (8, 4, Launcher.SRUN, 2, None),
        (9, 4, Launcher.PMI, 3, "9 CPUs do not divide among 4 tasks: each task gets 3"),
        (7, 1, None, 7, None),
    ],
)
def test_cpus_are_counted_per_node_and_shared_by_its_tasks(
    cpus: int | None, gpus: int, launcher: Launcher | None, per_task: int, note: str | None
) -> None:
    request = replace(PLAIN, cpus=cpus, gpus=gpus, launcher=launcher)
    assert directives(request, GENERIC)["cpus-per-task"] == str(per_task)
    assert notes(request, GENERIC) == ((note,) if note else ())


def test_every_rank_gets_its_share_of_the_cpus_as_threads() -> None:
    for launcher in Launcher:
        made = plan(replace(PLAIN, cpus=9, gpus=4, launcher=launcher), GENERIC, context("python x.py {rank}"))
        assert made.threads == 2, launcher


def test_ranks_of_a_command_without_a_rank_are_noted() -> None:
    ranks = replace(PLAIN, gpus=2, launcher=Launcher.RANKS)
    note = "the command names no {rank}: its processes differ by the variable RANK alone"
    assert note in notes(ranks, GENERIC, context("python main.py world_size={world_size}"))
    for command in ("python main.py rank={rank}", "python main.py {local_rank}", "OUT={rank} python main.py"):
        assert note not in notes(ranks, GENERIC, context(command)), command
    assert note not in notes(replace(ranks, launcher=Launcher.SRUN), GENERIC, context("python main.py"))


def test_a_profile_can_give_cpus_and_memory_per_gpu() -> None:
    profile = replace(GENERIC, cpus_per_gpu=6, mem_per_gpu=Memory.parse("32G"))
    found = directives(replace(PLAIN, gpus=4, launcher=Launcher.TORCHRUN), profile)
    assert (found["cpus-per-task"], found["mem-per-gpu"]) == ("24", "32G")
    asked = replace(PLAIN, cpus=3, memory_per_gpu=Memory.parse("5000M"))
    found = directives(asked, profile)
    assert (found["cpus-per-task"], found["mem-per-gpu"]) == ("3", "5000M")


@pytest.mark.parametrize(
    ("option", "asked", "expected"),
    [
        ("mem-per-gpu", Request(time=HOUR, gpus=4), ("mem-per-gpu", "10G")),
        ("mem", Request(time=HOUR, gpus=4), ("mem", "40960M")),
        ("mem", Request(time=HOUR, gpus=4, memory_per_gpu=Memory.parse("100M")), ("mem", "400M")),
        ("mem", Request(time=HOUR, memory_per_node=Memory.parse("64G")), ("mem", "64G")),
        ("mem-per-gpu", Request(time=HOUR, memory_per_node=Memory.parse("64G")), ("mem", "64G")),
    ],
)
def test_memory_is_asked_for_in_the_profiles_form(
    option: str, asked: Request, expected: tuple[str, str]
) -> None:
    found = directives(asked, replace(GENERIC, memory_option=option))
    assert [(name, found[name]) for name in found if name.startswith("mem")] == [expected]


def test_where_memory_is_not_limited_none_is_asked_for_with_a_note() -> None:
    local = shipped("local")
    assert not {"mem", "mem-per-gpu"} & directives(PLAIN, local).keys()
    asked = replace(PLAIN, memory_per_gpu=Memory.parse("5G"))
    assert "the memory asked for is ignored: 'local' does not limit it" in notes(asked, local)


def test_gpus_can_be_asked_for_in_two_ways() -> None:
    profile = replace(GENERIC, gpu_option="gpus-per-node", gpu_type="h100")
    found = directives(replace(PLAIN, gpus=2, launcher=Launcher.TORCHRUN), profile)
    assert found["gpus-per-node"] == "h100:2"
    assert "gres" not in found


def test_on_local_a_note_says_when_the_job_runs_on_the_cpu() -> None:
    local = shipped("local")
    two = replace(context(), visible_gpus=("0", "1"))
    assert notes(PLAIN, local, two) == ()
    assert notes(TWO_BY_TWO, local, two) == (
        "the job runs on the CPU: GPUs asked for: 4, on this machine: 2",
    )


def test_the_profiles_and_the_users_own_sbatch_options_come_last() -> None:
    profile = replace(GENERIC, sbatch_args=(Directive(name="qos", value="high"),))
    request = replace(PLAIN, sbatch_args=(Directive(name="requeue"),))
    assert [d.name for d in plan(request, profile, context()).directives][-2:] == ["qos", "requeue"]


def test_folders_and_variables_are_those_of_the_contract() -> None:
    made = plan(replace(PLAIN, exp_name="celebA"), GENERIC, context())
    scratch = Path("/scratch/u/gan")
    assert made.folders == (scratch, scratch / "hpc_outputs", scratch / "celebA" / "checkpoints")
    assert made.run_dir == scratch / "hpcsubmit" / "runs" / "r20260131-235959-a2b3"
    assert made.output_dir == scratch / "celebA" / "runs" / "r20260131-235959-a2b3"
    assert dict(made.exports) == {
        "source_dir": "/home/u/gan",
        "project_name": "gan",
        "scratch_dir": "/scratch/u/gan",
        "exp_name": "celebA",
        "SOURCE_DIR": "/home/u/gan",
        "PROJECT_NAME": "gan",
        "SCRATCH_DIR": "/scratch/u/gan",
        "EXP_NAME": "celebA",
        "OUTPUT_DIR": "/scratch/u/gan/celebA/runs/r20260131-235959-a2b3",
    }
    unnamed = plan(PLAIN, GENERIC, context())
    assert unnamed.folders[-1] == scratch / "checkpoints"
    assert unnamed.output_dir == scratch / "runs" / "r20260131-235959-a2b3"
    assert dict(plan(TWO_BY_TWO, GENERIC, context()).exports)["GLOBAL_WORLD_SIZE"] == "4"


def test_the_percent_signs_of_folders_are_doubled_in_the_log_alone() -> None:
    made = plan(PLAIN, GENERIC, context(root="/home/u/50% done"))
    assert made.log == "/scratch/u/50%% done/hpc_outputs/standard_%j.out"
    assert made.job_name == "standard-50% done"
    assert made.folders[0] == Path("/scratch/u/50% done")


def test_a_plan_depends_on_nothing_but_its_arguments() -> None:
    first: Plan = plan(TWO_BY_TWO, shipped("plai"), context())
    assert first == plan(TWO_BY_TWO, shipped("plai"), context())


LIMITED = replace(
    GENERIC, gpus_per_node=4, cpus_per_node=32, max_time=Walltime.parse("1-0"), accounts=("a1", "b2")
)


@pytest.mark.parametrize(
    ("request_", "message", "hint"),
    [
        (
            replace(PLAIN, gpus=5),
            "--gpus 5 is more than the 4 GPUs of a node in the profile 'generic'",
            "ask for at most 4 per node, on more nodes with --num-nodes",
        ),
        (
            replace(PLAIN, cpus=33),
            "33 CPUs are more than the 32 of a node in the profile 'generic'",
            "ask for at most --cpus 32; they are counted per node",
        ),
        (
            replace(PLAIN, time=Walltime.parse("1-0:01")),
            "--time 01-00:01:00 is longer than the limit of the profile 'generic', 01-00:00:00",
            "ask for less time, and let the program go on from a checkpoint in a second job",
        ),
        (
            replace(PLAIN, account="a2"),
            "--account a2 is not one that the profile 'generic' lists",
            "did you mean ",
        ),
    ],
)
def test_what_no_node_or_list_has_is_an_error(request_: Request, message: str, hint: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        plan(request_, LIMITED, context())
    assert raised.value.message == message
    assert raised.value.hint.startswith(hint)
    assert raised.value.exit_code == 1


def test_cpus_that_come_from_the_profile_are_limited_too() -> None:
    with pytest.raises(HpcSubmitError):
        plan(replace(PLAIN, gpus=4), replace(LIMITED, cpus_per_gpu=9), context())


def test_a_note_of_the_environment_is_passed_on() -> None:
    facts = replace(context(), virtualenv=Virtualenv(path=Path("/v"), note="yours"))
    assert notes(PLAIN, GENERIC, facts) == ("yours",)


def test_wandb_without_a_key_is_a_warning() -> None:
    facts = replace(context(), wandb_without_key=True)
    (warning,) = plan(PLAIN, GENERIC, facts).warnings
    assert "wandb" in warning
