"""Which folders the cleaning of a node takes: those of this user's jobs that have ended, and no others."""

import os
import shutil
from pathlib import Path

import pytest

from node_disk import AS_ROOT, Node, make_node


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return make_node(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "am",
        "am_",
        "am_.removing",
        "am_x",
        "am_12x",
        "am_12_",
        "am__12",
        "am_12__3",
        "am_12_3_4",
        "am_12.removing.removing",
        "am_12.remove",
        "am_12.removing2",
        "am_-12",
        "am_12 ",
        "am_12\n",
        "am_12\nam_13",
        "am_012",
        "am_\u0661\u0662",
        "amunk_12",
        "amunk",
        "am-12",
        "Am_12",
        "x_am_12",
        ".am_12",
    ],
)
def test_a_folder_of_another_name_stays(node: Node, name: str) -> None:
    node.leaves(name)
    node.leaves("am_99")
    assert [
        line for line in node.cleans() if name in line and "total" not in line and "am_99" not in line
    ] == []
    assert node.names() == {name}


@AS_ROOT
def test_a_folder_of_another_user_stays_even_under_this_users_name(node: Node) -> None:
    for name in ("am_2_7", "am_8"):
        os.chown(node.leaves(name), 65534, 65534)
    assert node.cleans() == ["total: removed 0, kept 0, failed 0, 0 KiB"]
    assert node.names() == {"am_2_7", "am_8"}


def test_a_link_stays_and_so_does_what_it_leads_to(node: Node) -> None:
    elsewhere = node.root / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious").write_text("x")
    (node.base / "am_12").symlink_to(elsewhere)
    (node.base / "am_13.removing").symlink_to(elsewhere)
    (node.leaves("am_14") / "link").symlink_to(elsewhere)
    (node.base / "am_15").write_text("a file")
    node.cleans()
    assert node.names() == {"am_12", "am_13.removing", "am_15"}
    assert (elsewhere / "precious").exists()


@pytest.mark.parametrize(
    "state",
    [
        "PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "CONFIGURING", "REQUEUED", "REQUEUE_HOLD",
        "STAGE_OUT", "NEWLY_NAMED",
    ],
)  # fmt: skip
def test_the_folder_of_a_job_that_has_not_ended_stays(node: Node, state: str) -> None:
    node.leaves("am_12")
    node.squeue_says("12", state)
    assert node.cleans() == [
        f"kept: {node.base}/am_12: job 12 is {state}",
        "total: removed 0, kept 1, failed 0, 0 KiB",
    ]
    assert node.names() == {"am_12"}


@pytest.mark.parametrize(
    "state",
    [
        "COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "BOOT_FAIL", "DEADLINE",
        "PREEMPTED",
    ],
)  # fmt: skip
def test_the_folder_of_a_job_that_slurm_calls_ended_goes(node: Node, state: str) -> None:
    node.leaves("am_12")
    node.squeue_says("12", state)
    node.cleans()
    assert node.names() == set()


def test_a_job_of_which_squeue_says_nothing_at_all_has_just_ended(node: Node) -> None:
    node.leaves("am_12")
    node.squeue_says("12")
    node.cleans()
    assert node.names() == set()


def test_of_an_array_every_task_counts_for_itself(node: Node) -> None:
    node.leaves("am_12_1")
    node.leaves("am_12_2")
    node.squeue_says("12_1", "COMPLETED")
    node.squeue_says("12_2", "RUNNING")
    node.cleans()
    assert node.names() == {"am_12_2"}
    node.leaves("am_12")
    node.squeue_says("12", "COMPLETED", "RUNNING")
    node.cleans()
    assert node.names() == {"am_12", "am_12_2"}


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (1, "slurm_load_jobs error: Unable to contact slurm controller (connect failure)"),
        (1, "slurm_load_jobs error: Socket timed out on send/recv operation"),
        (0, "squeue: error: something new"),
        (127, ""),
        (1, ""),
    ],
)
def test_where_squeue_fails_everything_stays_and_the_log_says_so(node: Node, code: int, said: str) -> None:
    node.leaves("am_12")
    node.leaves("am_13.removing")
    for job in ("12", "13"):
        node.squeue_says(job, *([said] if said else []), code=code)
    reason = said or f"exit code {code}"
    assert node.cleans() == [
        f"kept: {node.base}/am_12: squeue does not tell of job 12: {reason}",
        f"kept: {node.base}/am_13.removing: squeue does not tell of job 13: {reason}",
        "total: removed 0, kept 2, failed 0, 0 KiB",
    ]
    assert node.names() == {"am_12", "am_13.removing"}


def test_without_an_squeue_everything_stays(node: Node) -> None:
    node.leaves("am_12")
    (node.root / "bin" / "squeue").unlink()
    assert "squeue does not tell of job 12" in node.cleans(PATH=f"{node.root}/bin:{tools(node)}")[0]
    assert node.names() == {"am_12"}


def tools(node: Node) -> Path:
    """A folder with the ordinary programs, and without Slurm's, which may be installed here."""
    folder = node.root / "tools"
    folder.mkdir()
    for name in ("bash", "du", "mv", "rm", "find", "chmod", "uname"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def test_a_number_that_slurm_has_not_given_out_yet_is_no_job(node: Node) -> None:
    """Such as a date: folders that users made themselves stay."""
    for name in ("am_20260131", "am_501", "am_500", "am_1000_2"):
        node.leaves(name)
    before = node.names()
    log = node.cleans()
    assert node.names() == before
    assert f"kept: {node.base}/am_20260131: 20260131 is not a job that Slurm has had" in log
    assert log[-1] == "total: removed 0, kept 4, failed 0, 0 KiB"
    assert not (node.root / "squeue.argv").exists()


@pytest.mark.parametrize("id_says", ["exit 1", "echo", "echo 1234; exit 1", "echo a/b"])
def test_an_empty_user_name_is_refused(node: Node, id_says: str) -> None:
    for name in ("_12", "am_12", "1234_5"):
        node.leaves(name)
    before = node.names()
    node.install("id", f"#!/bin/sh\n{id_says}\n")
    log = node.cleans(code=1)
    assert log == ["hpcsubmit: this user has no name on n1, and the folders are known by it"]
    assert node.names() == before


def test_what_a_login_sets_for_squeue_does_not_reach_it(node: Node) -> None:
    node.leaves("am_12")
    node.cleans(SQUEUE_PARTITION="gpu", SQUEUE_STATES="PENDING", SLURM_CLUSTERS="other")
    assert (node.root / "squeue.env").read_text() == ""
    assert "--states=all" in (node.root / "squeue.argv").read_text()
