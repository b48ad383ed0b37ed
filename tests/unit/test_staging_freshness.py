"""A set is fresh while nothing has changed, and no change is missed; what is damaged is made anew."""

import os
import resource
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.running import Workers
from hpcsubmit.staging import walk
from hpcsubmit.staging.reading import Pace
from hpcsubmit.staging.walk import scan
from staged_data import OLD, Data, tree


@pytest.fixture
def data(tmp_path: Path) -> Data:
    data = Data(tmp_path / "scratch")
    for name in ("one", "two", "deep/three", "deep/deeper/four"):
        data.write(f"data/{name}", name.encode())
    (data.scratch / "data/link").symlink_to("one")
    (data.scratch / "data/empty").mkdir()
    return data


def edit_with_the_time_put_back(folder: Path) -> None:
    before = (folder / "one").stat()
    (folder / "one").write_bytes(b"two")
    os.utime(folder / "one", ns=(before.st_atime_ns, before.st_mtime_ns))


def link_anew(folder: Path) -> None:
    (folder / "link").unlink()
    (folder / "link").symlink_to("two")


def swap(folder: Path) -> None:
    """Two files of the same size, time and mode, each under the other's name."""
    for old, new in (("one", "spare"), ("two", "one"), ("spare", "two")):
        (folder / old).rename(folder / new)


def file_for_folder(folder: Path) -> None:
    (folder / "empty").rmdir()
    (folder / "empty").write_bytes(b"")


CHANGES: dict[str, Callable[[Path], object]] = {
    "a file is added": lambda folder: (folder / "new").write_bytes(b""),
    "a file is added deep below": lambda folder: (folder / "deep/deeper/new").write_bytes(b""),
    "a file is removed": lambda folder: (folder / "one").unlink(),
    "a file is renamed": lambda folder: (folder / "one").rename(folder / "uno"),
    "a file is edited": lambda folder: (folder / "deep/three").write_bytes(b"other"),
    "a file is edited and its time put back": edit_with_the_time_put_back,
    "a file is touched": lambda folder: (folder / "one").touch(),
    "a file gets another mode": lambda folder: (folder / "one").chmod(0o755),
    "two files change places": swap,
    "a symlink leads elsewhere": link_anew,
    "an empty folder is added": lambda folder: (folder / "deep/void").mkdir(),
    "an empty folder is removed": lambda folder: (folder / "empty").rmdir(),
    "a folder gets another mode": lambda folder: (folder / "empty").chmod(0o700),
    "a folder gets another time": lambda folder: os.utime(folder / "deep", ns=(OLD, OLD)),
    "a file takes a folder's place": file_for_folder,
    "the named folder gets another mode": lambda folder: folder.chmod(0o700),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_no_change_is_missed(data: Data, tmp_path: Path, change: Callable[[Path], object]) -> None:
    first = data.staged()
    change(data.scratch / "data")
    second = data.look()
    assert (second.fresh, second.manifest == first.manifest) == (False, False)
    assert not second.manifest.exists()
    data.pack(second)
    (tmp_path / "node").mkdir()
    data.unpack(second, tmp_path / "node")
    now = tree(data.scratch / "data")
    assert {path.removeprefix(b"data/"): entry for path, entry in tree(tmp_path / "node").items()} == {
        b"data": tree(data.scratch)[b"data"],
        **now,
    }


def test_what_has_not_changed_is_fresh_and_nothing_is_written_for_it(data: Data) -> None:
    first = data.staged()
    before = tree(data.store.folder)
    second = data.look()
    data.pack(second)
    assert second.fresh
    assert second.to_pack == (0, len(data.archives()), 0)
    assert tree(data.store.folder) == before
    same = ("paths", "manifest", "files", "bytes", "room_kib", "inodes", "warnings", "mode")
    assert [getattr(second, name) for name in same] == [getattr(first, name) for name in same]


def test_neighbours_of_the_named_paths_do_not_matter(data: Data) -> None:
    data.staged("data/deep/three")
    data.write("data/deep/other")
    data.write("another")
    assert data.look("data/deep/three").fresh


def test_the_order_of_the_words_does_not_matter(data: Data) -> None:
    data.staged("data/one", "data/deep")
    assert data.look("data/deep data/one").fresh


def test_other_paths_and_other_compression_are_other_sets(data: Data) -> None:
    seen = [
        data.staged("data"),
        data.staged("data/deep"),
        data.staged("data", compress="gzip"),
        data.staged("data", compress="auto", compressors=["gzip"]),
        data.staged("data", compress="auto", compressors=["gzip", "zstd"]),
    ]
    assert not any(snapshot.fresh for snapshot in seen)
    assert len({snapshot.manifest for snapshot in seen}) == 5


def test_looking_changes_nothing(data: Data) -> None:
    before = tree(data.scratch)
    snapshot = data.look()
    assert (snapshot.fresh, snapshot.to_pack.archives, snapshot.to_pack.of) == (False, 2, 2)
    assert tree(data.scratch) == before


def test_the_counts_are_those_of_the_data(data: Data) -> None:
    data.write("data/large", bytes(10_000))
    snapshot = data.look()
    contents = b"onetwodeep/threedeep/deeper/four"
    assert (snapshot.files, snapshot.bytes) == (5, 10_000 + len(contents))
    assert snapshot.inodes == 5 + 1 + 4, "five files, a symlink, and four folders"
    assert snapshot.room_kib == 4 * (4 + 3 + 1 + 4), "the large file takes three blocks"


def test_symlinks_that_lead_out_are_named(data: Data) -> None:
    assert data.look().warnings == ()
    data.write("other/file")
    folder = data.scratch / "data/deep"
    for number, target in enumerate(
        ("/etc/passwd", "../../other/file", "../../../..", str(folder / "three"))
    ):
        (folder / f"out{number}").symlink_to(target)
    for target in ("three", "../one", "../../data", "nowhere"):
        (folder / f"in{len(target)}").symlink_to(target)
    lead_out = "symlinks lead out of the data that every node gets:"
    expected = (f"4 {lead_out} 'data/deep/out0', 'data/deep/out1', 'data/deep/out2' and 1 more",)
    assert data.staged().warnings == expected
    assert data.look().warnings == expected, "also when it is fresh"
    with_other = data.look("data", "other").warnings
    assert with_other == (f"3 {lead_out} 'data/deep/out0', 'data/deep/out2', 'data/deep/out3'",)


def damage_archive(data: Data, name: str) -> None:
    os.truncate(data.store.archives / name, 600)


def remove_archive(data: Data, name: str) -> None:
    (data.store.archives / name).unlink()


@pytest.mark.parametrize("compress", ["none", "gzip"])
@pytest.mark.parametrize("damage", [damage_archive, remove_archive])
def test_a_damaged_archive_is_packed_again(
    data: Data, tmp_path: Path, compress: str, damage: Callable[[Data, str], None]
) -> None:
    data.write("data/text", b"again and again\n" * 10_000)
    data.staged(compress=compress)
    name = max(data.archives(), key=data.store.size)
    others = {key: value for key, value in data.archives().items() if key != name}
    damage(data, name)
    snapshot = data.look(compress=compress)
    assert (snapshot.fresh, snapshot.to_pack.archives) == (False, 1)
    data.pack(snapshot)
    assert {key: value for key, value in data.archives().items() if key != name} == others
    (tmp_path / "node").mkdir()
    data.unpack(snapshot, tmp_path / "node")
    assert tree(tmp_path / "node" / "data") == tree(data.scratch / "data")


@pytest.mark.parametrize("length", [0, 1, 20, -1, -3, -8])
def test_a_manifest_that_is_not_whole_counts_for_nothing(data: Data, length: int) -> None:
    manifest = data.staged().manifest
    whole = manifest.read_bytes()
    archives = data.archives()
    manifest.write_bytes(whole[:length])
    snapshot = data.look()
    assert (snapshot.fresh, snapshot.to_pack.archives) == (False, 0)
    data.pack(snapshot)
    assert manifest.read_bytes() == whole
    assert data.archives() == archives


def test_a_set_that_was_cleaned_away_since_it_was_fresh_is_packed_again(data: Data) -> None:
    data.staged()
    fresh = data.look()
    assert fresh.fresh
    for path in (*data.store.sets.iterdir(), *data.store.archives.iterdir()):
        path.unlink()
    data.pack(fresh)
    assert data.look().fresh


def test_a_file_that_was_written_just_now_is_looked_at_again(data: Data) -> None:
    """What is written twice within one tick of the clock looks the same: the tick is waited out."""
    (data.scratch / "data/one").write_bytes(b"a")
    seen = data.look()
    (data.scratch / "data/one").write_bytes(b"b")
    assert data.look().manifest != seen.manifest


def test_a_large_folder_is_read_in_pieces_and_none_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    names = [f"{number:05}" for number in range(4500)]
    for name in names:
        (folder / name).touch()
    (folder / "00500").unlink()
    (folder / "00500").mkdir()
    (folder / "00500" / "inner").touch()
    found = scan(("data",), tmp_path)
    assert [(path, [name for name, _ in rows]) for path, rows in found.folders] == [
        ("data", names),
        ("data/00500", ["inner"]),
    ]


def make_many(folder: Path) -> None:
    for number in range(40):
        below = folder / f"{number % 7}" / f"{number % 3}" / f"{number}"
        below.mkdir(parents=True)
        for name in range(number):
            (below / f"{name}").touch()


def test_a_slow_file_system_gives_the_same_by_many_threads(tmp_path: Path) -> None:
    make_many(tmp_path / "data")
    for number in range(4500):
        (tmp_path / "data" / f"{number:05}").touch()
    at_once = walk._look_below(["data"], Pace(str(tmp_path), entries=2000, seconds=2000.0))
    assert at_once == scan(("data",), tmp_path).folders
    assert sum(len(rows) for _, rows in at_once) == sum(1 for _ in (tmp_path / "data").rglob("*"))


@pytest.mark.parametrize("seconds", [0.0, 2000.0])
def test_a_folder_that_vanishes_while_it_is_looked_at_is_an_error(tmp_path: Path, seconds: float) -> None:
    make_many(tmp_path / "data")
    pace = Pace(str(tmp_path), entries=2000, seconds=seconds)
    with pytest.raises(HpcSubmitError) as caught:
        pace.read_all([("data", None), ("data/nowhere", None), *[("data/1", None)] * 30])
    assert caught.value.message == f"{tmp_path}/data/nowhere changes while it is read"
    assert caught.value.hint == "wait until what writes it has ended, then submit again"


def test_two_processes_find_the_same_as_one(tmp_path: Path) -> None:
    make_many(tmp_path / "data")
    (tmp_path / "data" / os.fsdecode(b"caf\xe9")).touch()
    alone = scan(("data",), tmp_path).folders
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    shared = walk._look_below(["data"], Pace(str(tmp_path), entries=200_000, seconds=1.0))
    worked = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt > before
    assert shared == alone
    assert worked == (Workers.cores() > 1)


def test_a_folder_that_vanishes_for_the_second_process_is_an_error(tmp_path: Path) -> None:
    make_many(tmp_path / "data")
    pace = Pace(str(tmp_path), entries=200_000, seconds=1.0)
    with pytest.raises(HpcSubmitError) as caught:
        pace.read_all([("data", None), ("data/1", None), ("data/nowhere", None), *[("data/1", None)] * 30])
    assert caught.value.message == f"{tmp_path}/data/nowhere changes while it is read"
    assert caught.value.hint == "wait until what writes it has ended, then submit again"


def test_a_file_that_vanishes_while_it_is_looked_at_is_an_error(tmp_path: Path) -> None:
    make_many(tmp_path / "data")
    with pytest.raises(HpcSubmitError, match="changes while it is read"):
        Pace(str(tmp_path)).read_all([("data", ["0", "nowhere"])])
