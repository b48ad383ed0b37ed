"""The headers of a tar archive as GNU tar and POSIX pax(1) define them, for files, folders and symlinks.

An entry's header is a ustar block. What does not fit into it goes before: file times with nanoseconds and
sizes from 8 GiB on as pax records, names and link targets above 100 bytes in GNU's own long name blocks:
those are bytes, where GNU tar translates the names of pax records from UTF-8 into the locale of the node.
Owners are left out (0): archives are unpacked with --no-same-owner.
"""

from struct import Struct
from zlib import adler32

BLOCK = 512
FILE, SYMLINK, FOLDER = b"0", b"2", b"5"
END = bytes(2 * BLOCK)
"""What closes an archive."""

_BILLION = 1_000_000_000
_SHORT = 100  # bytes of a name or a link target that fit into a ustar block
_LARGEST = 8**11 - 1  # of a size in bytes, or a time in seconds, that fits
_SPACES = 8 * 32  # the checksum counts its own field as blanks
_REST = b"ustar\00000"
_USTAR = Struct("100s 48s 8s c 100s 255s")  # as _fields returns them
_TIMED_USTAR = Struct("512s 512s" + _USTAR.format)  # behind a pax record of a time


def header(name: bytes, mode: int, size: int, mtime_ns: int, kind: bytes, target: bytes = b"") -> bytes:
    """Return all that stands before the content of an entry.

    name: a path relative to the folder of unpacking; size: the bytes of content, 0 for folders and symlinks;
    target: what a symlink holds.
    """
    seconds, fraction = divmod(mtime_ns, _BILLION)
    short = len(name) <= _SHORT and len(target) <= _SHORT
    if short and size <= _LARGEST and _TEN_DIGITS <= seconds < 10 * _TEN_DIGITS:  # most of all entries
        fields = _fields(name, mode, size, seconds if seconds <= _LARGEST else 0, kind, target)
        if not fraction and seconds <= _LARGEST:
            return _USTAR.pack(*fields)
        return _TIMED_USTAR.pack(_TIME_HEADER, b"30 mtime=%d.%09d\n" % (seconds, fraction), *fields)
    return _any_header(name, mode, size, mtime_ns, kind, target)


def header_size(name: int, size: int, mtime_ns: int, target: int = 0) -> int:
    """Return len(header(...)) from the lengths of the name and the target in bytes."""
    if name <= _SHORT and target <= _SHORT and size <= _LARGEST and mtime_ns >= _TEN_DIGITS * _BILLION:
        return BLOCK if not mtime_ns % _BILLION and mtime_ns <= _LARGEST * _BILLION else 3 * BLOCK
    records = len(_records(size, mtime_ns))
    extra = sum(BLOCK + _padded(length + 1) for length in (name, target) if length > _SHORT)
    return BLOCK + extra + (BLOCK + _padded(records) if records else 0)


def padding(size: int) -> int:
    """Return how many zero bytes follow a content of some size."""
    return -size % BLOCK


def _padded(size: int) -> int:
    return size + padding(size)


def _any_header(name: bytes, mode: int, size: int, mtime_ns: int, kind: bytes, target: bytes) -> bytes:
    parts = []
    for text, letter in ((target, b"K"), (name, b"L")):
        if len(text) > _SHORT:
            content = text + b"\0"
            parts += [_block(b"././@LongLink", 0o644, len(content), 0, letter), _fill(content)]
    records = _records(size, mtime_ns)
    if records:
        parts += [_block(b"././@PaxHeader", 0o644, len(records), 0, b"x"), _fill(records)]
    seconds = mtime_ns // _BILLION
    parts.append(
        _block(
            name[:_SHORT],
            mode,
            size if size <= _LARGEST else 0,
            seconds if 0 <= seconds <= _LARGEST else 0,
            kind,
            target[:_SHORT],
        )
    )
    return b"".join(parts)


def _records(size: int, mtime_ns: int) -> bytes:
    """The pax records of an entry: what its block cannot hold."""
    found = b""
    if size > _LARGEST:
        found += _record(b"size=%d" % size)
    if mtime_ns % _BILLION or not 0 <= mtime_ns // _BILLION <= _LARGEST:
        seconds, fraction = divmod(abs(mtime_ns), _BILLION)  # POSIX: a decimal number, -1.5 is 1969
        found += _record(b"mtime=%b%d.%09d" % (b"-" if mtime_ns < 0 else b"", seconds, fraction))
    return found


def _record(text: bytes) -> bytes:
    """A line, its length before it; the length counts its own digits."""
    others = len(text) + 2
    length = others + len(str(others))
    length = others + len(str(length))  # one digit more, perhaps
    return b"%d %b\n" % (length, text)


def _fill(content: bytes) -> bytes:
    return content + bytes(padding(len(content)))


def _block(name: bytes, mode: int, size: int, seconds: int, kind: bytes, target: bytes = b"") -> bytes:
    """One ustar block."""
    return _USTAR.pack(*_fields(name, mode, size, seconds, kind, target))


def _fields(
    name: bytes, mode: int, size: int, seconds: int, kind: bytes, target: bytes
) -> tuple[bytes, bytes, bytes, bytes, bytes, bytes]:
    """What a ustar block holds: name, numbers in octal digits, checksum, kind, link target and the rest."""
    numbers = b"%07o\x000000000\x000000000\x00%011o\x00%011o\x00" % (mode & 0o7777, size, seconds)
    checksum = _SPACES + _sum(b"".join((name, numbers, kind, target, _REST)))
    return name, numbers, b"%06o\0 " % checksum, kind, target, _REST


def _sum(octets: bytes) -> int:
    """The sum of some 250 bytes: adler32's lower half is one more, modulo 65,521, and ten times as fast."""
    return (adler32(octets) & 0xFFFF) - 1


_TEN_DIGITS = 1_000_000_000  # times from 2001 to 2286 have ten digits, and their record 30 bytes
_TIME_HEADER = _block(b"././@PaxHeader", 0o644, 30, 0, b"x")
