"""The script that cleans a node, run by a real bash in a folder, with an squeue that answers as Slurm's."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from golden.cases import shipped
from hpcsubmit.node_answers import parse_report, text_of
from hpcsubmit.node_cleaning import plan_cleaning
from hpcsubmit.render import render_script
from hpcsubmit.values import bytes_text

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SQUEUE = """#!/bin/bash
# Stands in for squeue: a file for each job holds what is said of it, and its first line the exit code.
root={root}
echo "$*" >>"$root/squeue.argv"
env | grep -E '^(SQUEUE|SLURM_CLUSTERS)' >>"$root/squeue.env"
for word; do case $word in --jobs=*) job=${{word#--jobs=}} ;; esac; done
[ -e "$root/jobs/$job" ] || {{ echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }}
{{ read -r code; cat >&"$(((code > 0) + 1))"; }} <"$root/jobs/$job"
exit "$code"
"""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")
ID = "#!/bin/sh\necho am\n"


@dataclass(frozen=True)
class Node:
    """A node's disk, what squeue says of jobs, and the programs that stand in for those of a node."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        return self.root / "scratch ssd"

    def leaves(self, name: str, size: int = 0) -> Path:
        """Make a folder as a job would leave it, with something inside."""
        folder = self.base / name
        (folder / "sub" / "sub").mkdir(parents=True)
        (folder / "sub" / "data").write_bytes(b"x" * size)
        folder.chmod(0o700)
        return folder

    def squeue_says(self, job: str, *lines: str, code: int = 0) -> None:
        (self.root / "jobs").mkdir(exist_ok=True)
        (self.root / "jobs" / job).write_text("\n".join([str(code), *lines, ""]))

    def install(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def names(self) -> set[str]:
        return {path.name for path in self.base.iterdir()}

    def cleans(self, *, listing: bool = False, code: int = 0, **environ: str) -> list[str]:
        """Run the script; return the lines of its log."""
        script = self.root / "script.sh"
        script.write_text(rendered(self.base, listing=listing))
        done = subprocess.run(
            ["bash", str(script)],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stderr if code == 0 else "") == (code, ""), done
        return (done.stdout + done.stderr).splitlines()


def rendered(base: Path, *, listing: bool = False) -> str:
    cleaning = plan_cleaning(
        shipped("plai"), ["n1"], Path("/scratch/am"), user="am", account="", partition="", listing=listing
    )
    return render_script("clean_nodes.sbatch.j2", None, cleaning=cleaning._replace(base=str(base)))


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A node of user `am`, on which job 500 cleans; squeue has forgotten every job."""
    made = Node(tmp_path)
    for folder in ("bin", "jobs", "scratch ssd"):
        (tmp_path / folder).mkdir()
    made.install("squeue", SQUEUE.format(root=tmp_path))
    made.install("id", ID)
    made.environ.update(PATH=f"{tmp_path}/bin:/usr/bin:/bin", SLURM_JOB_ID="500", SLURMD_NODENAME="n1")
    yield made
    shutil.rmtree(tmp_path, ignore_errors=True)


@pytest.mark.parametrize("listing", [True, False])
def test_the_script_is_clean_for_shellcheck_at_level_style(tmp_path: Path, *, listing: bool) -> None:
    path = tmp_path / "script.sh"
    path.write_text(rendered(Path("/scratch-ssd/it's"), listing=listing))
    done = subprocess.run([str(SHELLCHECK), "--severity=style", str(path)], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


def test_folders_of_ended_jobs_go_and_their_size_is_told(node: Node) -> None:
    node.leaves("am_12", 300_000)
    node.leaves("am_13_4")
    node.leaves("am_14.removing")
    node.leaves("am_15_6.removing")
    log = node.cleans()
    assert node.names() == set()
    report = parse_report("\n".join(log))
    assert report is not None
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
    report = parse_report("\n".join(listed))
    assert report is not None
    assert text_of(report, listing=True) == f"would remove 2 folders, {bytes_text(report.size)}"


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


def as_a_user(node: Node) -> list[str]:
    """Run the script as an ordinary user: root may remove what it cannot read."""
    script = node.root / "script.sh"
    script.write_text(rendered(node.base))
    for path in (node.root, node.root.parent, node.root.parent.parent):
        path.chmod(path.stat().st_mode | 0o711)
    for path in (node.root, node.root / "jobs"):
        path.chmod(0o777)
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    done = subprocess.run(
        [*setpriv, "bash", str(script)], env=node.environ, capture_output=True, text=True, timeout=60
    )
    assert done.stderr == "", done
    return done.stdout.splitlines()


def give_to_user(*paths: Path) -> None:
    for path in paths:
        if os.geteuid() == 0:
            os.chown(path, 65534, 65534)


def test_folders_that_are_closed_go_too(node: Node) -> None:
    folder = node.leaves("am_12", 300_000)
    give_to_user(node.base, folder, folder / "sub", folder / "sub" / "sub", folder / "sub" / "data")
    (folder / "sub" / "sub").chmod(0o000)
    (folder / "sub").chmod(0o000)
    folder.chmod(0o500)
    log = as_a_user(node)
    report = parse_report("\n".join(log))
    assert report is not None
    assert (len(report.folders), report.failed) == (1, ())
    assert report.size >= 300_000
    assert node.names() == set()


@AS_ROOT
def test_what_cannot_be_removed_is_told_and_the_rest_is_removed(node: Node) -> None:
    stubborn, other = node.leaves("am_12", 300_000), node.leaves("am_13", 100_000)
    give_to_user(node.base, stubborn, other, other / "sub", other / "sub" / "sub", other / "sub" / "data")
    (stubborn / "own").write_bytes(b"x" * 200_000)
    give_to_user(stubborn / "own")
    log = as_a_user(node)
    report = parse_report("\n".join(log))
    assert report is not None
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
    if os.geteuid() == 0:
        node.base.chmod(0o711)
        for path in (node.root, node.root.parent, node.root.parent.parent):
            path.chmod(path.stat().st_mode | 0o711)
    script = node.root / "script.sh"
    script.write_text(rendered(node.base))
    setpriv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]
    done = subprocess.run(
        [*(setpriv if os.geteuid() == 0 else []), "bash", str(script)],
        env=node.environ, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"hpcsubmit: {node.base} cannot be listed\n"


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
