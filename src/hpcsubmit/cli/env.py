"""`hpcsubmit env`: the project's environment, and its building ahead of any job."""

import os
from pathlib import Path
from typing import Any

import click

from hpcsubmit.cli.options import Value, parse_name
from hpcsubmit.cli.settled import IMAGE, settled
from hpcsubmit.cli.table import align
from hpcsubmit.environments.build import build_script, build_virtualenv
from hpcsubmit.environments.find import find_virtualenv
from hpcsubmit.environments.job import failure, last_job, status_of
from hpcsubmit.environments.layout import BUILT, read_stamp, was_finished
from hpcsubmit.environments.link import link_to
from hpcsubmit.environments.old import size_of
from hpcsubmit.environments.wanted import Wish
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.place import look_around
from hpcsubmit.profile import Profile
from hpcsubmit.scheduler import require_sbatch, scheduler_for
from hpcsubmit.values import bytes_text
from hpcsubmit.virtualenv import Virtualenv

INSTEAD = {"no_env": "no-env", "conda_env": "conda-env", IMAGE: "container"}
"""What hpcsubmit.yaml may name instead of an environment, by the options' names: its keys."""


def _env(*, rebuild: bool, dry_run: bool, cluster: str | None, **options: Any) -> None:
    host = Host(environ=dict(os.environ))
    place = look_around(host.folder(), host, asked=cluster)
    profile = place.cluster.profile
    asked = settled({**options, **dict.fromkeys(INSTEAD)}, place, click.get_current_context())
    for key in (key for name, key in INSTEAD.items() if asked[name]):
        file = place.project.configuration
        click.echo(f"note: jobs do not use this environment: {file} has the key '{key}'", err=True)
    wish = Wish(
        rebuild=rebuild,
        on_node=asked["env_on_node"],
        account=asked["account"],
        partition=asked["partition"],
    )
    found = find_virtualenv(place.project, host, profile, wish)
    click.echo(_state(found, host), err=dry_run)
    if dry_run and found.build:
        click.echo(build_script(found, host), nl=False)
    elif not dry_run:
        _bring_about(found, host, profile, again=rebuild)


def _bring_about(found: Virtualenv, host: Host, profile: Profile, *, again: bool) -> None:
    """Build what is not there yet; what a job has failed to build is built again on demand only."""
    if found.build is None:
        if found.path.parent.name == BUILT:
            link_to(found.path)
        return
    if found.build.job:
        return
    if found.build.makes and not again:
        _tell_failure(found.path, host)
    scheduler = scheduler_for(profile.scheduler, host)
    if found.build.in_job:
        require_sbatch(scheduler, profile.name)
    job = build_virtualenv(found, host, scheduler)
    if job:
        click.echo(f"job {job} builds it; its output: {found.path}.log")
        return
    link_to(found.path)
    click.echo(_state(Virtualenv(path=found.path), host))


def _tell_failure(path: Path, host: Host) -> None:
    """Raise HpcSubmitError where the last job that was to build an environment failed."""
    job = last_job(path)
    failed = failure(path, job, host) if job else None
    if failed:
        click.echo("".join(f"  {line}\n" for line in failed.lines), nl=False, err=True)
        raise HpcSubmitError(failed.message, f"{failed.hint}; hpcsubmit env --rebuild tries again as it is")


def _state(found: Virtualenv, host: Host) -> str:
    build = found.build
    rows = [("environment", str(found.path))]
    source = build.source if build else _source(found.path)
    rows += [("made from", str(source))] if source else []
    rows.append(("python", (build.python if build and build.makes else _version(found.path)) or "not known"))
    rows.append(("state", _words(found, host)))
    if found.path.is_dir() and not (build and build.makes):
        rows.append(("size", bytes_text(size_of(found.path.resolve()))))
    if build and build.note:
        rows.append(("note", build.note))
    return "\n".join(align(rows))


def _words(found: Virtualenv, host: Host) -> str:
    build = found.build
    if found.path.parent.name != BUILT:
        return "your own, used as it is"
    if build is None:
        return "built"
    if build.job:
        status = status_of(build.job, host)
        return f"being built by job {build.job} ({status.state.value if status else 'not known'})"
    if not build.makes:
        return "built, and not packed for the nodes yet"
    if was_finished(found.path):
        return "to be built anew: it was built elsewhere, or its python is gone"
    return "not built" + (f"; the last build failed, see {found.path}.log" if last_job(found.path) else "")


def _version(path: Path) -> str:
    """The Python of an environment, as venv and uv write it into pyvenv.cfg."""
    try:
        text = (path / "pyvenv.cfg").read_text(errors="replace")
    except OSError:
        return ""
    lines = (line.partition("=") for line in text.splitlines())
    fields = {name.strip(): value.strip() for name, _, value in lines}
    version = fields.get("version") or fields.get("version_info") or ""
    return f"{version} of {fields.get('home', '')}".strip()


def _source(path: Path) -> Path | None:
    """The file that a finished environment was made from."""
    name = (read_stamp(path) or {}).get("source")
    return path.resolve().parents[1] / name if isinstance(name, str) else None


command = click.Command(
    "env",
    callback=_env,
    params=[
        click.Option(["--rebuild"], is_flag=True, help="Build the next generation of a finished one."),
        click.Option(["--dry-run"], is_flag=True, help="Print the script that builds; change nothing."),
        click.Option(["--env-on-node"], is_flag=True, help="Pack it for --env-on-node too."),
        click.Option(["-a", "--account"], type=Value("name", parse_name("--account")), help="For its job."),
        click.Option(
            ["-p", "--partition"], type=Value("name", parse_name("--partition")), help="For its job."
        ),
        click.Option(
            ["--cluster"], type=Value("name", parse_name("--cluster")), help="The cluster's profile."
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Say which environment the project's jobs use, and build it where it is not there yet.",
)
