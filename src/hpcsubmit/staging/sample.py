"""Whether compressing pays: a few MB of the data are compressed to see.

A node gets compressed data at the pace of its decompressor, or of the shared file system for the fewer bytes.
"""

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.running import Filter
from hpcsubmit.staging.paths import cannot_read
from hpcsubmit.staging.reading import Facts
from hpcsubmit.staging.shards import Shard
from hpcsubmit.staging.suffixes import LEAN, PLAIN, SUFFIXES, has_many_headers
from hpcsubmit.staging.tar_format import FILE as TAR_FILE
from hpcsubmit.staging.tar_format import header
from hpcsubmit.staging.walk import FILE, FORMAT, join

TOOLS: Mapping[str, tuple[str, ...]] = {
    "zstd": ("zstd", "-1", "-T1", "-q", "-c"),
    "gzip": ("gzip", "-1", "-c"),
}
_UNPACKED_RATE = {"zstd": 800, "gzip": 300}
"""MB/s of content that one stream is taken to unpack. Seen on a machine of 2 cores: gzip 165 with text and
360 with repetitive data; zstd 1500 and 4000 by itself, 500 with text where tar writes what it gives."""
_NO_GAIN = 0.95
"""Data of which this share is left do not shrink: they are never compressed."""
_PLACES = 16
_PLACE = 256 << 10


class Transfer(NamedTuple):
    """How archives come to the nodes: it tells whether compressing pays.

    read_rate: MB/s that one node reads from the shared file system (the profile's).
    broadcast: whether one node reads them and sends them to all.
    """

    read_rate: int
    broadcast: bool = False


def check_tool(mode: str, compressors: Sequence[str], host: Host) -> None:
    """Raise HpcSubmitError where a compressor was asked for that this machine does not have.

    compressors: what the nodes unpack: where headers alone are compressed, only they need a tool.
    """
    if mode == "headers" and "gzip" not in compressors:
        raise HpcSubmitError(
            "--data-compress headers: the nodes have no gzip to unpack with",
            "if they have, name it in the profile: compressors: [gzip]; otherwise use --data-compress none",
        )
    if mode in TOOLS and host.which(mode) is None:
        raise HpcSubmitError(
            f"--data-compress {mode}: there is no {mode} on the PATH",
            f"install {mode} or load its module, or use --data-compress auto",
        )


def choose_suffix(
    mode: str,
    compressors: Sequence[str],
    transfer: Transfer,
    shards: Sequence[Shard],
    scratch_dir: Path,
    host: Host,
) -> str:
    """Return how the archives of a set are called: compressed where it was asked for, or pays.

    mode: auto, gzip or zstd; the others need no sample. compressors: what the nodes unpack. A broadcast sends
    what it reads to every node: it is spared the headers of small files, which are mostly zeros.
    Raises HpcSubmitError where a compressor fails.
    """
    lean = mode == "auto" and transfer.broadcast and "gzip" in compressors and has_many_headers(shards)
    usual = LEAN if lean else PLAIN
    asked = [tool for tool in TOOLS if tool in compressors] if mode == "auto" else [mode]
    tools = [tool for tool in asked if host.which(tool)]
    if mode == "auto":
        tools = [tool for tool in tools if transfer.read_rate < _UNPACKED_RATE[tool]]
    content = _sample(shards, scratch_dir) if tools else b""
    if not content:
        return usual
    left = {tool: _compressed(content, tool, host) / len(content) for tool in tools}
    if mode != "auto":
        return SUFFIXES[mode] if left[mode] <= _NO_GAIN else PLAIN
    times = {tool: left[tool] + transfer.read_rate / _UNPACKED_RATE[tool] for tool in tools}
    best = min(times, key=times.__getitem__)
    pays = times[best] < 1 and not (lean and left[best] > _NO_GAIN * _lean_share(shards))
    return SUFFIXES[best] if pays else usual


def _lean_share(shards: Sequence[Shard]) -> float:
    """What is left of plain archives without their headers, which compress to nearly nothing."""
    return sum(shard.content for shard in shards) / sum(shard.size for shard in shards)


def _sample(shards: Sequence[Shard], scratch_dir: Path) -> bytes:
    """Pieces of the archives, evenly spread over their bytes, with their headers."""
    files = [
        (join(piece.folder, name), facts)
        for shard in shards
        for piece in shard.pieces
        for name, facts in piece.rows
        if facts[0] & FORMAT == FILE
    ]
    ends = list(accumulate(facts[1] for _, facts in files))
    total = ends[-1] if ends else 0
    most = min(_PLACE, total // _PLACES)  # so that no two overlap: what comes twice compresses well
    found = bytearray()
    for number in range(_PLACES):
        place = number * total // _PLACES
        at = bisect_right(ends, place)
        left = most
        while left > 0 and at < len(files):
            path, facts = files[at]
            start = max(0, place - (ends[at] - facts[1]))
            part = _read(scratch_dir / path, start, min(left, facts[1] - start))
            found += part if start else _header(path, facts) + part
            left, at = left - len(part), at + 1
    return bytes(found)


def _header(path: str, facts: Facts) -> bytes:
    return header(os.fsencode(path), facts[0], facts[1], facts[2], TAR_FILE)


def _read(path: Path, start: int, count: int) -> bytes:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            return os.pread(file, count, start)
        finally:
            os.close(file)
    except OSError as error:
        raise cannot_read(str(path), error) from error


def _compressed(content: bytes, tool: str, host: Host) -> int:
    """The bytes that a tool makes of some."""
    from tempfile import TemporaryFile  # late: for packing alone

    with TemporaryFile() as source, TemporaryFile() as target:
        source.write(content)
        source.seek(0)
        code = Filter.start(TOOLS[tool], host.environ, source.fileno(), target.fileno()).wait()
        if code != 0:
            raise failed(tool, code)
        return os.fstat(target.fileno()).st_size


def failed(tool: str, code: int) -> HpcSubmitError:
    """Return the error for a compressor that ended badly."""
    return HpcSubmitError(
        f"{tool} ended with exit code {code}", "see its line above; or use --data-compress none"
    )
