"""The store of packed data, scratch_dir/hpcsubmit/data: archives, and the sets that name them.

An archive is named by its content and belongs to every set that names it. A set is there once its manifest
is, which is written last; it counts only while all its archives are there with their sizes.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.host import cannot_write, make_folder
from hpcsubmit.staging.paths import OWN

MANIFEST, DESCRIPTION = ".manifest", ".json"
_FORMAT = "hpcsubmit-data 1"
_BUSY = (BlockingIOError, PermissionError)  # how flock says that another has the lock


class Archive(NamedTuple):
    """An archive of a set: its file's name and size in bytes, and the lines that `tar -xv` prints for it."""

    name: str
    size: int
    members: int


class Manifest(NamedTuple):
    """What a node needs to know of a set: room in KiB and entries on its disk, and the archives in order."""

    room_kib: int
    inodes: int
    archives: tuple[Archive, ...]

    def text(self) -> str:
        """Return the manifest's file, as the script reads it."""
        lines = (f"{archive.name} {archive.size} {archive.members}\n" for archive in self.archives)
        return f"{_FORMAT} {self.room_kib} {self.inodes}\n{''.join(lines)}end {len(self.archives)}\n"


class Store(NamedTuple):
    """The folder of the store; what is in it is its owner's alone."""

    folder: Path

    @classmethod
    def of(cls, scratch_dir: Path) -> "Store":
        """Return the store of a project's scratch_dir, which may not be there yet."""
        return cls(scratch_dir / OWN / "data")

    @property
    def archives(self) -> Path:
        """The folder of the archives."""
        return self.folder / "archives"

    @property
    def sets(self) -> Path:
        """The folder of the manifests and the descriptions."""
        return self.folder / "sets"

    @property
    def unfinished(self) -> Path:
        """The folder of the archives that are being written."""
        return self.folder / "unfinished"

    def make(self) -> None:
        """Make the store's folders; raises HpcSubmitError."""
        for folder in (self.folder, self.archives, self.sets, self.unfinished):
            make_folder(folder, mode=0o700)

    def manifests(self) -> Iterator[tuple[Path, Manifest]]:
        """All sets that are there, whole or not, by their names."""
        for path in sorted(self.sets.glob(f"*{MANIFEST}")):
            if manifest := read_manifest(path):
                yield path, manifest

    def is_whole(self, manifest: Manifest) -> bool:
        """Whether all archives of a set are there, with their sizes."""
        return is_whole(self.archives, manifest)

    def size(self, name: str) -> int:
        """Return the bytes of an archive, and -1 where there is none."""
        return size_of(self.archives, name)

    @contextmanager
    def locked(self, waits: Callable[[], None]) -> Iterator[None]:
        """Be the only one on this machine who changes the store; `waits` is called where another is at it.

        A file system without locks goes without: what is written has its name only once it is whole.
        """
        import fcntl  # late: for packing and cleaning alone

        lock = self.folder / ".lock"
        try:
            descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
        except OSError as error:
            raise cannot_write(lock, error) from error
        try:
            with suppress(OSError):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except _BUSY:
                    waits()
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def is_whole(archives: Path, manifest: Manifest) -> bool:
    """Whether a folder has all archives of a manifest, with their sizes."""
    return all(size_of(archives, archive.name) == archive.size for archive in manifest.archives)


def size_of(archives: Path, name: str) -> int:
    """Return the bytes of an archive in a folder, and -1 where there is none."""
    try:
        return os.stat(f"{archives}/{name}").st_size  # noqa: PTH116  # one text for hundreds of paths
    except OSError:
        return -1


def read_manifest(path: Path) -> Manifest | None:
    """Read a set's manifest; None where there is none, or none that is whole."""
    try:
        text = path.read_text("ascii")
        first, *lines, _ = text.splitlines()
        _, _, room_kib, inodes = first.split()
        archives = tuple(
            Archive(name, int(size), int(members)) for name, size, members in map(str.split, lines)
        )
        manifest = Manifest(int(room_kib), int(inodes), archives)
    except (OSError, ValueError):  # unreadable, or cut short
        return None
    return manifest if manifest.text() == text else None
