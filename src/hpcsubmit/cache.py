"""Where results that can be computed again are kept, so that the next start is faster."""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """A folder of this user's; a cache that cannot be used is as good as an empty one, never an error.

    keeps: whether new results may be written; a dry run only reads.
    """

    folder: Path
    keeps: bool

    def is_private(self) -> bool:
        """Whether the folder is there and nobody else can write to it: what lies in it is believed."""
        try:
            stat = self.folder.stat()
        except OSError:
            return False
        return stat.st_uid == os.getuid() and not stat.st_mode & 0o022

    def make(self) -> None:
        """Make the folder, where results may be kept."""
        if self.keeps:
            with suppress(OSError):
                self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def read(self, name: str) -> bytes:
        """Return a kept result, b"" for none."""
        with suppress(OSError):
            if self.is_private():
                return (self.folder / name).read_bytes()
        return b""

    def write(self, name: str, content: bytes) -> None:
        """Keep a result, whole or not at all."""
        self.make()
        if not self.keeps or not self.is_private():
            return
        unfinished = self.folder / f".{name}.{os.getpid()}"
        with suppress(OSError):
            unfinished.write_bytes(content)
            unfinished.replace(self.folder / name)
