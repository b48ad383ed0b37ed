"""`hpcsubmit clean nodes`: one short job a node, and one line of what came of each."""

import os
import signal
import subprocess
from pathlib import Path

import pytest

from hpcsubmit.host import Host
from hpcsubmit.node_answers import Answer, Report, answers, parse_report, text_of
from hpcsubmit.node_cleaning import Asked
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from sandbox import HPCSUBMIT, Sandbox
from small_cluster import Cluster, make_cluster


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    return make_cluster(sandbox)


def test_every_node_gets_one_job_and_one_line(cluster: Cluster) -> None:
    cluster.leaves("n1", "7", 2_000_000)
    cluster.leaves("n1", "8_1.removing")
    cluster.leaves("n3", "9")
    said = cluster.clean("--yes")
    lines = said.stdout.splitlines()
    assert said.code == 0, said
    assert lines[0] == "n1  removed 2 folders, 2.0 MB freed"
    assert lines[1] == "n2  nothing to remove"
    assert lines[2].startswith("n3  removed 1 folder, ")
    assert [list(cluster.disk(node).iterdir()) for node in ("n1", "n2", "n3")] == [[], [], []]
    assert len(cluster.submitted()) == 3
    assert cluster.kept_logs() == [], "all was said: nothing of it is left"


def test_a_dry_run_lists_every_folder_and_removes_nothing(cluster: Cluster) -> None:
    folder = cluster.leaves("n2", "7", 2_000_000)
    said = cluster.clean("--dry-run")
    assert said.code == 0, said
    lines = said.stdout.splitlines()
    assert [line.split("  ", 1)[0] for line in lines if not line.startswith(" ")] == ["n1", "n2", "n3"]
    assert lines[1:3] == ["n2  would remove 1 folder, 2.0 MB", f"      {folder}  2.0 MB"]
    assert folder.is_dir()
    assert "about to list what your jobs that have ended left" in said.stderr


def test_each_job_is_for_one_node_and_small(cluster: Cluster) -> None:
    cluster.profile(account="def-a", partition="gpu")
    assert cluster.clean("--yes").code == 0
    assert cluster.submitted()[1][:4] == ["--job-name=n2-cleanup", "--comment=hpcsubmit", "clean", "nodes"]
    assert "--nodelist=n2" in cluster.submitted()[1]
    script = (cluster.sandbox.root / "running.sh").read_text()
    options = [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]
    assert options[:4] == ["--account=def-a", "--partition=gpu", "--time=00-00:05:00", "--nodes=1"]
    assert (
        cluster.sandbox.root / "sinfo.argv"
    ).read_text() == "--noheader --Node --format=%N --partition=gpu\n"


def test_account_and_partition_can_be_asked_for(cluster: Cluster) -> None:
    assert cluster.clean("--yes", "-a", "def-b", "-p", "big").code == 0
    script = (cluster.sandbox.root / "running.sh").read_text()
    assert "#SBATCH --account=def-b\n#SBATCH --partition=big\n" in script
    cluster.profile(uses_accounts="false", memory_option="none", sbatch_args="[--qos=low]")
    said = cluster.clean("--yes", "-a", "def-b")
    script = (cluster.sandbox.root / "running.sh").read_text()
    assert "note: --account is ignored: 'mine' has no accounts" in said.stderr
    assert "--account" not in script
    assert "--mem" not in script
    assert "#SBATCH --qos=low\n" in script


def test_the_profiles_nodes_are_asked_and_with_a_partition_its_own(cluster: Cluster) -> None:
    cluster.profile(nodes="n[1-2]")
    said = cluster.clean("--yes")
    assert said.stdout.splitlines() == ["n1  nothing to remove", "n2  nothing to remove"]
    assert not (cluster.sandbox.root / "sinfo.argv").exists()
    assert len(cluster.clean("--yes", "-p", "gpu").stdout.splitlines()) == 3


def test_a_node_that_does_not_answer_is_told_and_not_asked_twice(cluster: Cluster) -> None:
    cluster.mark("down", "n3")
    cluster.leaves("n1", "7")
    said = cluster.clean("--yes", "--wait", "1")
    assert said.code == 0, said
    lines = said.stdout.splitlines()
    assert lines[0].startswith("n1  removed 1 folder")
    pending = "is pending (ReqNodeNotAvail, UnavailableNodes:n3)"
    assert lines[2] == f"n3  no answer yet: job 103 {pending}"
    assert [path.name for path in cluster.kept_logs()] == ["n1.log", "n2.log", "script.sh"]
    assert f"note: the nodes' own words are, and will be, in {cluster.kept_logs()[0].parent}" in said.stderr

    said = cluster.clean("--yes", "--wait", "1")
    assert said.stdout.splitlines()[0] == f"n3  no answer yet: job 103 of an earlier cleaning {pending}"
    assert len(cluster.submitted()) == 5, "n3 has one job"
    assert "n3" in cluster.clean("--dry-run", "--wait", "0").stdout
    assert len(cluster.submitted()) == 8, "a listing is another question"


def test_a_node_that_is_refused_does_not_stop_the_others(cluster: Cluster) -> None:
    cluster.mark("refused", "n1")
    cluster.leaves("n2", "7")
    said = cluster.clean("--yes")
    assert said.code == 1
    lines = said.stdout.splitlines()
    assert lines[0] == "n1  no job: sbatch refused the job (exit code 1): sbatch: error: invalid account"
    assert lines[1].startswith("n2  removed 1 folder")


def test_where_sbatch_takes_no_job_it_is_one_error_and_nothing_is_left(cluster: Cluster) -> None:
    cluster.mark("refused", "n1", "n2", "n3")
    said = cluster.clean("--yes")
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "sbatch refused the job (exit code 1): sbatch: error: invalid account"
    assert said.hint == "see whether --account and --partition are right here"
    assert cluster.kept_logs() == []


def test_what_could_not_be_removed_is_exit_code_1_and_its_log_is_kept(cluster: Cluster) -> None:
    folder = cluster.leaves("n1", "7")
    cluster.sandbox.install("rm", "#!/bin/sh\necho \"rm: cannot remove 'x': Busy\" >&2; exit 1\n")
    said = cluster.clean("--yes")
    assert said.code == 1
    doomed = folder.with_name(f"{folder.name}.removing")
    told = f"n1  nothing removed; could not remove {doomed}: rm: cannot remove 'x': Busy"
    assert said.stdout.splitlines()[0] == told
    assert "n1.log" in [path.name for path in cluster.kept_logs()]


def test_what_is_kept_is_told_with_its_reason(cluster: Cluster) -> None:
    folder = cluster.leaves("n1", "7")
    (cluster.sandbox.root / "jobs" / "7").write_text("7|RUNNING|None|n1|r\n")
    said = cluster.clean("--yes")
    assert said.code == 0
    assert said.stdout.splitlines()[0] == f"n1  nothing to remove; kept {folder}: job 7 is RUNNING"
    assert folder.is_dir()


def test_ctrl_c_stops_the_waiting_and_the_jobs_go_on(cluster: Cluster) -> None:
    cluster.mark("down", "n3")
    with subprocess.Popen(
        [*HPCSUBMIT, "clean", "nodes", "--yes"],
        cwd=cluster.sandbox.project,
        env=cluster.sandbox.environ | {"PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert [process.stdout.readline() for _ in range(2)][1] == "n2  nothing to remove\n"
        process.send_signal(signal.SIGINT)
        _, told = process.communicate(timeout=120)
    assert process.returncode == 130
    folder = cluster.kept_logs()[0].parent
    assert f"the jobs go on; what they did will be in {folder}\n" in told
    assert "PENDING" in (cluster.sandbox.root / "jobs" / "103").read_text()


def test_a_job_that_says_nothing_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    for name, text in (("n1", "slurmstepd: error: no space\n\n"), ("n2", None), ("n3", "total: removed x\n")):
        if text is not None:
            (tmp_path / f"{name}.log").write_text(text)
    (tmp_path / "squeue").write_text("#!/bin/sh\n")
    states = "case $4 in 1) s=FAILED ;; 2) s=TIMEOUT ;; *) exit 1 ;; esac"
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\n{states}\necho "JobId=$4 JobState=$s ExitCode=1:0"\n')
    (tmp_path / "sacct").write_text("#!/bin/sh\n")
    for name in ("squeue", "scontrol", "sacct"):
        (tmp_path / name).chmod(0o755)
    environ = {"PATH": f"{tmp_path}:{os.defpath}"}
    asked = [Asked(f"n{n}", JobId(number=n), tmp_path / f"n{n}.log") for n in (1, 2, 3)]
    slurm = Scheduler(host=Host(environ=environ), environ=environ)
    found = list(answers(asked, slurm, seconds=0, listing=False, settle=0))
    log = tmp_path / "n1.log"
    assert found == [
        Answer("n1", f"failed: job 1 is FAILED: slurmstepd: error: no space (see {log})", failed=True),
        Answer("n2", f"failed: job 2 is TIMEOUT: and wrote nothing to {tmp_path / 'n2.log'}", failed=True),
        Answer("n3", "no answer yet: job 3 is unknown to the scheduler", pending=True),
    ]


def test_of_a_job_that_began_again_the_last_attempt_counts() -> None:
    first = (
        "removed 4 KiB: /d/u_1\nkept: /d/u_2: job 2 is RUNNING\ntotal: removed 1, kept 1, failed 0, 4 KiB\n"
    )
    again = "slurmstepd: error: *** JOB 3 CANCELLED ***\nremoved 8 KiB: /d/u_2\n"
    total = "total: removed 1, kept 0, failed 0, 8 KiB\n"
    assert parse_report(first) == Report(4096, (("/d/u_1", 4096),), ("/d/u_2: job 2 is RUNNING",), ())
    assert parse_report(first + again + total) == Report(8192, (("/d/u_2", 8192),), (), ())
    assert parse_report(again) is None
    assert parse_report("") is None


def test_a_long_list_of_reasons_is_cut_short() -> None:
    report = Report(0, (), tuple(f"/d/u_{n}: job {n} is RUNNING" for n in range(5)), ())
    text = text_of(report, listing=False)
    assert text.startswith("nothing to remove; kept /d/u_0: job 0 is RUNNING; /d/u_1")
    assert text.endswith("; /d/u_2: job 2 is RUNNING; and 2 more")
