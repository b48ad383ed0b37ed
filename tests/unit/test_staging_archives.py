"""What is packed and unpacked again, by real tars side by side, is what it was to the last bit."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from hpcsubmit.staging.tar_format import END, FILE, header, header_size, padding
from staged_data import NOBODY, OLD, Data, tree

USERS = {"myself": (), "an ordinary user": NOBODY} if os.geteuid() == 0 else {"myself": ()}


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    (tmp_path / "scratch").mkdir()
    yield Data(tmp_path / "scratch")
    for folder, _, _ in os.walk(tmp_path):  # read-only folders too can be removed
        Path(folder).chmod(0o700)


@pytest.fixture(params=list(USERS))
def node(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, tuple[str, ...]]:
    """An empty folder on a node's disk, and how to become the user who unpacks there."""
    folder = tmp_path / "node"
    folder.mkdir()
    user = USERS[request.param]
    if user:
        os.chown(folder, 65534, 65534)
    return folder, user


def age(folder: Path) -> None:
    """Give folders times of their own, with nanoseconds: the deepest first."""
    for number, (above, _, _) in enumerate(os.walk(folder, topdown=False)):
        os.utime(above, ns=(OLD, OLD + number))


def make_awkward(data: Data) -> None:
    """All that tar finds hard."""
    names = [
        b"-rf",
        b"--help",
        b"a\nb",
        b"a b",
        b"\xff\xfe",
        b"back\\slash",
        "n\u0303 \u00e9".encode(),
        b"'\"$(x)`*",
    ]
    names += [b"x" * 99, b"y" * 100, b"z" * 101, b"\xff" * 155, b"w" * 255]
    for number, name in enumerate(names):
        data.write(f"data/names/{os.fsdecode(name)}", name * 7, mtime_ns=OLD + number)
    deep = "data/" + "/".join("deep" * 20 for _ in range(12))  # 960 bytes
    data.write(f"{deep}/file")
    data.write(f"{deep}/{os.fsdecode(b'{}'.replace(b'{}', b'%e9' * 60))}", b"")
    for number, size in enumerate((0, 1, 511, 512, 513, 65_536, 65_537, 1_000_000, 300_000)):
        data.write(f"data/sizes/{size}", os.urandom(size), mtime_ns=OLD + 7 * number)
    times = (
        0,
        1,
        -1,
        -1_500_000_000,
        10**18,
        999_999_999 * 10**9 + 5,
        2**33 * 10**9,
        8**11 * 10**9 + 1,
        OLD // 10,
    )
    for number, time in enumerate(times):
        data.write(f"data/times/{number}", mtime_ns=time)
    for mode in (0o600, 0o400, 0o755, 0o4755, 0o2755, 0o1644, 0o777):
        data.write(f"data/modes/{mode:o}").chmod(mode)


def make_links_and_folders(data: Data) -> None:
    folder = data.scratch / "data" / "links"
    folder.mkdir(parents=True)
    targets = ("../sizes/512", "/nowhere/at all", "loop", "x" * 100, "y" * 101, "\u00e9" * 600, "a\nb", ".")
    for number, target in enumerate(targets):
        (folder / f"to {number}").symlink_to(target)
        os.utime(folder / f"to {number}", ns=(OLD, OLD + number), follow_symlinks=False)
    (folder / "hard").hardlink_to(data.scratch / "data/sizes/513")
    for name in ("empty", "empty/inner", "closed/empty", "shared"):
        (data.scratch / "data" / name).mkdir(parents=True)
    data.write("data/closed/inner/file")
    data.write("data/shared/file")
    (data.scratch / "data/shared").chmod(0o2775)
    for name in ("closed/inner", "closed/empty", "closed"):
        (data.scratch / "data" / name).chmod(0o555)


def test_every_kind_of_entry_survives_to_the_last_bit(data: Data, node: tuple[Path, tuple[str, ...]]) -> None:
    make_awkward(data)
    make_links_and_folders(data)
    age(data.scratch)
    os.utime(data.scratch / "data", ns=(OLD, OLD))
    before = tree(data.scratch)
    snapshot = data.staged()
    folder, user = node
    data.unpack(snapshot, folder, user)
    after = tree(folder)
    assert {path: after.get(path) for path in before if not path.startswith(b"hpcsubmit")} == after
    assert len(after) == snapshot.inodes > 60
    assert snapshot.files == sum(stat.S_ISREG(mode) for mode, _, _ in after.values())
    assert snapshot.bytes == sum(len(text) for mode, _, text in after.values() if stat.S_ISREG(mode))


def test_archives_that_are_unpacked_side_by_side_share_their_folders(
    data: Data, node: tuple[Path, tuple[str, ...]]
) -> None:
    content = os.urandom(1 << 20)
    for number in range(60):
        data.write(f"data/{number % 3}/{number}", content * 5)
    for number in range(3):
        (data.scratch / "data" / str(number)).chmod(0o555)
    age(data.scratch / "data")
    before = tree(data.scratch)
    snapshot = data.staged()
    assert snapshot.to_pack.archives >= 4
    data.unpack(snapshot, *node)
    assert tree(node[0]) == {path: entry for path, entry in before.items() if path[:4] == b"data"}


def test_the_paths_that_were_named_are_there_and_nothing_else(
    data: Data, node: tuple[Path, tuple[str, ...]]
) -> None:
    for name in ("a/b/c/file", "a/b/other", "a/other", "single", "unnamed"):
        data.write(name)
    (data.scratch / "a" / "link").symlink_to("b/c")
    (data.scratch / "to single").symlink_to("single")
    (data.scratch / "a").chmod(0o750)
    data.unpack(data.staged("a/b/c", "a/link", "to single"), *node)
    found = tree(node[0])
    assert sorted(found) == [b"a", b"a/b", b"a/b/c", b"a/b/c/file", b"a/link", b"a/link/file", b"to single"]
    assert [stat.filemode(found[path][0]) for path in (b"a", b"a/link", b"to single")] == [
        "drwxr-x---",
        stat.filemode((data.scratch / "a/b/c").stat().st_mode),
        "-rw-r--r--",
    ]


def test_a_single_file_needs_no_archive_of_folders(data: Data, node: tuple[Path, tuple[str, ...]]) -> None:
    data.write("single", b"one")
    snapshot = data.staged("single")
    assert (snapshot.to_pack.of, snapshot.inodes, snapshot.room_kib) == (1, 1, 4)
    data.unpack(snapshot, *node)
    assert tree(node[0]).keys() == {b"single"}


def test_an_empty_folder_is_an_archive_of_folders_alone(
    data: Data, node: tuple[Path, tuple[str, ...]]
) -> None:
    (data.scratch / "data").mkdir()
    snapshot = data.staged()
    assert (snapshot.to_pack.of, snapshot.files, snapshot.inodes) == (1, 0, 1)
    data.unpack(snapshot, *node)
    assert tree(node[0]).keys() == {b"data"}


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_compressed_archives_hold_the_same(data: Data, tmp_path: Path, compress: str) -> None:
    data.write("data/text", b"the same again and again\n" * 100_000)
    data.write("data/noise", os.urandom(100_000))
    before = tree(data.scratch)
    snapshot = data.staged(compress=compress)
    assert {Path(name).suffix for name in data.archives()} == {{"gzip": ".gz", "zstd": ".zst"}[compress]}
    (tmp_path / "node").mkdir()
    data.unpack(snapshot, tmp_path / "node")
    assert tree(tmp_path / "node") == before


def test_tar_reads_the_size_of_a_file_above_8_gib(tmp_path: Path) -> None:
    size = 9 << 30
    archive = tmp_path / "large.tar"
    start = header(b"n" * 120, 0o644, size, OLD, FILE)
    with archive.open("wb") as file:  # a hole in place of the content
        file.write(start)
        file.seek(len(start) + size + padding(size))
        file.write(header(b"after", 0o600, 0, OLD, FILE) + END)
    assert len(start) == header_size(120, size, OLD)
    listed = subprocess.run(["tar", "-tvf", archive], capture_output=True, text=True, check=True, timeout=60)
    first, second = listed.stdout.splitlines()
    assert first.split()[2] == str(size)
    assert first.endswith("n" * 120)
    assert second.endswith(" after")
