"""`hpcsubmit container init`: writes the definition of the project's image."""

import os
from pathlib import Path

import click

from hpcsubmit.cli.table import align
from hpcsubmit.containers.definition import DEFINITION, Definition, default_base, definition_text, parse_base
from hpcsubmit.containers.packages import packages_in
from hpcsubmit.environments.sources import find_source
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import configuration_folder
from hpcsubmit.host import Host, write_atomically
from hpcsubmit.project import find_project


def _init(*, base: str | None, force: bool, dry_run: bool) -> None:
    host = Host(environ=dict(os.environ))
    folder = host.folder()
    root = find_project(folder).root
    path = root / DEFINITION
    if not (force or dry_run) and path.exists():
        raise HpcSubmitError(
            f"{path} is there already, and may hold edits of yours",
            "hpcsubmit container init --force writes it anew; --dry-run only shows what that would be",
        )
    source = find_source(root)
    packages = packages_in(source.files) if source else None
    definition = Definition(
        parse_base(base, folder, root) if base is not None else default_base(packages), packages
    )
    text = definition_text(definition, configuration_folder(host) / "templates")
    click.echo(_decided(definition, path), err=True)
    if dry_run:
        click.echo(text, nl=False)
        return
    write_atomically(path, text, mode=0o666)
    click.echo(str(path))


def _decided(definition: Definition, path: Path) -> str:
    """What was decided, and what the user should know of it."""
    packages = definition.packages
    names = ", ".join(packages.files) if packages else "none: no Pipfile, requirements.txt or uv.lock"
    rows = [("definition", str(path)), ("base", str(definition.base)), ("packages", names)]
    if packages and packages.tool:
        rows.append(("read by", f"{packages.tool}, for pip"))
    if packages and packages.torch:
        rows.append(("test", "python starts, and imports torch"))
    lines = align(rows)
    if packages and packages.tool == "pipenv" and not packages.locked:
        lines.append(
            "note: the Pipfile has no lock, so every build takes the newest versions: pipenv lock fixes them"
        )
    if packages and packages.folders:
        lines.append(
            f"warning: folders of the project are not in the image: {', '.join(packages.folders)}; jobs see "
            "them where they are, and PYTHONPATH can name one"
        )
    return "\n".join(lines)


command = click.Command(
    "init",
    callback=_init,
    params=[
        click.Option(
            ["--base"], metavar="IMAGE",
            help="What the image starts from: docker://IMAGE, library://IMAGE, a .sif or a sandbox folder. "
            "[default: a small image of Python]",
        ),
        click.Option(["--force"], is_flag=True, help=f"Write {DEFINITION} anew where it is there already."),
        click.Option(["--dry-run"], is_flag=True, help="Print the definition; change nothing."),
    ],
    context_settings={"help_option_names": ["-h", "--help"]},
    help=f"Write {DEFINITION}, the definition of an image with the project's packages. It is yours to edit.",
)  # fmt: skip
