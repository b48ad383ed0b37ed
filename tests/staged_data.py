"""Data in a temporary scratch_dir, packed by the real code and unpacked by the real tar."""

import os
import stat
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hpcsubmit.host import Host
from hpcsubmit.staging.pack import pack
from hpcsubmit.staging.sample import Transfer
from hpcsubmit.staging.snapshot import Snapshot, look
from hpcsubmit.staging.store import Manifest, Store, read_manifest

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--")
OLD = 1_700_000_000_123_456_789
"""A time, in ns, that is long past: what has it is not written just now."""


@dataclass
class Told:
    """Progress that is written down."""

    steps: list[tuple[int, int]] = field(default_factory=list)
    waited: int = 0

    def advanced(self, done: int, total: int) -> None:
        self.steps.append((done, total))

    def waits(self) -> None:
        self.waited += 1


@dataclass(frozen=True)
class Data:
    """A scratch_dir with data. compressors: what its nodes unpack."""

    scratch: Path
    host: Host = field(default_factory=lambda: Host(os.environ))
    told: Told = field(default_factory=Told)

    @property
    def store(self) -> Store:
        return Store.of(self.scratch)

    def write(self, name: str, content: bytes = b"content", *, mtime_ns: int = OLD) -> Path:
        path = self.scratch / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        os.utime(path, ns=(mtime_ns, mtime_ns))
        return path

    def look(self, *words: str, compress: str = "none", compressors: Sequence[str] = ()) -> Snapshot:
        return look(
            words or ("data",), self.scratch, compress=compress, compressors=compressors, host=self.host
        )

    def pack(self, snapshot: Snapshot, read_rate: int = 100, *, broadcast: bool = False) -> Manifest:
        transfer = Transfer(read_rate, broadcast)
        pack(snapshot, host=self.host, transfer=transfer, progress=self.told)
        manifest = read_manifest(snapshot.manifest)
        assert manifest is not None
        assert self.store.is_whole(manifest)
        return manifest

    def staged(self, *words: str, compress: str = "none", compressors: Sequence[str] = ()) -> Snapshot:
        """Look and pack; return what was seen."""
        snapshot = self.look(*words, compress=compress, compressors=compressors)
        self.pack(snapshot)
        return snapshot

    def archives(self) -> dict[str, tuple[int, int]]:
        """The archives that are there, with what a second writing would change."""
        return {
            path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in self.store.archives.iterdir()
        }

    def unpack(self, snapshot: Snapshot, below: Path, user: Sequence[str] = ()) -> None:
        """Unpack a set as a node does: all archives but the last side by side, then the last."""
        manifest = read_manifest(snapshot.manifest)
        assert manifest is not None
        *several, last = manifest.archives
        for group in (several, [last]):
            started = [(archive, self._tar(archive.name, below, user)) for archive in group]
            for archive, tar in started:
                out, errors = tar.communicate(timeout=300)
                worse = [line for line in errors.splitlines() if b" time stamp " not in line]
                assert (tar.returncode, worse) == (0, []), errors  # of strange times it only warns
                assert out.count(b"\n") == archive.members

    def _tar(self, name: str, below: Path, user: Sequence[str]) -> subprocess.Popen[bytes]:
        opener = {".zst": "zstd -dcq", ".gz": "gzip -dc"}.get(Path(name).suffix, "cat")
        with (self.store.archives / name).open("rb") as archive:
            return subprocess.Popen(
                [*user, "sh", "-c", f"{opener} | tar -xpvof -"],
                cwd=below,  # entered before the user changes
                stdin=archive,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
            )


Entry = tuple[int, int, bytes]


def tree(folder: Path) -> dict[bytes, Entry]:
    """Everything below a folder: by its path its mode and kind, its time in ns, and its content or target."""
    found: dict[bytes, Entry] = {}
    top = os.fsencode(folder)
    for above, folders, files in os.walk(top):
        for name in (*folders, *files):
            path = above + b"/" + name
            seen = os.lstat(path)
            content = b""
            if stat.S_ISREG(seen.st_mode):
                content = Path(os.fsdecode(path)).read_bytes()
            elif stat.S_ISLNK(seen.st_mode):
                content = os.readlink(path)  # noqa: PTH115  # bytes, as they are
            found[os.path.relpath(path, top)] = (seen.st_mode, seen.st_mtime_ns, content)
    return found
