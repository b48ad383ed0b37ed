"""`hpcsubmit clean nodes`."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from hpcsubmit import __version__
from hpcsubmit.cli.commands import INTERRUPTED
from hpcsubmit.cli.options import Value, parse_name
from hpcsubmit.cli.question import require_agreement
from hpcsubmit.cli.table import align
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobStatus
from hpcsubmit.node_answers import Answer, answers, described
from hpcsubmit.node_cleaning import (
    Cleaning,
    Submitted,
    cleaning_folder,
    forget,
    nodes_of,
    plan_cleaning,
    require_leftovers,
    still_pending,
    submit_cleaning,
    user_name,
)
from hpcsubmit.place import profile_here, scratch
from hpcsubmit.profile import Profile
from hpcsubmit.scheduler import Scheduler, require_sbatch, scheduler_for
from hpcsubmit.values import bytes_text, new_run_id, positive_int

WAIT = 120
_NODES_SHOWN = 12


def _clean_nodes(**options: Any) -> int:
    from hpcsubmit.render import render_script  # late: 30 ms that an error need not wait for

    host = Host(environ=dict(os.environ))
    profile = profile_here(host, host.folder(), options["cluster"])
    require_leftovers(profile)
    scheduler = scheduler_for(profile.scheduler, host)
    require_sbatch(scheduler, profile.name)
    cleaning = _decide(profile, host, scheduler, options)
    earlier = still_pending(cleaning, scheduler)
    # The shipped one, whatever templates the user has: it removes folders.
    script = render_script("clean_nodes.sbatch.j2", None, cleaning=cleaning)
    click.echo(_preview(cleaning), err=True)
    if options["account"] and not profile.uses_accounts:
        click.echo(f"note: --account is ignored: '{profile.name}' has no accounts", err=True)
    if not cleaning.listing:
        require_agreement("Remove?", yes=options["yes"])
    try:
        nodes = [node for node in cleaning.nodes if node not in earlier]
        submitted = submit_cleaning(cleaning, nodes, script, scheduler)
        return _tell(cleaning, submitted, earlier, scheduler, options["wait"])
    except KeyboardInterrupt:
        click.echo(f"\nthe jobs go on; what they did will be in {cleaning.folder}", err=True)
        return INTERRUPTED


def _decide(profile: Profile, host: Host, scheduler: Scheduler, options: Mapping[str, Any]) -> Cleaning:
    folder = cleaning_folder(scratch(profile, host), new_run_id(datetime.now(UTC), os.urandom(4)))
    return plan_cleaning(
        profile,
        nodes_of(profile, options["partition"] or "", scheduler),
        folder,
        user=user_name(host),
        account=options["account"] or profile.account,
        partition=options["partition"] or profile.partition,
        listing=options["dry_run"],
    )


def _preview(cleaning: Cleaning) -> str:
    what = "about to list" if cleaning.listing else "about to remove"
    more = len(cleaning.nodes) - _NODES_SHOWN
    nodes = " ".join(cleaning.nodes[:_NODES_SHOWN]) + (f" and {more} more" if more > 0 else "")
    rows = [
        ("cluster", cleaning.cluster),
        ("folders", f"{cleaning.base}/{cleaning.user}_JOB"),
        ("nodes", nodes),
        ("a job on each", " ".join(map(str, cleaning.directives))),
    ]
    title = f"hpcsubmit {__version__}: {what} what your jobs that have ended left on the nodes' own disks"
    return "\n".join([title, "", *(f"  {line}" for line in align(rows)), ""])


def _tell(
    cleaning: Cleaning,
    submitted: Submitted,
    earlier: Mapping[str, JobStatus],
    scheduler: Scheduler,
    seconds: int,
) -> int:
    """Print one line for each node as its job ends; return the exit code."""
    if submitted.refused and not submitted.asked:
        forget(cleaning)
        raise HpcSubmitError(submitted.refused[0][1], "see whether --account and --partition are right here")
    width = max(map(len, cleaning.nodes))
    told: list[Answer] = [Answer(node=n, text=f"no job: {why}", failed=True) for n, why in submitted.refused]
    for node, status in earlier.items():
        text = f"no answer yet: job {status.job} of an earlier cleaning is {described(status)}"
        told.append(Answer(node=node, text=text))
    for answer in told:
        _print(answer, width)
    for answer in answers(submitted.asked, scheduler, seconds=seconds, listing=cleaning.listing):
        _print(answer, width, details=cleaning.listing)
        told.append(answer)
    if any(answer.failed or answer.pending for answer in told):
        click.echo(f"note: the nodes' own words are, and will be, in {cleaning.folder}", err=True)
    else:
        forget(cleaning)
    return int(any(answer.failed for answer in told))


def _print(answer: Answer, width: int, *, details: bool = False) -> None:
    click.echo(f"{answer.node:<{width}}  {answer.text}")
    if details and answer.report:
        for path, size in answer.report.folders:
            click.echo(f"{'':<{width}}    {path}  {bytes_text(size)}")


def _seconds(text: str) -> int:
    return 0 if text == "0" else positive_int(text, "--wait")


def _name(option: str) -> Value:
    return Value("name", parse_name(option))


command = click.Command(
    "nodes",
    callback=_clean_nodes,
    params=[
        click.Option(["--cluster"], type=_name("--cluster"), help="The profile, if not of the cluster here."),
        click.Option(["-a", "--account"], type=_name("--account"), help="The account of the jobs."),
        click.Option(
            ["-p", "--partition"], type=_name("--partition"),
            help="The partition of the jobs: its nodes are cleaned, instead of the profile's.",
        ),
        click.Option(
            ["--wait"], type=Value("seconds", _seconds), default=WAIT, show_default=True,
            help="How long to wait for the nodes; their jobs go on after it.",
        ),
        click.Option(["--dry-run"], is_flag=True, help="Let the jobs only list what they would remove."),
        click.Option(["-y", "--yes"], is_flag=True, help="Do not ask before removing."),
    ],
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    help="Remove what your jobs left on the nodes' own disks: where Slurm kills a job hard, or a node "
    "crashes, the job's SLURM_TMPDIR stays. A short job on every node removes the folders of jobs that "
    "have ended. It is needed only where hpcsubmit makes SLURM_TMPDIR.",
)  # fmt: skip
