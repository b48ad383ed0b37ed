"""A job from sbatch to its end: its log, its record, its environment, its node folders, its processes."""

import os
import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from local.embedded import COMMAND, SECONDS, Cluster, lives, until, variables

# Leaves a process behind that has its own session, its own parent and no ear for TERM.
STUBBORN = """
python3 - <<'END'
import os, signal, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        open("pid.part", "w").write(str(os.getpid()))
        os.rename("pid.part", "pid")
        time.sleep(300)
    os._exit(0)
END
while [ ! -e pid ]; do sleep 0.01; done
"""
NOTE_FOLDERS = "srun bash -c 'echo \"$SLURM_TMPDIR\" > $SLURM_TMPDIR/it; cat $SLURM_TMPDIR/it >> folders'\n"


def test_a_job_runs_and_its_output_is_in_its_log(cluster: Cluster) -> None:
    job = cluster.submit("echo out; echo err >&2; pwd", "--job-name=first", '--comment="a \\"b\\" \\\\ c"')
    shown = cluster.end(job)
    assert cluster.log(job) == f"out\nerr\n{cluster.work}\n"
    assert (shown["JobState"], shown["ExitCode"], shown["Reason"]) == ("COMPLETED", "0:0", "None")
    assert (shown["JobName"], shown["Comment"], shown["WorkDir"]) == (
        "first",
        'a "b" \\ c',
        str(cluster.work),
    )
    assert shown["StdOut"] == str(cluster.work / f"{job}.out")


@pytest.mark.parametrize(
    ("body", "code"),
    [("exit 3", "3:0"), ("kill -9 $$", "0:9"), ("exit 137", "137:0"), ("kill -TERM $$", "0:15")],
)
def test_a_failed_job_tells_its_exit_code_as_slurm_does(cluster: Cluster, body: str, code: str) -> None:
    shown = cluster.end(cluster.submit(body))
    assert (shown["JobState"], shown["ExitCode"]) == ("FAILED", code)


def test_sbatch_closes_its_pipes_and_returns_while_the_job_runs_on(cluster: Cluster) -> None:
    script = cluster.script("sleep 600", "--output=%j.out")
    said = cluster.run("sbatch", script)  # subprocess reads both pipes to their ends
    assert said.stdout == "Submitted batch job 1\n"
    assert cluster.show(1)["JobState"] == "RUNNING"


def test_the_batch_script_finds_the_job_in_its_environment(cluster: Cluster) -> None:
    shape = ("--nodes=3", "--ntasks-per-node=2", "--cpus-per-task=4", "--job-name=env")
    stale = {"SLURM_MEM_PER_NODE": "1", "SLURM_TMPDIR": "/stale", "SRUN_CPUS_PER_TASK": "9", "KEPT": "yes"}
    job = cluster.submit("env", *shape, **stale)
    cluster.end(job)
    found = variables(cluster.log(job))
    expected = {
        "SLURM_JOB_ID": str(job),
        "SLURM_JOBID": str(job),
        "SLURM_JOB_NAME": "env",
        "SLURM_JOB_NODELIST": "local[1-3]",
        "SLURM_NODELIST": "local[1-3]",
        "SLURM_JOB_NUM_NODES": "3",
        "SLURM_NNODES": "3",
        "SLURM_NTASKS": "6",
        "SLURM_NPROCS": "6",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_TASKS_PER_NODE": "2(x3)",
        "SLURM_CPUS_PER_TASK": "4",
        "SLURM_CPUS_ON_NODE": "8",
        "SLURM_JOB_CPUS_PER_NODE": "8(x3)",
        "SLURM_GPUS_ON_NODE": "0",
        "SLURM_CLUSTER_NAME": "local",
        "SLURM_SUBMIT_DIR": str(cluster.work),
        "SLURMD_NODENAME": "local1",
        "SLURM_NODEID": "0",
        "SLURM_PROCID": "0",
        "SLURM_LOCALID": "0",
        "SLURM_JOB_PARTITION": "local",
        "GLOO_SOCKET_IFNAME": "lo",
        "TMPDIR": str(cluster.root / "tmp"),
        "KEPT": "yes",
    }
    assert {name: found.get(name) for name in expected} == expected
    assert found["SLURM_TMPDIR"].startswith(str(cluster.root / "tmp"))
    assert not {"SLURM_MEM_PER_NODE", "SRUN_CPUS_PER_TASK"} & set(found)


def test_every_node_has_a_private_folder(cluster: Cluster) -> None:
    job = cluster.submit("srun stat -c '%a %n' \"$SLURM_TMPDIR\"; " + NOTE_FOLDERS + "sleep 300", "--nodes=2")
    folders = [Path(line) for line in until(lambda: _two_lines(cluster.work / "folders"), "two folders")]
    assert sorted(path.name for path in folders) == ["local1", "local2"]
    assert folders[0].parent == folders[1].parent
    assert [oct(path.stat().st_mode & 0o777) for path in cluster.node_folders] == ["0o700", "0o700"]
    assert [(path / "it").read_text().strip() for path in cluster.node_folders] == sorted(map(str, folders))
    cluster.run("scancel", job)


def _two_lines(path: Path) -> list[str]:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines if len(lines) == 2 else []


@pytest.mark.parametrize(
    ("ending", "state", "limit"),
    [
        ("true", "COMPLETED", "10:00"),
        ("exit 1", "FAILED", "10:00"),
        ("kill -9 $$", "FAILED", "10:00"),
        ("sleep 600", "TIMEOUT", "0:08"),  # a slow machine needs some of them for what comes before
    ],
)
def test_the_node_folders_are_gone_however_the_job_ended(
    cluster: Cluster, ending: str, state: str, limit: str
) -> None:
    read_only = "mkdir -p $SLURM_TMPDIR/a/b && touch $SLURM_TMPDIR/a/b/c && chmod -R a-w $SLURM_TMPDIR/a\n"
    job = cluster.submit(NOTE_FOLDERS + read_only + ending, "--nodes=2", f"--time={limit}")
    assert cluster.end(job)["JobState"] == state
    assert len((cluster.work / "folders").read_text().splitlines()) == 2
    assert cluster.node_folders == []


def test_cancel_ends_the_whole_tree_and_removes_the_folders(cluster: Cluster) -> None:
    job = cluster.submit(STUBBORN + "echo ready > ready; sleep 300", "--nodes=2")
    cluster.written(cluster.work / "ready")
    pid = int((cluster.work / "pid").read_text())
    assert lives(pid)
    assert cluster.run("scancel", job).returncode == 0
    shown = cluster.end(job)
    assert shown["JobState"] == "CANCELLED"
    assert not lives(pid)
    assert cluster.node_folders == []
    assert re.search(
        rf"slurmstepd: error: \*\*\* JOB {job} ON local1 CANCELLED AT \S+ \*\*\*", cluster.log(job)
    )


def test_cancel_reaches_the_script_and_every_task_and_waits_for_their_traps(cluster: Cluster) -> None:
    ends = "sleep 0.2; echo task $SLURM_PROCID ends; exit 0"
    cluster.script(f"trap '{ends}' TERM; echo > up.$SLURM_PROCID; sleep 300 & wait", name="task.sh")
    body = "trap 'wait $p; echo script ends; exit 0' TERM\nsrun bash task.sh & p=$!\nwait $p"
    job = cluster.submit(body, "--nodes=2", HPCSUBMIT_LOCAL_KILL_WAIT="100")
    for rank in (0, 1):
        cluster.written(cluster.work / f"up.{rank}")
    cluster.run("scancel", job)
    shown = cluster.end(job)
    assert (shown["JobState"], shown["ExitCode"]) == ("CANCELLED", "0:0")
    lines = cluster.log(job).splitlines()
    assert {"task 0 ends", "task 1 ends", "script ends"} <= set(lines)
    assert lines[-1] == "script ends"


def test_a_job_that_is_being_ended_starts_no_more_steps(cluster: Cluster) -> None:
    body = "trap 'srun echo late; echo rc $?; exit 0' TERM; echo > up; sleep 300 & wait"
    job = cluster.submit(body, HPCSUBMIT_LOCAL_KILL_WAIT="100")  # srun has to start in it
    cluster.written(cluster.work / "up")
    cluster.run("scancel", job)
    cluster.end(job)
    assert f"srun: error: Slurm job {job} has expired" in cluster.log(job)
    assert "rc 1\n" in cluster.log(job)
    assert "late" not in cluster.log(job).splitlines()


def test_the_time_limit_ends_a_job_with_term_then_kill(cluster: Cluster) -> None:
    before = time.monotonic()
    body = "trap 'echo got TERM' TERM; while :; do sleep 0.1; done"
    job = cluster.submit(body, "--time=0:05", HPCSUBMIT_LOCAL_KILL_WAIT="5")
    shown = cluster.end(job)
    assert (shown["JobState"], shown["ExitCode"], shown["Reason"]) == ("TIMEOUT", "0:0", "TimeLimit")
    assert "got TERM" in cluster.log(job)
    assert "DUE TO TIME LIMIT ***" in cluster.log(job)
    assert time.monotonic() - before > 10


def test_what_a_script_leaves_running_ends_with_it(cluster: Cluster) -> None:
    job = cluster.submit(STUBBORN + "srun sleep 300 &\nsleep 300 &\nexit 0")
    assert cluster.end(job)["JobState"] == "COMPLETED"
    assert not lives(int((cluster.work / "pid").read_text()))


def test_the_same_session_can_submit_from_within_a_job(cluster: Cluster) -> None:
    wait = "while [ ! -e go ]; do sleep 0.02; done; echo second > second"
    cluster.script(wait, "--output=second.out", name="second.sh")
    job = cluster.submit("srun sbatch second.sh; squeue -h -o %j-%T")
    assert cluster.end(job)["JobState"] == "COMPLETED"
    assert "Submitted batch job 2" in cluster.log(job)
    assert "second.sh-RUNNING" in cluster.log(job)
    (cluster.work / "go").touch()
    assert cluster.written(cluster.work / "second") == "second\n"
    assert cluster.end(2)["JobState"] == "COMPLETED"


def test_a_killed_runner_is_a_failed_node(cluster: Cluster) -> None:
    job = cluster.submit("srun bash -c 'echo $$ > pid.$SLURM_PROCID; sleep 300'; sleep 300", "--nodes=2")
    tasks = [int(cluster.written(cluster.work / f"pid.{rank}")) for rank in (0, 1)]
    os.kill(int(cluster.show(job)["AllocNode:Sid"].rpartition(":")[2]), signal.SIGKILL)
    assert cluster.end(job)["JobState"] == "NODE_FAIL"
    assert cluster.run("squeue", "-h", "--jobs", job).stdout == ""
    until(lambda: not any(map(lives, tasks)), "the tasks to end without their runner")
    assert cluster.node_folders != []
    cluster.end(cluster.submit("true"))  # the next sbatch puts things in order
    assert cluster.node_folders == []
    assert cluster.show(job)["EndTime"] != "Unknown"


def test_ten_submissions_at_once_get_ten_ids(cluster: Cluster) -> None:
    script = cluster.script("true", "--output=%j.out")
    started = [
        subprocess.Popen(
            (*COMMAND, "sbatch", "--parsable", str(script)),
            cwd=cluster.work,
            env=cluster.environ,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(10)
    ]
    ids = sorted(int(process.communicate(timeout=SECONDS)[0]) for process in started)
    assert ids == list(range(1, 11))
    assert {cluster.end(job)["JobState"] for job in ids} == {"COMPLETED"}


def test_no_secret_of_the_environment_is_written_down(cluster: Cluster) -> None:
    job = cluster.submit("srun true; echo > up; sleep 300", "--nodes=2", WANDB_API_KEY="s3cr3t-k3y")
    cluster.written(cluster.work / "up")
    cluster.run("scancel", job)
    cluster.end(job)
    cluster.at_rest()
    files = [path for path in cluster.root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if b"s3cr3t-k3y" in path.read_bytes()] == []


def test_a_users_modules_do_not_reach_the_stand_ins(cluster: Cluster) -> None:
    for name in ("json", "signal", "dataclasses", "select"):
        (cluster.work / f"{name}.py").write_text("raise SystemExit('the wrong module')\n")
    misled = f"export PYTHONPATH='{cluster.work}' PYTHONHOME=/nowhere"
    job = cluster.submit(f"{misled}\nsrun echo fine; scontrol show hostnames")
    cluster.end(job)
    assert cluster.log(job) == "fine\nlocal1\n"


def test_the_script_is_copied_at_submission(cluster: Cluster) -> None:
    job = cluster.submit("while [ ! -e go ]; do sleep 0.02; done\necho first", name="edited.sh")
    (cluster.work / "edited.sh").write_text("#!/bin/bash\necho second\n")
    (cluster.work / "go").touch()
    cluster.end(job)
    assert cluster.log(job) == "first\n"


def test_a_log_is_appended_to_or_begun_anew(cluster: Cluster) -> None:
    log = cluster.work / "same.out"
    for mode, expected in (("append", "old\nnew\n"), ("truncate", "new\n")):
        log.write_text("old\n")
        cluster.end(cluster.submit("echo new", "--output=same.out", f"--open-mode={mode}"))
        assert log.read_text() == expected


def test_a_log_that_cannot_be_written_is_said_at_once(cluster: Cluster) -> None:
    said = cluster.run("sbatch", cluster.script("true", "--output=missing/%j.out"))
    assert said.returncode == 1
    assert said.stdout == ""
    missing = cluster.work / "missing"
    assert said.stderr == (
        f"sbatch: error: can't write the job's log {missing}/1.out: No such file or directory\n"
        f"hint: make the folder {missing}\n"
    )


def test_a_job_runs_in_the_folder_that_chdir_names(cluster: Cluster) -> None:
    (cluster.work / "elsewhere").mkdir()
    job = cluster.submit("pwd", f"--chdir={cluster.work}/elsewhere", "--output=%j.out")
    cluster.end(job)
    assert (cluster.work / "elsewhere" / f"{job}.out").read_text() == f"{cluster.work}/elsewhere\n"
    said = cluster.run("sbatch", cluster.script("true", "--chdir=/no/such/folder"))
    assert "can't run in /no/such/folder" in said.stderr
