"""The definition of the project's image: what it starts from and what goes in; decided and written, pure.

The form is that of Apptainer's manual, "Definition Files"; what templates say of it was seen with 1.4.5.
"""

import os
import re
from pathlib import Path
from typing import NamedTuple

from hpcsubmit import __version__
from hpcsubmit.containers.packages import Packages
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.render import render_script

DEFINITION = "container.def"
"""The name of the definition, in the project's folder."""
TEMPLATE = "container.def.j2"
USUAL_PYTHON = 12
"""The 3.N of the default base: PyTorch has wheels for it, and so has nearly everything else."""
REGISTRIES = ("docker", "library", "oras")
_REFERENCE = r"[A-Za-z0-9][A-Za-z0-9._:/@+-]*"
_BASES = "docker://pytorch/pytorch:TAG, library://..., the path of a .sif, or a sandbox folder"


class Base(NamedTuple):
    """What an image starts from: the agent that fetches it, and what it fetches."""

    bootstrap: str
    source: str

    def __str__(self) -> str:
        return self.source if self.bootstrap == "localimage" else f"{self.bootstrap}://{self.source}"


class Definition(NamedTuple):
    """A definition, decided. packages: None where the project lists none."""

    base: Base
    packages: Packages | None = None
    version: str = __version__


def definition_text(definition: Definition, user_templates: Path | None = None) -> str:
    """Return the definition file; raises HpcSubmitError for a mistake in the user's template."""
    return render_script(TEMPLATE, user_templates, plan=definition)


def default_base(packages: Packages | None) -> Base:
    """Return the small official image of Python, of a version that the project's files allow."""
    return Base("docker", f"python:3.{_python(packages.python if packages else '')}-slim")


def _python(asked: str) -> int:
    """N of the usual Python 3.N, or of the one nearest to it that is asked for: `3.11`, `>=3.13`, `<3.12`."""
    python = USUAL_PYTHON
    for operator, number in re.findall(r"(===?|~=|!=|[<>]=?|^)\s*3\.([0-9]+)", asked):
        named = int(number)
        if operator in ("", "==", "===", "~="):
            return named
        if operator in (">", ">="):
            python = max(python, named)
        elif operator in ("<", "<="):
            python = min(python, named - (operator == "<"))
    return python


def parse_base(text: str, folder: Path, root: Path) -> Base:
    """Read --base; folder: the current one. A path is kept relative to the project's root where it is inside.

    Raises UsageError for what names no image, HpcSubmitError for one that is not there.
    """
    scheme, separator, rest = text.partition("://")
    if separator:
        if scheme not in REGISTRIES or not re.fullmatch(_REFERENCE, rest):
            raise UsageError(f"--base cannot be '{text}'", f"write {_BASES}")
        return Base(scheme, rest)
    path = Path(os.path.normpath(folder / text))
    if not path.exists():
        known = re.fullmatch(r"[a-z0-9][a-z0-9._/-]*(:[A-Za-z0-9._-]+)?", text)
        hint = f"for an image of a registry write docker://{text}" if known else f"write {_BASES}"
        raise HpcSubmitError(f"--base {text}: there is no {path}", hint)
    return Base("localimage", _local(path, text, root))


def _local(path: Path, text: str, root: Path) -> str:
    """An image or a sandbox of this machine, as the header can hold it."""
    is_image = path.suffix == ".sif" if path.is_file() else (path / "bin").exists()
    if not is_image:
        what = "no sandbox: it has no bin" if path.is_dir() else "no image: it does not end in .sif"
        raise HpcSubmitError(f"--base {text} is {what}", f"write {_BASES}")
    source = str(path.relative_to(root) if path.is_relative_to(root) else path)
    if re.search(r"[\x00-\x1f#{}\ud800-\udfff]", source) or source != source.strip():
        raise HpcSubmitError(
            f"a definition cannot name {source!r}", "give it a name without #, braces and blanks at its ends"
        )
    return source
