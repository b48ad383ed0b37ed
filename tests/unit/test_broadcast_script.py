"""A broadcast in real bash: what it needs of a node's disk, and when that is looked at."""

import gzip
import os
import re
import subprocess
import tarfile
from pathlib import Path
from typing import NamedTuple

import pytest

from golden.cases import script
from hpcsubmit.node_disks import Load
from hpcsubmit.staging.store import Archive, Manifest

MIB = 1 << 20
# One node, whose disk is a folder. df says what FREE says; the others tell of their calls.
STANDINS = {
    "srun": """#!/bin/bash
while case $1 in -*) ;; *) false ;; esac; do shift; done
case "$*" in *'unpack_here drop'*) echo "unpack ${*: -3:1}" >>"$CALLS" ;; esac
SLURMD_NODENAME=n1 exec "$@"
""",
    "sbcast": '#!/bin/bash\necho "send ${1##*/}" >>"$CALLS"\nexec cp "$1" "$2"\n',
    "df": """#!/bin/bash
case $1 in -Pk) free=$FREE ;; *) free=99999 ;; esac
printf 'head\\ndisk 1 1 %s 1%%\\n' "$free"
""",
}


class Node(NamedTuple):
    """A node and the archives of a set, some bytes in each and a folder in the last."""

    root: Path
    sizes: tuple[int, ...]
    room: int

    @property
    def load(self) -> Load:
        return Load(self.room, self.sizes)

    @property
    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def stage_in(self, transfer: str, free: int) -> subprocess.CompletedProcess[str]:
        """Run the part of a script that brings data; free: KiB on the node's disk."""
        whole = script("cedar_data_and_results")
        parts = (
            re.search(r"\nfail\(\) \{.*?(?=\ntell_how_it_ended)", whole, re.DOTALL),
            re.search(r"\nnow\(\) \{.*?(?=\n# ---- What the program finds)", whole, re.DOTALL),
            re.search(r"\n# ---- What comes to every node.*?(?=\nstage_in data)", whole, re.DOTALL),
        )
        # A round is 256 MiB at least; here it is 1 MiB.
        text = "".join(part[0] for part in parts if part).replace("262144", "1024")
        assert "268435456" in text
        text = text.replace("268435456", str(MIB))
        call = f"stage_in data {self.root}/set.manifest {self.root}/archives . {transfer}\n"
        environ = {
            "PATH": f"{self.root}/bin:{os.environ['PATH']}",
            "SLURM_TMPDIR": f"{self.root}/disk",
            "SLURM_JOB_NUM_NODES": "1",
            "SLURMD_NODENAME": "n1",
            "CALLS": f"{self.root}/calls",
            "FREE": str(free),
        }
        return subprocess.run(
            ["bash", "-c", f"set -euo pipefail\n{text}\n{call}"],
            env=environ,
            capture_output=True,
            text=True,
            timeout=120,
        )


def node_with(root: Path, *mebibytes: float) -> Node:
    """A node and a set of files that are as large as this."""
    for name in ("bin", "disk", "archives", "datasets"):
        (root / name).mkdir()
    for name, text in STANDINS.items():
        (root / "bin" / name).write_text(text)
        (root / "bin" / name).chmod(0o755)
    archives = []
    for number, size in enumerate((*mebibytes, None)):
        name = "datasets" if size is None else f"datasets/{number}"
        if size is not None:
            (root / name).write_bytes(b"x" * int(size * MIB))
        path = root / "archives" / f"{number}.tar"
        members = (
            ["datasets"] if size is None else ["datasets", name]
        )  # each makes its own folders: see shards
        with tarfile.open(path, "w") as archive:
            for member in members:
                archive.add(root / member, member, recursive=False)
        archives.append(Archive(path.name, path.stat().st_size, len(members)))
    room = int(sum(mebibytes) * 1024) + 8
    (root / "set.manifest").write_text(Manifest(room, len(archives), tuple(archives)).text())
    return Node(root, tuple(archive.size for archive in archives), room)


def test_what_a_broadcast_needs_besides_is_two_rounds_or_everything() -> None:
    def inbox(room: int, *mebibytes: int) -> int:
        """In MiB, as room is."""
        return Load(room * 1024, tuple(size * MIB for size in mebibytes)).inbox // 1024

    assert inbox(600, 600) == 600, "a single file is one round"
    assert inbox(100, 50, 50) == 100
    assert inbox(1000, *[100] * 10) == 512, "a round is 256 MiB at least"
    assert inbox(8000, *[100] * 80) == 2000, "and an eighth of the data where that is more"
    assert inbox(8000, 1500, *[100] * 65) == 3000, "and as large as the largest archive"
    assert inbox(0) == 0, "nothing is known yet"


@pytest.mark.parametrize(
    ("mebibytes", "two_rounds"),
    [
        ((3,), None),
        ((0.5, 3, 0.5), None),
        ((0.1,), None),
        ((0.5,) * 12, 2 * MIB),
        ((0.5,) * 32, 4 * MIB + 2048),
    ],
    ids=["one", "one of them", "small", "many", "more"],
)
def test_room_is_looked_at_before_anything_is_sent_and_is_what_the_plan_says(
    tmp_path: Path, mebibytes: tuple[float, ...], two_rounds: int | None
) -> None:
    node = node_with(tmp_path, *mebibytes)
    inbox = two_rounds // 1024 if two_rounds else node.load.inbox
    needed = node.room + inbox
    done = node.stage_in("broadcast", needed - 1)
    assert done.returncode == 1
    asked, free = -(-needed // 977), (needed - 1) // 977
    assert (
        f"hpcsubmit: n1: {asked} MB are needed on its disk, and {free} MB are free: "
        f"--data-transfer direct needs {-(-node.room // 977)} MB\n"
    ) in done.stderr
    assert node.calls == []
    done = node.stage_in("broadcast", needed)
    assert done.returncode == 0, done.stderr
    found = sorted(path.stat().st_size for path in (tmp_path / "disk" / "datasets").iterdir())
    assert found == sorted(int(size * MIB) for size in mebibytes)
    assert [path.name for path in (tmp_path / "disk").iterdir()] == ["datasets"], "the inbox is gone"


@pytest.mark.parametrize("transfer", ["direct", "broadcast"])
def test_the_reason_that_gzip_gives_is_told(tmp_path: Path, transfer: str) -> None:
    node = node_with(tmp_path, 0.1)
    whole = tmp_path / "archives" / "0.tar"
    content = bytearray(
        gzip.compress(whole.read_bytes(), 0)
    )  # stored, as files are where headers alone are compressed
    content[len(content) // 2] ^= 1
    (tmp_path / "archives" / "0.lean.tar.gz").write_bytes(content)
    manifest = tmp_path / "set.manifest"
    line = manifest.read_text().splitlines()[1]
    manifest.write_text(manifest.read_text().replace(line, f"0.lean.tar.gz {len(content)} 2"))
    done = node.stage_in(transfer, 99999)
    assert done.returncode == 1
    assert re.search(
        r"^hpcsubmit: n1: 0\.lean\.tar\.gz: (gzip|pigz): .*(crc|corrupted)", done.stderr, re.MULTILINE
    ), done.stderr


def test_a_single_large_file_is_there_twice_for_a_while_and_once_where_each_node_reads_it(
    tmp_path: Path,
) -> None:
    node = node_with(tmp_path, 3)
    assert node.load.inbox * 1024 == pytest.approx(sum(node.sizes), abs=1024)
    assert node.stage_in("direct", node.room).returncode == 0
    said = node.stage_in("direct", node.room - 1).stderr
    assert f"n1: {-(-node.room // 977)} MB are needed on its disk, and " in said
    assert "--data-transfer" not in said


def test_no_round_is_larger_than_what_the_room_was_reckoned_for(tmp_path: Path) -> None:
    node = node_with(tmp_path, 0.4, 0.4, 0.4, 2, 0.4, 1.5)
    assert node.stage_in("broadcast", 99999).returncode == 0
    calls = [call.split() for call in node.calls]
    rounds = [name for what, name in calls if what == "unpack"]
    assert [name for what, name in calls if what == "send"] == [f"{number}.tar" for number in range(7)]
    # A round ends where the next archive would make it larger than the largest, of 2 MiB.
    assert rounds == ["2.tar", "3.tar", "6.tar"]


@pytest.mark.parametrize(
    ("whole", "damaged"),
    [("end 3\n", ""), ("end 3\n", "end\n"), ("end 3\n", "end 2\n"), ("\n0.tar ", "\nend 3\n0.tar ")],
    ids=["cut short", "no count", "another count", "too early"],
)
def test_a_list_that_is_not_whole_brings_nothing(tmp_path: Path, whole: str, damaged: str) -> None:
    node = node_with(tmp_path, 0.1, 0.1)
    manifest = tmp_path / "set.manifest"
    text = manifest.read_text()
    assert text.count(whole) == 1
    manifest.write_text(text.replace(whole, damaged))
    done = node.stage_in("direct", 99999)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"hpcsubmit: data: {manifest} is not whole: submit again\n"
    assert list((tmp_path / "disk").iterdir()) == []
