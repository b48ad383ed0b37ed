"""The Python that environments are made with."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host

ASKING = "import sys; print(sys.executable)"
ASK_TIMEOUT = 20.0
"""Seconds that a python3 that is a script may take to tell which interpreter it starts."""


def find_python(name: str, host: Host, known: Mapping[str, Any]) -> dict[str, str]:
    """Find the interpreter that a name or path stands for, and say how, so that it need not be asked again.

    The result's `interpreter` is its path, links followed; the other items are what that depends on. A script
    in its place (pyenv's, say), or a program of another name (mise's), is asked which interpreter it starts,
    unless `known`, an earlier result, depended on the same. Raises HpcSubmitError where there is none.
    """
    found = host.which(name)
    if found is None:
        hint = "load the site's python module, then submit, or set python in the profile"
        raise HpcSubmitError(f"there is no {name} on the PATH", hint)
    resolved = Path(found).resolve()
    if resolved.name.startswith("python") and not _is_script(resolved):
        return {"which": found, "interpreter": str(resolved)}
    depends = {"which": found, **_choice_of_version(resolved, host)}
    asked_before = str(known.get("interpreter") or "")
    if all(known.get(key) == value for key, value in depends.items()) and os.path.exists(asked_before):  # noqa: PTH110
        return depends | {"interpreter": asked_before}
    said = host.run((found, "-I", "-c", ASKING), timeout=ASK_TIMEOUT)
    return depends | {"interpreter": str(Path(said.stdout.strip() or found).resolve())}


def _choice_of_version(script: Path, host: Host) -> dict[str, str]:
    """What pyenv and its like choose a version by (pyenv's README, "Python version selection")."""
    folder = Path(host.environ.get("PYENV_DIR") or host.folder())
    files = [place / ".python-version" for place in (folder, *folder.parents)]
    root = host.environ.get("PYENV_ROOT")
    files.append((Path(root) if root else script.parents[1]) / "version")
    return {
        "PYENV_VERSION": host.environ.get("PYENV_VERSION", ""),
        "version_file": next((text for text in map(_text, files) if text), ""),
        "changed": str(script.stat().st_mtime_ns),
    }


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def find_uv(host: Host, own: Path) -> str:
    """Return the path of uv: that of the PATH, else of hpcsubmit's own environment `own`; "" for none.

    A script of that name is left out: pyenv puts one there that fails where the chosen Python has no uv.
    """
    for found in (host.which("uv"), str(own / "bin" / "uv")):
        if found and os.access(found, os.X_OK) and not _is_script(Path(found)):
            return str(Path(found).absolute())
    return ""
