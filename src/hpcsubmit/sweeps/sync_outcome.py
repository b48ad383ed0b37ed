"""What became of an upload: told from what wandb leaves behind and says."""

import re
from enum import StrEnum
from typing import NamedTuple

from hpcsubmit.sweeps.offline_runs import Done, OfflineRun

_SHOWN = 300
"""Characters of what wandb says that are shown."""


class Outcome(StrEnum):
    """What became of an upload."""

    UPLOADED = "uploaded"
    DAMAGED = "damaged"
    FAILED = "failed"


class Upload(NamedTuple):
    """The end of one upload. note: what is to be said of it, "" for nothing. done: how far it came."""

    run: OfflineRun
    outcome: Outcome
    note: str = ""
    done: Done = Done.BEGUN


def judged(run: OfflineRun, said: str) -> Upload:
    """Tell what wandb has done with a folder from what it said.

    Its exit code is always 0, and it leaves RUN.wandb.synced also where the server took only a part.
    """
    errors = re.findall(r"(?m)^wandb: ERROR (.*)", said)
    if run.synced.exists() and not errors:
        return Upload(run, Outcome.UPLOADED, done=Done.WHOLE)
    told = str(errors[0] if errors else (said.strip() or "nothing").splitlines()[-1])[:_SHOWN]
    if "incomplete record" in told:
        note = "its end is missing, as of a program that was killed; all that there is was uploaded"
        return Upload(run, Outcome.UPLOADED, note, Done.PART)
    if "transactionlog" in told and "Failed to read" not in told:
        note = f"what stands before the damage was uploaded. wandb says: {told}"
        return Upload(run, Outcome.DAMAGED, note, Done.DAMAGED)
    outcome = Outcome.DAMAGED if "transactionlog" in told else Outcome.FAILED
    return Upload(run, outcome, f"wandb says: {told}")
