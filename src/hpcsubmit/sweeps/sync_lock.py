"""The lock that lets one process at a time upload the runs of a submission."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import cannot_write


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time upload the runs of a submission; raises HpcSubmitError for another.

    folder: of its record. A file system without locks does without.
    """
    lock = folder / "sync.lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        # An upload goes on where hpcsubmit itself is killed, and holds the lock for as long.
        os.set_inheritable(descriptor, True)  # noqa: FBT003
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise HpcSubmitError(
            f"the runs of {folder.name} are being uploaded by another hpcsubmit sweep sync",
            "wait for it to end; pgrep -af sync_client.py shows whether it is on this machine",
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)
