"""Folders in the test clusters' state that are made once and kept: Pythons, the tool, images.

They lie there because ordinary users of the clusters can read neither root's files nor, in most
cases, the checkout.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cluster.slurm_cluster import STATE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path


def made_once(kind: str, key: str, fill: Callable[[Path], None]) -> Path:
    """The folder of this kind and key; ``fill`` makes it, anew when it was never finished."""
    folder = STATE / kind / key
    stamp = folder / ".finished"
    with _lock(kind):
        if stamp.exists():
            return folder
        if folder.exists():
            shutil.rmtree(folder)
        folder.parent.chmod(0o755)
        fill(folder)
        stamp.touch()
    return folder


def key_of(parts: Iterable[bytes]) -> str:
    """A name for these contents: what was made from others has another name."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:16]


@contextmanager
def _lock(kind: str) -> Iterator[None]:
    (STATE / kind).mkdir(mode=0o755, parents=True, exist_ok=True)
    STATE.chmod(0o755)
    with (STATE / kind / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
