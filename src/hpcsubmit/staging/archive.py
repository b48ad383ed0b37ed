"""Writes one archive: files as the scan saw them, or an error; never a mixture of two states."""

import os
from pathlib import Path

from hpcsubmit.staging.paths import cannot_read, changes
from hpcsubmit.staging.reading import Facts, facts_of
from hpcsubmit.staging.shards import Piece, Shard
from hpcsubmit.staging.sink import Sink
from hpcsubmit.staging.tar_format import BLOCK, header
from hpcsubmit.staging.tar_format import FILE as TAR_FILE
from hpcsubmit.staging.tar_format import FOLDER as TAR_FOLDER
from hpcsubmit.staging.tar_format import SYMLINK as TAR_SYMLINK
from hpcsubmit.staging.walk import FILE, FORMAT, SYMLINK, join

_SMALL = 64 << 10  # bytes of a file that is read and written with others; larger ones the system copies
_OWN_FOLDER = 0o700  # of a folder until the last archive gives it its own mode
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO that took a file's place does not hold us up


def write_archive(shard: Shard, scratch_dir: Path, sink: Sink) -> None:
    """Give all of an archive to a sink, shard.size bytes.

    Raises HpcSubmitError where a file cannot be read and where one is not, or is no longer, what the scan
    saw; OSError where the sink cannot write.
    """
    for piece in shard.pieces:
        _write_piece(piece, scratch_dir, sink)
    sink.end()


def _write_piece(piece: Piece, scratch_dir: Path, sink: Sink) -> None:
    for folder in piece.before:
        sink.add(header(os.fsencode(folder) + b"/", _OWN_FOLDER, 0, 0, TAR_FOLDER))
    source = _Source(piece, scratch_dir)
    names = os.fsencode("\0".join([name for name, _ in piece.rows])).split(b"\0")  # one call for all
    try:
        for name, (_, facts) in zip(names, piece.rows, strict=True):
            kind = facts[0] & FORMAT
            if kind == FILE:
                write = source.write_small if facts[1] <= _SMALL else source.write_large
                write(name, facts, sink)
            elif kind == SYMLINK:
                source.write_symlink(name, facts, sink)
            else:
                sink.add(header(source.above + name + b"/", facts[0], 0, facts[2], TAR_FOLDER))
    finally:
        source.close()


class _Source:
    """A folder whose entries are read. Each entry's stat after that must be what it was in the scan."""

    def __init__(self, piece: Piece, scratch_dir: Path) -> None:
        self._path = os.fsencode(scratch_dir / piece.folder)
        self._flags = _OPEN if piece.named else _OPEN | os.O_NOFOLLOW
        self.above = os.fsencode(join(piece.folder, ""))
        try:
            self._folder = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            raise cannot_read(os.fsdecode(self._path), error) from error

    def write_small(self, name: bytes, facts: Facts, sink: Sink) -> None:
        """Write a file with the others around it: a few microseconds, of which there are many."""
        size = facts[1]
        try:
            file = os.open(name, self._flags, dir_fd=self._folder)
            try:
                content = os.read(file, size)
                seen = facts_of(os.fstat(file))
            finally:
                os.close(file)
        except OSError as error:
            raise cannot_read(self._named(name), error) from error
        if seen != facts or len(content) != size:
            raise changes(self._named(name))
        sink.add(header(self.above + name, facts[0], size, facts[2], TAR_FILE), content, bytes(-size % BLOCK))

    def write_large(self, name: bytes, facts: Facts, sink: Sink) -> None:
        """Write a file that the system copies."""
        size = facts[1]
        try:
            file = os.open(name, self._flags, dir_fd=self._folder)
        except OSError as error:
            raise cannot_read(self._named(name), error) from error
        try:
            sink.add(header(self.above + name, facts[0], size, facts[2], TAR_FILE))
            if not sink.copy(file, size) or facts_of(os.fstat(file)) != facts:
                raise changes(self._named(name))
        except OSError as error:
            if facts_of(os.fstat(file)) != facts:  # a folder in its place, say
                raise changes(self._named(name)) from error
            raise
        finally:
            os.close(file)
        sink.add(b"", padding=bytes(-size % BLOCK))

    def write_symlink(self, name: bytes, facts: Facts, sink: Sink) -> None:
        """Write a symlink as it stands."""
        try:
            target = os.readlink(name, dir_fd=self._folder)
            after = facts_of(os.stat(name, dir_fd=self._folder, follow_symlinks=False))
        except OSError as error:
            raise cannot_read(self._named(name), error) from error
        if len(target) != facts[1] or after != facts:
            raise changes(self._named(name))
        sink.add(header(self.above + name, facts[0], 0, facts[2], TAR_SYMLINK, target))

    def close(self) -> None:
        os.close(self._folder)

    def _named(self, name: bytes) -> str:
        return os.fsdecode(self._path + b"/" + name)
