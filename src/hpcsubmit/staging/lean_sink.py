"""Archives whose headers alone are compressed, in gzip's format (RFC 1951 and 1952): any gzip unpacks them.

A file of 4 KB grows by 1.5 KB in a tar archive: its header, most of it zeros, and another one for a time with
nanoseconds. Deflated they are some 150 bytes. The files stand there as they are, in stored blocks: writing
costs a checksum of them.
"""

import os
import zlib
from collections.abc import Callable, Iterator
from struct import Struct

from hpcsubmit.staging.sink import CHUNK, Sink
from hpcsubmit.staging.tar_format import END

_BEGIN = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"  # deflated, no name, no time, no known system
_CHECKS = Struct("<LL")  # CRC-32 and length of what was compressed
_STORED = Struct("<BHH")  # of a stored block: its kind, and its length twice, the second inverted
_LONGEST = 0xFFFF  # bytes of a stored block


class LeanSink(Sink):
    """A sink that deflates the headers which it takes."""

    def __init__(self, out: int, report: Callable[[int], None]) -> None:
        super().__init__(out, report)
        self._parts.append(_BEGIN)
        self._deflate = zlib.compressobj(level=1, wbits=-zlib.MAX_WBITS, strategy=zlib.Z_RLE)
        self._padding = b""  # goes with the next header
        self._checksum = self._length = 0

    def add(self, header: bytes, content: bytes = b"", padding: bytes = b"") -> None:
        """Take an entry, or a part of one."""
        self._add_header(self._padding + header)
        if content:
            # What is deflated from here on refers to nothing before: zlib knows nothing of stored blocks.
            self._parts.append(self._deflate.flush(zlib.Z_FULL_FLUSH))
            self._parts += _stored(content)
            self._checksum = zlib.crc32(content, self._checksum)
        self._padding = padding
        self._length += len(content)
        self._count(len(header) + len(content) + len(padding))

    def copy(self, file: int, size: int) -> bool:
        """Take the first bytes of a file; returns whether there are as many."""
        done = 0
        while done < size:
            content = os.pread(file, min(CHUNK, size - done), done)
            if not content:
                return False
            self.add(b"", content)
            done += len(content)
        return True

    def end(self) -> None:
        """Close the archive, and write what is left of it."""
        self.add(END)
        self._parts.append(self._deflate.flush())
        self._parts.append(_CHECKS.pack(self._checksum, self._length & 0xFFFFFFFF))
        self._flush()
        self._tell()

    def _add_header(self, header: bytes) -> None:
        self._parts.append(self._deflate.compress(header))
        self._checksum = zlib.crc32(header, self._checksum)
        self._length += len(header)


def _stored(content: bytes) -> Iterator[bytes]:
    """Stored blocks with some content; they begin at a byte's edge."""
    for at in range(0, len(content), _LONGEST):
        part = content[at : at + _LONGEST]
        yield _STORED.pack(0, len(part), len(part) ^ _LONGEST)
        yield part
