"""Keeps the project's link virtual_env."""

import os
from pathlib import Path

from hpcsubmit.environments.layout import BUILT, LINK, is_users_own
from hpcsubmit.host import cannot_write


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
