"""Archives whose headers alone are compressed: tar reads the same, and a broadcast has less to read."""

import gzip
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.staging.sets import read_description
from hpcsubmit.staging.snapshot import Snapshot
from hpcsubmit.staging.store import DESCRIPTION
from staged_data import OLD, Data

LEAN, PLAIN = ".lean.tar.gz", ".tar"
LARGE = 129 << 20
"""Bytes of a file that has an archive for itself."""
EDGES = (0, 1, 511, 512, 513, 4096, 65_024, 65_535, 65_536, 65_537, 131_070, 131_071, 9_000_001)
"""Sizes around those of tar's blocks, of stored blocks, of small files and of what is held at once."""


@pytest.fixture
def data(tmp_path: Path) -> Data:
    data = Data(tmp_path / "scratch")
    data.scratch.mkdir()
    return data


def small_files(data: Data, count: int = 500, size: int = 4096) -> None:
    for number in range(count):
        data.write(f"data/{number % 7}/{number:05}.bin", os.urandom(size), mtime_ns=OLD + number)


def archives(data: Data, suffix: str) -> dict[str, bytes]:
    """The archives of a suffix by their keys."""
    found = data.store.archives.glob(f"*{suffix}")
    return {path.name.removesuffix(suffix): path.read_bytes() for path in found}


def suffixes(snapshot: Snapshot, data: Data, *, broadcast: bool = False) -> set[str]:
    """What the archives of a set are called behind their keys, once it is packed."""
    manifest = data.pack(snapshot, 500, broadcast=broadcast)
    return {archive.name.partition(".")[1] + archive.name.partition(".")[2] for archive in manifest.archives}


def test_uncompressed_it_is_the_plain_archive_to_the_last_bit(data: Data) -> None:
    for number, size in enumerate(EDGES):
        data.write(f"data/sizes/{size}", os.urandom(size), mtime_ns=OLD + number)
    for number in range(5000):  # enough of content-free headers to leave zlib's window
        data.write(f"data/{'empty' * 17}/{number:04}", b"", mtime_ns=OLD + 7 * number)
    (data.scratch / "data/link").symlink_to("sizes/512")
    data.write(f"data/{'long' * 40}/{'name' * 40}", b"x" * 5)
    data.staged(compress="none")
    data.staged(compress="headers", compressors=["gzip"])
    plain, lean = archives(data, PLAIN), archives(data, LEAN)
    assert {key: gzip.decompress(content) for key, content in lean.items()} == plain
    assert plain


def test_gzip_finds_it_whole_and_notices_a_changed_byte(data: Data, tmp_path: Path) -> None:
    small_files(data, 20)
    data.staged(compress="headers", compressors=["gzip"])
    (first, _) = sorted(archives(data, LEAN).values(), key=len, reverse=True)
    copy = tmp_path / "copy.gz"
    for content, code in ((first, 0), (first[:5000] + bytes([first[5000] ^ 1]) + first[5001:], 1)):
        copy.write_bytes(content)
        assert subprocess.run(("gzip", "-t", str(copy)), check=False, capture_output=True).returncode == code


def test_small_files_hardly_grow(data: Data) -> None:
    small_files(data, 2000)
    data.staged(compress="headers", compressors=["gzip"])
    data.staged(compress="none")
    content = 2000 * 4096
    assert sum(map(len, archives(data, LEAN).values())) < 1.05 * content
    assert sum(map(len, archives(data, PLAIN).values())) > 1.35 * content


def test_a_large_file_that_has_an_archive_for_itself_stays_as_it_is(data: Data) -> None:
    small_files(data, 20)
    os.truncate(data.write("data/large"), LARGE)
    snapshot = data.look(compress="headers", compressors=["gzip"])
    sizes = sorted(archive.size for archive in data.pack(snapshot).archives)
    assert sizes[-1] > LARGE
    assert len(archives(data, PLAIN)) == 1
    assert len(archives(data, LEAN)) == 2, "the small files, and the folders"
    again = data.look(compress="headers", compressors=["gzip"])
    assert again.fresh
    (data.store.archives / next(data.store.archives.glob("*.tar")).name).unlink()
    assert data.look(compress="headers", compressors=["gzip"]).to_pack.archives == 1


@pytest.mark.parametrize(
    ("compress", "compressors", "broadcast", "size", "expected"),
    [
        ("auto", ["gzip"], True, 4096, {LEAN}),
        ("auto", ["gzip", "zstd"], True, 4096, {LEAN}),
        ("auto", ["gzip"], False, 4096, {PLAIN}),
        ("auto", ["zstd"], True, 4096, {PLAIN}),
        ("auto", [], True, 4096, {PLAIN}),
        ("auto", ["gzip"], True, 100_000, {PLAIN}),
        ("none", ["gzip"], True, 4096, {PLAIN}),
        ("headers", ["gzip"], False, 4096, {LEAN}),
        ("headers", ["gzip"], False, 100_000, {PLAIN, LEAN}),
    ],
)
def test_headers_are_compressed_for_a_broadcast_of_small_files_or_where_it_is_asked_for(
    data: Data, compress: str, compressors: Sequence[str], broadcast: bool, size: int, expected: set[str]
) -> None:
    small_files(data, 50, size)
    snapshot = data.look(compress=compress, compressors=compressors)
    assert suffixes(snapshot, data, broadcast=broadcast) == expected


@pytest.mark.parametrize(("text", "suffix"), [(False, LEAN), (True, ".tar.gz")])
def test_a_slow_file_system_is_worth_a_tool_where_it_gains_more_than_the_headers(
    data: Data, text: bool, suffix: str
) -> None:
    content = b"the same words again, and again\n" * 128
    for number in range(300):
        data.write(f"data/{number}", content if text else os.urandom(4096))
    snapshot = data.look(compress="auto", compressors=["gzip"])
    manifest = data.pack(snapshot, 50, broadcast=True)
    assert {archive.name.partition(".")[2] for archive in manifest.archives} == {suffix[1:]}


def test_nodes_without_gzip_are_told_of_before_anything_is_packed(data: Data) -> None:
    small_files(data, 5)
    with pytest.raises(HpcSubmitError) as caught:
        data.look(compress="headers", compressors=["zstd"])
    assert caught.value.message == "--data-compress headers: the nodes have no gzip to unpack with"
    assert caught.value.hint == (
        "if they have, name it in the profile: compressors: [gzip]; otherwise use --data-compress none"
    )


@pytest.mark.parametrize(("first", "then"), [(True, False), (False, True)])
def test_what_is_packed_for_one_way_serves_the_other(data: Data, first: bool, then: bool) -> None:
    small_files(data, 50)
    found = suffixes(data.look(compress="auto", compressors=["gzip"]), data, broadcast=first)
    before = data.archives()
    again = data.look(compress="auto", compressors=["gzip"])
    assert again.fresh
    assert suffixes(again, data, broadcast=then) == found
    assert data.archives() == before
    known = read_description(again.manifest.with_suffix(DESCRIPTION))
    assert known is not None
    assert {known.suffix} == found


def test_a_change_keeps_the_archives_that_are_still_right(data: Data) -> None:
    small_files(data, 20)
    os.truncate(data.write("data/large"), LARGE)
    data.staged(compress="headers", compressors=["gzip"])
    before = data.archives()
    data.write("data/0/00000.bin", b"other")
    snapshot = data.look(compress="headers", compressors=["gzip"])
    assert snapshot.to_pack.archives == 1
    data.pack(snapshot)
    after = data.archives()
    assert {name: known for name, known in after.items() if name in before} == before
    assert len(after) == len(before) + 1


@pytest.mark.parametrize("name", ["data/0/00007.bin", "data/some"])
@pytest.mark.parametrize("size", [0, 4000, 99_000, 101_000])
def test_a_file_that_changes_while_it_is_read_is_an_error(data: Data, name: str, size: int) -> None:
    small_files(data, 60)
    data.write("data/some", os.urandom(100_000))
    snapshot = data.look(compress="headers", compressors=["gzip"])
    os.truncate(data.scratch / name, size)
    with pytest.raises(HpcSubmitError, match="changes while it is read"):
        data.pack(snapshot)
    assert list(data.store.manifests()) == []
    assert list(data.store.unfinished.iterdir()) == []


def test_progress_counts_what_is_read_and_not_what_is_written(data: Data) -> None:
    small_files(data, 300)
    snapshot = data.look(compress="headers", compressors=["gzip"])
    data.pack(snapshot)
    total = sum(shard.size for shard in snapshot.shards)
    assert data.told.steps[-1] == (total, total)
