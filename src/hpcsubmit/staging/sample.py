"""Whether compressing pays: a few MB of the data are compressed to see.

A node gets compressed data at the pace of its decompressor, or of the shared file system for the fewer bytes.
"""

import os
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.running import Filter
from hpcsubmit.staging.paths import cannot_read
from hpcsubmit.staging.shards import Shard
from hpcsubmit.staging.tar_format import FILE as TAR_FILE
from hpcsubmit.staging.tar_format import header, padding
from hpcsubmit.staging.walk import FILE, FORMAT, Facts, join

MODES = ("auto", "none", "gzip", "zstd")
"""What --data-compress takes."""
PLAIN = ".tar"
TOOLS: Mapping[str, tuple[str, ...]] = {
    "zstd": ("zstd", "-1", "-T1", "-q", "-c"),
    "gzip": ("gzip", "-1", "-c"),
}
SUFFIXES = {"zstd": ".tar.zst", "gzip": ".tar.gz"}
"""What archives are called that a tool compressed."""

_UNPACKED_RATE = {"zstd": 800, "gzip": 300}
"""MB/s that one core unpacks, measured on 2 cores of a 2023 server with text and with images."""
_NO_GAIN = 0.95
"""Data of which this share is left do not shrink: they are never compressed."""
_PLACES = 16
_PLACE = 256 << 10


def tool_of(suffix: str) -> str | None:
    """Return the tool that makes archives of this name, None for plain ones."""
    return next((tool for tool, ending in SUFFIXES.items() if ending == suffix), None)


def check_tool(mode: str, host: Host) -> None:
    """Raise HpcSubmitError where a compressor was asked for that this machine does not have."""
    if mode in TOOLS and host.which(mode) is None:
        raise HpcSubmitError(
            f"--data-compress {mode}: there is no {mode} on the PATH",
            f"install {mode} or load its module, or use --data-compress auto",
        )


def choose_suffix(
    mode: str,
    compressors: Sequence[str],
    read_rate: int,
    shards: Sequence[Shard],
    scratch_dir: Path,
    host: Host,
) -> str:
    """Return how the archives of a set are called: compressed where it was asked for, or pays.

    compressors: what the nodes unpack; read_rate: MB/s that one node reads from the shared file system.
    Raises HpcSubmitError where a compressor fails.
    """
    asked = [mode] if mode in TOOLS else [tool for tool in TOOLS if tool in compressors and mode == "auto"]
    tools = [tool for tool in asked if host.which(tool)]
    if mode == "auto":
        tools = [tool for tool in tools if read_rate < _UNPACKED_RATE[tool]]
    content = _sample(shards, scratch_dir) if tools else b""
    if not content:
        return PLAIN
    left = {tool: _compressed(content, tool, host) / len(content) for tool in tools}
    if mode != "auto":
        return SUFFIXES[mode] if left[mode] <= _NO_GAIN else PLAIN
    times = {tool: left[tool] + read_rate / _UNPACKED_RATE[tool] for tool in tools}
    best = min(times, key=times.__getitem__)
    return SUFFIXES[best] if times[best] < 1 else PLAIN


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
    if not ends or not ends[-1]:
        return b""
    found = bytearray()
    taken = -1
    for number in range(_PLACES):
        place = (2 * number + 1) * ends[-1] // (2 * _PLACES)
        at = bisect_right(ends, place)
        start = place - (ends[at] - files[at][1][1])
        wanted = len(found) + _PLACE
        while at < len(files) and len(found) < wanted:
            if at > taken or start:
                found += _part(*files[at], start, wanted - len(found), scratch_dir)
            taken, at, start = max(taken, at), at + 1, 0
    return bytes(found)


def _part(path: str, facts: Facts, start: int, most: int, scratch_dir: Path) -> bytes:
    mode, size, mtime_ns, _, _ = facts
    start = max(0, min(start, size - most))
    try:
        file = os.open(scratch_dir / path, os.O_RDONLY | os.O_NONBLOCK)
        try:
            content = os.pread(file, most, start)
        finally:
            os.close(file)
    except OSError as error:
        raise cannot_read(str(scratch_dir / path), error) from error
    return header(os.fsencode(path), mode, size, mtime_ns, TAR_FILE) + content + bytes(padding(len(content)))


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
