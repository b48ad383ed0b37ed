"""`hpcsubmit --repeat` and `--seeds`, as typed."""

import pytest

from sandbox import Sandbox
from sweep_desk import SweepDesk, directives

SWEEP = ("-w", "lab/gan/abc")


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


def test_repeats_are_an_array_and_keep_the_names_of_their_kind(desk: SweepDesk) -> None:
    said = desk.submits("--repeat", "3", "-e", "x", "-W", "torchrun", "-g", "2")
    found = directives(desk.script)
    assert (found["array"], found["job-name"]) == ("1-3", "torchrun_dist-gan-x")
    assert found["output"].endswith("/hpc_outputs/torchrun_x_%A_%a.out")
    assert "  seeds              1, 2, 3\n" in said.stderr
    assert desk.record("sweep.json")["seeds"] == [1, 2, 3]
    plan = desk.record("plan.json")
    assert (plan["kind"], plan["sweep"]) == ("torchrun", "")


def test_seeds_are_given_as_they_are_named(desk: SweepDesk) -> None:
    desk.submits("--seeds", "7, 1 20")
    assert desk.record("sweep.json")["seeds"] == [7, 1, 20]
    assert "_seeds=(7 1 20)" in desk.script


@pytest.mark.parametrize("value", ["", "x", "1,x", "-1", "1.5", "1" * 20])
def test_seeds_are_whole_numbers(desk: SweepDesk, value: str) -> None:
    said = desk.box.refuses(f"--seeds={value}", code=2)
    assert said.error == f"--seeds cannot be {value!r}"
    assert said.hint == "write whole numbers with commas: --seeds 1,2,5"


def test_a_seed_is_named_once(desk: SweepDesk) -> None:
    said = desk.box.refuses("--seeds", "1,2,01", code=2)
    assert said.error == "--seeds 1,2,01 names a seed twice"
    assert said.hint == "name each seed once: the runs would be alike"


def test_repeat_and_seeds_exclude_each_other(desk: SweepDesk) -> None:
    said = desk.box.refuses("--repeat", "3", "--seeds", "1,2", code=2)
    assert (said.error, said.hint) == ("--repeat and --seeds exclude each other", "give one of them")


@pytest.mark.parametrize("argv", [("--repeat", "3"), ("--seeds", "1,2")])
def test_a_sweep_on_the_server_is_not_repeated(desk: SweepDesk, argv: tuple[str, ...]) -> None:
    said = desk.box.refuses(*SWEEP, *argv, code=2)
    assert said.error == "a wandb sweep cannot be repeated: its server deals out the parameters"
    desk.box.write("wandb agent lab/gan/abc\n")
    said = desk.box.refuses(*argv)
    assert said.error == "a wandb sweep cannot be repeated: its server deals out the parameters"
    assert "sweep run FILE --offline" in said.hint


@pytest.mark.parametrize("number", ["1000001", "9999999999"])
def test_more_than_a_million_repeats_are_refused_at_once(desk: SweepDesk, number: str) -> None:
    said = desk.box.refuses("--repeat", number, code=2)
    assert said.error == f"--repeat '{number}' is not a number from 1 to 1000000"


def test_plai_runs_ten_at_once(desk: SweepDesk) -> None:
    desk.submits("--cluster", "plai", "--repeat", "12")
    assert directives(desk.script)["array"] == "1-12%10"


def test_hpcsubmit_yaml_says_repeats_and_the_sweep(desk: SweepDesk) -> None:
    config = desk.box.project / "hpcsubmit.yaml"
    desk.box.write("repeat: 4\n", config)
    desk.submits("--parsable")
    assert directives(desk.script)["array"] == "1-4"
    desk.box.write("wandb-sweepid: lab/gan/abc\nnum-sweeps: 3\ntrial-gpus: 2\n", config)
    desk.submits("--parsable")
    second = (desk.box.root / "submitted-2.sh").read_text()
    assert (directives(second)["array"], directives(second)["gres"]) == ("1-3", "gpu:2")
