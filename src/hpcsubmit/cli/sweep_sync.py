"""`hpcsubmit sweep sync RUN`."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import click

from hpcsubmit.environments.layout import LINK
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.history import find_run
from hpcsubmit.host import Host, hangups_interrupt
from hpcsubmit.queue import queued
from hpcsubmit.run import Run
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.sweeps.asking import find_python
from hpcsubmit.sweeps.gone import without_gone
from hpcsubmit.sweeps.offline_runs import OfflineRun, Standing, offline_runs
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.rows import State, SweepResults
from hpcsubmit.sweeps.sync import Uploader
from hpcsubmit.sweeps.sync_lock import only_one
from hpcsubmit.sweeps.sync_outcome import Outcome, Upload

_BAD = (Standing.DAMAGED, Standing.GROWN, Outcome.FAILED)
_CURE = {
    Standing.DAMAGED: "the lines above say what to do; hpcsubmit sweep rerun runs trials again",
    Standing.GROWN: "the lines above say what to do",
    Outcome.FAILED: "the lines above say what went wrong; then sync again: what is there is not sent twice",
}
_NOT_JOINED = (
    "counts the steps of each part of a requeued trial from 0, unless the program names its steps; "
    "wandb 0.31 counts them on"
)


def _sync(*, word: str, entity: str, project: str, dry_run: bool) -> None:
    host = Host(environ=dict(os.environ))
    run = find_run(word, host, host.folder())
    found, results = _found(run, host)
    if dry_run:
        _list(found, run)
        _say_where(found, results, entity, project)
        return
    if not _new(found):  # said without wandb, and without a lock
        _say(found, [], run)
        return
    with hangups_interrupt():
        uploader = Uploader.checked(host, _environment(run), entity=entity, project=project)
        with only_one(run.folder):
            found, _ = _found(run, host)  # anew: another may have uploaded some meanwhile
            _say_where(found, results, entity, project)
            if not uploader.joins_parts and _in_parts(found):
                click.echo(f"note: wandb {uploader.version} {_NOT_JOINED}", err=True)
            _say(found, _upload(uploader, _new(found)), run)


def _upload(uploader: Uploader, runs: Sequence[OfflineRun]) -> list[Upload]:
    ended: list[Upload] = []
    for upload in uploader.upload_all(runs, lambda text: click.echo(text, err=True)):
        ended.append(upload)
        note = f": {upload.note}" if upload.note else ""
        count = f"[{len(ended)}/{len(runs)}]"
        click.echo(f"{count} trial {upload.run.trial}: {upload.outcome} {upload.run.run}{note}", err=True)
    return ended


def _say_where(found: Sequence[OfflineRun], results: SweepResults, entity: str, project: str) -> None:
    """Say where uploads go, unless the user has said it himself, or only the logs know: no job told them."""
    place = f"{entity or results.entity or 'your own entity'}/{project or results.project}"
    if _new(found) and not (entity and project) and not place.endswith("/"):
        click.echo(f"note: to {place}, unless the program itself names another place", err=True)


def _found(run: Run, host: Host) -> tuple[tuple[OfflineRun, ...], SweepResults]:
    """The folders of a run's trials; those of trials that the queue still has count as running."""
    results = read_trials(run.folder)
    if any(trial.state is State.RUNNING for trial in results.trials):
        queue = queued(scheduler_for(run.scheduler, host))
        if queue is not None:  # read once more: what has ended since has its record by now
            results = without_gone(read_trials(run.folder), run, [status.job for status in queue])
    return offline_runs(run, results.trials), results


def _new(found: Sequence[OfflineRun]) -> list[OfflineRun]:
    return [each for each in found if each.standing is Standing.NEW]


def _in_parts(found: Sequence[OfflineRun]) -> bool:
    """Whether one of the runs to be uploaded has several folders."""
    parts = Counter(each.run for each in found)
    return any(parts[each.run] > 1 for each in _new(found))


def _environment(run: Run) -> Path | None:
    """The environment whose Python has wandb: that of the run, or that of its project now."""
    known = [Path(run.virtualenv)] if run.virtualenv else []
    known.append(Path(run.project) / LINK)
    return next((path for path in known if find_python(path)), known[0])


def _list(found: Sequence[OfflineRun], run: Run) -> None:
    for each in found:
        note = f": {each.note}" if each.note else ""
        click.echo(f"trial {each.trial}: {each.standing}: {each.folder}{note}")
    if not found:
        click.echo(_nothing(run))


def _nothing(run: Run) -> str:
    return f"nothing to upload: no trial of {run.run_id} has logged offline with wandb"


def _say(found: Sequence[OfflineRun], uploads: Sequence[Upload], run: Run) -> None:
    """Print what became of all folders; raise HpcSubmitError where one is not on the server and should be."""
    if not found:
        click.echo(_nothing(run))
        return
    for each in found:
        if each.note:
            click.echo(f"trial {each.trial}: {each.standing}: {each.folder}: {each.note}", err=True)
    ended = [(str(upload.outcome), upload.run) for upload in uploads]
    ended += [(str(each.standing), each) for each in found if each.standing is not Standing.NEW]
    ended.sort(key=lambda each: (each[1].trial, each[1].began))
    counts = Counter(what for what, _ in ended)
    order = [Outcome.UPLOADED, Standing.THERE, Standing.RUNNING, *_BAD]
    parts = [
        f"{what} {counts[what]}{_paths(what, ended)}" for what in order if counts[what] or what is order[0]
    ]
    click.echo(("" if uploads else "nothing to upload: ") + ", ".join(parts if uploads else parts[1:]))
    if bad := [what for what in _BAD if counts[what]]:
        number = sum(counts[what] for what in bad)
        raise HpcSubmitError(
            f"{number} of {len(found)} runs are not, or not whole, on the server", _CURE[bad[-1]]
        )


def _paths(what: str, ended: Sequence[tuple[str, OfflineRun]]) -> str:
    """The folders that somebody must look at."""
    folders = [str(run.folder) for state, run in ended if state == what and what in _BAD]
    return f": {' '.join(folders)}" if folders else ""


command = click.Command(
    "sync",
    callback=_sync,
    params=[
        click.Argument(["word"], metavar="RUN|JOB"),
        click.Option(["--entity"], default="", metavar="NAME", help="Where to; else where the runs say."),
        click.Option(["--project"], default="", metavar="NAME", help="The project; else the runs' own."),
        click.Option(["--dry-run"], is_flag=True, help="List what would be uploaded."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Upload what the trials of a sweep without a server, or of repeats, have logged with wandb offline. "
    "What is on the server already is not sent again, and trials that still run are left alone.",
)
