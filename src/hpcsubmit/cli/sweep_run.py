"""`hpcsubmit sweep run FILE`: makes the sweep of a file and submits its runs, or runs it without a server."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import click

from hpcsubmit.cli.asked import OPTIONS, request_of
from hpcsubmit.cli.options import GreedyCommand
from hpcsubmit.cli.preview import gpu_hours
from hpcsubmit.cli.submission import Desk, Ready, carried_out, desk_of, made_ready, request_at, shown
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.project import HPC_FILES
from hpcsubmit.request import Request
from hpcsubmit.sweep_file.finding import find_sweep_file
from hpcsubmit.sweep_file.reading import read_sweep_file
from hpcsubmit.sweeps.wanted import limits_of


def _run(file: str | None, entity: str | None, project: str | None, *, offline: bool, **options: Any) -> int:
    asked = request_of(options)
    if asked.sweep:
        raise UsageError(
            f"sweep run makes a sweep of its own, and -w names {asked.sweep}",
            f"leave out -w, or write hpcsubmit -w {asked.sweep}",
        )
    desk = desk_of(options)
    # What hpcsubmit.yaml says of its own command and sweep is not meant for this one.
    request = replace(
        request_at(options, desk, asked),
        sweep=None,
        command=None,
        seeds=asked.seeds,
        num_sweeps=asked.num_sweeps,
    )
    offline = offline or desk.place.cluster.profile.wandb == "offline"
    root = desk.place.project.root
    files = read_sweep_file(find_sweep_file(file, (desk.host.folder(), root, root / HPC_FILES)))
    if desk.follow and len(files) > 1:
        raise UsageError("--follow stays with one sweep, and the file describes several", "leave it out")
    if offline:
        from hpcsubmit.sweeps.target import placed  # late: a server is told otherwise

        asked_place = {"entity": entity, "project": project}
        exported = dict(desk.place.cluster.profile.environment)
        files = tuple(placed(each, desk.place, desk.host, **asked_place, exported=exported) for each in files)
    requests = [replace(request, sweep_file=each, offline=offline) for each in files]
    ready = [made_ready(each, desk) for each in requests]
    if len(ready) > 1:
        _check_room(ready, request, desk)
    if not shown(ready, desk, together=_together(ready) if len(ready) > 1 else ""):
        return 0
    if not offline:  # all of them, before any is submitted
        ready = [made_ready(each, desk) for each in _created(requests, ready, entity, project, desk)]
    return [carried_out(each, desk) for each in ready][-1]


def _check_room(ready: Sequence[Ready], request: Request, desk: Desk) -> None:
    """Raise HpcSubmitError where each sweep fits alone, and not all of them.

    Few trials ask nobody how many fit; where those of all sweeps together are many, somebody is asked.
    """
    trials = [each.prepared.plan.trials for each in ready]
    tasks = sum(each.array.tasks for each in trials if each)
    tight = [each.wanted.limits for each in trials if each and each.wanted.limits.free is not None]
    if not tight:
        number = sum(each.array.trials for each in trials if each)
        found = limits_of(request, number, desk.place.cluster.profile, desk.host)
        tight = [found] if found.free is not None else []
    if tight and tasks > (free := min(limits.free or 0 for limits in tight)):
        limits = tight[0]
        raise HpcSubmitError(
            f"{tasks} tasks of {len(ready)} sweeps do not fit together: {free} of {limits.max_jobs} jobs are "
            f"free here ({limits.source})",
            "let each task run several: --trials-per-task 4, or give every part its _num_agents in the file",
        )


def _together(ready: Sequence[Ready]) -> str:
    plans = [each.prepared.plan for each in ready]
    trials = sum(plan.trials.array.trials for plan in plans if plan.trials)
    hours = sum(map(gpu_hours, plans))
    return f"{len(plans)} sweeps, {trials} trials together, at most {hours:,.4g} GPU hours\n"


def _created(
    requests: Sequence[Request],
    ready: Sequence[Ready],
    entity: str | None,
    project: str | None,
    desk: Desk,
) -> list[Request]:
    """Make the sweeps on the server; the requests with their ids, and with the numbers that were shown."""
    from hpcsubmit.sweeps.creation import create_and_record  # late: it asks the server

    made: list[Request] = []
    for request, shown_one in zip(requests, ready, strict=True):
        trials = shown_one.prepared.plan.trials
        if request.sweep_file is None or trials is None:
            continue
        try:
            created = create_and_record(
                request.sweep_file, desk.place, desk.host, entity=entity, project=project
            )
        except HpcSubmitError as error:
            raise _after(made, error) from error
        click.echo(f"created {created.sweep}: {created.url}", err=True)
        made.append(replace(request, sweep=created.sweep, num_sweeps=trials.array.trials))
    return made


def _after(made: Sequence[Request], error: HpcSubmitError) -> HpcSubmitError:
    """Say which sweeps were created before one could not be."""
    if not made:
        return error
    names = [str(request.sweep) for request in made]
    problem = f"{error.message}; created before it, and not submitted: {', '.join(names)}"
    return HpcSubmitError(problem, f"{error.hint}; submit the others' runs: hpcsubmit -w {names[0]}")


command = GreedyCommand(
    "run",
    callback=_run,
    params=[
        click.Argument(["file"], required=False, metavar="[sweeper.yml]"),
        click.Option(
            ["--offline"], is_flag=True,
            help="Without a server: the parameters of each run follow from its number. The default where the "
            "nodes of the cluster do not reach wandb.",
        ),
        click.Option(["--entity"], help="The user or team that the sweep, or its runs, belong to."),
        click.Option(["--project"], help="The wandb project of the sweep, or of its runs."),
        *OPTIONS,
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Create the sweep of a file on the wandb server and submit its runs as an array of jobs; with "
    "--offline, run it without any server.",
)  # fmt: skip
