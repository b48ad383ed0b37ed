"""The nodes' private folders: what SLURM_TMPDIR names, one per node and job, mode 0700."""

import os
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.nodelist import node_name


def make_node_folders(job_id: int, nodes: int, *, user: str, environment: Mapping[str, str]) -> Path:
    """Makes `TMPDIR/hpcsubmit-USER/N.K/local1` and so on; returns the folder of the job.

    K counts up, since jobs of two state folders may have the same id. Raises HpcSubmitError where another
    user owns `hpcsubmit-USER`: in a shared /tmp anybody can make that folder first.
    """
    base = Path(environment.get("TMPDIR") or "/tmp").absolute() / f"hpcsubmit-{user}"  # noqa: S108
    base.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = base.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
        raise HpcSubmitError(f"{base} belongs to another user", "set TMPDIR to a folder of your own")
    base.chmod(0o700)
    scratch = _claim(base, job_id)
    for index in range(nodes):
        node_folder(scratch, index).mkdir(mode=0o700)
    return scratch


def _claim(base: Path, job_id: int) -> Path:
    attempt = 0
    while True:
        try:
            (base / f"{job_id}.{attempt}").mkdir(mode=0o700)
        except FileExistsError:
            attempt += 1
        else:
            return base / f"{job_id}.{attempt}"


def node_folder(scratch: Path, index: int) -> Path:
    """The private folder of the node with this index, counted from 0."""
    return scratch / node_name(index)


def remove_tree(path: Path) -> None:
    """Removes a folder with all that is in it, also what its owner may not write or enter.

    Raises OSError for what still can't be removed, after everything else is gone.
    """
    with suppress(FileNotFoundError):
        _empty(path)
        path.rmdir()


def _empty(folder: Path) -> None:
    folder.chmod(0o700)
    failure: OSError | None = None
    for path in list(folder.iterdir()):
        try:
            if path.is_dir() and not path.is_symlink():
                remove_tree(path)
            else:
                path.unlink()
        except OSError as error:
            failure = error
    if failure is not None:
        raise failure
