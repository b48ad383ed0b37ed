"""Where the runs of `sweep run --offline` belong on wandb's server, once they are uploaded."""

import json
from typing import Any

import pytest

from sandbox import Sandbox
from sweep_desk import GRID, SweepDesk

OFFLINE = ("sweep", "run", "--offline")
PLACE = {"WANDB_ENTITY": "e", "WANDB_PROJECT": "p"}
AGENT = "wandb agent a/b/SWEEP_ID"
NAME = "write 1 to 128 characters, none of / \\ # ? % :"


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


def place(desk: SweepDesk) -> tuple[Any, Any]:
    spec = desk.record("sweep.json")
    return spec["entity"], spec["project"]


@pytest.mark.parametrize(
    ("file", "experiment", "environ", "argv", "expected"),
    [
        ("", "python main.py", {}, (), ("", "gan")),
        ("", "python main.py", PLACE, (), ("e", "p")),
        ("", AGENT, PLACE, (), ("a", "b")),
        ("", "wandb agent $SWEEP", PLACE, (), ("e", "p")),
        ("project: y\n", "python main.py", PLACE, (), ("e", "y")),
        ("entity: x\nproject: y\n", AGENT, PLACE, (), ("x", "y")),
        ("entity: x\nproject: y\n", AGENT, PLACE, ("--project", "two"), ("x", "two")),
        ("entity: x\nproject: y\n", AGENT, PLACE, ("--entity", "one", "--project", "two"), ("one", "two")),
    ],
)
def test_the_nearest_that_names_a_place_wins_as_on_a_server(
    desk: SweepDesk,
    file: str,
    experiment: str,
    environ: dict[str, str],
    argv: tuple[str, ...],
    expected: tuple[str, str],
) -> None:
    desk.file(file + GRID)
    desk.box.write(experiment + "\n")
    desk.box.environ.update(environ)
    said = desk.submits(*OFFLINE, *argv)
    assert place(desk) == expected
    shown = f"{expected[0] or 'your own entity'}/{expected[1]}"
    assert f"  wandb              offline, for {shown}\n" in said.stderr
    results = json.loads(desk.submits("sweep", "results", "101", "--json").stdout)
    assert (results["entity"], results["project"]) == expected
    assert desk.wandb.asked() == []


def test_what_the_profile_exports_comes_before_what_the_shell_has(desk: SweepDesk) -> None:
    desk.file(GRID)
    desk.box.write(
        "profiles: {generic: {environment: {WANDB_PROJECT: of-all}}}\n", desk.box.project / "hpcsubmit.yaml"
    )
    desk.box.environ.update(PLACE)
    desk.submits(*OFFLINE)
    assert place(desk) == ("e", "of-all")


def test_what_wandb_init_wrote_comes_before_the_folders_name(desk: SweepDesk) -> None:
    desk.file(GRID)
    desk.box.write("[default]\nproject = chosen\n", desk.box.project / "wandb" / "settings")
    said = desk.submits(*OFFLINE)
    assert place(desk) == ("", ""), "wandb reads it in the job"
    assert "\n  wandb " not in said.stderr, "no other place is said"


def test_every_part_of_a_composite_file_belongs_there(desk: SweepDesk) -> None:
    desk.file(
        "entity: x\nprogram: main.py\nmethod: grid\nparameters: {subtests: {a: {n: [1]}, b: {n: [2]}}}\n"
    )
    desk.submits(*OFFLINE, "--project", "two")
    specs = [json.loads((folder / "sweep.json").read_text()) for folder in desk.records]
    assert [(each["entity"], each["project"]) for each in specs] == [("x", "two")] * 2


def test_the_record_of_a_sweep_on_a_server_has_the_servers_place(desk: SweepDesk) -> None:
    desk.file("entity: x\nproject: y\n" + GRID)  # the server answers that it is lab/gan
    said = desk.submits("sweep", "run")
    assert place(desk) == ("lab", "gan")
    assert "offline, for " not in said.stderr


def test_repeats_name_no_place(desk: SweepDesk) -> None:
    desk.submits("--repeat", "2")
    assert place(desk) == ("", "")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("lab/gan", "has a /, which wandb takes in no project's name"),
        ("gan:2", "has a :, which wandb takes in no project's name"),
        ("x" * 129, "has 129 characters, more than wandb takes"),
    ],
)
def test_a_project_that_would_end_every_wandb_init_is_refused_before(
    desk: SweepDesk, name: str, problem: str
) -> None:
    desk.file(f"project: '{name}'\n" + GRID)
    said = desk.box.refuses(*OFFLINE)
    assert said.error == f"{desk.box.project / 'sweeper.yml'}, line 1: project {problem}"
    assert said.hint == NAME
    said = desk.box.refuses(*OFFLINE, "--project", name, code=2)
    assert (said.error, said.hint) == (f"--project {name!r} {problem}", NAME)
    desk.submits(*OFFLINE, "--project", "fine")  # which the file's does not matter to
    assert place(desk) == ("", "fine")


def test_a_wrong_name_that_nobody_gave_for_the_sweep_is_left_out(desk: SweepDesk) -> None:
    desk.file()
    desk.box.environ["WANDB_PROJECT"] = "a/b"
    said = desk.submits(*OFFLINE)
    assert place(desk) == ("", "")
    assert "offline, for " not in said.stderr
