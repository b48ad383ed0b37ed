"""How many runs of a sweep on the server are left, before agents are submitted for them."""

from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.sweeps.asking import find_python
from hpcsubmit.sweeps.server import SweepOnServer, look
from hpcsubmit.wandb_sweep import WandbSweepId


def runs_left(sweep: WandbSweepId, host: Host, environment: Path | None) -> tuple[int | None, list[str]]:
    """Return how many runs of a sweep nobody has begun, None where nothing bounds them, and notes.

    environment: of the job. Where no Python with wandb is there to ask, nothing is known, and a note says so.
    Raises HpcSubmitError for an unknown sweep, one that has ended, a key that is not accepted, and a server
    that cannot be reached.
    """
    if find_python(environment) is None:
        reason = "neither hpcsubmit's Python nor the environment has wandb (pip install 'hpcsubmit[wandb]')"
        return None, [f"the sweep {sweep} was not looked up: {reason}"]
    found = look(sweep, host, environment)
    _check_goes_on(found)
    if found.state == "PAUSED":
        return found.left, [f"the sweep is paused; its agents wait until: hpcsubmit sweep resume {sweep}"]
    return found.left, []


def _check_goes_on(found: SweepOnServer) -> None:
    """Raise HpcSubmitError where agents would find nothing to do."""
    if found.over:
        raise HpcSubmitError(
            f"the sweep {found.sweep} is {found.state.lower()}: its agents would end at once",
            f"hpcsubmit sweep resume {found.sweep} goes on with it; hpcsubmit sweep create makes another",
        )
    if found.left == 0:
        raise HpcSubmitError(
            f"all {found.expected} runs of the sweep {found.sweep} have begun: agents would find none left",
            f"see hpcsubmit sweep status {found.sweep}; hpcsubmit sweep create makes another",
        )
