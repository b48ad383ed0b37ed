"""Writes one archive: files as the scan saw them, or an error; never a mixture of two states."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

from hpcsubmit.staging.paths import cannot_read, changes
from hpcsubmit.staging.shards import Piece, Shard
from hpcsubmit.staging.tar_format import END, header, padding
from hpcsubmit.staging.tar_format import FILE as TAR_FILE
from hpcsubmit.staging.tar_format import FOLDER as TAR_FOLDER
from hpcsubmit.staging.tar_format import SYMLINK as TAR_SYMLINK
from hpcsubmit.staging.walk import FILE, FORMAT, SYMLINK, Facts, facts_of, join

_SMALL = 64 << 10  # bytes of a file that is read and written with others; larger ones the system copies
_GATHERED = 256 << 10  # bytes that are written at once
_CHUNK = 16 << 20  # bytes that the system copies between two reports
_TOLD = 4 << 20  # bytes between two reports
_OWN_FOLDER = 0o700  # of a folder until the last archive gives it its own mode
_OPEN = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY  # a FIFO that took a file's place does not hold us up
_NOT_HERE = {
    errno.ENOSYS,
    errno.EXDEV,
    errno.EOPNOTSUPP,
    errno.EINVAL,
    errno.EBADF,
    errno.EPERM,
    errno.ENOTSOCK,
}
"""What the system says where it cannot copy between these two files in some way."""


def write_archive(shard: Shard, scratch_dir: Path, out: int, report: Callable[[int], None]) -> None:
    """Write an archive to an open file or pipe, shard.size bytes in all.

    report: called now and then with the bytes that were written since it was called last.
    Raises HpcSubmitError where a file cannot be read and where one is not, or is no longer, what the scan
    saw; OSError where `out` cannot be written.
    """
    sink = _Sink(out, report)
    for piece in shard.pieces:
        _write_piece(piece, scratch_dir, sink)
    sink.add(END)
    sink.flush()
    sink.tell()


def _write_piece(piece: Piece, scratch_dir: Path, sink: "_Sink") -> None:
    source = _Source(piece, scratch_dir)
    for folder in piece.before:
        sink.add(header(os.fsencode(folder) + b"/", _OWN_FOLDER, 0, 0, TAR_FOLDER))
    try:
        for name, facts in piece.rows:
            kind = facts[0] & FORMAT
            if kind == FILE:
                source.write_file(name, facts, sink)
            elif kind == SYMLINK:
                source.write_symlink(name, facts, sink)
            else:
                path = source.above + os.fsencode(name) + b"/"
                sink.add(header(path, facts[0], 0, facts[2], TAR_FOLDER))
    finally:
        source.close()


class _Source:
    """A folder whose entries are read. Each entry's stat after that must be what it was in the scan."""

    def __init__(self, piece: Piece, scratch_dir: Path) -> None:
        self._path = str(scratch_dir / piece.folder)
        self._flags = _OPEN if piece.named else _OPEN | os.O_NOFOLLOW
        self._folder: int | None = None
        self._folder = self._open(self._path, os.O_RDONLY | os.O_DIRECTORY)
        self.above = os.fsencode(join(piece.folder, ""))

    def write_file(self, name: str, facts: Facts, sink: "_Sink") -> None:
        mode, size, mtime_ns, _, _ = facts
        start = header(self.above + os.fsencode(name), mode, size, mtime_ns, TAR_FILE)
        file = self._open(name, self._flags)
        try:
            if size <= _SMALL:
                content = self._read(file, name, size)
                whole = len(content) == size
                sink.add(start, content, bytes(padding(size)))
            else:
                sink.add(start)
                whole = sink.copy(file, size)
                sink.add(bytes(padding(size)))
            if not whole or facts_of(os.fstat(file)) != facts:
                raise changes(f"{self._path}/{name}")
        except OSError as error:
            if facts_of(os.fstat(file)) != facts:  # a folder in its place, say
                raise changes(f"{self._path}/{name}") from error
            raise
        finally:
            os.close(file)

    def write_symlink(self, name: str, facts: Facts, sink: "_Sink") -> None:
        try:
            target = os.fsencode(os.readlink(name, dir_fd=self._folder))
            after = facts_of(os.stat(name, dir_fd=self._folder, follow_symlinks=False))
        except OSError as error:
            raise cannot_read(f"{self._path}/{name}", error) from error
        if len(target) != facts[1] or after != facts:
            raise changes(f"{self._path}/{name}")
        sink.add(header(self.above + os.fsencode(name), facts[0], 0, facts[2], TAR_SYMLINK, target))

    def _read(self, file: int, name: str, size: int) -> bytes:
        try:
            return os.read(file, size)
        except OSError as error:
            raise cannot_read(f"{self._path}/{name}", error) from error

    def close(self) -> None:
        if self._folder is not None:
            os.close(self._folder)

    def _open(self, name: str, flags: int) -> int:
        try:
            return os.open(name, flags, dir_fd=self._folder)
        except OSError as error:
            path = name if self._folder is None else f"{self._path}/{name}"
            raise cannot_read(path, error) from error


class _Sink:
    """The archive so far: small parts are gathered, large files pass by."""

    def __init__(self, out: int, report: Callable[[int], None]) -> None:
        self._out = out
        self._report = report
        self._parts: list[bytes] = []
        self._gathered = self._untold = 0
        self._copiers: list[_Copier] = [_by_system, _by_hand]
        if hasattr(os, "copy_file_range"):  # Linux
            self._copiers.insert(0, _within_system)

    def add(self, *parts: bytes) -> None:
        self._parts += parts
        self._gathered += sum(map(len, parts))
        if self._gathered >= _GATHERED:
            self.flush()

    def flush(self) -> None:
        rest = memoryview(b"".join(self._parts))
        while rest:
            rest = rest[os.write(self._out, rest) :]
        self._parts.clear()
        self._untold += self._gathered
        self._gathered = 0
        if self._untold >= _TOLD:
            self.tell()

    def tell(self) -> None:
        self._report(self._untold)
        self._untold = 0

    def copy(self, file: int, size: int) -> bool:
        """Copy the first bytes of a file; returns whether there are as many."""
        self.flush()
        done = 0
        while done < size:
            count = self._copy(file, done, min(_CHUNK, size - done))
            if not count:
                return False
            done += count
            self._untold += count
            self.tell()
        return True

    def _copy(self, file: int, offset: int, count: int) -> int:
        """Copy some bytes in the fastest way that there is between these two files."""
        while len(self._copiers) > 1:
            try:
                copied = self._copiers[0](file, self._out, offset, count)
            except OSError as error:
                if error.errno not in _NOT_HERE:
                    raise
                copied = 0
            if copied:
                return copied
            del self._copiers[0]  # some systems say 0 for "cannot": the next one knows
        return self._copiers[0](file, self._out, offset, count)


_Copier = Callable[[int, int, int, int], int]


def _within_system(file: int, out: int, offset: int, count: int) -> int:
    return os.copy_file_range(file, out, count, offset)


def _by_system(file: int, out: int, offset: int, count: int) -> int:
    return os.sendfile(out, file, offset, count)


def _by_hand(file: int, out: int, offset: int, count: int) -> int:
    rest = memoryview(os.pread(file, min(count, _TOLD), offset))
    copied = len(rest)
    while rest:
        rest = rest[os.write(out, rest) :]
    return copied
