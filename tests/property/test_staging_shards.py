"""Any data are cut so that every entry is in one archive, and a change stays where it is."""

import io
import os
import tarfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcsubmit.staging.reading import Facts
from hpcsubmit.staging.shards import Shard, cut
from hpcsubmit.staging.tar_format import END, FILE, FOLDER, SYMLINK, header, header_size
from hpcsubmit.staging.walk import Scan, is_folder

MIB = 1 << 20
MOST = 128 * MIB
ENTRY = 8 << 10

Tree = dict[str, int]
"""The sizes of files by their path below `data`."""

NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=6).filter(
    lambda name: name not in (".", "..")
)
PATHS = st.tuples(st.sampled_from(["", "a/", "a/b/", "é/"]), NAMES).map("f".join)
"""Every file's name begins with f: none has a folder's."""
SIZES = st.sampled_from([0, 1, 4096, MIB, 60 * MIB, 127 * MIB, 300 * MIB]) | st.integers(0, 130 * MIB)
TREES = st.dictionaries(PATHS, SIZES, max_size=80)


def facts(mode: int, size: int) -> Facts:
    return mode, size, 1_700_000_000_000_000_001, 5, 6


def scan_of(tree: Tree) -> Scan:
    """What a scan of such files would give."""
    folders: dict[str, dict[str, Facts]] = {"data": {}}
    for path, size in tree.items():
        above, _, name = f"data/{path}".rpartition("/")
        inner = above
        while inner not in folders or inner != "data":
            folders.setdefault(inner, {})
            outer, _, last = inner.rpartition("/")
            folders.setdefault(outer, {})[last] = facts(0o40755, 0)
            inner = outer
        folders[above][name] = facts(0o100644, size)
    rows = [(folder, sorted(found.items())) for folder, found in sorted(folders.items())]
    return Scan(Path("/scratch"), [("", [("data", facts(0o40755, 0))])], rows, [], b"")


def paths(shard: Shard) -> list[str]:
    return [f"{piece.folder}/{name}".lstrip("/") for piece in shard.pieces for name, _ in piece.rows]


def weight(shard: Shard) -> int:
    return sum(ENTRY + row[1][1] for piece in shard.pieces for row in piece.rows)


@given(TREES)
def test_every_entry_is_in_one_archive_and_all_folders_are_in_the_last(tree: Tree) -> None:
    scan = scan_of(tree)
    *shards, last = cut(scan)
    entries = [row for _, rows in scan.folders for row in rows]
    assert sorted(path for shard in shards for path in paths(shard)) == sorted(
        f"data/{path}" for path in tree
    )
    assert sorted(paths(last)) == sorted(
        [
            "data",
            *(f"{above}/{name}" for above, rows in scan.folders for name, facts in rows if is_folder(facts)),
        ]
    )
    assert len({shard.key for shard in (*shards, last)}) == len(shards) + 1
    assert len(entries) + 1 == sum(len(paths(shard)) for shard in (*shards, last))


@given(TREES)
def test_an_archive_is_not_too_large_unless_it_is_one_file(tree: Tree) -> None:
    for shard in cut(scan_of(tree)):
        assert weight(shard) <= MOST or len(paths(shard)) == 1


@given(TREES)
def test_an_archive_makes_every_folder_before_what_is_in_it(tree: Tree) -> None:
    for shard in cut(scan_of(tree))[:-1]:
        made = {""}
        for piece in shard.pieces:
            for folder in piece.before:
                assert folder.rpartition("/")[0] in made
                assert folder not in made
                made.add(folder)
            assert piece.folder in made
        assert shard.members == len(made) - 1 + len(paths(shard))


@settings(max_examples=300)
@given(TREES, PATHS, SIZES)
def test_one_more_file_makes_few_bytes_anew(tree: Tree, path: str, size: int) -> None:
    before = {shard.key for shard in cut(scan_of({key: tree[key] for key in tree if key != path}))}
    anew = [shard for shard in cut(scan_of(tree | {path: size}))[:-1] if shard.key not in before]
    assert f"data/{path}" in [found for shard in anew for found in paths(shard)]
    assert sum(map(weight, anew)) <= 2 * MOST + size + ENTRY


def test_of_2000_files_of_1_mb_any_edit_makes_at_most_a_fifteenth_anew() -> None:
    tree = {f"{number:04}.bin": MIB for number in range(2000)}
    shards = cut(scan_of(tree))
    before = {shard.key for shard in shards}
    assert 24 <= len(shards) <= 48, "about 64 MiB each"
    for edited in range(0, 2000, 50):
        anew = [
            shard for shard in cut(scan_of(tree | {f"{edited:04}.bin": MIB + 1})) if shard.key not in before
        ]
        assert len(anew) <= 2
        assert sum(shard.size for shard in anew) <= sum(shard.size for shard in shards) * 0.15


def test_one_more_or_less_of_2000_files_makes_3_archives_anew_at_most() -> None:
    tree = {f"{number:04}.bin": MIB for number in range(2000)}
    before = {shard.key for shard in cut(scan_of(tree))}
    others = [tree | {f"{number:04}.new": MIB} for number in range(0, 2000, 40)]
    others += [
        {path: tree[path] for path in tree if path != f"{number:04}.bin"} for number in range(0, 2000, 40)
    ]
    counts = [len([shard for shard in cut(scan_of(other)) if shard.key not in before]) for other in others]
    assert max(counts) <= 3
    assert sum(counts) <= 1.2 * len(counts)


def test_many_archives_are_larger_ones() -> None:
    tree = {f"{number:05}": 100 * MIB for number in range(3000)}
    shards = cut(scan_of(tree))
    assert 100 <= len(shards) <= 400
    assert max(map(weight, shards)) <= 2 * (2048 * MIB)


def test_a_file_that_is_larger_than_an_archive_stands_alone_and_moves_no_cut() -> None:
    tree = {f"{number:04}": MIB for number in range(1000)}
    before = {shard.key for shard in cut(scan_of(tree))[:-1]}
    after = {shard.key: paths(shard) for shard in cut(scan_of(tree | {"0500a": 2000 * MIB}))[:-1]}
    assert [found for key, found in after.items() if key not in before] == [["data/0500a"]]
    assert before <= after.keys()


TIMES = st.integers(-(2**62), 2**62) | st.integers(0, 2**33).map(lambda seconds: seconds * 10**9)
RAW_NAMES = st.binary(min_size=1, max_size=300).filter(lambda name: b"\0" not in name and name.strip(b"/"))


@given(
    RAW_NAMES,
    st.integers(0, 0o7777),
    st.integers(0, 2**40),
    TIMES,
    st.sampled_from([FILE, FOLDER, SYMLINK]),
    RAW_NAMES,
)
def test_a_header_is_read_back_as_it_was_meant(
    name: bytes, mode: int, size: int, mtime_ns: int, kind: bytes, target: bytes
) -> None:
    size, target = (size if kind == FILE else 0), (target if kind == SYMLINK else b"")
    name = name.rstrip(b"/") or b"x"
    written = header(name, mode, size, mtime_ns, kind, target)
    assert len(written) == header_size(len(name), size, mtime_ns, len(target))
    assert len(written) % 512 == 0
    file = io.BytesIO(written + END)
    found = tarfile.open(fileobj=file, mode="r:", encoding="utf-8", errors="surrogateescape").next()  # noqa: SIM115
    assert found is not None
    assert (os.fsencode(found.name), found.mode, found.size) == (name, mode, size)
    assert (found.type, os.fsencode(found.linkname)) == (kind, target)
    text = found.pax_headers.get("mtime")
    if text is None:
        assert found.mtime * 10**9 == mtime_ns
    else:
        sign, (seconds, fraction) = (-1 if text.startswith("-") else 1), text.lstrip("-").split(".")
        assert sign * (int(seconds) * 10**9 + int(fraction)) == mtime_ns
