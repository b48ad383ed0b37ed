"""`hpcsubmit init`: writes a project's first hpcsubmit.yaml."""

import os
from pathlib import Path

import click

from hpcsubmit.clusters import Clusters, choose
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import user_profiles
from hpcsubmit.host import Host, write_atomically
from hpcsubmit.place import surroundings
from hpcsubmit.profile import Profile
from hpcsubmit.project import CONFIGURATION_FILE, HPC_FILES, find_in, find_project, find_root
from hpcsubmit.render import shipped_templates
from hpcsubmit.starting.found import look
from hpcsubmit.starting.text import starting_text
from hpcsubmit.values import script_path

SCHEMA = "hpcsubmit.schema.json"


def _init(*, force: bool, shown: bool, schema: bool) -> None:
    if schema:
        click.echo((shipped_templates() / SCHEMA).read_text("utf-8"), nl=False)
        return
    host = Host(environ=dict(os.environ))
    root = _root(host.folder())
    path = find_in(root, CONFIGURATION_FILE) or root / CONFIGURATION_FILE
    if not (force or shown) and os.path.lexists(path):
        raise HpcSubmitError(
            f"{path} is there already, and may hold edits of yours",
            "hpcsubmit init --force writes it anew; --print only shows what that would be",
        )
    text = starting_text(look(root), _profile_here(host, root), shipped_templates() / SCHEMA)
    if shown:
        click.echo(text, nl=False)
        return
    write_atomically(path, text, mode=0o666)
    click.echo(str(path))
    click.echo("look at it, then at what it does: hpcsubmit --dry-run", err=True)


def _root(folder: Path) -> Path:
    """The project's folder: the one that is a project already, else the current one."""
    root = find_root(folder) or (folder.parent if folder.name == HPC_FILES else folder)
    if root == Path("/"):
        hint = "go to a folder of the project's own: its name is the project's"
        raise HpcSubmitError("the root folder / cannot be a project", hint)
    return script_path(root, "the project folder")


def _profile_here(host: Host, root: Path) -> Profile:
    """The profile of the cluster here; a file that is there already counts, unless it is wrong."""
    try:
        project = find_project(root)
    except HpcSubmitError:
        project = None
    clusters = Clusters(user_folder=user_profiles(host), project=project)
    return clusters.get(choose(clusters, surroundings(host), None).name).profile


command = click.Command(
    "init",
    callback=_init,
    params=[
        click.Option(["--force"], is_flag=True, help="Write it anew where it is there already."),
        click.Option(["--print", "shown"], is_flag=True, help="Print the file; change nothing."),
        click.Option(["--schema"], is_flag=True, help="Print the JSON schema of the file, for editors."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"Write {CONFIGURATION_FILE}, with comments, from what this folder holds: its program, its imports, "
    "its packages, images and sweeps, and the cluster here. It is yours to edit.",
)  # fmt: skip
