"""Which wandb sweep a submission means: the option, the experiment file, the environment."""

from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command, read_command
from hpcsubmit.wandb_sweep import WandbSweepId, resolve

FILE = Path("/gan/experiment_configurations.txt")
PLACE = {"WANDB_ENTITY": "env", "WANDB_PROJECT": "there"}


def agent(words: str) -> Command:
    return read_command(f"wandb agent --count 1 {words}", FILE)


def option(text: str) -> WandbSweepId:
    return WandbSweepId.parse(text)


def refusal(
    given: WandbSweepId | None, command: Command | None, environ: dict[str, str]
) -> tuple[str, str, int]:
    with pytest.raises(HpcSubmitError) as raised:
        resolve(given, command, environ)
    return raised.value.message, raised.value.hint, raised.value.exit_code


@pytest.mark.parametrize(
    ("given", "command", "environ", "meant"),
    [
        ("lab/digits/abc", None, {}, "lab/digits/abc"),
        ("lab/digits/abc", None, PLACE, "lab/digits/abc"),
        ("abc", None, PLACE, "env/there/abc"),
        ("abc", agent("lab/digits/SWEEP_ID"), PLACE, "lab/digits/abc"),
        ("abc", agent("WANDB_USERNAME/PROJECT_NAME/SWEEP_ID"), PLACE, "env/there/abc"),
        ("abc", read_command("python main.py", FILE), PLACE, "env/there/abc"),
        ("one/two/abc", agent("lab/digits/SWEEP_ID"), {}, "one/two/abc"),
        (None, agent("lab/digits/abc"), {}, "lab/digits/abc"),
        (None, agent("digits/abc"), PLACE, "env/digits/abc"),
        (None, agent("abc"), PLACE, "env/there/abc"),
        (None, agent("-e lab --project=digits abc"), PLACE, "lab/digits/abc"),
        (None, agent("--forward-signals -t 30 abc"), PLACE, "env/there/abc"),
        (None, read_command("python -u -m wandb agent 'lab/digits/abc'", FILE), {}, "lab/digits/abc"),
        ("lab/digits/abc", agent("lab/digits/abc"), {}, "lab/digits/abc"),
        ("abc", agent("lab/digits/abc"), {}, "lab/digits/abc"),
    ],
)
def test_the_place_of_a_sweep_comes_from_the_option_then_the_file_then_the_environment(
    given: str | None, command: Command | None, environ: dict[str, str], meant: str
) -> None:
    sweep, warnings = resolve(option(given) if given else None, command, environ)
    assert (str(sweep), warnings) == (meant, ())


@pytest.mark.parametrize("given", ["xyz", "one/two/abc"])
def test_the_sweep_of_the_file_wins_and_one_warning_names_both(given: str) -> None:
    sweep, warnings = resolve(option(given), agent("lab/digits/abc"), {})
    assert str(sweep) == "lab/digits/abc"
    assert warnings == (f"{FILE} names the sweep lab/digits/abc, which wins over --wandb-sweepid {given}",)


@pytest.mark.parametrize("written", ["lab/digits/SWEEP_ID", "sweep_id", "lab/digits/YOUR_SWEEP_ID"])
def test_a_placeholder_is_no_sweep(written: str) -> None:
    assert refusal(None, agent(written), PLACE) == (
        f"{FILE} names {written!r}, which stands for the id of a sweep",
        "give it with --wandb-sweepid ID, or write it there; hpcsubmit sweep create prints it",
        1,
    )


def test_an_agent_without_a_sweep_needs_the_option() -> None:
    message, hint, _ = refusal(None, agent("--forward-signals"), PLACE)
    assert message == f"{FILE} names no sweep"
    assert hint.startswith("give it with --wandb-sweepid ID")


@pytest.mark.parametrize(
    ("command", "environ", "missing"),
    [
        (None, {}, "entity and project"),
        (agent("digits/SWEEP_ID"), {}, "entity"),
        (None, {"WANDB_ENTITY": "lab"}, "project"),
    ],
)
def test_a_sweep_whose_place_nobody_says_is_an_error(
    command: Command | None, environ: dict[str, str], missing: str
) -> None:
    assert refusal(option("abc"), command, environ) == (
        f"nothing says which {missing} the wandb sweep abc belongs to",
        "write ENTITY/PROJECT/abc in its place, or set WANDB_ENTITY and WANDB_PROJECT",
        1,
    )


def test_an_id_that_only_bash_knows_is_an_error() -> None:
    assert refusal(None, agent("lab/digits/$SWEEP"), {}) == (
        f"{FILE} names the sweep lab/digits/$SWEEP, which only bash can expand",
        "write the id there as it is: wandb agent ENTITY/PROJECT/ID",
        1,
    )


def test_a_path_with_too_many_parts_is_no_sweep() -> None:
    assert refusal(None, agent("a/b/c/d"), {}) == (
        f"'a/b/c/d' in {FILE} is not a wandb sweep",
        "write ENTITY/PROJECT/ID, as `hpcsubmit sweep create` prints it",
        2,
    )


def test_an_id_with_odd_characters_is_no_sweep() -> None:
    message, hint, code = refusal(None, agent("'lab/digits/a b'"), {})
    assert (message, code) == ("'lab/digits/a b' is not a wandb sweep", 2)
    assert hint == "write ID or ENTITY/PROJECT/ID, as `wandb sweep` prints it"
