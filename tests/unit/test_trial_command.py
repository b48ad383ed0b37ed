"""hpcsubmit.trial: the command of a trial as wandb builds it, how it is launched, and its launch file."""

import json
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from hpcsubmit.trial import TrialError, fit, without_env, words
from trial_specs import DRAWN, DRAWN_FROM, LIMIT, RUN, TRIAL, drawn, items, launch, spec

RECORDED = Path(__file__).parents[1] / "recorded" / "wandb-sweep-commands-0.30.0.json"
WANDB = json.loads(RECORDED.read_text("utf-8"))


@pytest.mark.parametrize(
    "case", WANDB["cases"], ids=lambda case: " ".join(case["command"] or ["default"])[:40]
)
def test_commands_are_word_for_word_those_of_wandb_s_agent(case: dict[str, Any]) -> None:
    pairs = [[name, {"value": value}] for name, value in WANDB["parameters"].items()]
    sweep = spec(parameters=pairs, trials=1, program=WANDB["program"], command=case["command"] or [])
    assert words(sweep, 1, WANDB["environ"], WANDB["json_file"]) == case["words"]


def test_the_seed_stands_where_the_command_names_it() -> None:
    repeated = spec(
        seeds=[5, 7],
        trials=12,
        command=["python", "train.py", "--seed={seed}", "${args}", "{seed}", "a ${seed}{seed}"],
    )
    assert words(repeated, 2, {})[2:] == ["--seed=7", "--lr=0.001", "--n=1", "7", "a ${seed}7"]
    assert words({**repeated, "seeds": [], "trials": 6}, 2, {})[2] == "--seed={seed}"


def test_repeats_of_a_command_that_is_no_sweep_s_have_no_words() -> None:
    assert words(spec(parameters=[], program="", seeds=[1], trials=1), 1, {}) == []


@pytest.mark.parametrize(
    ("command", "variables", "rest"),
    [
        (["/usr/bin/env", "python", "a=b"], {}, ["python", "a=b"]),
        (["env", "A=1", "B_2=x y\nz", "A=3=4", "python"], {"A": "3=4", "B_2": "x y\nz"}, ["python"]),
        (["env", "-u", "A", "python"], {}, ["env", "-u", "A", "python"]),
        (["python", "env"], {}, ["python", "env"]),
        ([], {}, []),
    ],
)
def test_a_leading_env_becomes_variables(
    command: list[str], variables: dict[str, str], rest: list[str]
) -> None:
    assert without_env(command) == (variables, rest)


@pytest.mark.parametrize(
    ("kind", "command", "expected"),
    [
        ("plain", "bash run.sh --gpus 3", ([], "bash run.sh --gpus 3")),
        ("plain", "/usr/bin/env A=1 python t.py", ([], "python t.py")),
        ("srun", "env python t.py --gpus 3", ([], "python t.py --gpus 3")),
        ("pmi", "python3.11 t.py", ([], "python3.11 t.py")),
        ("ranks", "python t.py", ([], "python t.py")),
        ("lightning", "python t.py", ([], "python t.py --num_nodes 2 --gpus 4")),
        (
            "lightning",
            "python t.py --gpus 8 --lr 1 --num_nodes=3 --gpus -1 --gpus --x --gpusy 2 --gpus",
            ([], "python t.py --lr 1 --x --gpusy 2 --num_nodes 2 --gpus 4"),
        ),
        (
            "lightning",
            "python t.py --gpus=1 -- --gpus 1",
            ([], "python t.py -- --gpus 1 --num_nodes 2 --gpus 4"),
        ),
        ("torchrun", "python -u t.py --a", (RUN, "t.py --a")),
        ("torchrun", "python -m pack --a", (RUN, "-m pack --a")),
        ("torchrun", "/e/bin/python3 t.py", (["/e/bin/python3", *RUN[1:]], "t.py")),
        ("torchrun", "python -O -u t.py", ([*RUN, "--no-python"], "python -O -u t.py")),
        ("accelerate", "python t.py", (["python", "-m", "accelerate.commands.launch"], "t.py")),
    ],
)
def test_a_trial_is_launched_as_a_job_of_its_kind(
    kind: str, command: str, expected: tuple[list[str], str]
) -> None:
    launcher, rest = expected
    assert fit(command.split(" "), launch(kind)) == (launcher, rest.split(" "))


@pytest.mark.parametrize(
    ("kind", "command", "message"),
    [
        (
            "torchrun",
            "bash run.sh",
            "torchrun starts Python on every rank, but the sweep's command starts 'bash'",
        ),
        ("lightning", "env -i python t.py", "lightning starts Python on every rank, .* starts 'env'"),
        ("srun", "python2 t.py", "srun starts Python on every rank, .* starts 'python2'"),
        ("accelerate", "python -u", "gives python nothing to run"),
        ("plain", "env A=1", "has no words"),
    ],
)
def test_a_command_that_cannot_be_launched_is_refused(kind: str, command: str, message: str) -> None:
    with pytest.raises(TrialError, match=message):
        fit(command.split(" "), launch(kind))


# ---- take


def run(*arguments: object, python: str = sys.executable, **environ: str) -> subprocess.CompletedProcess[str]:
    """Start the file as the batch script does, with nothing of hpcsubmit to import."""
    return subprocess.run(
        [python, "-I", str(TRIAL), *map(str, arguments)],
        env={"PATH": os.defpath, "LANG": "C.UTF-8", **environ},
        capture_output=True,
        text=True,
        timeout=LIMIT,
        stdin=subprocess.DEVNULL,
    )


def taken(
    folder: Path, sweep: dict[str, Any], number: int, python: str = sys.executable, **environ: str
) -> Path:
    (folder / "sweep.json").write_text(json.dumps(sweep), "utf-8")
    done = run("take", folder / "sweep.json", number, folder / "command", python=python, **environ)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    return folder / "command"


def test_a_launch_file_holds_variables_launcher_and_words(tmp_path: Path) -> None:
    sweep = spec(
        name="digits",
        tags=["a b", "c"],
        seeds=[5, 7],
        trials=12,
        launch=launch("torchrun"),
        command=[
            "${env}",
            "MODE=x y",
            "${interpreter}",
            "${program}",
            "${args}",
            "--at=${envvar:OUTPUT_DIR}",
        ],
    )
    variables, launcher, program = items(taken(tmp_path, sweep, 4, OUTPUT_DIR="/o ü", WANDB_TAGS="mine"))
    assert variables == {
        "WANDB_RUN_ID": "r20260131-235959-a2b3-4",
        "WANDB_RESUME": "allow",
        "WANDB_RUN_GROUP": "digits",
        "WANDB_TAGS": "mine,a b,c",
        "SEED": "7",
        "WANDB_SWEEP_PARAM_PATH": str(tmp_path / "command.yaml"),
        "MODE": "x y",
    }
    assert launcher == RUN
    assert program == ["train.py", "--lr=0.001", "--n=2", "--at=/o ü"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["command", "command.yaml", "sweep.json"]


def test_a_launch_file_says_where_the_run_belongs_and_the_command_may_say_otherwise(tmp_path: Path) -> None:
    sweep = spec(entity="lab", project="digits")
    variables, _, _ = items(taken(tmp_path, sweep, 1, WANDB_PROJECT="else"))
    assert (variables["WANDB_ENTITY"], variables["WANDB_PROJECT"]) == ("lab", "digits")
    other = spec(entity="", project="digits", command=["${env}", "WANDB_PROJECT=own", "python", "x.py"])
    variables, _, _ = items(taken(tmp_path, other, 1))
    assert variables["WANDB_PROJECT"] == "own"
    assert "WANDB_ENTITY" not in variables


def test_a_tag_that_is_there_is_not_added_again(tmp_path: Path) -> None:
    variables, _, _ = items(taken(tmp_path, spec(tags=["a b", "c"]), 1, WANDB_TAGS="c,mine,"))
    assert variables["WANDB_TAGS"] == "c,mine,a b"


def test_without_name_tags_and_seeds_the_run_names_the_group(tmp_path: Path) -> None:
    variables, launcher, program = items(taken(tmp_path, spec(), 1))
    assert variables["WANDB_RUN_GROUP"] == "r20260131-235959-a2b3"
    assert {"SEED", "WANDB_TAGS"}.isdisjoint(variables)
    assert (launcher, program) == ([], ["python", "train.py", "--lr=0.001", "--n=1"])


def test_wandb_and_the_json_file_get_the_same_values(tmp_path: Path) -> None:
    pairs = [[name, {"value": value}] for name, value in {**WANDB["parameters"], "inf": math.inf}.items()]
    command = taken(tmp_path, spec(parameters=pairs, trials=1, command=["x", "${args_json_file}"]), 1)
    values = dict(WANDB["parameters"], inf=math.inf)
    assert items(command)[2] == ["x", str(tmp_path / "command.json")]
    assert json.loads((tmp_path / "command.json").read_text("utf-8")) == values
    config = yaml.safe_load((tmp_path / "command.yaml").read_text("utf-8"))
    assert config.pop("wandb_version") == 1
    assert config == {name: {"value": value} for name, value in values.items()}


def pythons() -> list[str]:
    """The Pythons of this machine that the file is for."""
    paths = [shutil.which(f"python3.{minor}", path=os.defpath) for minor in range(8, 20)]
    paths += map(str, (Path.home() / ".pyenv" / "versions").glob("3.*/bin/python3"))
    new_enough = "import sys; sys.exit(sys.version_info < (3, 8))"
    return [
        sys.executable,
        *(
            path
            for path in paths
            if path and subprocess.run([path, "-c", new_enough], timeout=LIMIT).returncode == 0
        ),
    ]


def test_every_python_of_this_machine_makes_the_same_launch_file(tmp_path: Path) -> None:
    expected = [f"--{name}={value}" for name, value in DRAWN[1].items()]
    for python in pythons():
        assert items(taken(tmp_path, drawn(DRAWN_FROM), 2, python))[2][2:] == expected, python


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "trial.py take SPEC TRIAL FILE, or trial.py ask WORDS..."),
        (["take", "sweep.json"], "trial.py take SPEC TRIAL FILE, or trial.py ask WORDS..."),
        (["take", "sweep.json", "7", "f"], "there is no trial 7: they are numbered from 1 to 6"),
        (["take", "sweep.json", "x", "f"], "the record of the sweep is damaged: ValueError: .*'x'"),
        (["take", "gone.json", "1", "f"], r"\[Errno 2\] No such file or directory: '.*gone.json'"),
        (["take", "half.json", "1", "f"], "the record of the sweep is damaged: JSONDecodeError: .*"),
        (["take", "list.json", "1", "f"], "the record of the sweep is damaged: TypeError: .*"),
        (["take", "less.json", "1", "f"], "the record of the sweep is damaged: KeyError: 'trials'"),
        (["take", "nul.json", "1", "f"], "a command cannot hold a NUL"),
        (["take", "sweep.json", "1", "gone/f"], r"\[Errno 2\] No such file or directory: '.*gone/.*'"),
        (["ask", "train.py"], "the record of the sweep is damaged: KeyError: 'HPCSUBMIT_ASKS'"),
    ],
)
def test_a_failure_is_one_line_and_an_exit_code(
    arguments: list[str], problem: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = json.dumps(spec())
    nul = json.dumps(spec(command=["a\0b"]))
    for name, content in {"sweep": text, "half": text[:50], "list": "[1]", "less": "{}", "nul": nul}.items():
        (tmp_path / f"{name}.json").write_text(content, "utf-8")
    monkeypatch.chdir(tmp_path)
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(f"hpcsubmit: {problem}\n", done.stderr), done.stderr
    assert not (tmp_path / "f").exists()
