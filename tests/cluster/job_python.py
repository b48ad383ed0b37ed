"""Python for the fake machines: one that jobs train with, and the tool as a user installs it.

Both are made from /usr/bin/python3 in the test clusters' state folder.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Final

from cluster.made_once import key_of, made_once

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PYTHON: Final = "/usr/bin/python3"
REQUIREMENTS: Final = (
    "torch==2.13.0",
    "pytorch-lightning==2.6.6",
    "scikit-learn==1.9.1",
    "setuptools==84.2.1",
    "accelerate==1.15.0",
    "mpi4py==4.1.2",
)

WANDB: Final = "wandb==0.31.0"
"""The client that tests/wandb_server.py is known to serve, as it does 0.30."""

_LIMIT: Final = 1800.0
# Seconds before pip is tried again.
_PAUSES: Final = (10.0, 60.0)
# Of the caller's environment, what would lead pip or the new Python to another installation.
_FOREIGN: Final = frozenset(
    {"PYTHONHOME", "PYTHONPATH", "VIRTUAL_ENV", "PIP_TARGET", "PIP_PREFIX", "PIP_USER"}
)


def job_python() -> Path:
    """A Python with PyTorch, Lightning and scikit-learn; HPCSUBMIT_TORCH_INDEX names one more index."""
    index = os.environ.get("HPCSUBMIT_TORCH_INDEX")
    options = ["--extra-index-url", index] if index else []
    key = key_of([_python_version().encode(), *(text.encode() for text in (*REQUIREMENTS, *options))])

    def fill(folder: Path) -> None:
        _environment(folder, [*options, *REQUIREMENTS])

    return made_once("job-python", key, fill) / "bin" / "python"


def wandb_python() -> Path:
    """A Python with the real wandb client, and nothing else."""
    key = key_of([_python_version().encode(), WANDB.encode()])

    def fill(folder: Path) -> None:
        _environment(folder, [WANDB])

    return made_once("wandb-python", key, fill) / "bin" / "python"


def job_python_with_wandb() -> Path:
    """A Python with the real wandb client that also finds all that the one of `job_python` has."""
    below = job_python()
    key = key_of([_python_version().encode(), WANDB.encode(), str(below).encode()])

    def fill(folder: Path) -> None:
        _environment(folder, [WANDB])
        packages = next(folder.glob("lib/python3*/site-packages"))
        (packages / "job_python.pth").write_text(
            f"{next(below.parents[1].glob('lib/python3*/site-packages'))}\n"
        )

    return made_once("job-python-with-wandb", key, fill) / "bin" / "python"


def install_tool(wheel_or_checkout: Path) -> Path:
    """Install hpcsubmit from a wheel or a checkout, anew when it has changed, and return its command."""
    source = wheel_or_checkout.resolve()
    key = key_of([_python_version().encode(), *_contents(source)])

    def fill(folder: Path) -> None:
        _environment(folder, [str(source)])

    return made_once("tool", key, fill) / "bin" / "hpcsubmit"


def _environment(folder: Path, arguments: Sequence[str]) -> None:
    """A virtual environment with what pip installs by these arguments."""
    _run((PYTHON, "-m", "venv", str(folder)))
    # pip compiles what it installs: the users, who may not write there, never would.
    pip = (str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--retries=8", *arguments)
    for pause in _PAUSES:
        try:
            return _run(pip)
        except RuntimeError:  # an index that answers no request for a moment
            time.sleep(pause)
    return _run(pip)


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
    return subprocess.run(argv, capture_output=True, text=True, timeout=300, check=True).stdout


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
