"""The files at the top that a user copies, and the demo behind them, fit together."""

import ast
import math
import re
from pathlib import Path

import pytest
import yaml

from hpcsubmit.experiment import read_command_file

ROOT = Path(__file__).resolve().parents[2]
DEMO = ROOT / "examples" / "digits"
JOB_VARIABLES = {"SOURCE_DIR", "PROJECT_NAME", "SCRATCH_DIR", "EXP_NAME", "SLURM_TMPDIR", "OUTPUT_DIR"}
APPENDED = {"--num_nodes", "--gpus"}


def options_of(*scripts: Path) -> set[str]:
    """The options that the scripts declare, read from their source: torch need not be there."""
    calls = [node for script in scripts for node in ast.walk(ast.parse(script.read_text("utf-8")))]
    return {
        call.args[0].value
        for call in calls
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "add_argument"
        and isinstance(call.args[0], ast.Constant)
        and isinstance(call.args[0].value, str)
    }


def packages_in(path: Path) -> list[str]:
    return [line for line in path.read_text("utf-8").splitlines() if line and not line.startswith("#")]


@pytest.fixture
def sweep() -> dict[str, object]:
    loaded = yaml.safe_load((ROOT / "sweeper.yml").read_text("utf-8"))
    assert isinstance(loaded, dict)
    return loaded


@pytest.mark.parametrize(
    ("file", "script"),
    [
        (ROOT / "experiment_configurations.txt", DEMO / "lightning_digits.py"),
        (DEMO / "torchrun.txt", DEMO / "train_ddp.py"),
    ],
)
def test_an_experiment_file_runs_a_script_of_the_demo_with_options_that_it_has(
    file: Path, script: Path
) -> None:
    program, named, *arguments = (word.literal for word in read_command_file(file).words)
    assert (program, named) == ("python", str(script.relative_to(ROOT)))
    used = {argument for argument in arguments if argument and argument.startswith("--")}
    assert used <= options_of(script, DEMO / "digits.py")


def test_the_lightning_script_takes_what_hpcsubmit_appends_and_the_torchrun_one_does_not() -> None:
    assert options_of(DEMO / "lightning_digits.py") == APPENDED
    assert not options_of(DEMO / "train_ddp.py")


def test_the_demo_needs_only_what_its_requirements_name() -> None:
    assert packages_in(ROOT / "requirements.txt") == ["torch", "pytorch-lightning", "scikit-learn"]
    (constraint,) = packages_in(ROOT / "examples" / "constraints.txt")
    assert re.fullmatch(r"torch==[0-9.]+", constraint)


def test_the_sweep_is_a_grid_of_eight_runs_of_a_script_that_has_its_parameters(
    sweep: dict[str, object],
) -> None:
    script, parameters = ROOT / str(sweep["program"]), sweep["parameters"]
    assert sweep["method"] == "grid"
    assert isinstance(parameters, dict)
    assert math.prod(len(parameter["values"]) for parameter in parameters.values()) == 8
    assert {f"--{name}" for name in parameters} <= options_of(script, DEMO / "digits.py")


def test_the_command_of_the_sweep_uses_only_what_wandb_replaces(sweep: dict[str, object]) -> None:
    command = sweep["command"]
    assert isinstance(command, list)
    assert command[:4] == ["${env}", "python", "${program}", "${args}"]
    placeholders = {found for word in command[4:] for found in re.findall(r"\$\{(.*?)\}", word)}
    assert placeholders <= {f"envvar:{name}" for name in JOB_VARIABLES}
    used = {word.split("=")[0] for word in command[4:]}
    assert used <= options_of(DEMO / "digits.py")
