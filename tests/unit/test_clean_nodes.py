"""`hpcsubmit clean nodes`: one short job a node, and one line of what came of each."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcsubmit.host import Host
from hpcsubmit.node_answers import Answer, Report, answers, parse_report, text_of
from hpcsubmit.node_cleaning import Asked
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from sandbox import HPCSUBMIT, Said, Sandbox
from unit.test_question import at_a_terminal

# Stand-ins for Slurm: a job is a file that holds its line of squeue. sbatch runs the script at once, on a
# disk of the node's own, unless the node is named in `down` (the job waits) or in `refused`.
SBATCH = """#!/bin/bash
root={root}
echo "$*" >>"$root/sbatch.argv"
for word; do case $word in
  --nodelist=*) node=${{word#*=}} ;;
  --output=*) log=${{word#*=}} ;;
  --comment=*) comment=${{word#*=}} ;;
esac; script=$word; done
log=${{log//%%/%}}
if grep -qsx "$node" "$root/refused"; then echo 'sbatch: error: invalid account' >&2; exit 1; fi
job=$((100 + $(wc -l <"$root/sbatch.argv")))
state=COMPLETED reason=None
if grep -qsx "$node" "$root/down"; then state=PENDING reason='ReqNodeNotAvail, UnavailableNodes:n3'; fi
echo "Submitted batch job $job"
if [ $state = COMPLETED ]; then
  sed "s#@node#$node#" "$script" >"$root/running.sh"
  SLURM_JOB_ID=$job SLURMD_NODENAME=$node bash "$root/running.sh" >"$log" 2>&1 </dev/null || state=FAILED
fi
echo "$job|$state|$reason|$node|$comment" >"$root/jobs/$job"
"""
SQUEUE = """#!/bin/bash
root={root} jobs=all
for word; do case $word in --jobs=*) jobs=${{word#--jobs=}} ;; --format=%T) field=2 ;; esac; done
cd "$root/jobs" || exit 1
if [ "$jobs" = all ]; then set -- *; else IFS=, read -ra list <<<"$jobs"; set -- "${{list[@]}}"; fi
for job; do
  [ -e "$job" ] || continue
  if [ -n "$field" ]; then cut -d'|' -f2 "$job"; else grep -E '\\|(PENDING|RUNNING)\\|' "$job"; fi
done
exit 0
"""
SCONTROL = """#!/bin/bash
root={root}
case "$1 $2" in
  "show hostnames") eval "echo ${{3/\\[/{{}}" | tr -d ']' | tr ' ' '\\n' ;;
  *) for last; do :; done
     IFS='|' read -r job state _ <"$root/jobs/$last" && echo "JobId=$job JobState=$state ExitCode=0:0" ;;
esac
"""
SINFO = """#!/bin/sh
echo "$*" >>{root}/sinfo.argv
case "$*" in *partition=nope*) ;; *) printf 'n1\\nn1\\nn2\\nn3\\nn3\\n' ;; esac
"""


@dataclass(frozen=True)
class Cluster:
    """A sandbox whose cluster `mine` has the nodes n1, n2 and n3, each with a disk of its own."""

    sandbox: Sandbox

    def disk(self, node: str) -> Path:
        return self.sandbox.root / "disks" / node

    def leaves(self, node: str, name: str, size: int = 0) -> Path:
        folder = self.disk(node) / f"{user()}_{name}"
        folder.mkdir(mode=0o700, parents=True)
        (folder / "data").write_bytes(b"x" * size)
        return folder

    def profile(self, **fields: str) -> None:
        base = self.sandbox.root / "disks" / "@node"
        known = {"slurm_tmpdir": "made", "node_local_base": str(base)}
        text = "".join(f"{name}: {value}\n" for name, value in (known | fields).items())
        self.sandbox.write(text, self.sandbox.root / "home/.config/hpcsubmit/profiles/mine.yaml")

    def mark(self, name: str, *nodes: str) -> None:
        (self.sandbox.root / name).write_text("".join(f"{node}\n" for node in nodes))

    def clean(self, *argv: str, **environ: str) -> Said:
        return self.sandbox.hpcsubmit("clean", "nodes", *argv, environ=self.sandbox.environ | environ)

    def submitted(self) -> list[list[str]]:
        """The words of each call of sbatch."""
        path = self.sandbox.root / "sbatch.argv"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def kept_logs(self) -> list[Path]:
        return sorted((self.sandbox.scratch / "hpcsubmit" / "cleaning").glob("*/*"))


def user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    made = Cluster(sandbox)
    for node in ("n1", "n2", "n3"):
        made.disk(node).mkdir(parents=True)
    (sandbox.root / "jobs").mkdir()
    for name, script in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scontrol", SCONTROL), ("sinfo", SINFO)):
        sandbox.install(name, script.format(root=sandbox.root))
    sandbox.install("sacct", "#!/bin/sh\n")
    made.profile()
    sandbox.environ.update(HPCSUBMIT_CLUSTER="mine")
    return made


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


def refused(cluster: Cluster, *argv: str, code: int = 1, **environ: str) -> tuple[str, str]:
    said = cluster.sandbox.refuses("clean", "nodes", *argv, code=code, **environ)
    return said.error, said.hint


NOTHING = "there is nothing to clean; --cluster NAME means another cluster"


def test_clusters_on_which_nothing_is_left_are_refused(cluster: Cluster) -> None:
    assert refused(cluster, "--yes", "--cluster", "local") == (
        "the nodes of 'local' are this machine, whose jobs remove their own folders", NOTHING,
    )  # fmt: skip
    cluster.profile(slurm_tmpdir="given")
    assert refused(cluster, "--yes") == (
        "'mine' makes SLURM_TMPDIR itself and removes it after every job, however that ends", NOTHING,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'id: no name for user ID 1234' >&2; echo 1234; exit 1", "id: no name for user ID 1234"),
        ("echo", "id -un says nothing"),
        (":", "id -un says nothing"),
    ],
)  # fmt: skip
def test_a_user_without_a_name_is_refused(cluster: Cluster, script: str, said: str) -> None:
    cluster.sandbox.install("id", f"#!/bin/sh\n{script}\n")
    assert refused(cluster, "--yes") == (
        f"this user has no name ({said}), and the folders on the nodes are known by it",
        "log in to the cluster as yourself; if id -un fails there too, tell the site",
    )


def test_nodes_that_are_not_known_are_an_error(cluster: Cluster) -> None:
    hint = "see sinfo for the partitions there are; or name the nodes in the profile, nodes: node[01-12]"
    asked = "sinfo --noheader --Node --format=%N --partition=nope"
    assert refused(cluster, "--yes", "-p", "nope") == (
        f"the nodes of 'mine' are not known: {asked} says nothing", hint,
    )  # fmt: skip
    cluster.sandbox.install("sinfo", "#!/bin/sh\necho 'sinfo: error: no controller' >&2; exit 1\n")
    assert refused(cluster, "--yes")[0].endswith("says sinfo: error: no controller")
    cluster.sandbox.install("sinfo", "#!/bin/sh\necho 'plai]'\n")
    assert refused(cluster, "--yes")[0].endswith("says plai]")


def test_without_sbatch_or_scratch_it_is_refused(cluster: Cluster) -> None:
    assert refused(cluster, "--yes", SCRATCH="")[0] == "SCRATCH is not set"
    (cluster.sandbox.bin / "sbatch").unlink()
    for name in ("id", "sinfo"):
        (cluster.sandbox.bin / name).unlink(missing_ok=True)
    environ = {"PATH": str(cluster.sandbox.bin)}
    assert (
        refused(cluster, "--yes", **environ)[0] == "there is no sbatch on the PATH, and the cluster is 'mine'"
    )


def test_a_wrong_wait_is_refused(cluster: Cluster) -> None:
    for wrong in ("x", "-1", "1.5"):
        assert refused(cluster, "--wait", wrong, code=2)[1] == "write --wait 2, say"


def test_without_a_terminal_it_needs_a_yes(cluster: Cluster) -> None:
    folder = cluster.leaves("n1", "7")
    before = cluster.sandbox.tree()
    said = cluster.clean()
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "nothing is removed without a terminal to ask on"
    assert said.hint == "add --yes to remove what is listed above"
    assert f"{cluster.disk('@node')}/{user()}_JOB" in said.stderr
    assert (cluster.sandbox.tree(), cluster.submitted()) == (before, [])
    assert folder.is_dir()


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_on_a_terminal_it_asks(cluster: Cluster, typed: bytes, code: int) -> None:
    folder = cluster.leaves("n1", "7")
    found, shown = at_a_terminal(cluster.sandbox, "clean", "nodes", typed=typed, question=b"Remove? [y/N]")
    assert (found, folder.exists()) == (code, code == 1), shown
    if code:
        assert b"error: nothing is removed, as you answered\r\n" in shown
        assert b"hint: add --yes to remove without the question\r\n" in shown


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
        _, told = process.communicate(timeout=30)
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


@pytest.mark.parametrize(
    ("argv", "error", "hint"),
    [
        ([], "hpcsubmit clean needs to know what", "write hpcsubmit clean nodes or data or env"),
        (["node"], "hpcsubmit clean does not know 'node'", "did you mean nodes?"),
        (["nodes", "--dry"], "there is no option --dry", "did you mean --dry-run?"),
        (["data", "--al"], "there is no option --al", "did you mean --all?"),
    ],
)
def test_a_wrong_command_line_is_told(sandbox: Sandbox, argv: list[str], error: str, hint: str) -> None:
    said = sandbox.refuses("clean", *argv, code=2)
    assert (said.error, said.hint) == (error, hint)


def test_the_help_lists_what_can_be_cleaned(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("clean", "--help")
    assert said.code == 0
    for name in ("nodes", "data", "env"):
        assert f"\n  {name} " in said.stdout
        assert "--dry-run" in sandbox.hpcsubmit("clean", name, "--help").stdout
