"""How many runs of a sweep on the server are left, and whether agents would find any."""

from pathlib import Path
from typing import Any

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.sweeps.look import runs_left
from hpcsubmit.wandb_sweep import WandbSweepId
from sandbox import Sandbox
from wandb_python import WandbPython

SWEEP = WandbSweepId.parse("lab/gan/abc")
LOOK: dict[str, Any] = {
    "state": "RUNNING", "name": "abc", "url": "https://wandb.ai/lab/gan/sweeps/abc", "method": "grid",
    "config": {}, "runs": {"finished": 3, "failed": 1, "running": 1}, "expected": 12, "best": None,
}  # fmt: skip


@pytest.fixture
def wandb(sandbox: Sandbox) -> WandbPython:
    sandbox.environ["WANDB_API_KEY"] = "0123456789abcdef0123456789abcdef01234567"
    return WandbPython(sandbox)


def left(sandbox: Sandbox, environment: Path | None = None) -> tuple[int | None, list[str]]:
    return runs_left(SWEEP, Host(environ=sandbox.environ), environment or sandbox.project / "virtual_env")


@pytest.mark.parametrize(
    ("look", "number"),
    [
        ({}, 7),
        ({"state": "PENDING", "runs": {}}, 12),
        ({"expected": None, "method": "random"}, None),
    ],
)
def test_what_nobody_has_begun_is_left(
    sandbox: Sandbox, wandb: WandbPython, look: dict[str, Any], number: int | None
) -> None:
    wandb.answers(look=LOOK | look)
    assert left(sandbox) == (number, [])


def test_a_paused_sweep_says_what_goes_on_with_it(sandbox: Sandbox, wandb: WandbPython) -> None:
    wandb.answers(look=LOOK | {"state": "PAUSED"})
    note = "the sweep is paused; its agents wait until: hpcsubmit sweep resume lab/gan/abc"
    assert left(sandbox) == (7, [note])


@pytest.mark.parametrize("state", ["FINISHED", "CANCELED", "STOPPED"])
def test_a_sweep_that_has_ended_is_an_error(sandbox: Sandbox, wandb: WandbPython, state: str) -> None:
    wandb.answers(look=LOOK | {"state": state})
    with pytest.raises(HpcSubmitError) as raised:
        left(sandbox)
    assert (raised.value.message, raised.value.hint) == (
        f"the sweep lab/gan/abc is {state.lower()}: its agents would end at once",
        "hpcsubmit sweep resume lab/gan/abc goes on with it; hpcsubmit sweep create makes another",
    )


def test_a_grid_that_is_dealt_out_is_an_error(sandbox: Sandbox, wandb: WandbPython) -> None:
    wandb.answers(look=LOOK | {"runs": {"finished": 8, "running": 4}})
    with pytest.raises(HpcSubmitError) as raised:
        left(sandbox)
    assert (raised.value.message, raised.value.hint) == (
        "all 12 runs of the sweep lab/gan/abc have begun: agents would find none left",
        "see hpcsubmit sweep status lab/gan/abc; hpcsubmit sweep create makes another",
    )


def test_without_wandb_nothing_is_known_and_a_note_says_so(sandbox: Sandbox, tmp_path: Path) -> None:
    number, notes = left(sandbox, tmp_path / "no environment")
    assert number is None
    reason = "neither hpcsubmit's Python nor the environment has wandb (pip install 'hpcsubmit[wandb]')"
    assert notes == [f"the sweep lab/gan/abc was not looked up: {reason}"]
