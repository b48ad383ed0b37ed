"""Packing: right or not at all, whatever ends it, and once however many submissions want it."""

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.staging.shards import Shard
from staged_data import NOBODY, OLD, Data, Told, tree

LARGE = 129 << 20  # bytes of a file that has an archive for itself


@pytest.fixture
def data(tmp_path: Path) -> Iterator[Data]:
    data = Data(tmp_path / "scratch")
    for number in range(20):
        data.write(f"data/{number:02}", os.urandom(3000))
    yield data
    for path in (tmp_path / "scratch").rglob("*"):
        if path.is_file() and path.stat().st_size >= LARGE:
            path.unlink()  # pytest keeps temporary folders for a while


def make_large(data: Data, count: int) -> None:
    """Files with an archive each, all holes: quick to make, and a while to pack."""
    for number in range(count):
        os.truncate(data.write(f"data/large{number}"), LARGE)
    time.sleep(0.05)  # so that they are not as new as the clock's last tick


def refused(data: Data, *words: str, compress: str = "none") -> tuple[str, str]:
    """The error of a staging that must leave nothing that counts."""
    with pytest.raises(HpcSubmitError) as caught:
        data.staged(*words, compress=compress, compressors=["gzip", "zstd"])
    nothing_counts(data)
    return caught.value.message, caught.value.hint


def nothing_counts(data: Data) -> None:
    assert list(data.store.manifests()) == []
    assert list(data.store.unfinished.glob("*")) == []


def test_what_the_archives_take_is_known_before_they_are_packed(data: Data) -> None:
    make_large(data, 1)
    before = data.look()
    data.pack(before)
    after = data.look()
    assert after.fresh
    assert after.sizes == before.sizes
    assert len(before.sizes) == 3, "the large file, the others and the folders"
    assert LARGE < max(before.sizes) < LARGE + 10_000


@pytest.mark.parametrize("name", ["data/07", "data/large0"])
def test_a_file_that_is_edited_between_the_scan_and_the_packing_is_an_error(data: Data, name: str) -> None:
    make_large(data, 1)
    snapshot = data.look()
    with (data.scratch / name).open("r+b") as file:
        file.write(b"x")
    with pytest.raises(HpcSubmitError) as caught:
        data.pack(snapshot)
    assert caught.value.message == f"{data.scratch / name} changes while it is read"
    assert caught.value.hint == "wait until what writes it has ended, then submit again"
    nothing_counts(data)


@pytest.mark.parametrize("size", [0, 10, 2999, 3001])
@pytest.mark.parametrize("name", ["data/07", "data/large0"])
def test_a_file_of_another_size_is_an_error(data: Data, name: str, size: int) -> None:
    make_large(data, 1)
    snapshot = data.look()
    os.truncate(data.scratch / name, size)
    with pytest.raises(HpcSubmitError, match="changes while it is read"):
        data.pack(snapshot)
    nothing_counts(data)


def make_link(path: Path) -> None:
    path.symlink_to("00")


def make_nothing(path: Path) -> None:
    assert not path.exists()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, make_link, make_nothing])
@pytest.mark.parametrize("name", ["data/07", "data/large0"])
def test_what_takes_a_files_place_is_an_error_and_holds_nobody_up(
    data: Data, name: str, make: Callable[[Path], None]
) -> None:
    make_large(data, 1)
    snapshot = data.look()
    (data.scratch / name).unlink()
    make(data.scratch / name)
    with pytest.raises(HpcSubmitError) as caught:
        data.pack(snapshot)
    assert caught.value.message == f"{data.scratch / name} changes while it is read"
    nothing_counts(data)


def test_a_symlink_that_leads_elsewhere_by_now_is_an_error(data: Data) -> None:
    link = data.scratch / "data/link"
    link.symlink_to("00")
    snapshot = data.look()
    link.unlink()
    link.symlink_to("01")
    with pytest.raises(HpcSubmitError) as caught:
        data.pack(snapshot)
    assert caught.value.message == f"{link} changes while it is read"


def test_a_set_that_was_fresh_and_is_gone_with_its_data_changed_is_an_error(data: Data) -> None:
    data.staged()
    snapshot = data.look()
    snapshot.manifest.unlink()
    data.write("data/more")
    with pytest.raises(HpcSubmitError) as caught:
        data.pack(snapshot)
    assert caught.value.message == f"{data.scratch / 'data'} changes while it is read"


STAGE = """
import os, sys, time
from pathlib import Path
from hpcsubmit.host import Host
from hpcsubmit.staging.pack import pack
from hpcsubmit.staging.sample import Transfer
from hpcsubmit.staging.snapshot import look

class Told:
    steps = 0
    def advanced(self, done, total):
        self.steps += 1
        print(f"packing {self.steps}", flush=True)
        if self.steps == int(sys.argv[3]):
            sys.stdin.read(1)
    def waits(self):
        print("waiting", flush=True)

host = Host(os.environ)
snapshot = look(["data"], Path(sys.argv[1]), compress=sys.argv[2], compressors=[], host=host)
print("seen", flush=True)
pack(snapshot, host=host, transfer=Transfer(100), progress=Told())
print("packed", flush=True)
"""
"""What a submission does, in a process of its own; at one step it waits for its input, or for its end."""


def start(
    data: Data, compress: str = "none", user: tuple[str, ...] = (), *, stops_at: int = 0
) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*user, sys.executable, "-P", "-c", STAGE, data.scratch, compress, str(stops_at)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(process: subprocess.Popen[str], line: str) -> None:
    assert process.stdout is not None
    for found in process.stdout:
        if found == f"{line}\n":
            return
    pytest.fail(f"{line!r} was never said: {process.communicate()[1]}")


def wait_until_all_have_ended(group: int) -> None:
    """Until no process of a session is left: workers end by themselves when their parent was killed."""
    deadline = time.monotonic() + 120
    while any(f" {group} {group} " in seen for seen in stats()):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def stats() -> Iterator[str]:
    """The group and session of every process that is not dead."""
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = path.read_text(errors="replace").rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] != "Z":
            yield f" {fields[2]} {fields[3]} "


@pytest.mark.parametrize("step", [1, 2, 5, 15])
@pytest.mark.parametrize("compress", ["none", "gzip"])
def test_a_packing_that_is_killed_leaves_nothing_that_is_used(
    data: Data, tmp_path: Path, step: int, compress: str
) -> None:
    make_large(data, 2)
    killed = start(data, compress, stops_at=step)
    wait_for(killed, f"packing {step}")
    killed.kill()
    killed.communicate(timeout=120)
    wait_until_all_have_ended(killed.pid)
    assert list(data.store.manifests()) == []
    snapshot = data.look(compress=compress)
    sizes = {shard.key + ".tar": shard.size for shard in snapshot.shards}
    assert [name for name in data.archives() if sizes.get(name, -1) not in (-1, data.store.size(name))] == []
    data.pack(snapshot)
    (tmp_path / "node").mkdir()
    data.unpack(snapshot, tmp_path / "node")
    assert tree(tmp_path / "node" / "data") == tree(data.scratch / "data")


def test_ctrl_c_ends_all_workers_and_leaves_no_unfinished_file(data: Data) -> None:
    make_large(data, 2)
    interrupted = start(data, stops_at=2)
    wait_for(interrupted, "packing 2")
    os.killpg(interrupted.pid, signal.SIGINT)
    _, errors = interrupted.communicate(timeout=120)
    assert errors.rstrip().endswith("KeyboardInterrupt")
    wait_until_all_have_ended(interrupted.pid)
    nothing_counts(data)
    data.staged()


def children() -> set[int]:
    """The children of this process, also those that other tests have left."""
    return set(map(int, (Path("/proc/self/task") / str(os.getpid()) / "children").read_text().split()))


@dataclass
class KillsAWorker(Told):
    """Kills a worker when the packing has begun."""

    others: set[int] = field(default_factory=children)

    def advanced(self, done: int, total: int) -> None:
        if not self.steps:
            os.kill(min(children() - self.others), signal.SIGKILL)
        super().advanced(done, total)


def test_a_worker_that_is_killed_is_an_error(data: Data) -> None:
    make_large(data, 2)
    with pytest.raises(HpcSubmitError) as caught:
        Data(data.scratch, told=KillsAWorker()).staged()
    assert caught.value.message == "a process that packs data was killed"
    assert (
        caught.value.hint == "the machine may be short of memory: see what 'free -m' says, then submit again"
    )
    nothing_counts(data)


@pytest.mark.parametrize("count", [2, 20])
def test_submissions_at_once_pack_each_archive_once(data: Data, count: int) -> None:
    make_large(data, 1)
    processes = [start(data) for _ in range(count)]
    said = [process.communicate(timeout=300) for process in processes]
    assert [errors for _, errors in said if errors] == []
    assert [out.splitlines()[-1] for out, _ in said] == ["packed"] * count
    assert sum("packing 1\n" in out for out, _ in said) == 1
    assert list(data.store.unfinished.iterdir()) == []


def test_a_second_submission_tells_that_it_waits(data: Data) -> None:
    make_large(data, 2)
    first = start(data, stops_at=1)
    wait_for(first, "packing 1")
    second = start(data)
    assert second.stdout is not None
    assert [second.stdout.readline() for _ in range(2)] == ["seen\n", "waiting\n"]
    assert first.communicate("\n", timeout=120)[1] == ""
    assert second.communicate(timeout=120) == ("packed\n", "")


def test_progress_ends_with_all_bytes(data: Data) -> None:
    snapshot = data.staged()
    assert data.told.steps[0] == (0, snapshot.to_pack.bytes)
    assert data.told.steps[-1] == (snapshot.to_pack.bytes, snapshot.to_pack.bytes)
    assert data.told.steps == sorted(data.told.steps)


def test_a_changed_file_makes_only_its_own_archive_anew(data: Data) -> None:
    make_large(data, 2)
    data.staged()
    before = data.archives()
    data.write("data/07", b"other")
    snapshot = data.staged()
    after = data.archives()
    assert (snapshot.to_pack.archives, snapshot.to_pack.of) == (1, 4)
    assert {name: after[name] for name in before} == before
    assert len(after) == len(before) + 1


def test_sets_share_their_archives(data: Data) -> None:
    make_large(data, 2)
    os.utime(data.scratch / "data", ns=(OLD, OLD))
    data.staged("data")
    assert data.look("data/large0").to_pack.archives == 1, "its folder has another time: that of the file"
    assert data.look("data/00", "data/large0").to_pack.archives == 1, "the first one's time is the folder's"


def test_the_store_is_its_owners_alone(data: Data) -> None:
    data.staged()
    found = (data.store.folder, *data.store.folder.rglob("*"))
    assert {oct(path.stat().st_mode & 0o777) for path in found} == {"0o700", "0o600"}


def test_a_file_that_may_not_be_read_is_an_error() -> None:
    """In a folder that an ordinary user can reach, which root becomes: pytest's own are closed."""
    user = NOBODY if os.geteuid() == 0 else ()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = Data(Path(folder) / "scratch")
        secret = data.write("data/no\nsecret")
        secret.chmod(0)
        if user:
            os.chown(data.scratch, 65534, 65534)
        _, errors = start(data, user=user).communicate(timeout=120)
        nothing_counts(data)
    said = errors.splitlines()[-1]
    assert said.endswith(f"HpcSubmitError: {str(secret)!r} cannot be read: Permission denied")


def test_a_folder_that_may_not_be_read_is_an_error() -> None:
    user = NOBODY if os.geteuid() == 0 else ()
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        data = Data(Path(folder) / "scratch")
        data.write("data/closed/file")
        (data.scratch / "data/closed").chmod(0)
        for words in ("data", "data/closed"):
            asked = [
                *user,
                sys.executable,
                "-P",
                "-c",
                STAGE.replace('"data"', repr(words)),
                data.scratch,
                "none",
                "0",
            ]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=120)
            said = f"HpcSubmitError: {data.scratch}/data/closed cannot be read: Permission denied"
            assert done.stderr.splitlines()[-1].endswith(said)
        (data.scratch / "data/closed").chmod(0o700)


def test_a_store_that_cannot_be_written_is_an_error(data: Data) -> None:
    data.write("hpcsubmit/data", b"a file in its place")
    message, hint = refused(data)
    assert message.startswith(f"{data.store.folder} could not be written: ")
    assert hint == "check the space left, your quota and the permissions there, then submit again"


def test_a_full_disk_is_an_error(data: Data, tmp_path: Path) -> None:
    """The limit of a file's size stands in for the disk's: the system refuses the write in the same place."""
    make_large(data, 1)
    snapshot = data.look()
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (LARGE // 2, before[1]))
    try:
        with pytest.raises(HpcSubmitError) as caught:
            data.pack(snapshot)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert caught.value.message.startswith(f"{data.store.archives}/")
    assert caught.value.message.endswith(".tar could not be written: File too large")
    assert (
        caught.value.hint == "check the space left, your quota and the permissions there, then submit again"
    )
    nothing_counts(data)


def test_an_error_that_nobody_expects_comes_back_with_its_traceback(data: Data) -> None:
    snapshot = data.look()
    wrong = [shard._replace(pieces=((),)) for shard in snapshot.shards]  # type: ignore[arg-type]
    assert isinstance(wrong[0], Shard)
    with pytest.raises(RuntimeError, match="AttributeError"):
        data.pack(snapshot._replace(shards=tuple(wrong)))
    nothing_counts(data)


def test_text_is_compressed_where_that_is_faster_and_noise_never(data: Data, tmp_path: Path) -> None:
    data.write("text/file", b"the same words again, and again\n" * 20_000)
    data.write("noise/file", os.urandom(500_000))
    tools = ["gzip", "zstd"]
    cases = {
        ("auto", "text", 100): ".zst",
        ("auto", "text", 2000): ".tar",  # the file system is faster than any decompressor
        ("auto", "noise", 100): ".tar",
        ("zstd", "text", 2000): ".zst",
        ("gzip", "text", 2000): ".gz",
        ("zstd", "noise", 100): ".tar",
        ("gzip", "noise", 100): ".tar",
        ("none", "text", 100): ".tar",
    }
    for compress, path, read_rate in cases:
        fresh = Data(tmp_path / f"{compress}-{path}-{read_rate}")
        fresh.scratch.mkdir()
        (data.scratch / path).rename(fresh.scratch / path)
        manifest = fresh.pack(fresh.look(path, compress=compress, compressors=tools), read_rate)
        assert Path(manifest.archives[0].name).suffix == cases[compress, path, read_rate], (compress, path)
        (fresh.scratch / path).rename(data.scratch / path)


def test_auto_takes_what_the_nodes_unpack(data: Data) -> None:
    data.write("text", b"the same words again, and again\n" * 20_000)
    suffixes = {
        tuple(tools): Path(
            data.pack(data.look("text", compress="auto", compressors=tools)).archives[0].name
        ).suffix
        for tools in ([], ["gzip"], ["zstd"], ["gzip", "zstd"])
    }
    assert suffixes == {(): ".tar", ("gzip",): ".gz", ("zstd",): ".zst", ("gzip", "zstd"): ".zst"}


def test_auto_keeps_its_choice_without_another_sample(data: Data, tmp_path: Path) -> None:
    data.write("data/text", b"the same words again, and again\n" * 20_000)
    make_large(data, 2)
    data.staged(compress="auto", compressors=["zstd"])
    data.write("data/more", b"some more")
    snapshot = data.look(compress="auto", compressors=["zstd"])
    assert (snapshot.suffix, snapshot.to_pack.archives, snapshot.to_pack.of) == (".tar.zst", 2, 4)
    assert data.look(compress="auto", compressors=["gzip"]).suffix is None


@pytest.mark.parametrize("compress", ["gzip", "zstd"])
def test_a_compressor_that_is_not_there_is_an_error_unless_nothing_is_to_pack(
    data: Data, tmp_path: Path, compress: str
) -> None:
    poor = Data(data.scratch, Host({"PATH": str(tmp_path)}))
    message, hint = refused(poor, compress=compress)
    assert message == f"--data-compress {compress}: there is no {compress} on the PATH"
    assert hint == f"install {compress} or load its module, or use --data-compress auto"
    assert not data.store.folder.exists()
    data.staged(compress=compress)
    assert poor.look(compress=compress).fresh


@pytest.mark.parametrize(
    "what", ["exit 3", "cat >/dev/null; [ -s /proc/self/fd/1 ] || exit 3", "read line; exit 3"]
)
def test_a_compressor_that_fails_is_an_error(data: Data, tmp_path: Path, what: str) -> None:
    data.write("data/text", b"the same words again, and again\n" * 20_000)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "zstd").write_text(f"#!/bin/sh\n{what}\n")
    (tmp_path / "bin" / "zstd").chmod(0o755)
    poor = Data(data.scratch, Host({"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}))
    message, hint = refused(poor, compress="zstd")
    assert message == "zstd ended with exit code 3"
    assert hint == "see its line above; or use --data-compress none"


def test_a_compressor_that_fails_at_an_archive_is_an_error(data: Data, tmp_path: Path) -> None:
    """It compresses the sample, and not what comes after."""
    data.write("data/text", b"the same words again, and again\n" * 20_000)
    (tmp_path / "bin").mkdir()
    script = f"#!/bin/sh\n[ ! -e {tmp_path}/once ] || exit 4\n: >{tmp_path}/once\nhead -c 1000\n"
    (tmp_path / "bin" / "zstd").write_text(script)
    (tmp_path / "bin" / "zstd").chmod(0o755)
    poor = Data(data.scratch, Host({"PATH": f"{tmp_path}/bin:/usr/bin:/bin"}))
    assert refused(poor, compress="zstd")[0] == "zstd ended with exit code 4"
