"""The lock that one build of an environment, or its removal, has on this machine."""

import fcntl
import os
from pathlib import Path

from hpcsubmit.environments.layout import lock_of
from hpcsubmit.host import cannot_write


def take_lock(path: Path, how: int) -> int:
    """Take an environment's lock; return it, an open file. A file system without locks does without.

    how: fcntl.LOCK_EX, with LOCK_NB to raise BlockingIOError where another process holds it. Raises
    HpcSubmitError where the file cannot be made.
    """
    lock = lock_of(path)
    while True:
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_write(lock, error) from error
        try:
            fcntl.flock(descriptor, how)
        except BlockingIOError:
            os.close(descriptor)
            raise
        except OSError:
            return descriptor
        if _is_still(lock, descriptor):
            return descriptor
        os.close(descriptor)  # whoever held it has removed it with its environment


def _is_still(lock: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(lock.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False
