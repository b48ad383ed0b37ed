"""The program's seed: who sets it in a command or a sweep file, and {seed} that nothing fills in."""

from pathlib import Path

import pytest

from hpcsubmit.sweep_file.seed import sets_seed, unfilled_seed
from sandbox import Sandbox
from sweep_desk import SweepDesk
from sweep_files import Write

UNFILLED = "{seed}, which --repeat and --seeds alone fill in: the program gets it as it is written"
OFFLINE = ("sweep", "run", "--offline")


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return Write(tmp_path / "sweeper.yml")


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


# ---- In a sweep file


@pytest.mark.parametrize(
    ("parameters", "expected"),
    [
        ("{seed: [1, 2]}", "parameters.seed"),
        ("{a: 2, random_seed: 1}", "parameters.random_seed"),
        ("{SEED: 1}", "parameters.SEED"),
        ("{Seed: 1}", "parameters.Seed"),
        ("{manualSeed: 1}", "parameters.manualSeed"),
        ("{seed_everything: 1}", "parameters.seed_everything"),
        ("{trainer.seed: 1}", "parameters.trainer.seed"),
        ("{g: {parameters: {seed: 1}}}", "parameters.g.seed"),
        ("{g: {parameters: {h: {parameters: {Seed: 1}}}}}", "parameters.g.h.Seed"),
        ("{seed: {parameters: {model: 1, data: 2}}}", "parameters.seed.model"),
        ("{trainer: {value: {seed: 1}}}", "parameters.trainer"),
        ("{trainer: [{lr: 1, more: {seed: 1}}, {lr: 2}]}", "parameters.trainer"),
        ("{seeds: 1, seeded: 2, seed_all: 3, reseed: 4}", ""),
        ("{g: {parameters: {a: {value: seed}, parameters: 2}}}", ""),
    ],
)
def test_a_parameter_that_is_the_seed_is_known(parameters: str, expected: str, write: Write) -> None:
    assert sets_seed(write.one(f"parameters: {parameters}")) == expected


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--seed, 1", "--seed 1 in its command"),
        ("--SEED=1", "--SEED=1 in its command"),
        ("seed=3", "seed=3 in its command"),
        ("++seed=3", "++seed=3 in its command"),
        ("--seed_everything, '3'", "--seed_everything 3 in its command"),
        ("--seed, '{seed}'", ""),
        ("'--seed=${envvar:SEED}'", ""),
        ("--data_seed, 1", ""),
        ("--seed, --lr, 1", ""),
        ("--seed", ""),
        ("seed, 1", ""),
        ("--seed, '${args}', 1", ""),
    ],
)
def test_a_seed_in_the_command_of_a_file_is_known(words: str, expected: str, write: Write) -> None:
    assert sets_seed(write.one(f"command: [python, t.py, {words}]\nparameters: {{a: 1}}")) == expected


def test_a_file_whose_command_has_a_seed_is_not_repeated(desk: SweepDesk) -> None:
    text = "method: grid\ncommand: [python, main.py, '${args}', --seed, %s]\nparameters: {lr: [1, 2]}\n"
    path = desk.file(text % "1")
    said = desk.box.refuses(*OFFLINE, "--repeat", "2", code=2)
    assert said.error == (
        f"{path} sets the seed itself, --seed 1 in its command, and --repeat or --seeds would set it too"
    )
    assert said.hint == (
        "leave out --repeat and --seeds, or take the seed out of the file: its command may have {seed}"
    )
    desk.file(text % "'{seed}'")
    said = desk.submits(*OFFLINE, "--repeat", "2")
    assert "{seed}, which" not in said.stderr


def test_a_place_for_a_seed_is_warned_of_where_a_sweep_has_none(desk: SweepDesk) -> None:
    text = "method: grid\ncommand:\n- python\n- main.py\n- --seed={seed}\n- '{seed}'\nparameters: {lr: 1}\n"
    path = desk.file(text)
    warning = f"warning: {path}, line 5: command[2] has {UNFILLED}\n"
    for argv in (OFFLINE, ("sweep", "run"), ("sweep", "create")):
        said = desk.submits(*argv)
        assert said.stderr.count(UNFILLED) == 1, said
        assert warning in said.stderr, said


def test_what_bash_or_wandb_would_fill_in_is_no_place_for_a_seed(write: Write) -> None:
    assert unfilled_seed(write.one("command: [a, '${seed}', seed]\nparameters: {a: 1}")) == ()


# ---- In the command of a plain job


@pytest.mark.parametrize(
    ("command", "given", "instead"),
    [
        ("python main.py --seed 3 --lr 1", "--seed 3", "--seed {seed}"),
        ("python main.py --seed=3", "--seed=3", "--seed={seed}"),
        ("python main.py trainer.seed=31", "trainer.seed=31", "trainer.seed={seed}"),
        ("python main.py --random-seed '3'", "--random-seed 3", "--random-seed {seed}"),
        ("SEED=3 python main.py", "SEED=3", "SEED={seed}"),
        ("python main.py --seed 3 --name run-{seed}", "--seed 3", "--seed {seed}"),
    ],
)
def test_one_seed_for_all_repeats_is_warned_of(
    desk: SweepDesk, command: str, given: str, instead: str
) -> None:
    desk.box.write(command + "\n")
    said = desk.submits("--repeat", "2", "--dry-run")
    assert f"warning: every repeat has {given}: write {instead} in its place\n" in said.stderr


@pytest.mark.parametrize(
    "command",
    [
        "python main.py --seed {seed}",
        "python main.py --seed '{seed}'",
        "python main.py --seed=$SEED --lr 1",
        "python main.py --seed $SEED 1",
        "python main.py --data_seed 3 --seed {seed}",
        "python main.py --seed",
        "python main.py --seed auto --reseed 4",
    ],
)
def test_seeds_that_may_differ_are_not_warned_of(desk: SweepDesk, command: str) -> None:
    desk.box.write(command + "\n")
    said = desk.submits("--repeat", "2", "--dry-run")
    assert "warning" not in said.stderr


def test_a_place_for_a_seed_is_warned_of_where_a_job_has_none(desk: SweepDesk) -> None:
    desk.box.write("python main.py --seed {seed}\n")
    assert f"warning: the command names {UNFILLED}\n" in desk.submits("--dry-run").stderr
    desk.box.write("python main.py --seed 3 ${seed}\n")
    assert "warning" not in desk.submits("--dry-run").stderr
