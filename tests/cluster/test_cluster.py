"""The test clusters keep their promises; if one of these fails, no other failure on them means much."""

from __future__ import annotations

import signal
import time
from os import killpg
from typing import TYPE_CHECKING

import pytest

from cluster import slurm_cluster

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from cluster.slurm_cluster import Cluster

_REASON = slurm_cluster.unavailable()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

ACCOUNT = "--account=def-fwood"


@pytest.fixture(scope="module")
def cedar() -> Iterator[Cluster]:
    cluster = slurm_cluster.up("cedar")
    cluster.cancel_all()
    yield cluster
    cluster.cancel_all()


@pytest.fixture(scope="module")
def plai() -> Iterator[Cluster]:
    cluster = slurm_cluster.up("plai")
    cluster.cancel_all()
    yield cluster
    cluster.cancel_all()


def submit(cluster: Cluster, script: str, *options: str) -> str:
    done = cluster.run(
        ("sbatch", "--parsable", "--output=/scratch/researcher/%j.out", *options),
        stdin=f"#!/bin/bash\n{script}\n",
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def output(cluster: Cluster, job_id: str) -> str:
    return _log(cluster, job_id).read_text(encoding="utf-8")


def _log(cluster: Cluster, job_id: str) -> Path:
    return cluster.shared(f"/scratch/researcher/{job_id}.out")


def output_so_far(cluster: Cluster, job_id: str) -> list[str]:
    return output(cluster, job_id).splitlines() if _log(cluster, job_id).exists() else []


def wait_until(reached: Callable[[], bool], seconds: float = 300) -> None:
    end = time.monotonic() + seconds
    while not reached():
        assert time.monotonic() < end, f"not within {seconds} s: {reached}"
        time.sleep(0.1)


def processes(cluster: Cluster, host: str) -> list[str]:
    """The names of the processes there."""
    return cluster.run(("ps", "-e", "-o", "comm="), host=host, user="root").stdout.split()


def wait_for(cluster: Cluster, what: str, *argv: str) -> None:
    wait_until(lambda: what in cluster.run(argv).stdout)


@pytest.fixture(scope="module", autouse=True)
def dead_node(cedar: Cluster) -> Iterator[tuple[str, str]]:
    """Two jobs on cdr4 and a power cut there, ahead of all tests: Slurm takes half a minute to notice."""
    on_it = (ACCOUNT, "--gres=gpu:p100:1", "--open-mode=append")
    lost = submit(cedar, "sleep 900", *on_it, "--no-requeue")
    once = '[ -z "$SLURM_RESTART_COUNT" ] || { echo "restart $SLURM_RESTART_COUNT"; exit; }'
    again = submit(cedar, f"{once}; echo first time; sleep 900", *on_it, "--requeue")
    for job in (lost, again):
        cedar.wait_running(job)
        wait_until(_log(cedar, job).exists)
    wait_until(lambda: output_so_far(cedar, again) == ["first time"])
    cedar.power_cut("cdr4")
    yield lost, again
    cedar.boot("cdr4")


def test_a_login_has_a_clean_environment(
    cedar: Cluster, plai: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SBATCH_ACCOUNT", "of the caller")
    for cluster, cc_cluster in ((cedar, "cedar"), (plai, None)):
        lines = cluster.run(("env",), env={"EXTRA": "a b"}).stdout.splitlines()
        seen = dict(line.split("=", 1) for line in lines)
        assert seen["USER"] == seen["LOGNAME"] == "researcher"
        assert seen["HOME"] == seen["PWD"] == "/home/researcher"
        assert seen["SCRATCH"] == "/scratch/researcher"
        assert seen["EXTRA"] == "a b"
        assert seen.get("CC_CLUSTER") == cc_cluster
        assert "SBATCH_ACCOUNT" not in seen
    assert cedar.run(("hostname",)).stdout == "cedar5\n"
    assert plai.run(("hostname",)).stdout == "borg\n"


def test_commands_take_input_and_report_their_exit(plai: Cluster) -> None:
    done = plai.run(("sh", "-c", "cat; pwd; exit 7"), stdin="hello\n", cwd="/scratch", user="researcher2")
    assert (done.returncode, done.stdout) == (7, "hello\n/scratch\n")
    process = plai.popen(("bash", "-c", "trap 'echo bye; exit 3' INT; echo hi; while :; do sleep 0.1; done"))
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "hi\n"
        killpg(process.pid, signal.SIGINT)
        assert process.communicate(timeout=120)[0] == "bye\n"
    assert process.returncode == 3


def test_a_job_runs_on_several_hosts_with_its_typed_gpus(cedar: Cluster) -> None:
    job = submit(
        cedar,
        "srun bash -c 'echo \"$(hostname) $CUDA_VISIBLE_DEVICES\"'",
        ACCOUNT,
        "--nodes=3",
        "--ntasks-per-node=1",
        "--gres=gpu:v100l:2",
    )
    assert cedar.wait_for_job(job) == "COMPLETED"
    assert sorted(output(cedar, job).splitlines()) == ["cdr1 0,1", "cdr2 0,1", "cdr3 0,1"]


def test_gpus_have_types_on_one_cluster_only(cedar: Cluster, plai: Cluster) -> None:
    ask = (
        "srun",
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gres=gpu:3",
        "bash",
        "-c",
        "hostname; env | grep CUDA_V",
    )
    done = plai.run(ask)
    lines = sorted(done.stdout.split())
    assert lines[:2] == ["CUDA_VISIBLE_DEVICES=0,1,2"] * 2
    assert len({*lines[2:]}) == 2
    typed = ("sbatch", "--parsable", "--gres=gpu:v100l:1", "--wrap=true")
    assert plai.run(typed).returncode == 1
    assert cedar.run((*typed, ACCOUNT, "--test-only")).returncode == 0


def test_slurm_tmpdir_is_on_every_node_of_cedar_and_goes_with_the_job(cedar: Cluster) -> None:
    job = submit(
        cedar,
        "srun bash -c 'cd \"$SLURM_TMPDIR\" && pwd && hostname > name && cat name'\n"
        'ls "$SLURM_TMPDIR"; while [ ! -e "/scratch/researcher/seen.$SLURM_JOB_ID" ]; do sleep 0.1; done',
        ACCOUNT,
        "--nodes=2",
        "--ntasks-per-node=1",
        "--gres=gpu:v100l:1",
    )
    cedar.wait_running(job)
    folder = f"/localscratch/researcher.{job}.0"
    wait_until(lambda: "name" in output_so_far(cedar, job))
    hosts = [node for node in cedar.nodes if cedar.node_disk(node, folder).exists()]
    assert len(hosts) == 2
    cedar.shared(f"/scratch/researcher/seen.{job}").touch()
    assert cedar.wait_for_job(job) == "COMPLETED"
    assert sorted(output(cedar, job).split()) == sorted([folder, folder, *hosts, "name"])
    assert not any(cedar.node_disk(node, folder).exists() for node in cedar.nodes)


def test_slurm_tmpdir_is_unknown_on_plai(plai: Cluster) -> None:
    assert plai.run(("srun", "bash", "-c", "echo ${SLURM_TMPDIR-none}")).stdout == "none\n"


def test_accounts_are_enforced_on_cedar_only(cedar: Cluster, plai: Cluster) -> None:
    refused = cedar.run(("sbatch", "--account=def-nobody", "--wrap=true"))
    assert refused.returncode == 1
    assert "Invalid account" in refused.stderr
    for account in ("def-fwood", "rrg-kevinlb"):
        assert cedar.run(("sbatch", "--test-only", f"--account={account}", "--wrap=true")).returncode == 0
    assert plai.run(("sbatch", "--test-only", "--wrap=true")).returncode == 0


def test_sacct_and_the_comment_tell_of_a_finished_job(plai: Cluster) -> None:
    job = submit(plai, "exit 7", "--comment=hpcsubmit: of this test", "--job-name=seven")
    assert plai.wait_for_job(job) == "FAILED"
    assert plai.job_state(job) == ("FAILED", "7:0")
    shown = "seven|FAILED|7:0|hpcsubmit: of this test"
    wait_for(plai, shown, "sacct", "-nPX", "-j", job, "-o", "JobName,State,ExitCode,Comment")


def test_a_node_keeps_its_disks_to_itself(plai: Cluster) -> None:
    for folder in ("/scratch-ssd", "/tmp", "/dev/shm", "/var/tmp", "/localscratch"):
        assert plai.run(("touch", f"{folder}/mine"), host="plai1").returncode == 0
        assert plai.run(("test", "-e", f"{folder}/mine"), host="plai1").returncode == 0
        for other in ("plai2", "borg"):
            assert plai.run(("test", "-e", f"{folder}/mine"), host=other).returncode == 1
    assert plai.node_disk("plai1", "/scratch-ssd/mine").exists()
    assert plai.run(("ls", "-A", f"{slurm_cluster.STATE}/clusters"), user="root", host="plai2").stdout == ""
    for folder in ("/home/researcher", "/scratch/researcher", "/project/def-fwood"):
        assert plai.run(("touch", f"{folder}/ours"), host="plai1").returncode == 0
        assert plai.run(("test", "-e", f"{folder}/ours"), host="plai2").returncode == 0
        assert plai.shared(f"{folder}/ours").exists()


def test_nothing_leads_out_of_the_clusters(cedar: Cluster, plai: Cluster) -> None:
    assert plai.run(("ip", "route", "show", "default"), host="plai1").stdout == ""
    done = plai.run(("bash", "-c", "exec 3<>/dev/tcp/10.77.0.10/6817"), host="plai1")
    assert "Network is unreachable" in done.stderr
    # A slurmd that starts something is two of them for a moment; those of all nodes would stay more.
    wait_until(lambda: processes(plai, "plai1").count("slurmd") == 1)


def test_a_job_on_the_preemptible_partition_makes_way(plai: Cluster) -> None:
    weak = submit(plai, "sleep 900", "--partition=plai-preempt", "--nodes=3", "--exclusive", "--requeue")
    plai.wait_running(weak)
    strong = submit(plai, "true", "--nodes=3", "--exclusive")
    assert plai.wait_for_job(strong) == "COMPLETED"
    wait_for(plai, "Restarts=1", "scontrol", "show", "job", weak)
    plai.run(("scancel", weak))
    assert plai.wait_for_job(weak) == "CANCELLED"


def test_a_daemon_that_is_killed_stays_down_until_it_is_started(cedar: Cluster) -> None:
    cedar.kill_daemon("cdr1", "slurmd")
    # What it had just forked to start something has its name until then.
    wait_until(lambda: "slurmd" not in processes(cedar, "cdr1"))
    cedar.start_daemon("cdr1", "slurmd")
    assert cedar.run(("srun", ACCOUNT, "--nodelist=cdr1", "hostname")).stdout == "cdr1\n"


def test_a_power_cut_ends_a_job_or_sends_it_to_the_queue(cedar: Cluster, dead_node: tuple[str, str]) -> None:
    lost, again = dead_node
    with pytest.raises(slurm_cluster.ClusterError):
        cedar.start_daemon("cdr4", "slurmd")
    assert cedar.wait_for_job(lost) == "NODE_FAIL"
    assert cedar.job_state(again)[0] not in slurm_cluster.FINAL_STATES
    cedar.boot("cdr4")
    assert cedar.wait_for_job(again) == "COMPLETED"
    assert output(cedar, again) == "first time\nrestart 1\n"
    assert cedar.run(("srun", ACCOUNT, "--nodelist=cdr4", "hostname")).stdout == "cdr4\n"
