"""Where results that can be computed again are kept, so that the next start is faster."""

import os
from contextlib import suppress
from dataclasses import field
from pathlib import Path

from hpcsubmit.frozen import frozen


@frozen
class Cache:
    """A folder of this user's; a cache that cannot be used is as good as an empty one, never an error.

    Nothing is written before `keep`: a dry run, and a mistake, leave nothing behind.
    """

    folder: Path
    _new: dict[str, bytes] = field(default_factory=dict, init=False)

    def is_private(self) -> bool:
        """Whether the folder is there and nobody else can write to it: what lies in it is believed."""
        try:
            stat = self.folder.stat()
        except OSError:
            return False
        return stat.st_uid == os.getuid() and not stat.st_mode & 0o022

    def read(self, name: str) -> bytes:
        """Return a kept result, b"" for none."""
        with suppress(OSError):
            if self.is_private():
                return (self.folder / name).read_bytes()
        return b""

    def add(self, name: str, content: bytes) -> None:
        """Remember a result that is worth keeping."""
        self._new[name] = content

    def keep(self) -> None:
        """Write what was added, each file whole or not at all."""
        if not self._new:
            return
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            for name, content in self._new.items() if self.is_private() else ():
                unfinished = self.folder / f".{name}.{os.getpid()}"
                unfinished.write_bytes(content)
                unfinished.replace(self.folder / name)
