"""`hpcsubmit container build`: builds an image from its definition, here or in a job."""

import os
import sys
from pathlib import Path

import click

from hpcsubmit.cli.options import Value, parse_name
from hpcsubmit.cli.table import align
from hpcsubmit.clusters import Clusters, choose
from hpcsubmit.containers.build import ImageBuild, build_here, build_in_job, image_script, prepare_image
from hpcsubmit.containers.definition import DEFINITION
from hpcsubmit.containers.engine import current_user, engine_settings, find_engine, require_rights
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.folders import user_profiles
from hpcsubmit.follow import follow
from hpcsubmit.host import Host
from hpcsubmit.place import scratch, surroundings
from hpcsubmit.profile import Profile
from hpcsubmit.project import Project, find_project
from hpcsubmit.scheduler import require_sbatch, scheduler_for


def _build(
    *,
    definition: str | None,
    image: str | None,
    in_job: bool,
    here: bool,
    follows: bool,
    force: bool,
    dry_run: bool,
    account: str | None,
    partition: str | None,
    cluster: str | None,
) -> None:
    host = Host(environ=dict(os.environ))
    project = find_project(host.folder())
    clusters = Clusters(user_folder=user_profiles(host), project=project)
    profile = clusters.get(choose(clusters, surroundings(host), cluster).name).profile
    place = _in_job(profile, asked=in_job, here=here)
    if follows and not place:
        raise UsageError("--follow is for a build in a job", "leave it out, or add --in-job")
    source, target = _paths(definition, image, project, host.folder())
    plan = prepare_image(
        source, target, profile, engine_settings(profile), scratch(profile, host),
        account=account, partition=partition,
    )  # fmt: skip
    if not dry_run:
        _check(plan, host, profile, in_job=place, force=force)
    click.echo(_decided(plan, in_job=place), err=True)
    if dry_run:
        click.echo(image_script(plan, host), nl=False)
    elif place:
        _submit(plan, host, profile, follows=follows)
    else:
        build_here(plan, host)
        click.echo(str(plan.image))


def _check(plan: ImageBuild, host: Host, profile: Profile, *, in_job: bool, force: bool) -> None:
    """Raise HpcSubmitError for what stands in the way of a build."""
    if plan.image.exists() and not force:
        raise HpcSubmitError(
            f"{plan.image} is there already, and jobs may be using it",
            "name another one behind the definition, or add --force to replace it once the new one is whole",
        )
    if in_job:
        require_sbatch(scheduler_for(profile.scheduler, host), profile.name)
    elif not plan.modules:  # which are loaded when the image is built, and may bring the engine
        require_rights(find_engine(host, plan.engine), current_user(), host)


def _in_job(profile: Profile, *, asked: bool, here: bool) -> bool:
    """Whether a job builds: as asked, otherwise where this cluster's environments are built."""
    if asked and here:
        raise UsageError("--in-job and --here exclude each other", "leave one of them out")
    if asked and profile.scheduler == "local":
        raise HpcSubmitError(
            f"the jobs of the cluster '{profile.name}' run on this machine: a job could do no more than you",
            "leave out --in-job",
        )
    return asked or (profile.environment_built == "job" and profile.scheduler != "local" and not here)


def _paths(definition: str | None, image: str | None, project: Project, folder: Path) -> tuple[Path, Path]:
    """The definition and the image: those named, from the current folder, or those of the project."""
    source = folder / definition if definition else project.root / DEFINITION
    target = folder / image if image else source.parent / f"{project.name}.sif"
    source, target = Path(os.path.normpath(source)), Path(os.path.normpath(target))
    if target.suffix != ".sif":
        raise UsageError(f"the image cannot be '{image}'", "give it a name that ends in .sif")
    if target.is_dir():
        raise HpcSubmitError(f"{target} is a folder", "name the image behind the definition")
    return source, target


def _submit(plan: ImageBuild, host: Host, profile: Profile, *, follows: bool) -> None:
    scheduler = scheduler_for(profile.scheduler, host)
    taken = build_in_job(plan, host, scheduler)
    if taken.remarks:
        click.echo(taken.remarks, err=True)
    if not follows:
        click.echo(taken.line)
        click.echo(f"its output: {plan.log}", err=True)
        return
    click.echo(taken.line, err=True)
    job = taken.job
    no_record = plan.image.parent / f".{plan.image.name}.record"
    ended = follow(job, log=plan.log, run_dir=no_record, scheduler=scheduler, output=sys.stderr.buffer)
    if ended.code != 0:
        state = f" ({ended.status.state.value})" if ended.status else ""
        raise HpcSubmitError(
            f"the image could not be built by job {job}{state}; {plan.image} was not touched",
            f"mend what the lines above name and build again; all of them are in {plan.log}",
        )
    click.echo(str(plan.image))


def _decided(plan: ImageBuild, *, in_job: bool) -> str:
    rows = [("definition", str(plan.definition)), ("image", str(plan.image)), ("log", str(plan.log))]
    rows.append(("built", "in a job" if in_job else "here"))
    if in_job:
        rows += [(f"--{each.name}", each.value or "") for each in plan.directives]
    return "\n".join(align(rows))


command = click.Command(
    "build",
    callback=_build,
    params=[
        click.Argument(["definition"], required=False, metavar="[DEFINITION]"),
        click.Argument(["image"], required=False, metavar="[IMAGE.sif]"),
        click.Option(["--in-job"], is_flag=True, help="Build it in a job."),
        click.Option(["--here"], is_flag=True, help="Build it here, whatever the cluster's profile says."),
        click.Option(["--follow", "follows"], is_flag=True, help="Stay until the job ends; show its output."),
        click.Option(["--force"], is_flag=True, help="Replace an image that is there already."),
        click.Option(["--dry-run"], is_flag=True, help="Print the script that builds; change nothing."),
        click.Option(["-a", "--account"], type=Value("name", parse_name("--account")), help="For the job."),
        click.Option(
            ["-p", "--partition"], type=Value("name", parse_name("--partition")), help="For the job."
        ),
        click.Option(
            ["--cluster"], type=Value("name", parse_name("--cluster")), help="The cluster's profile."
        ),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"Build an image: by default PROJECT.sif from {DEFINITION}, both in the project's folder. stdout is "
    "its path or, with a job, sbatch's line.",
)  # fmt: skip
