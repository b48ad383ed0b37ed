"""`hpcsubmit sweep results ID`."""

import json
import os
import shutil
import sys
from pathlib import Path

import click

from hpcsubmit.cli.sweep_table import group_lines, headline, trial_lines
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.history import find_run
from hpcsubmit.host import Host, write_atomically
from hpcsubmit.queue import queued
from hpcsubmit.run import Run
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.sweeps.export import as_csv, as_json, seed_groups
from hpcsubmit.sweeps.gone import without_gone
from hpcsubmit.sweeps.ranking import Ranking, ranked
from hpcsubmit.sweeps.results import read_trials
from hpcsubmit.sweeps.rows import Goal, State, SweepResults
from hpcsubmit.values import is_run_id

_PAGE_POINTS = 200
"""Steps of a learning curve that a page draws at most: there are hardly more dots side by side."""


def _results(
    *, word: str, metric: str, goal: str | None, as_table: bool, as_data: bool, html: Path | None
) -> None:
    if as_table and as_data:
        raise UsageError("--csv and --json cannot be printed both", "give one of them; --html goes with both")
    host = Host(environ=dict(os.environ))
    points = None if as_data else 0 if html is None else _PAGE_POINTS
    results = _as_the_queue_says(word, host, results_of(word, host, points=points), points)
    ranking = ranked(results, metric, Goal(goal) if goal else None)
    for line in (headline(results), *(f"note: {note}" for note in ranking.notes)):
        click.echo(line, err=True)
    if html is not None:
        _write_page(html, results, ranking)
    if as_data:
        shown = as_json(results, ranking)
        click.echo(json.dumps(shown, indent=2, ensure_ascii=False, allow_nan=False))
    elif as_table:
        click.echo(as_csv(ranking), nl=False)
    elif html is None:
        _print_tables(ranking)


def results_of(word: str, host: Host, *, points: int | None) -> SweepResults:
    """Read the results of a run, named by its id or by its job's, or of a sweep on the wandb server.

    points: how many steps of each learning curve to keep, None for all.
    """
    if run := _recorded(word, host):
        return read_trials(run.folder, points=points)
    from hpcsubmit.cli.sweep_named import named_sweep  # late: it asks the server
    from hpcsubmit.sweeps.results_on_server import results_on_server

    named = named_sweep(word, host)
    return results_on_server(named.sweep, host, named.environment, points=points)


def _recorded(word: str, host: Host) -> Run | None:
    """Find the run whose own records tell of its trials; None where the wandb server does."""
    if not is_run_id(word) and not word.partition("_")[0].isdecimal():
        return None
    run = find_run(word, host, host.folder())
    return None if run.sweep else run


def _as_the_queue_says(word: str, host: Host, results: SweepResults, points: int | None) -> SweepResults:
    """Ask Slurm only where trials seem to run: a node that failed wrote no end of them."""
    run = _recorded(word, host)
    if run is None or all(trial.state is not State.RUNNING for trial in results.trials):
        return results
    queue = queued(scheduler_for(run.scheduler, host))
    if queue is None:
        return results
    # Read once more: what has ended since was in the queue no longer, and has its record by now.
    return without_gone(results_of(word, host, points=points), run, [status.job for status in queue])


def _print_tables(ranking: Ranking) -> None:
    width = _width()
    click.echo("\n".join(trial_lines(ranking, width)))
    if ranking.metric is not None and (groups := seed_groups(ranking)):
        click.echo("\n" + "\n".join(group_lines(groups, ranking.metric.name, width)))


def _write_page(path: Path, results: SweepResults, ranking: Ranking) -> None:
    from hpcsubmit.sweeps.results_page import results_page  # late: loads jinja2

    try:
        write_atomically(path, results_page(results, ranking))
    except HpcSubmitError as error:
        cure = "name a file in a folder that is there and that you may write to"
        raise HpcSubmitError(error.message, cure) from error
    click.echo(f"the page is {path}: open it in a browser", err=True)


def _width() -> int | None:
    """The columns of the terminal; None where the text goes to a file, which has any number of them."""
    if sys.stdout.isatty() or "COLUMNS" in os.environ:
        return shutil.get_terminal_size().columns
    return None


command = click.Command(
    "results",
    callback=_results,
    params=[
        click.Argument(["word"], metavar="RUN|JOB|SWEEP"),
        click.Option(["--metric"], default="", metavar="NAME", help="The number to compare trials by."),
        click.Option(
            ["--goal"], type=click.Choice([goal.value for goal in Goal]),
            help="What the metric should become, where the sweep file does not say it.",
        ),
        click.Option(["--csv", "as_table"], is_flag=True, help="Print the trials as CSV."),
        click.Option(["--json", "as_data"], is_flag=True, help="Print everything, curves too, as JSON."),
        click.Option(
            ["--html"], type=click.Path(path_type=Path), metavar="FILE",
            help="Write a page with tables and plots, in one file that needs no network.",
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="What the trials of a sweep, or of repeats, came to: parameters, metric, state and time of each, "
    "and mean, standard deviation and 95 % interval over seeds.",
)  # fmt: skip
