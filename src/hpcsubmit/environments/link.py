"""What a submission leaves beside the environments: the link virtual_env, and where its record lies."""

import os
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from hpcsubmit.environments.layout import BUILT, LINK, is_users_own
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import cannot_write, make_folder, write_atomically

NOTE = ".scratch-"
"""Begins the name of a file that names one scratch folder: one a file, so that none is lost to another."""


def link_to(path: Path) -> None:
    """Make virtual_env a link to an environment of .virtual_envs, in one step; raises HpcSubmitError.

    A virtual_env of the user's own stays as it is.
    """
    link = path.parents[1] / LINK
    relative = Path(BUILT) / path.name
    if path.parent.name != BUILT or is_users_own(link):
        return
    if link.is_symlink() and link.readlink() == relative:
        return
    new = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(relative)
        new.replace(link)
    except OSError as error:
        raise cannot_write(link, error) from error


def note_scratch(path: Path, scratch: Path) -> None:
    """Note beside an environment of .virtual_envs below which scratch the records of its jobs lie, once.

    Who removes environments may have another SCRATCH, or none. A place that cannot be written, such as the
    project of a colleague, goes without.
    """
    if path.parent.name != BUILT:
        return
    note = path.parent / f"{NOTE}{sha256(str(scratch).encode()).hexdigest()[:16]}"
    if not note.exists():
        with suppress(HpcSubmitError):
            make_folder(note.parent)
            write_atomically(note, f"{scratch}\n", mode=0o644)


def noted_scratches(root: Path) -> dict[Path, Path]:
    """The scratch folders that submissions of a project have noted, each with its note.

    Raises HpcSubmitError for a note that cannot be read.
    """
    found = {}
    for note in sorted((root / BUILT).glob(f"{NOTE}*")):
        try:
            scratch = Path(note.read_text("utf-8").removesuffix("\n"))
        except (OSError, ValueError):
            scratch = Path()
        if not scratch.is_absolute():
            raise HpcSubmitError(
                f"{note} names no folder in which records of jobs lie, or cannot be read",
                "check its permissions, or write the SCRATCH of the submissions into it",
            )
        found[scratch] = note
    return found
