"""Where the wandb key of a job comes from. The key itself goes nowhere from here."""

import re
from contextlib import suppress
from pathlib import Path

from hpcsubmit.experiment import Command
from hpcsubmit.folders import home
from hpcsubmit.host import Host
from hpcsubmit.project import Project
from hpcsubmit.values import script_path
from hpcsubmit.virtualenv import Virtualenv

CREDENTIALS = "wandb_credentials.txt"


def key_file(host: Host) -> Path | None:
    """Return the file that the job itself must read the key from, None where it needs none.

    A key in WANDB_API_KEY wins and reaches the job with the environment; the wandb client reads ~/.netrc.
    """
    path = home(host) / CREDENTIALS
    if host.environ.get("WANDB_API_KEY") or not _holds_text(path):
        return None
    return script_path(path, "the wandb key")


def _holds_text(path: Path) -> bool:
    """Whether a file is there and not blank; one that may not be read counts, and the job will say so."""
    try:
        return path.is_file() and bool(path.read_bytes().strip())
    except OSError:
        return True


def has_key(host: Host) -> bool:
    """Whether a key is found in any of the three places."""
    if host.environ.get("WANDB_API_KEY") or key_file(host):
        return True
    try:
        netrc = (home(host) / ".netrc").read_text(errors="replace")
    except OSError:
        return False
    own = re.match(r"https?://([^/:]+)", host.environ.get("WANDB_BASE_URL", ""))
    machine = rf"(\S*wandb|{re.escape(own[1])}(?!\S))" if own else r"\S*wandb"
    return re.search(rf"machine\s+{machine}", netrc) is not None


def uses_wandb(command: Command, project: Project, virtualenv: Virtualenv | None) -> bool:
    """Whether the command, the files that name the packages, or the environment mention wandb."""
    if "wandb" in command.text:
        return True
    for name in ("requirements.txt", "Pipfile", "pyproject.toml"):
        with suppress(OSError):
            if "wandb" in (project.root / name).read_text(errors="replace"):
                return True
    return virtualenv is not None and any(virtualenv.path.glob("lib/python3*/site-packages/wandb"))
