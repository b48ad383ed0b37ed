"""Several sweeps of few trials each: their trials together decide whether anybody is asked how many fit."""

import os
import re
from pathlib import Path

import pytest

from hpcsubmit.limits import FEW
from sandbox import Sandbox
from sweep_desk import SweepDesk

COUNTED = (Path(__file__).parents[1] / "recorded" / "assoc-mgr-22.05.8.txt").read_text()
RESEARCHER = 1001
FREE = 43
"""What is left of the QOS's limit of 50 jobs."""


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    """A desk whose scontrol answers as Slurm's did, for this user, and notes each question."""
    mine = COUNTED.replace(f"({RESEARCHER})", f"({os.getuid()})")
    sandbox.write(
        re.sub(rf"^( +){RESEARCHER}$", rf"\g<1>{os.getuid()}", mine, flags=re.M), sandbox.root / "c"
    )
    desk = SweepDesk(sandbox)
    note = f'echo "$2" >>{sandbox.root}/questions'
    sandbox.install("scontrol", f'#!/bin/sh\n{note}\ncase $2 in assoc_mgr) cat "{sandbox.root}/c";; esac\n')
    return desk


def questions(desk: SweepDesk) -> list[str]:
    path = desk.box.root / "questions"
    found = path.read_text().splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return [word for word in found if word == "assoc_mgr"]


def parts(desk: SweepDesk, *numbers: int) -> None:
    """A sweep file with a part for each number of trials."""
    lines = "".join(f"    p{index}: {{n: {list(range(number))}}}\n" for index, number in enumerate(numbers))
    desk.file(f"program: main.py\nmethod: grid\nparameters:\n  subtests:\n{lines}")


@pytest.mark.parametrize("argv", [("sweep", "run", "--offline"), ("sweep", "run")])
def test_few_trials_of_each_that_do_not_fit_together_are_refused(
    desk: SweepDesk, argv: tuple[str, ...]
) -> None:
    parts(desk, 15, 15, FREE - 29)
    said = desk.box.refuses(*argv)
    place = f"{FREE} of 50 jobs are free here (MaxSubmitJobsPU of QOS normal)"
    assert said.error == f"{FREE + 1} tasks of 3 sweeps do not fit together: {place}"
    assert said.hint.startswith("let each task run several: --trials-per-task 4")
    assert (desk.wandb.asked(), questions(desk)) == ([], ["assoc_mgr"])
    desk.submits(*argv, "--trials-per-task", "2")


def test_as_many_as_fit_are_submitted(desk: SweepDesk) -> None:
    parts(desk, 15, 15, FREE - 30)
    desk.submits("sweep", "run", "--offline")
    assert len(desk.calls) == 3


def test_few_trials_in_all_ask_nobody(desk: SweepDesk) -> None:
    parts(desk, FEW - 5, 5)
    desk.submits("sweep", "run", "--offline")
    assert questions(desk) == []
    parts(desk, FEW - 5, 6)
    desk.submits("sweep", "run", "--offline")
    assert questions(desk) == ["assoc_mgr"]


def test_a_limit_of_the_profile_counts_for_all_of_them(desk: SweepDesk) -> None:
    desk.profile(max_jobs=30)
    parts(desk, 12, 12, 7)
    said = desk.box.refuses("sweep", "run", "--offline")
    place = "30 of 30 jobs are free here (max_jobs of the profile 'generic')"
    assert said.error == f"31 tasks of 3 sweeps do not fit together: {place}"
