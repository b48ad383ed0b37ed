"""The runs that trials logged with wandb offline: their folders, and which of them the server has already."""

import json
import os
import re
from collections.abc import Iterable, Iterator
from enum import StrEnum
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.host import write_atomically
from hpcsubmit.record import PLAN
from hpcsubmit.run import Run
from hpcsubmit.sweeps.rows import State, Trial

MARK = ".hpcsubmit-synced"
"""The file in a run's folder that says what was uploaded of it: a JSON object with `size` and `done`."""
_FOLDER = re.compile(r"offline-run-(?P<began>\d{8}_\d{6})-(?P<run>.+)")
_MAGIC = b":W&B"
_HEADER = 7
"""Bytes before the first record of a log. wandb keeps the first records in memory for some seconds."""


class Done(StrEnum):
    """How far the upload of a folder came."""

    BEGUN = "begun"
    WHOLE = "whole"
    PART = "part"
    """All of a log that ends within a record: its program was killed, and there will be no more."""
    DAMAGED = "damaged"
    """What stands before the damage."""


class Standing(StrEnum):
    """What is to be done with a folder."""

    NEW = "to upload"
    THERE = "already there"
    RUNNING = "still running"
    GROWN = "grown since its upload"
    DAMAGED = "damaged"


class OfflineRun(NamedTuple):
    """One folder wandb/offline-run-TIME-ID of a trial; a trial that was requeued has several of one id.

    began: its time, as the name of the folder has it: 20260131_235959. run: its id on the server.
    note: what is wrong with it, and what to do; "" for nothing.
    """

    trial: int
    folder: Path
    began: str
    run: str
    standing: Standing = Standing.NEW
    note: str = ""

    @property
    def log(self) -> Path:
        """The file with all that the run logged; wandb only ever appends to it."""
        return self.folder / f"run-{self.run}.wandb"

    @property
    def synced(self) -> Path:
        """What wandb itself leaves after it has uploaded all of a log; it then skips it, grown or not."""
        return self.log.with_suffix(".wandb.synced")

    def mark(self, done: Done, size: int) -> None:
        """Write down how far the upload of the log's first `size` bytes came; raises HpcSubmitError."""
        write_atomically(self.folder / MARK, json.dumps({"done": done.value, "size": size}) + "\n")


def offline_runs(run: Run, trials: Iterable[Trial]) -> tuple[OfflineRun, ...]:
    """Return the folders that the trials of a submission logged into, by trial and time.

    The log of a trial lies below its OUTPUT_DIR, where WANDB_DIR points.
    """
    outputs = _outputs(run)
    found = [each for trial in trials for each in _of_trial(trial, outputs / str(trial.number) / "wandb")]
    return tuple(sorted(found, key=lambda each: (each.trial, each.began, each.run)))


def _outputs(run: Run) -> Path:
    try:
        plan = json.loads((run.folder / PLAN).read_text("utf-8", errors="replace"))
        return Path(str(plan.get("output_dir") or run.folder / "outputs"))
    except (OSError, ValueError, AttributeError):
        return run.folder / "outputs"


def _of_trial(trial: Trial, folder: Path) -> Iterator[OfflineRun]:
    try:
        names = sorted(path.name for path in folder.iterdir())
    except OSError:  # it did not use wandb
        return
    for name in names:
        if parts := _FOLDER.fullmatch(name):
            found = OfflineRun(trial.number, folder / name, parts["began"], parts["run"])
            if trial.state is State.RUNNING:
                yield found._replace(standing=Standing.RUNNING)
            else:
                standing, note = _standing(found)
                yield found._replace(standing=standing, note=note)


def _standing(found: OfflineRun) -> tuple[Standing, str]:
    try:
        size = found.log.stat().st_size
        if told := _told(found, size):
            return told
        with found.log.open("rb") as file:
            head = file.read(_HEADER)
    except FileNotFoundError:
        return Standing.DAMAGED, f"it holds no {found.log.name}: nothing was logged. Delete the folder"
    except OSError as error:
        return Standing.DAMAGED, f"{found.log.name} cannot be read: {error.strerror}. See who may read it"
    if size > _HEADER and head.startswith(_MAGIC):
        return Standing.NEW, ""
    if head.startswith(_MAGIC) or not head:
        return Standing.DAMAGED, "it ended before wandb wrote anything down. Delete the folder"
    return Standing.DAMAGED, f"{found.log.name} is no log of wandb's. Copy it anew, or delete the folder"


def _told(found: OfflineRun, size: int) -> tuple[Standing, str] | None:
    """What our mark, or else wandb's own, says of a log; None where it is to be uploaded.

    A log is only appended to, so its size tells whether it has changed, also where it was copied since.
    """
    done, marked, marked_at = _read_mark(found.folder)
    if done in (Done.WHOLE, Done.PART) and size == marked:
        return Standing.THERE, ""
    synced_at = found.synced.stat().st_mtime if found.synced.exists() else None
    if synced_at is not None and (done in (None, Done.BEGUN) or synced_at > marked_at):
        # Somebody ran `wandb sync`, or we were killed before we wrote down what it had done.
        return (Standing.THERE, "") if found.log.stat().st_mtime <= synced_at else _grown(found)
    if done in (None, Done.BEGUN):
        return None
    if size != marked:
        return _grown(found)
    return Standing.DAMAGED, "its log is damaged, and what stands before the damage is on the server"


def _grown(found: OfflineRun) -> tuple[Standing, str]:
    """Not uploaded again: wandb would add the steps that are there to the run a second time."""
    cure = f"Upload all of it as another run: wandb sync --include-synced --id NEW-ID {found.folder}"
    return Standing.GROWN, f"its log has grown since it was uploaded. {cure}"


def _read_mark(folder: Path) -> tuple[Done | None, int, float]:
    """How far an upload came, of how many bytes, and when that was written down; None without a mark."""
    try:
        with (folder / MARK).open(encoding="utf-8") as file:
            read = json.load(file)
            return Done(read["done"]), int(read["size"]), os.fstat(file.fileno()).st_mtime
    except (OSError, ValueError, KeyError, TypeError):
        return None, 0, 0.0
