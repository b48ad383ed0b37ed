"""How the cleaning of a node removes folders, what it tells of them, and what its script is like."""

import subprocess
import sys
from pathlib import Path

import pytest

from hpcsubmit.node_answers import Report, parse_report, text_of
from hpcsubmit.values import bytes_text
from node_disk import AS_ROOT, Node, make_node, rendered

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.fixture
def node(tmp_path: Path) -> Node:
    return make_node(tmp_path)


def report_of(log: str) -> Report:
    report = parse_report(log)
    assert report is not None, log
    return report


def test_folders_of_ended_jobs_go_and_their_size_is_told(node: Node) -> None:
    node.leaves("am_12", 300_000)
    node.leaves("am_13_4")
    node.leaves("am_14.removing")
    node.leaves("am_15_6.removing")
    log = node.cleans()
    assert node.names() == set()
    report = report_of("\n".join(log))
    assert [Path(path).name for path, _ in report.folders] == [
        "am_12", "am_13_4", "am_14.removing", "am_15_6.removing",
    ]  # fmt: skip
    assert (report.kept, report.failed) == ((), ())
    assert 300_000 <= report.folders[0][1] < report.size < 500_000
    assert report.size == sum(size for _, size in report.folders)
    asked = [line.split("--jobs=")[1] for line in (node.root / "squeue.argv").read_text().splitlines()]
    assert asked == ["12", "13_4", "14", "15_6"]


def test_a_listing_tells_the_same_and_removes_nothing(node: Node) -> None:
    node.leaves("am_12", 300_000)
    node.leaves("am_13.removing")
    before = node.names()
    listed = node.cleans(listing=True)
    assert node.names() == before
    removed = node.cleans()
    assert [line.replace("would remove", "removed") for line in listed] == removed
    report = report_of("\n".join(listed))
    assert text_of(report, listing=True) == f"would remove 2 folders, {bytes_text(report.size)}"


def test_folders_that_are_closed_go_too(node: Node) -> None:
    folder = node.leaves("am_12", 300_000)
    node.give_to_user(node.base, folder, folder / "sub", folder / "sub" / "sub", folder / "sub" / "data")
    (folder / "sub" / "sub").chmod(0o000)
    (folder / "sub").chmod(0o000)
    folder.chmod(0o500)
    report = report_of(node.run_as_a_user().stdout)
    assert (len(report.folders), report.failed) == (1, ())
    assert report.size >= 300_000
    assert node.names() == set()


@AS_ROOT
def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(node: Node) -> None:
    stubborn, other = node.leaves("am_12", 300_000), node.leaves("am_13", 100_000)
    node.give_to_user(
        node.base, stubborn, other, other / "sub", other / "sub" / "sub", other / "sub" / "data"
    )
    (stubborn / "own").write_bytes(b"x" * 200_000)
    node.give_to_user(stubborn / "own")
    report = report_of(node.run_as_a_user().stdout)
    assert len(report.folders) == 1
    assert report.failed[0].startswith(f"{node.base}/am_12.removing: rm: cannot remove")
    assert 300_000 <= report.size < 330_000, "what is left does not count"
    assert node.names() == {"am_12.removing"}
    assert text_of(report, listing=False).startswith("removed 1 folder, 3")
    assert "; could not remove " in text_of(report, listing=False)


def test_a_folder_and_what_an_earlier_cleaning_left_of_it_both_go(node: Node) -> None:
    node.leaves("am_12", 5000)
    node.leaves("am_12.removing", 5000)
    log = node.cleans()
    assert node.names() == set()
    assert log[-1].startswith("total: removed 2, kept 0, failed 0, ")


def test_a_node_without_the_folder_has_nothing_to_remove(node: Node) -> None:
    node.base.rmdir()
    assert node.cleans() == [f"there is no {node.base} here", "total: removed 0, kept 0, failed 0, 0 KiB"]


def test_a_folder_that_cannot_be_listed_is_an_error(node: Node) -> None:
    node.base.chmod(0o311)
    done = node.run_as_a_user()
    node.base.chmod(0o755)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"hpcsubmit: {node.base} cannot be listed\n"


@pytest.mark.parametrize("listing", [True, False])
def test_the_script_is_clean_for_shellcheck_at_level_style(tmp_path: Path, *, listing: bool) -> None:
    path = tmp_path / "script.sh"
    path.write_text(rendered(Path("/scratch-ssd/it's"), listing=listing))
    done = subprocess.run([str(SHELLCHECK), "--severity=style", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_job_asks_for_little_and_starts_in_a_folder_that_every_node_has() -> None:
    lines = rendered(Path("/scratch-ssd")).splitlines()
    assert lines[0] == "#!/bin/bash"
    assert [line.removeprefix("#SBATCH ") for line in lines if line.startswith("#SBATCH")] == [
        "--time=00-00:05:00",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=1",
        "--mem=200M",
        "--chdir=/",
        "--open-mode=append",
    ]


def test_there_are_no_constructs_newer_than_bash_3_2() -> None:
    text = rendered(Path("/scratch-ssd"))
    for newer in (
        "declare -A",
        "mapfile",
        "readarray",
        "${!name}",
        ",,}",
        "^^}",
        "|&",
        "&>>",
        "local -n",
        "EPOCH",
    ):
        assert newer not in text
