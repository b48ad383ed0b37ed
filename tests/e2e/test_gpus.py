"""What is free on the nodes of the real clusters."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from e2e.desk import Desk


def nodes(desk: Desk) -> dict[str, dict[str, Any]]:
    """What `hpcsubmit gpus --cluster` says of each node."""
    done = desk.hpcsubmit("gpus", "--cluster", "--json")
    assert done.returncode == 0, done.stderr
    return {each["node"]: each for each in json.loads(done.stdout)["nodes"]}


def scontrol(desk: Desk, *words: str) -> None:
    assert desk.cluster.run(("scontrol", *words), user="root").returncode == 0


@pytest.fixture
def drained(desk: Desk) -> Iterator[str]:
    """A node that an administrator has taken out of service."""
    node = desk.cluster.nodes[1]
    scontrol(desk, "update", f"nodename={node}", "state=drain", "reason=a test")
    yield node
    scontrol(desk, "update", f"nodename={node}", "state=resume")


def test_what_jobs_use_and_what_is_out_of_service_is_not_free(desk: Desk, drained: str) -> None:
    first = desk.cluster.nodes[0]
    account = ("--account=def-fwood",) if desk.cluster.name == "cedar" else ()
    words = ("--gres=gpu:2", f"--nodelist={first}", "--output=/dev/null", "--wrap=sleep 600")
    job = desk.cluster.run(("sbatch", "--parsable", *account, *words)).stdout.strip()
    desk.cluster.wait_running(job, 180)
    found = nodes(desk)
    assert sorted(found) == sorted(desk.cluster.nodes), "each node once, in however many partitions it is"
    busy, out = found[first], found[drained]
    assert (busy["used"], busy["free"], busy["state"]) == (2, busy["total"] - 2, "mixed")
    assert (out["used"], out["free"], out["state"]) == (0, 0, "drained")
    kinds = {"v100l", "p100"} if desk.cluster.name == "cedar" else {None}
    assert {each["type"] for each in found.values()} == kinds
    assert len(busy["partitions"]) == (4 if desk.cluster.name == "cedar" else 2)


def test_the_table_ends_with_the_sum_of_each_type(desk: Desk) -> None:
    done = desk.hpcsubmit("gpus", "--cluster")
    assert done.returncode == 0, done.stderr
    _, sums = done.stdout.split("\n\n")
    total = {"cedar": {"v100l": "12", "p100": "4"}, "plai": {"-": "24"}}[desk.cluster.name]
    assert {line.split()[0]: line.split()[1] for line in sums.splitlines()[1:]} == total


def test_a_login_node_without_gpus_says_so(desk: Desk) -> None:
    done = desk.hpcsubmit("gpus")
    assert (done.returncode, done.stdout.startswith("no GPU on this machine: ")) == (0, True)
    assert done.stderr == "note: hpcsubmit gpus --cluster shows those of the cluster's nodes\n"


def test_a_controller_that_is_down_is_said_in_sinfos_words(plai: Desk) -> None:
    plai.cluster.stop_daemon(plai.cluster.control, "slurmctld")
    try:
        done = plai.hpcsubmit("gpus", "--cluster")
    finally:
        plai.cluster.start_daemon(plai.cluster.control, "slurmctld")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(
        "error: sinfo failed (exit code 1): slurm_load_partitions: Unable to contact "
    )
