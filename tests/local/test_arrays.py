"""Job arrays: their tasks' numbers, their turns, and each way to end them; as on Slurm 22.05."""

import os
import re
import signal
import subprocess
from collections.abc import Mapping

import pytest

from local.embedded import COMMAND, SECONDS, Cluster, until, variables

WAIT = "echo > up.$SLURM_ARRAY_TASK_ID; while [ ! -e go ]; do sleep 0.02; done"


def runner(shown: Mapping[str, str]) -> int:
    return int(shown["AllocNode:Sid"].rpartition(":")[2])


def test_every_task_has_its_numbers_its_log_and_its_folder(cluster: Cluster) -> None:
    body = "srun env > env.$SLURM_ARRAY_TASK_ID; env; echo x > $SLURM_TMPDIR/mine"
    job = cluster.submit(body, "--array=1,3,7-9:2%2", "--output=%A_%a_%j_%%.out")
    assert cluster.end_of_tasks(job) == {f"{job}_{task}": "COMPLETED" for task in (1, 3, 7, 9)}
    seen = []
    for task, own in ((1, 2), (3, 3), (7, 4), (9, 1)):  # the last that starts has the array's own id
        found = variables((cluster.work / f"{job}_{task}_{own}_%.out").read_text())
        expected = {
            "SLURM_ARRAY_JOB_ID": str(job),
            "SLURM_ARRAY_TASK_ID": str(task),
            "SLURM_ARRAY_TASK_COUNT": "4",
            "SLURM_ARRAY_TASK_MIN": "1",
            "SLURM_ARRAY_TASK_MAX": "9",
            "SLURM_ARRAY_TASK_STEP": "2",
            "SLURM_JOB_ID": str(own),
            "SLURM_JOBID": str(own),
        }
        in_step = variables((cluster.work / f"env.{task}").read_text())
        assert {name: found.get(name) for name in expected} == expected
        assert {name: in_step.get(name) for name in expected} == expected
        seen.append(found["SLURM_TMPDIR"])
    assert len(set(seen)) == 4
    assert cluster.node_folders == []


def test_sbatch_takes_the_array_itself_and_says_what_slurm_says(cluster: Cluster) -> None:
    script = cluster.script("echo $SLURM_ARRAY_TASK_ID", "--array=7", "--output=%a.out")
    said = cluster.run("sbatch", "--array", "1-2", script)
    assert said.stdout == "Submitted batch job 1\n"
    assert cluster.end_of_tasks(1) == {"1_1": "COMPLETED", "1_2": "COMPLETED"}
    said = cluster.run("sbatch", "--array=3-1", script)
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.splitlines()[0] == (
        "sbatch: error: Batch job submission failed: Invalid job array specification"
    )
    assert cluster.run("sbatch", "--parsable", "-a", "1", script).stdout == "3\n"


def test_the_scripts_arguments_are_each_tasks_own(cluster: Cluster) -> None:
    body = 'printf "%s\\n" "$#" "$@"'
    script = cluster.script(body, "--array=1-2", "--output=%a.out")
    arguments = ("2000", "two words", "--parsable", "", "$HOME *")
    said = cluster.run("sbatch", "--parsable", "--array=1-3", script, *arguments)
    assert said.stdout == "1\n", said.stderr
    cluster.end_of_tasks(1)
    assert [cluster.log(task) for task in (1, 2, 3)] == ["5\n" + "".join(f"{a}\n" for a in arguments)] * 3
    assert cluster.show("1_2")["Command"].startswith(f"{script} 2000 two words")


def test_a_single_jobs_script_has_its_arguments_too(cluster: Cluster) -> None:
    script = cluster.script('echo "$# $1"', "--output=%j.out")
    assert cluster.run("sbatch", script, "41").stdout == "Submitted batch job 1\n"
    cluster.end(1)
    assert cluster.log(1) == "1 41\n"
    without = cluster.submit('echo "$#"', "--output=%j.out")
    cluster.end(without)
    assert cluster.log(without) == "0\n"


def test_no_more_tasks_run_at_once_than_the_limit_and_the_others_wait(cluster: Cluster) -> None:
    # No ls: another task may remove its file between the listing of the folder and the look at the file.
    body = "touch running.$SLURM_ARRAY_TASK_ID; set -- running.*; echo $#; " + WAIT
    job = cluster.submit(body + "\nrm running.$SLURM_ARRAY_TASK_ID", "--array=1-8%2", "--output=%a.out")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    assert cluster.queue(f"--jobs={job}") == [
        f"{job}_[3-8%2] PENDING JobArrayTaskLimit",
        f"{job}_1 RUNNING None",
        f"{job}_2 RUNNING None",
    ]
    assert not (cluster.work / "up.3").exists()
    (cluster.work / "go").touch()
    assert set(cluster.end_of_tasks(job).values()) == {"COMPLETED"}
    counts = [int(cluster.log(task)) for task in range(1, 9)]
    assert max(counts) == 2


def test_without_a_limit_the_machine_is_the_limit(cluster: Cluster) -> None:
    cores = len(os.sched_getaffinity(0))
    job = cluster.submit(WAIT, f"--array=0-{cores}", "--output=/dev/null")
    for task in range(cores):
        cluster.written(cluster.work / f"up.{task}")
    assert cluster.queue("--states=PENDING") == [f"{job}_[{cores}] PENDING Resources"]
    greedy = cluster.submit(WAIT, "--array=50,60", f"--cpus-per-task={2 * cores}", "--output=/dev/null")
    cluster.written(cluster.work / "up.50")
    assert cluster.queue(f"--jobs={greedy}") == [
        f"{greedy}_[60] PENDING Resources",
        f"{greedy}_50 RUNNING None",
    ]
    (cluster.work / "go").touch()
    cluster.end_of_tasks(job)
    cluster.end_of_tasks(greedy)


def test_tasks_at_the_same_time_have_gpus_of_their_own(cluster: Cluster) -> None:
    body = "echo $CUDA_VISIBLE_DEVICES; " + WAIT
    job = cluster.submit(
        body, "--array=1-3%3", "--gres=gpu:2", "--output=%a.out", CUDA_VISIBLE_DEVICES="4,5,6,7,8"
    )
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    assert cluster.queue("--states=PENDING") == [f"{job}_[3%3] PENDING Resources"]
    (cluster.work / "go").touch()
    cluster.end_of_tasks(job)
    assert [cluster.log(task) for task in (1, 2)] == ["4,5\n", "6,7\n"]
    assert cluster.log(3) in ("4,5\n", "6,7\n")


def test_a_task_that_fails_stops_no_other(cluster: Cluster) -> None:
    job = cluster.submit("exit $((SLURM_ARRAY_TASK_ID % 2 * 3))", "--array=1-4%1")
    cluster.end_of_tasks(job)
    said = cluster.run("sacct", "-X", "-P", "-n", "--format=JobID,State,ExitCode", f"--jobs={job}")
    assert said.stdout.splitlines() == [
        f"{job}_1|FAILED|3:0",
        f"{job}_2|COMPLETED|0:0",
        f"{job}_3|FAILED|3:0",
        f"{job}_4|COMPLETED|0:0",
    ]


def test_two_hundred_tasks_are_worked_through_by_few_processes(cluster: Cluster) -> None:
    body = "echo > ran.$SLURM_ARRAY_TASK_ID\n[ $SLURM_ARRAY_TASK_ID != 100 ] || ps -eo args > ps"
    job = cluster.submit(body, "--array=1-200%2", "--output=/dev/null")
    assert list(cluster.end_of_tasks(job).values()) == ["COMPLETED"] * 200
    assert len(list(cluster.work.glob("ran.*"))) == 200
    lines = (cluster.work / "ps").read_text().splitlines()
    ours = [line for line in lines if str(cluster.state) in line and "array-runner" in line]
    assert 2 <= len(ours) <= 5  # the array's own, a copy for each task that runs, and one that becomes a task
    assert cluster.node_folders == []
    cluster.at_rest()


def test_squeue_knows_an_array_its_tasks_and_their_own_ids(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-4%2", "--comment=run=r1", "--job-name=sweep")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    form = "--format=%i|%A|%F|%K|%T|%r|%R|%N|%S|%j|%k"
    (waiting, first, _) = cluster.run("squeue", "-h", "--me", form).stdout.splitlines()
    limit = "JobArrayTaskLimit"
    assert waiting == (f"{job}_[3-4%2]|{job}|{job}|3-4%2|PENDING|{limit}|({limit})||N/A|sweep|run=r1")
    assert re.fullmatch(
        rf"{job}_1\|{job + 1}\|{job}\|1\|RUNNING\|None\|local1\|local1\|\S+\|sweep\|run=r1", first
    )
    pending = [f"{job}_{task} PENDING {limit}" for task in (3, 4)]
    running = [f"{job}_{task} RUNNING None" for task in (1, 2)]
    assert cluster.queue("-r", f"--jobs={job}") == [*pending, *running]
    assert cluster.queue(f"--jobs={job}_3") == pending[:1]
    assert cluster.queue(f"--jobs={job}_3,{job}_1") == [pending[0], running[0]]
    assert cluster.queue(f"--jobs={job + 1}") == running[:1]
    assert cluster.queue(f"--jobs={job}_99") == []
    said = cluster.run("squeue", "-h", "--jobs=99_1")
    assert (said.returncode, said.stderr.strip()) == (1, "slurm_load_jobs error: Invalid job id specified")


def test_scontrol_shows_all_tasks_or_one(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-4%2", "--output=%A_%a.out")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    lines = cluster.run("scontrol", "-o", "show", "job", job).stdout.splitlines()
    assert [line.partition(" JobName")[0] for line in lines] == [
        f"JobId={job} ArrayJobId={job} ArrayTaskId=3-4%2 ArrayTaskThrottle=2",
        f"JobId={job + 1} ArrayJobId={job} ArrayTaskId=1 ArrayTaskThrottle=2",
        f"JobId={job + 2} ArrayJobId={job} ArrayTaskId=2 ArrayTaskThrottle=2",
    ]
    waiting, running = cluster.show(f"{job}_3"), cluster.show(f"{job}_2")
    assert (waiting["JobId"], waiting["ArrayTaskId"], waiting["JobState"]) == (str(job), "3", "PENDING")
    assert (waiting["NodeList"], waiting["StartTime"]) == ("", "Unknown")
    assert waiting["StdOut"] == str(cluster.work / f"{job}_3.out")
    assert (running["JobId"], running["ArrayTaskId"], running["JobState"]) == (str(job + 2), "2", "RUNNING")
    by_id = cluster.show(job + 2)
    assert running == by_id | {"RunTime": running["RunTime"]}  # a second may have passed
    said = cluster.run("scontrol", "show", "job", f"{job}_9")
    assert (said.returncode, said.stderr.strip()) == (1, f"Job {job}_9 not found")


def test_tasks_that_wait_are_cancelled_one_by_one_and_leave_no_trace(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-8%2")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    assert cluster.run("scancel", f"{job}_5").returncode == 0
    assert cluster.run("scancel", f"{job}_[6-7]", f"{job}_5").returncode == 0
    assert cluster.queue("--states=PENDING") == [f"{job}_[3-4,8%2] PENDING JobArrayTaskLimit"]
    assert cluster.run("scontrol", "show", "job", f"{job}_5").stderr.strip() == f"Job {job}_5 not found"
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(job) == {f"{job}_{task}": "COMPLETED" for task in (1, 2, 3, 4, 8)}
    assert cluster.show(f"{job}_8")["JobId"] == str(job)
    assert cluster.run("scancel", f"{job}_5", f"{job}_1", job).returncode == 0


def test_cancelling_a_task_that_runs_lets_the_next_one_start(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-3%1", "--output=%a.out")
    cluster.written(cluster.work / "up.1")
    assert cluster.run("scancel", f"{job}_[1,3]").returncode == 0
    cluster.written(cluster.work / "up.2")
    assert cluster.states(job) == {f"{job}_1": "CANCELLED", f"{job}_2": "RUNNING"}
    assert f"*** JOB {job + 1} ON local1 CANCELLED AT" in cluster.log(1)
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(job) == {f"{job}_1": "CANCELLED", f"{job}_2": "COMPLETED"}


def test_an_array_whose_last_tasks_were_cancelled_one_by_one_is_cancelled_itself(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-3%1")
    cluster.written(cluster.work / "up.1")
    assert cluster.run("scancel", f"{job}_[2-3]").returncode == 0
    assert cluster.queue() == [f"{job}_1 RUNNING None"]
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(job) == {f"{job}_1": "COMPLETED", str(job): "CANCELLED"}
    assert cluster.show(job)["ArrayTaskId"] == "4294967294"


def test_cancelling_an_array_ends_all_of_it(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=0-99:10%2")
    for task in (0, 10):
        cluster.written(cluster.work / f"up.{task}")
    assert cluster.run("scancel", job).returncode == 0
    states = cluster.end_of_tasks(job)
    together = f"{job}_[20-90:10%2]"
    assert states == {f"{job}_0": "CANCELLED", f"{job}_10": "CANCELLED", together: "CANCELLED"}
    shown = cluster.show(job)
    assert (shown["ArrayTaskId"], shown["JobState"], shown["Reason"]) == (
        "20-90:10%2",
        "CANCELLED",
        "JobArrayTaskLimit",
    )
    assert shown["StartTime"] == shown["EndTime"] != "Unknown"
    until(lambda: not list((cluster.state / "arrays").iterdir()), "the array's runner to end")
    assert cluster.node_folders == []
    assert sorted(path.name for path in cluster.work.glob("up.*")) == ["up.0", "up.10"]
    assert cluster.run("scancel", job).returncode == 0


def test_signals_reach_the_tasks_that_run(cluster: Cluster) -> None:
    body = (
        "trap 'echo script got it' USR1\n"
        'srun bash -c \'trap "echo step got it; exit" USR1\n'
        "echo > up.$SLURM_ARRAY_TASK_ID; sleep 300 & wait' &\n"
        "wait; wait"
    )
    job = cluster.submit(body, "--array=1-3%2", "--output=%a.out")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    refused = cluster.run("scancel", "--signal=USR1", f"{job}_3")
    assert refused.stderr.strip() == (
        f"scancel: error: Kill job error on job id {job}_3: Job is pending execution"
    )
    assert cluster.run("scancel", "--signal=USR1", "--batch", f"{job}_1").returncode == 0
    until(lambda: "script got it" in cluster.log(1), "the script of task 1")
    assert cluster.run("scancel", "--signal=USR1", job).returncode == 0
    cluster.written(cluster.work / "up.3")
    assert cluster.run("scancel", "--signal=USR1", f"{job}_3.0").returncode == 0
    cluster.end_of_tasks(job)
    assert [cluster.log(task) for task in (1, 2, 3)] == [
        "script got it\nstep got it\n",
        "step got it\n",
        "step got it\n",
    ]
    refused = cluster.run("scancel", "--signal=USR1", job)
    assert refused.stderr.strip().endswith("Job/step already completing or completed")


@pytest.mark.parametrize("target", ["1_x", "1_[x]", "1_2_3", "1_[1-3", "1_-1", "1_", "1_[3-1]"])
def test_what_names_no_task_is_said_in_slurms_words(cluster: Cluster, target: str) -> None:
    said = cluster.run("scancel", target)
    assert (said.returncode, said.stderr.splitlines()[0]) == (1, f"scancel: error: Invalid job id {target}")


def test_a_task_that_the_array_never_had_is_an_error(cluster: Cluster) -> None:
    job = cluster.submit("true", "--array=1-2")
    single = cluster.submit("true")
    for target in (f"{job}_9", f"{single}_1"):
        said = cluster.run("scancel", target)
        assert said.returncode == 1
        assert said.stderr.strip() == (
            f"scancel: error: Kill job error on job id {target}: Invalid job id specified"
        )


def test_a_killed_array_runner_leaves_nothing_waiting_and_nothing_running_for_ever(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-5%2")
    for task in (1, 2):
        cluster.written(cluster.work / f"up.{task}")
    os.kill(runner(cluster.show(job)), signal.SIGKILL)
    until(lambda: cluster.show(job)["JobState"] == "NODE_FAIL", "the tasks that wait to be given up")
    assert cluster.queue() == [f"{job}_1 RUNNING None", f"{job}_2 RUNNING None"]
    assert cluster.run("scancel", f"{job}_2").returncode == 0
    cluster.end(f"{job}_2")
    (cluster.work / "go").touch()
    together = f"{job}_[3-5%2]"
    states = {f"{job}_1": "COMPLETED", f"{job}_2": "CANCELLED", together: "NODE_FAIL"}
    assert cluster.end_of_tasks(job) == states
    cluster.end(cluster.submit("true"))  # the next sbatch puts things in order
    assert list((cluster.state / "arrays").iterdir()) == []
    assert cluster.states(job) == states
    assert cluster.show(job)["EndTime"] != "Unknown"
    assert not (cluster.work / "up.3").exists()


def test_a_killed_task_runner_is_a_failed_node_and_the_array_goes_on(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-2%1")
    cluster.written(cluster.work / "up.1")
    (folder,) = cluster.node_folders
    os.kill(runner(cluster.show(f"{job}_1")), signal.SIGKILL)
    cluster.written(cluster.work / "up.2")
    assert cluster.states(job) == {f"{job}_1": "NODE_FAIL", f"{job}_2": "RUNNING"}
    assert folder not in cluster.node_folders  # nobody had to put things in order
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(job)[f"{job}_2"] == "COMPLETED"


def test_the_end_of_the_machine_ends_an_array_in_good_order(cluster: Cluster) -> None:
    job = cluster.submit(WAIT, "--array=1-3%1")
    cluster.written(cluster.work / "up.1")
    os.kill(runner(cluster.show(job)), signal.SIGTERM)
    assert cluster.end_of_tasks(job) == {f"{job}_1": "CANCELLED", f"{job}_[2-3%1]": "CANCELLED"}
    until(lambda: not list((cluster.state / "arrays").iterdir()), "the array's runner to end")


def test_an_array_that_a_job_submits_lives_on(cluster: Cluster) -> None:
    cluster.script(WAIT, "--array=1-2%1", "--output=%a.out", name="second.sh")
    job = cluster.submit("srun sbatch second.sh; while [ ! -e up.1 ]; do sleep 0.02; done")
    assert cluster.end(job)["JobState"] == "COMPLETED"
    array = job + 1
    assert cluster.queue() == [f"{array}_[2%1] PENDING JobArrayTaskLimit", f"{array}_1 RUNNING None"]
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(array) == {f"{array}_1": "COMPLETED", f"{array}_2": "COMPLETED"}


def test_logs_that_cannot_be_written_are_said_at_once_or_fail_their_task(cluster: Cluster) -> None:
    missing = cluster.work / "missing"
    said = cluster.run("sbatch", cluster.script("true", "--array=1-2", f"--output={missing}/%a.out"))
    assert said.returncode == 1
    assert said.stderr == (
        f"sbatch: error: can't write the job's log {missing}/1.out: No such file or directory\n"
        f"hint: make the folder {missing}\n"
    )
    (cluster.work / "1").mkdir()
    job = cluster.submit("echo here", "--array=1-2%1", "--output=%a/out")
    assert cluster.end_of_tasks(job) == {f"{job}_1": "COMPLETED", f"{job}_2": "FAILED"}
    assert (cluster.work / "1" / "out").read_text() == "here\n"
    assert "can't write the job's log" in (cluster.state / "jobs" / str(job) / "array" / "log").read_text()


def test_a_task_that_cannot_begin_says_why_in_its_log(cluster: Cluster) -> None:
    user = cluster.show(cluster.submit("true"))["UserId"].partition("(")[0]
    (cluster.root / "elsewhere").mkdir()
    (cluster.root / "elsewhere" / f"hpcsubmit-{user}").touch()
    job = cluster.submit("true", "--array=1-2", "--output=%a.out", TMPDIR=str(cluster.root / "elsewhere"))
    assert cluster.end_of_tasks(job) == {f"{job}_1": "NODE_FAIL", f"{job}_2": "NODE_FAIL"}
    assert cluster.log(1).startswith("local: error: [Errno 17] File exists: ")
    assert len(cluster.log(1).splitlines()) == 1


def test_only_sbatch_starts_an_arrays_runner(cluster: Cluster) -> None:
    said = cluster.run("array-runner", "99")
    assert said.returncode == 1
    assert said.stderr == "array-runner: error: no array 99\nhint: only sbatch starts the runner\n"


def test_arrays_submitted_at_once_share_no_id(cluster: Cluster) -> None:
    script = cluster.script("echo $SLURM_ARRAY_JOB_ID", "--output=%j.out", "--array=1-5%2")
    argv = (*COMMAND, "sbatch", "--parsable", str(script))
    started = [
        subprocess.Popen(argv, cwd=cluster.work, env=cluster.environ, stdout=subprocess.PIPE, text=True)
        for _ in range(4)
    ]
    arrays = [int(process.communicate(timeout=SECONDS)[0]) for process in started]
    assert len(set(arrays)) == 4
    for array in arrays:
        assert list(cluster.end_of_tasks(array).values()) == ["COMPLETED"] * 5
    assert sorted(path.name for path in cluster.work.glob("*.out")) == sorted(
        f"{n}.out" for n in range(1, 21)
    )


def test_no_secret_of_an_arrays_environment_is_written_down(cluster: Cluster) -> None:
    job = cluster.submit("srun true; " + WAIT, "--array=1-2%1", WANDB_API_KEY="s3cr3t-k3y")
    cluster.written(cluster.work / "up.1")
    cluster.run("scancel", job)
    cluster.end_of_tasks(job)
    cluster.at_rest()
    files = [path for path in cluster.root.rglob("*") if path.is_file()]
    assert len(files) > 10
    assert [path for path in files if b"s3cr3t-k3y" in path.read_bytes()] == []
