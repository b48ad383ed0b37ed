"""The data sets of the benchmark, made once: half of the bytes random, half text."""

import os
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

_WORDS = ["the", "loss", "of", "an", "epoch", "is", "below", "what", "was", "seen", "before"]
_CHUNK = 1 << 20
NAME = "set"
"""What the data are called in their scratch folder."""


class DataSet(NamedTuple):
    """Files of one size, in folders; size is in bytes."""

    name: str
    files: int
    size: int
    folders: int

    @property
    def total(self) -> int:
        """The bytes of all files."""
        return self.files * self.size

    def scratch(self, folder: Path) -> Path:
        """The scratch folder of the project that uses this set."""
        return folder / self.name

    def make(self, folder: Path) -> Path:
        """Return its scratch folder, with the data in it; they are made where they are not there yet."""
        scratch = self.scratch(folder)
        stamp = scratch / "made"
        if not stamp.is_file() or stamp.read_text() != repr(self):
            shutil.rmtree(scratch, ignore_errors=True)
            self._write(scratch / NAME)
            stamp.write_text(repr(self))
        return scratch

    def path_of(self, number: int) -> str:
        """The path of a file in the set."""
        return f"{number % self.folders:03}/{number:05}.bin"

    def _write(self, below: Path) -> None:
        source = random.Random(self.name)
        text = " ".join(source.choices(_WORDS, k=_CHUNK // 3)).encode()[:_CHUNK]
        for folder in range(self.folders):
            (below / f"{folder:03}").mkdir(parents=True)
        for number in range(self.files):
            with (below / self.path_of(number)).open("wb") as file:
                for part in self._content(number, source, text):
                    file.write(part)

    def _content(self, number: int, source: random.Random, text: bytes) -> Iterator[bytes]:
        """One file: chunks are random and text in turn; so are files that are no longer than a chunk."""
        for at, done in enumerate(range(0, self.size, _CHUNK)):
            count = min(_CHUNK, self.size - done)
            if (number + at) % 2:
                start = source.randrange(len(text) - count + 1)
                yield text[start : start + count]
            else:
                yield source.randbytes(count)


FULL = (
    DataSet("a", 50_000, 4 << 10, 500),
    DataSet("b", 2_000, 1 << 20, 20),
    DataSet("c", 1, 4 << 30, 1),
)
SMALL = (
    DataSet("a", 5_000, 4 << 10, 50),
    DataSet("b", 200, 1 << 20, 20),
    DataSet("c", 1, 400 << 20, 1),
)
"""For a quick look."""


def come_to_rest(*sources: Path) -> None:
    """Read files, or all files below folders, so that they lie in memory; end all writing to disks."""
    for source in sources:
        _read_through(source)
    os.sync()


def _read_through(path: Path) -> None:
    files = (
        [path]
        if path.is_file()
        else (Path(above, name) for above, _, names in os.walk(path) for name in names)
    )
    for each in files:
        with each.open("rb", buffering=0) as file:
            while file.read(_CHUNK):
                pass
