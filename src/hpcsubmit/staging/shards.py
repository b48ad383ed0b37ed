"""How data are cut into archives, so that a small change makes a small part of them anew."""

import hashlib
import marshal
import os
import zlib
from itertools import accumulate, groupby
from typing import NamedTuple

from hpcsubmit.staging.reading import Row
from hpcsubmit.staging.tar_format import END, header_size, padding
from hpcsubmit.staging.walk import FILE, FOLDER, FORMAT, SYMLINK, Scan, is_folder, join

VERSION = 1
"""Of the cuts and of what an archive holds: none takes another version's archive for its own."""
KEY_DIGITS = 24

_ENTRY = 8 << 10  # what making one file costs, in bytes of content
_SMALLEST = 64 << 20
_MOST_ARCHIVES = 256
_ODD, _MASK = 0x9E3779B1, 0xFFFFFFFF  # Knuth's multiplicative hashing


class Piece(NamedTuple):
    """Entries of one folder that are neighbours in an archive.

    named: whether they are what the user named: there, symlinks are followed.
    before: folders that the archive makes first, the outermost first: the one of the entries and those above
    it, unless an earlier piece has them.
    """

    folder: str
    rows: list[Row]
    named: bool = False
    before: tuple[str, ...] = ()


class Shard(NamedTuple):
    """What one archive holds.

    key: equal for equal content (by stat), whatever else is staged with it.
    size: bytes of the archive before it is compressed; content: those of the files in it.
    members: the lines that `tar -xv` prints for it.
    """

    key: str
    pieces: tuple[Piece, ...]
    size: int
    content: int
    members: int


def cut(scan: Scan) -> tuple[Shard, ...]:
    """Cut what was found into archives; that of the folders is the last.

    All folders, with their modes and times, are in one archive of their own, to be unpacked last: tars side
    by side would disturb each other's folder times, and could not write into a read-only folder. The other
    archives make the folders that they need too, as their own: GNU tar 1.34 was seen to fail where another
    one makes the missing folder of a file at the same moment; a folder it takes as it is.
    A hard link is a file of its own under each of its names.
    """
    entries = _Entries(scan)
    weights, everything = entries.weights, range(len(entries.weights))
    most = 2 * _target(sum(weights))
    alone = [at for at in everything if weights[at] > most]
    rest = [at for at in everything if weights[at] <= most] if alone else list(everything)
    ends = [0, *accumulate(weights[at] for at in rest)]
    marks = entries.marks() if ends[-1] > most else []
    marks = [marks[at] for at in rest] if alone and marks else marks
    runs = [rest[first:last] for first, last in _segments(marks, ends, most)]
    found = sorted(runs + [[at] for at in alone])
    folders = _folder_pieces(scan)
    return tuple(_shard(pieces) for pieces in (*map(entries.pieces, found), folders) if pieces)


def _target(total: int) -> int:
    """The weight that an archive has on the average: of about 256, once they are 64 MiB each."""
    return max(_SMALLEST, 1 << (total // _MOST_ARCHIVES - 1).bit_length() if total > _MOST_ARCHIVES else 0)


def _segments(marks: list[float], ends: list[int], most: int) -> list[tuple[int, int]]:
    """Halve what weighs more than `most` where the smallest mark is, again and again.

    The marks come from the names, so that the cuts stay where they are when an entry comes, goes or changes:
    only the segment that it is in differs, and where the entry itself makes a cut, the one next to it.
    """
    found, waiting = [], [(0, len(ends) - 1)]
    while waiting:
        first, last = waiting.pop()
        if ends[last] - ends[first] <= most:
            if first < last:
                found.append((first, last))
            continue
        inner = marks[first + 1 : last]
        middle = first + 1 + inner.index(min(inner))
        waiting += [(first, middle), (middle, last)]
    return found


class _Entries:
    """All that was found but folders, in order: by their folders, then by their names."""

    def __init__(self, scan: Scan) -> None:
        self._folders = [(folder, True) for folder, _ in scan.named]
        self._folders += [(folder, False) for folder, _ in scan.folders]
        self._rows: list[Row] = []
        self._owners: list[int] = []
        for number, (_, rows) in enumerate((*scan.named, *scan.folders)):
            kept = [row for row in rows if row[1][0] & FORMAT != FOLDER]
            self._rows += kept
            self._owners += [number] * len(kept)
        self.weights = [_ENTRY + facts[1] if facts[0] & FORMAT == FILE else _ENTRY for _, facts in self._rows]

    def marks(self) -> list[float]:
        """A number for each entry that its path makes, as good as drawn by chance; small for heavy ones."""
        above = [zlib.crc32(os.fsencode(join(folder, ""))) for folder, _ in self._folders]
        sums = [
            zlib.crc32(name.encode("utf-8", "surrogateescape"), above[owner])
            for (name, _), owner in zip(self._rows, self._owners, strict=True)
        ]
        # The sums of names that differ by a digit differ by a pattern: the product breaks it.
        return [(total * _ODD & _MASK) / weight for total, weight in zip(sums, self.weights, strict=True)]

    def pieces(self, indices: list[int]) -> tuple[Piece, ...]:
        """The entries of an archive."""
        made = {""}
        return tuple(
            Piece(folder, [self._rows[at] for at in group], named, tuple(_to_make(folder, made)))
            for (folder, named), group in (
                (self._folders[owner], group) for owner, group in groupby(indices, self._owners.__getitem__)
            )
        )


def _to_make(folder: str, made: set[str]) -> list[str]:
    """The folders from the outermost to this one that are not made yet; from now on they are."""
    found = []
    while folder not in made:
        made.add(folder)
        found.append(folder)
        folder = folder.rpartition("/")[0]
    return found[::-1]


def _folder_pieces(scan: Scan) -> tuple[Piece, ...]:
    """All folders, the deepest first: tar makes none in a folder that it has made read-only.

    Of those above the named paths only the mode is kept, since what else comes and goes in them is not part
    of the data. They have the time of the first named path below.
    """
    above = [
        Piece(path.rpartition("/")[0], [(path.rpartition("/")[2], (mode, 0, _first_time(scan, path), 0, 0))])
        for path, mode in scan.parents
    ]
    inside = [
        Piece(folder, [(name, (facts[0], 0, facts[2], 0, 0)) for name, facts in rows if is_folder(facts)])
        for folder, rows in (*scan.named, *scan.folders)
    ]
    return tuple(piece for piece in reversed((*above, *inside)) if piece.rows)


def _first_time(scan: Scan, parent: str) -> int:
    return next(rows[0][1][2] for folder, rows in scan.named if f"{folder}/".startswith(f"{parent}/"))


def _shard(pieces: tuple[Piece, ...]) -> Shard:
    size, content, members = len(END), 0, 0
    for folder, rows, _, before in pieces:
        size += sum(header_size(len(os.fsencode(path)) + 1, 0, 0) for path in before)
        above = len(os.fsencode(join(folder, "")))
        for name, (mode, length, mtime_ns, _, _) in rows:
            named = above + (len(name) if name.isascii() else len(os.fsencode(name)))
            kind = mode & FORMAT
            if kind == FILE:
                size += header_size(named, length, mtime_ns) + length + padding(length)
                content += length
            elif kind == SYMLINK:
                size += header_size(named, 0, mtime_ns, length)
            else:
                size += header_size(named + 1, 0, mtime_ns)  # a folder's name ends with /
        members += len(before) + len(rows)
    written = marshal.dumps((VERSION, [(folder, rows) for folder, rows, _, _ in pieces]), 2)
    return Shard(hashlib.sha256(written).hexdigest()[:KEY_DIGITS], pieces, size, content, members)
