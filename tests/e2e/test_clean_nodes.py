"""What jobs that were killed hard left on the nodes' own disks goes from all nodes, and nothing else does."""

import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.desk import USER, Desk

STUBBORN = (
    "import os, signal, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "folder = os.environ['SLURM_TMPDIR']\n"
    "open(folder + '/data', 'wb').write(b'x' * 3_000_000)\n"
    "os.mkdir(folder + '/closed', 0o500)\n"
    "print('rank', flush=True)\n"
    "time.sleep(300)\n"
)
PATIENT = (
    "import os, time\n"
    "path = os.environ['SLURM_TMPDIR'] + '/mine'\n"
    "open(path, 'w').write('kept')\n"
    "print('rank', flush=True)\n"
    "while not os.path.exists('go'): time.sleep(0.2)\n"
    "print('read', open(path).read(), flush=True)\n"
)


@pytest.fixture
def desk(plai: Desk) -> Iterator[Desk]:
    plai.empty_node_disks()
    shutil.rmtree(cleanings(plai), ignore_errors=True)
    plai.write("stubborn.py", STUBBORN)
    plai.write("stubborn.txt", "python stubborn.py\n")
    plai.write("patient.py", PATIENT)
    plai.write("patient.txt", "python patient.py\n")
    (plai.project / "go").unlink(missing_ok=True)
    yield plai
    plai.clear()


def cleanings(desk: Desk) -> Path:
    """Where the scripts and logs of cleanings lie."""
    return desk.cluster.shared(f"/scratch/{USER}/hpcsubmit/cleaning")


def start(desk: Desk, configs: str, *argv: str, ranks: int) -> int:
    """Submit, and wait until every rank has begun."""
    job = desk.submit("-C", configs, *argv)
    desk.cluster.wait_running(job, 180)
    deadline = time.monotonic() + 180
    while desk.log(job).count("rank") < ranks:
        assert time.monotonic() < deadline, desk.log(job)
        time.sleep(0.2)
    return job


def leftovers(desk: Desk) -> int:
    """Let a job on two nodes be killed hard; its folder stays on both."""
    job = start(desk, "stubborn.txt", "-g", "1", "-n", "2", "-W", "lightning", ranks=2)
    desk.hpcsubmit("cancel", str(job))
    assert desk.cluster.wait_for_job(job, 180) == "CANCELLED"
    found = [node for node, names in desk.node_local_folders().items() if names]
    assert len(found) == 2, "the keeper was killed with the program, as this test needs it"
    return job


def make(desk: Desk, node: str, name: str, user: str = USER) -> Path:
    """Make a folder on a node's disk with a file in it."""
    folder = desk.cluster.node_disk(node, f"/scratch-ssd/{name}")
    folder.mkdir(mode=0o700)
    (folder / "file").write_bytes(b"x" * 50_000)
    for path in (folder, folder / "file"):
        shutil.chown(path, user, user)
    return folder


def test_leftovers_of_ended_jobs_go_and_everything_else_stays(desk: Desk) -> None:
    ended = leftovers(desk)
    running = start(desk, "patient.txt", ranks=1)
    first = desk.cluster.nodes[0]
    make(desk, first, f"{USER}_{ended}_3.removing")
    stay = [
        make(desk, first, f"{USER}2_{ended}", "researcher2"),
        make(desk, first, f"{USER}_2_{ended}", "researcher2"),
        make(desk, first, f"{USER}_results"),
        make(desk, first, f"{USER}_20261231"),
    ]
    before = desk.node_local_folders()
    listed = desk.hpcsubmit("clean", "nodes", "--dry-run")
    assert (listed.returncode, desk.node_local_folders()) == (0, before), listed.stderr
    assert listed.stdout.count("would remove ") == 2 + (f"{USER}_{ended}" not in before[first])
    assert len(re.findall(rf"/scratch-ssd/{USER}_{ended}(?!\d)", listed.stdout)) == 3
    assert list(cleanings(desk).iterdir()) == [], "all was said: no log is kept"

    done = desk.hpcsubmit("clean", "nodes", "--yes")
    assert done.returncode == 0, done.stderr
    lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
    assert set(lines) == set(desk.cluster.nodes)
    for node, names in before.items():
        gone = [name for name in names if name in (f"{USER}_{ended}", f"{USER}_{ended}_3.removing")]
        if not gone:
            assert lines[node].startswith("nothing to remove")
        else:
            assert lines[node].startswith(f"removed {len(gone)} folder")
            assert " MB freed" in lines[node] or gone == [f"{USER}_{ended}_3.removing"]
        assert (f"job {running} is RUNNING" in lines[node]) == (f"{USER}_{running}" in names)
    left = desk.node_local_folders()
    assert sum(names.count(f"{USER}_{running}") for names in left.values()) == 1
    assert sum(map(len, left.values())) == 1 + len(stay)
    assert all((folder / "file").stat().st_size == 50_000 for folder in stay)

    desk.write("go", "")
    assert desk.cluster.wait_for_job(running, 180) == "COMPLETED"
    assert "read kept" in desk.log(running)


def test_a_node_that_is_down_is_told_and_cleans_itself_when_it_is_back(desk: Desk) -> None:
    first, last = desk.cluster.nodes[0], desk.cluster.nodes[-1]
    job = desk.submit("-C", "stubborn.txt", "-g", "1", "--sbatch-arg=--hold")
    desk.hpcsubmit("cancel", str(job))
    desk.cluster.wait_for_job(job, 180)
    desk.empty_node_disks()
    make(desk, first, f"{USER}_{job}")
    left = make(desk, last, f"{USER}_{job}")
    desk.cluster.stop_daemon(last, "slurmd")  # which would report that it is well
    reported = ["scontrol", "update", f"nodename={last}", "state=down", "reason=test"]
    assert desk.cluster.run(reported, user="root").returncode == 0
    try:
        done = desk.hpcsubmit("clean", "nodes", "--yes", "--wait", "45")
        assert done.returncode == 0, done.stderr
        lines = dict(line.split("  ", 1) for line in done.stdout.splitlines())
        assert lines[first].startswith("removed 1 folder, ")
        assert lines[last].startswith("no answer yet: job ")
        assert " is pending (" in lines[last]
        assert left.exists()
        assert "note: the nodes' own words are, and will be, in /scratch/" in done.stderr

        again = desk.hpcsubmit("clean", "nodes", "--yes", "--wait", "60")
        assert again.returncode == 0, again.stderr
        assert " of an earlier cleaning is pending (" in again.stdout
        queue = desk.cluster.run(["squeue", "--noheader", f"--name={last}-cleanup", "--format=%i"])
        assert len(queue.stdout.split()) == 1
    finally:
        desk.cluster.start_daemon(last, "slurmd")
    deadline = time.monotonic() + 180
    while left.exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)


def test_what_cannot_be_removed_is_an_error_and_what_is_mounted_below_is_safe(desk: Desk) -> None:
    first = desk.cluster.nodes[0]
    job = desk.submit("-C", "stubborn.txt", "-g", "1", "--sbatch-arg=--hold")
    desk.hpcsubmit("cancel", str(job))
    desk.cluster.wait_for_job(job, 180)
    desk.empty_node_disks()
    folder = make(desk, first, f"{USER}_{job}")
    inside = f"/scratch-ssd/{USER}_{job}/home"
    desk.cluster.run(["mkdir", inside], host=first)
    mounted = f"mount -t tmpfs none {inside} && chown {USER}: {inside} && touch {inside}/precious"
    assert desk.cluster.run(["sh", "-c", mounted], host=first, user="root").returncode == 0
    doomed = f"/scratch-ssd/{USER}_{job}.removing"
    try:
        done = desk.hpcsubmit("clean", "nodes", "--yes")
        assert desk.cluster.run(["ls", f"{doomed}/home"], host=first).stdout == "precious\n"
    finally:
        desk.cluster.run(["umount", f"{doomed}/home"], host=first, user="root")
    assert done.returncode == 1, done.stdout
    assert f"could not remove {doomed}: rm: " in done.stdout
    assert not folder.exists()
    done = desk.hpcsubmit("clean", "nodes", "--yes")
    assert done.returncode == 0, done.stdout
    assert f"{first}  removed 1 folder, " in done.stdout  # they answer in any order
    assert not any(desk.node_local_folders().values())


def test_a_partition_is_cleaned_alone(desk: Desk) -> None:
    done = desk.hpcsubmit("clean", "nodes", "--yes", "--partition", "plai-preempt")
    assert done.returncode == 0, done.stderr
    # In the order of their answers.
    assert sorted(done.stdout.splitlines()) == [f"{node}  nothing to remove" for node in desk.cluster.nodes]
    done = desk.hpcsubmit("clean", "nodes", "--yes", "--partition", "nope")
    assert (done.returncode, done.stdout) == (1, "")
    assert "error: the nodes of 'plai' are not known: sinfo" in done.stderr
