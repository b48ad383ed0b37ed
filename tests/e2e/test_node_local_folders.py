"""On a cluster without SLURM_TMPDIR: private on every node, and gone from every node however a job ends."""

import time

import pytest

from e2e.desk import Desk
from e2e.test_training import PROBE


@pytest.fixture
def probe(plai: Desk) -> Desk:
    plai.write("probe.py", PROBE)
    plai.write("probe.txt", "python probe.py\n")
    return plai


def clean(desk: Desk, within: float = 120) -> bool:
    """Whether every node's disks are empty, at the latest after `within` seconds."""
    deadline = time.monotonic() + within
    while any(desk.node_local_folders().values()):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.2)
    return True


def start(desk: Desk, *argv: str, **environ: str) -> int:
    """Submit the probe on two nodes and wait until it has written on both."""
    job = desk.submit("-C", "probe.txt", "-g", "2", "-n", "2", *argv, environ={"NAP": "300"} | environ)
    desk.cluster.wait_running(job, 180)
    deadline = time.monotonic() + 180
    while desk.log(job).count("rank ") < 4:
        assert time.monotonic() < deadline, desk.log(job)
        time.sleep(0.2)
    folders = [found for found in desk.node_local_folders().values() if found]
    assert folders == [[f"researcher_{job}"]] * 2
    return job


def test_nothing_is_left_after_success(probe: Desk) -> None:
    done = probe.hpcsubmit("-C", "probe.txt", "-g", "2", "-n", "2", "--follow")
    assert done.returncode == 0, done.stdout
    assert done.stdout.count("0o700") == 4
    assert clean(probe)
    assert all(line.startswith("rank ") for line in done.stdout.splitlines()), "the clean-up is silent"


def test_nothing_is_left_after_a_failure(probe: Desk) -> None:
    words = ["-C", "probe.txt", "-g", "2", "-n", "2", "--follow"]
    done = probe.hpcsubmit(*words, environ={"FAIL_RANK": "3", "NAP": "60"})
    assert done.returncode == 143
    assert clean(probe)


def test_nothing_is_left_after_scancel(probe: Desk) -> None:
    job = start(probe)
    assert probe.hpcsubmit("cancel", str(job)).stdout == f"cancelled job {job}\n"
    assert clean(probe)
    assert probe.cluster.wait_for_job(job, 180) == "CANCELLED"
    assert "hpcsubmit: Slurm ended the job" in probe.log(job)


def test_nothing_is_left_after_the_time_limit(probe: Desk) -> None:
    words = ["-C", "probe.txt", "-g", "2", "-n", "2", "-t", "1", "--follow"]
    done = probe.hpcsubmit(*words, environ={"NAP": "300"})
    assert done.returncode in (1, 143)  # for Slurm 0:0, or what the script made of its TERM
    assert "is TIMEOUT" in done.stderr
    assert clean(probe)


def test_nothing_is_left_after_a_preemption_and_the_job_runs_again(probe: Desk) -> None:
    job = start(probe, "-p", "plai-preempt")
    output_dir = probe.hpcsubmit("--parsable", "-C", "probe.txt", "-g", "8", "-n", "3")  # wants every GPU
    assert output_dir.returncode == 0, output_dir.stderr
    other = int(output_dir.stdout)
    assert probe.cluster.wait_for_job(other, 300) == "COMPLETED"
    assert probe.cluster.wait_for_job(job, 300) == "COMPLETED"
    assert clean(probe)
    assert probe.log(job).count("rank ") == 8, "the log of the first attempt is kept"


def test_a_program_that_ends_slowly_may_still_write(probe: Desk) -> None:
    probe.write(
        "slow.py",
        "import os, signal, sys, time\n"
        "def save(*_):\n"
        "    time.sleep(0.8)\n"
        "    open(os.environ['SLURM_TMPDIR'] + '/late', 'w').write('x')\n"
        "    print('saved late', flush=True)\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, save)\n"
        "print('rank', flush=True)\n"
        "time.sleep(300)\n",
    )
    probe.write("slow.txt", "python slow.py\n")
    job = probe.submit("-C", "slow.txt", "-g", "2", "-n", "2")
    probe.cluster.wait_running(job, 180)
    deadline = time.monotonic() + 180
    while probe.log(job).count("rank") < 4:
        assert time.monotonic() < deadline, probe.log(job)
        time.sleep(0.2)
    probe.hpcsubmit("cancel", str(job))
    assert clean(probe)
    assert probe.log(job).count("saved late") == 4


def test_a_folder_that_cannot_be_made_stops_the_job_before_the_program(probe: Desk) -> None:
    nodes = [probe.cluster.node_disk(node, "/scratch-ssd") for node in probe.cluster.nodes[:2]]
    for disk in nodes[1:]:
        disk.chmod(0o755)
    try:
        these = f"--sbatch-arg=--nodelist={','.join(probe.cluster.nodes[:2])}"
        done = probe.hpcsubmit("-C", "probe.txt", "-g", "2", "-n", "2", "--follow", these)
    finally:
        for disk in nodes:
            disk.chmod(0o1777)
    assert done.returncode == 1
    assert "rank" not in done.stdout
    assert "could not be made on every node" in done.stdout
    assert clean(probe)
