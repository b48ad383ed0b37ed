"""Python for the fake machines: one that jobs train with, and the tool as a user installs it.

Both are made from /usr/bin/python3 in the test clusters' state folder: ordinary users of the
clusters can read neither root's Pythons nor, in most cases, the checkout.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from cluster.slurm_cluster import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

PYTHON: Final = "/usr/bin/python3"
REQUIREMENTS: Final = ("torch==2.13.0", "pytorch-lightning", "scikit-learn", "setuptools")

_LIMIT: Final = 1800.0
# Of the caller's environment, what would lead pip or the new Python to another installation.
_FOREIGN: Final = frozenset(
    {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
)


def job_python() -> Path:
    """A Python with PyTorch, Lightning and scikit-learn; HPCSUBMIT_TORCH_INDEX names one more index."""
    index = os.environ.get("HPCSUBMIT_TORCH_INDEX")
    options = ["--extra-index-url", index] if index else []
    key = _hash([_python_version().encode(), *(text.encode() for text in (*REQUIREMENTS, *options))])

    def fill(folder: Path) -> None:
        _pip(folder, [*options, *REQUIREMENTS])

    return _environment("job-python", key, fill) / "bin" / "python"


def install_tool(wheel_or_checkout: Path) -> Path:
    """Install hpcsubmit from a wheel or a checkout, anew when it has changed, and return its command."""
    source = wheel_or_checkout.resolve()
    key = _hash([_python_version().encode(), *_contents(source)])

    def fill(folder: Path) -> None:
        _pip(folder, [str(source)])

    return _environment("tool", key, fill) / "bin" / "hpcsubmit"


def _environment(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The virtual environment of this kind and key; one without its stamp was never finished."""
    folder = STATE / kind / key
    stamp = folder / ".finished"
    with _lock(kind):
        if stamp.exists():
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.chmod(0o755)
        _run((PYTHON, "-m", "venv", str(folder)))
        fill(folder)
        stamp.touch()
    return folder


@contextmanager
def _lock(kind: str) -> Iterator[None]:
    (STATE / kind).mkdir(mode=0o755, parents=True, exist_ok=True)
    STATE.chmod(0o755)
    with (STATE / kind / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _pip(folder: Path, arguments: Sequence[str]) -> None:
    # pip compiles what it installs: the users, who may not write there, never would.
    _run((str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", *arguments))


def _run(argv: Sequence[str]) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in _FOREIGN}
    done = subprocess.run(
        argv,
        env=environment,
        cwd="/",
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=_LIMIT,
        check=False,
        umask=0o022,
    )
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stdout[-4000:]}")


def _python_version() -> str:
    argv = (PYTHON, "-c", "import sys; print(sys.version)")
    return subprocess.run(argv, capture_output=True, text=True, timeout=60, check=True).stdout


def _contents(source: Path) -> Iterator[bytes]:
    """What an installation depends on: the wheel, or the checkout's sources and their names."""
    if source.is_file():
        yield source.name.encode()
        yield source.read_bytes()
        return
    folders = (source / "src", source / "templates")
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for path in (source / "pyproject.toml", *files):
        if "__pycache__" not in path.parts:
            yield str(path.relative_to(source)).encode()
            yield path.read_bytes()


def _hash(parts: Iterable[bytes]) -> str:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]
