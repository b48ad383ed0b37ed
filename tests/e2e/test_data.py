"""Data on every node's own disk: whole, the same everywhere, once per node; or no job at all."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from e2e.desk import PROJECT, USER, Desk
from e2e.node_disks import Entry, tree, write_data
from e2e.test_node_local_folders import clean

# Tells of its node, and stays until it may go, so that the test can look at the node's disk.
PROGRAM = """
import os, pathlib, sys, time
print("running on", os.environ["SLURMD_NODENAME"], flush=True)
go = pathlib.Path(os.environ["SOURCE_DIR"], "go")
end = time.monotonic() + float(os.environ.get("STAY", "0"))
while time.monotonic() < end and not go.exists():
    time.sleep(0.1)
"""


@pytest.fixture
def reader(desk: Desk) -> Iterator[Desk]:
    yield from _reader(desk)


@pytest.fixture
def plai_reader(plai: Desk) -> Iterator[Desk]:
    yield from _reader(plai)


def _reader(desk: Desk) -> Iterator[Desk]:
    """A project with data sets d1 and d2, and a program that waits for the file `go`."""
    _forget(desk)
    desk.write("reader.py", PROGRAM)
    desk.write("reader.txt", "python reader.py\n")
    write_data(desk, "datasets/d1")
    write_data(desk, "datasets/d2", files=3)
    yield desk
    _forget(desk)


def _forget(desk: Desk) -> None:
    desk.cluster.cancel_all(timeout=180)
    (desk.project / "go").unlink(missing_ok=True)
    for name in ("datasets", "hpcsubmit/data"):
        shutil.rmtree(desk.scratch(name), ignore_errors=True)


def words(nodes: int, *argv: str) -> list[str]:
    launcher = ["-W", "torchrun"] if nodes > 1 else []
    return ["-C", "reader.txt", "-n", str(nodes), *launcher, *argv]


def started(desk: Desk, nodes: int, *argv: str) -> int:
    """Submit, and wait until the program waits on every node."""
    job = desk.submit(*words(nodes, *argv), environ={"STAY": "600"})
    deadline = time.monotonic() + 300
    while desk.log(job).count("running on") < nodes:
        assert time.monotonic() < deadline, desk.log(job)
        time.sleep(0.1)
    return job


def on_nodes(desk: Desk, job: int) -> list[dict[str, Entry]]:
    """What the job has on the disk of each of its nodes."""
    folders = [
        desk.cluster.node_disk(node, name)
        for node in desk.cluster.nodes
        for name in (f"/scratch-ssd/{USER}_{job}", f"/localscratch/{USER}.{job}.0")
    ]
    return [tree(folder) for folder in folders if folder.is_dir()]


def end(desk: Desk, job: int) -> None:
    desk.write("go", "")
    assert desk.cluster.wait_for_job(job, 180) == "COMPLETED", desk.log(job)


def archives(desk: Desk) -> list[Path]:
    return sorted(desk.scratch("hpcsubmit/data/archives").iterdir(), key=lambda path: path.stat().st_size)


def packed(desk: Desk) -> None:
    done = desk.hpcsubmit("stage", "datasets")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize(
    ("transfer", "compress"),
    [("direct", "auto"), ("broadcast", "none"), ("broadcast", "headers"), ("auto", "auto")],
)
def test_every_node_has_the_data_as_they_are_on_scratch(reader: Desk, transfer: str, compress: str) -> None:
    nodes = 3  # of cedar's four, one has other GPUs
    how = ("--data-transfer", transfer, "--data-compress", compress)
    job = started(reader, nodes, *how, "--data", "datasets/d1", "datasets/d2")
    found = on_nodes(reader, job)
    on_scratch = tree(reader.scratch())
    expected = {path: entry for path, entry in on_scratch.items() if path.split("/")[0] == "datasets"}
    assert len(expected) > 60
    assert len(found) == nodes
    for each in found:
        above, there = each.pop("datasets"), expected["datasets"]
        assert above.mode == there.mode, "the folder above the data has its mode, and no time of theirs"
        assert each | {"datasets": there} == expected
    end(reader, job)
    assert clean(reader)
    assert reader.log(job).count("hpcsubmit: data: ") == 1, "one line in the log, not one per node or task"
    assert " MB/s" in reader.log(job)


def test_data_of_one_set_are_unpacked_once_per_node_and_not_per_task(plai_reader: Desk) -> None:
    words = ["-C", "reader.txt", "-g", "2", "-n", "2", "--data", "datasets/d1", "--follow"]
    done = plai_reader.hpcsubmit(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("running on") == 4
    assert done.stdout.count("hpcsubmit: data: to each node ") == 1


def test_a_changed_file_reaches_the_nodes_and_an_unchanged_set_is_not_packed_again(plai_reader: Desk) -> None:
    packed(plai_reader)
    before = {path: path.stat().st_mtime_ns for path in archives(plai_reader)}
    first = started(plai_reader, 1, "--data", "datasets")
    assert {path: path.stat().st_mtime_ns for path in archives(plai_reader)} == before
    plai_reader.cluster.run(["sh", "-c", f"echo changed >/scratch/{USER}/gan/datasets/d1/empty"])
    second = started(plai_reader, 1, "--data", "datasets")
    (old,), (new,) = on_nodes(plai_reader, first), on_nodes(plai_reader, second)
    assert new["datasets/d1/empty"] != old["datasets/d1/empty"]
    assert new["datasets/d1/empty"] == tree(plai_reader.scratch())["datasets/d1/empty"]
    end(plai_reader, first)
    end(plai_reader, second)


def test_two_jobs_on_one_node_have_their_own_copies(plai_reader: Desk) -> None:
    here = f"--sbatch-arg=--nodelist={plai_reader.cluster.nodes[0]}"
    jobs = [started(plai_reader, 1, "--data", "datasets/d2", here) for _ in range(2)]
    folders = plai_reader.node_local_folders()[plai_reader.cluster.nodes[0]]
    assert folders == sorted(f"{USER}_{job}" for job in jobs)
    (first,), (second,) = (on_nodes(plai_reader, job) for job in jobs)
    assert first == second
    assert first
    for job in jobs:
        end(plai_reader, job)


def _truncated(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 512)


def _half_written(path: Path) -> None:
    half = path.stat().st_size // 2
    os.truncate(path, half)
    os.truncate(path, 2 * half)


def _other_size_in_a_header(path: Path) -> None:
    content = bytearray(path.read_bytes())
    at = content.index(b"ustar", 1024) - 257 + 124  # the size of the second member
    content[at + 10] ^= 1
    path.write_bytes(content)


def _missing(path: Path) -> None:
    path.unlink()


def _unreadable(path: Path) -> None:
    path.chmod(0)


@pytest.mark.parametrize(
    "damage", [_truncated, _half_written, _other_size_in_a_header, _missing, _unreadable]
)
@pytest.mark.parametrize("transfer", ["direct", "broadcast"])
def test_a_damaged_archive_stops_the_job_before_the_program_and_is_named(
    plai_reader: Desk, damage: Callable[[Path], None], transfer: str
) -> None:
    held = plai_reader.submit(
        *words(2, "--data-transfer", transfer, "--data", "datasets", "--sbatch-arg=--hold")
    )
    damaged = archives(plai_reader)[-1]
    damage(damaged)
    plai_reader.cluster.run(["scontrol", "release", str(held)])
    assert plai_reader.cluster.wait_for_job(held, 180) == "FAILED"
    log = plai_reader.log(held)
    assert "running on" not in log
    assert damaged.name in log
    assert "the program is not started" in log
    assert clean(plai_reader)


def _another_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [_truncated, _half_written, _another_byte])
def test_archives_with_compressed_headers_are_checked_to_the_last_byte(
    plai_reader: Desk, damage: Callable[[Path], None]
) -> None:
    small = plai_reader.scratch("datasets/small")
    small.mkdir()
    for number in range(200):
        (small / str(number)).write_bytes(os.urandom(4096))
    subprocess.run(["chown", "-R", f"{USER}:{USER}", small], check=True)
    held = plai_reader.submit(
        *words(2, "--data-transfer", "broadcast", "--data", "datasets/small", "--sbatch-arg=--hold")
    )
    damaged = archives(plai_reader)[-1]
    assert damaged.name.endswith(".lean.tar.gz")
    damage(damaged)
    plai_reader.cluster.run(["scontrol", "release", str(held)])
    assert plai_reader.cluster.wait_for_job(held, 180) == "FAILED"
    log = plai_reader.log(held)
    assert "running on" not in log
    assert f"{damaged.name}" in log, log
    assert "the program is not started" in log
    assert clean(plai_reader)


@pytest.mark.parametrize(
    ("transfer", "needed"),
    [
        ("direct", "7 MB are needed on its disk, and 2 MB are free"),
        ("broadcast", "14 MB are needed on its disk, and 2 MB are free: --data-transfer direct needs 7 MB"),
    ],
)
def test_a_full_disk_of_one_node_stops_the_job_and_says_what_is_needed(
    plai_reader: Desk, transfer: str, needed: str
) -> None:
    node = plai_reader.cluster.nodes[1]
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=1777", "none", "/scratch-ssd"]
    done = plai_reader.cluster.run(mount, user="root", host=node)
    assert done.returncode == 0, done.stderr
    try:
        argv = words(2, "--data-transfer", transfer, "--data", "datasets")
        job = plai_reader.submit(*argv, f"--sbatch-arg=--nodelist={node}")
        assert plai_reader.cluster.wait_for_job(job, 180) == "FAILED"
    finally:
        plai_reader.cluster.run(["umount", "/scratch-ssd"], user="root", host=node)
    log = plai_reader.log(job)
    assert f"hpcsubmit: {node}: {needed}\n" in log
    assert "running on" not in log
    assert "sbcast" not in log, "the room is looked at before anything is sent"


def test_one_large_file_is_broadcast_to_a_disk_that_holds_it_twice(plai_reader: Desk) -> None:
    node = plai_reader.cluster.nodes[1]
    large = plai_reader.scratch("datasets/large.h5")
    with large.open("wb") as file:
        file.truncate(300 << 20)
    shutil.chown(large, USER, USER)
    mount = ["mount", "-t", "tmpfs", "-o", "size=610m,mode=1777", "none", "/scratch-ssd"]
    assert plai_reader.cluster.run(mount, user="root", host=node).returncode == 0
    try:
        argv = words(2, "--data-transfer", "broadcast", "--data", "datasets/large.h5")
        job = plai_reader.submit(*argv, f"--sbatch-arg=--nodelist={node}")
        assert plai_reader.cluster.wait_for_job(job, 300) == "COMPLETED", plai_reader.log(job)
    finally:
        plai_reader.cluster.run(["umount", "/scratch-ssd"], user="root", host=node)
    assert "hpcsubmit: data: to each node 314.5 MB in " in plai_reader.log(job)


def test_a_node_without_tar_says_so(plai_reader: Desk) -> None:
    node = plai_reader.cluster.nodes[0]
    plai_reader.write("nothing/readme", "no tar here")
    hide = ["mount", "--bind", f"{PROJECT}/nothing/readme", "/usr/bin/tar"]
    assert plai_reader.cluster.run(hide, user="root", host=node).returncode == 0
    try:
        job = plai_reader.submit(*words(1, "--data", "datasets"), f"--sbatch-arg=--nodelist={node}")
        assert plai_reader.cluster.wait_for_job(job, 180) == "FAILED"
    finally:
        plai_reader.cluster.run(["umount", "/usr/bin/tar"], user="root", host=node)
    assert f"hpcsubmit: {node}: this node has no tar" in plai_reader.log(job)


def test_twenty_submissions_at_once_pack_once_and_are_all_right(plai_reader: Desk) -> None:
    line = ["sh", "-c", "hpcsubmit --parsable -C reader.txt --data datasets"]
    line[2] = line[2].replace("hpcsubmit", str(plai_reader.tool))
    running = [plai_reader.cluster.popen(line, cwd=PROJECT) for _ in range(20)]
    said = [process.communicate(timeout=600) for process in running]
    jobs = [int(out) for out, _ in said]
    assert len(set(jobs)) == 20
    assert sum("packed " in err.replace("packed already", "") for _, err in said) == 1
    assert {plai_reader.cluster.wait_for_job(job, 600) for job in jobs} == {"COMPLETED"}
    assert all("hpcsubmit: data: to each node " in plai_reader.log(job) for job in jobs)
    assert list(plai_reader.scratch("hpcsubmit/data/unfinished").iterdir()) == []


def _size(path: Path) -> int:
    """A file's size; 0 for one that has just been moved to its place."""
    with suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def test_a_killed_submission_leaves_nothing_that_the_next_one_uses(plai_reader: Desk) -> None:
    big = plai_reader.scratch("datasets/d1/huge")
    with big.open("wb") as file:
        file.truncate(6 << 30)  # sparse: reading it takes seconds
    shutil.chown(big, USER, USER)
    line = [str(plai_reader.tool), "-C", "reader.txt", "--data", "datasets/d1"]
    with plai_reader.cluster.popen(line, cwd=PROJECT) as process:
        unfinished = plai_reader.scratch("hpcsubmit/data/unfinished")
        deadline = time.monotonic() + 180
        while not any(map(_size, unfinished.glob("*"))):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        itself = "^[^ ]*python[^ ]* [^ ]*hpcsubmit -C reader.txt --data datasets/d1"  # and not its workers
        subprocess.run(["pkill", "-KILL", "-o", "-f", itself], check=True, timeout=60)
        process.communicate(timeout=180)
    assert not list(plai_reader.scratch("hpcsubmit/data/sets").glob("*.manifest"))
    big.unlink()
    job = started(plai_reader, 1, "--data", "datasets/d1")
    (found,) = on_nodes(plai_reader, job)
    expected = tree(plai_reader.scratch("datasets/d1"))
    assert {path: found["datasets/d1/" + path] for path in expected} == expected
    end(plai_reader, job)
