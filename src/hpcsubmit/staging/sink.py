"""Where the bytes of an archive go: headers and small files together, large ones past this process."""

import errno
import os
from collections.abc import Callable

from hpcsubmit.staging.tar_format import END

CHUNK = 4 << 20
"""Bytes of a large file that are held at once, and between two reports."""
_GATHERED = 256 << 10  # bytes that are written at once
_BY_SYSTEM = 16 << 20  # bytes that the system copies between two reports
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


class Sink:
    """An open file or pipe that gets an archive.

    report: called now and then with the bytes of the archive that were taken since it was called last.
    All methods raise OSError where `out` cannot be written.
    """

    def __init__(self, out: int, report: Callable[[int], None]) -> None:
        self._out = out
        self._report = report
        self._parts: list[bytes] = []
        self._gathered = self._untold = 0
        self._copiers: list[_Copier] = [_by_system, _by_hand]
        if hasattr(os, "copy_file_range"):  # Linux
            self._copiers.insert(0, _within_system)

    def add(self, header: bytes, content: bytes = b"", padding: bytes = b"") -> None:
        """Take an entry, or a part of one."""
        self._parts += (header, content, padding)
        self._count(len(header) + len(content) + len(padding))

    def copy(self, file: int, size: int) -> bool:
        """Take the first bytes of a file; returns whether there are as many."""
        self._flush()
        done = 0
        while done < size:
            count = self._copy(file, done, min(_BY_SYSTEM, size - done))
            if not count:
                return False
            done += count
            self._untold += count
            self._tell()
        return True

    def end(self) -> None:
        """Close the archive, and write what is left of it."""
        self.add(END)
        self._flush()
        self._tell()

    def _count(self, taken: int) -> None:
        self._gathered += taken
        if self._gathered >= _GATHERED:
            self._flush()

    def _flush(self) -> None:
        rest = memoryview(b"".join(self._parts))
        while rest:
            rest = rest[os.write(self._out, rest) :]
        self._parts.clear()
        self._untold += self._gathered
        self._gathered = 0
        if self._untold >= CHUNK:
            self._tell()

    def _tell(self) -> None:
        self._report(self._untold)
        self._untold = 0

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
    rest = memoryview(os.pread(file, min(count, CHUNK), offset))
    copied = len(rest)
    while rest:
        rest = rest[os.write(out, rest) :]
    return copied
