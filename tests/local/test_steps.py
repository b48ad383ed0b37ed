"""srun inside a job: where tasks run, what they know, how they end, and which signals reach them."""

import pytest

from local.embedded import Cluster, lives, variables

TWO_BY_TWO = ("--nodes=2", "--ntasks-per-node=2")


def test_tasks_know_their_places(cluster: Cluster) -> None:
    job = cluster.submit("srun bash -c 'env > env.$SLURM_PROCID'", *TWO_BY_TWO)
    cluster.end(job)
    found = [variables((cluster.work / f"env.{rank}").read_text()) for rank in range(4)]
    names = ("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURMD_NODENAME", "SLURM_GTIDS")
    assert [tuple(task[name] for name in names) for task in found] == [
        ("0", "0", "0", "local1", "0,1"),
        ("1", "1", "0", "local1", "0,1"),
        ("2", "0", "1", "local2", "2,3"),
        ("3", "1", "1", "local2", "2,3"),
    ]
    alike = {
        "SLURM_STEP_ID": "0",
        "SLURM_STEPID": "0",
        "SLURM_NTASKS": "4",
        "SLURM_NPROCS": "4",
        "SLURM_NTASKS_PER_NODE": "2",
        "SLURM_TASKS_PER_NODE": "2(x2)",
        "SLURM_STEP_NUM_TASKS": "4",
        "SLURM_STEP_NUM_NODES": "2",
        "SLURM_STEP_NODELIST": "local[1-2]",
        "SLURM_JOB_NODELIST": "local[1-2]",
        "SLURM_LAUNCH_NODE_IPADDR": "127.0.0.1",
    }
    assert [{name: task[name] for name in alike} for task in found] == [alike] * 4
    assert [task["SLURM_TMPDIR"].rpartition("/")[2] for task in found] == [
        "local1",
        "local1",
        "local2",
        "local2",
    ]
    assert len({task["SLURM_TASK_PID"] for task in found}) == 4


def test_one_task_per_node_beside_the_main_step(cluster: Cluster) -> None:
    one_per_node = "--ntasks=$SLURM_JOB_NUM_NODES --ntasks-per-node=1"
    helper = f"srun --overlap --gres=none --mem=0 --cpus-per-task=1 {one_per_node}"
    show = "bash -c 'echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_NTASKS_PER_NODE [$CUDA_VISIBLE_DEVICES]'"
    job = cluster.submit(
        f"{helper} {show}", *TWO_BY_TWO, "--cpus-per-task=3", "--gres=gpu:1", CUDA_VISIBLE_DEVICES="0,1"
    )
    cluster.end(job)
    assert sorted(cluster.log(job).splitlines()) == ["0 local1 1 []", "1 local2 1 []"]


@pytest.mark.parametrize(
    ("options", "places"),
    [
        ("--ntasks=3", ["0 local1 2,1", "1 local1 2,1", "2 local2 2,1"]),
        ("-n 1", ["0 local1 1"]),
        ("--nodes 1 -n 2", ["0 local1 2", "1 local1 2"]),
        ("--nodes=1 --ntasks=1 --nodelist=local2", ["0 local2 1"]),
        (
            "--ntasks=2 --ntasks-per-node=1 --mpi=pmi2 --export=ALL --job-name x",
            ["0 local1 1(x2)", "1 local2 1(x2)"],
        ),
    ],
)
def test_options_place_the_tasks(cluster: Cluster, options: str, places: list[str]) -> None:
    job = cluster.submit(
        f"srun {options} bash -c 'echo $SLURM_PROCID $SLURMD_NODENAME $SLURM_STEP_TASKS_PER_NODE'",
        *TWO_BY_TWO,
    )
    cluster.end(job)
    assert sorted(cluster.log(job).splitlines()) == places


def test_exit_codes_and_their_messages(cluster: Cluster) -> None:
    body = """
srun bash -c 'exit $((SLURM_PROCID * 2))'; echo rc $?
srun bash -c '[ $SLURM_PROCID != 3 ] || kill -9 $$'; echo rc $?
srun --ntasks=1 bash -c 'ulimit -c 0; kill -SEGV $$'; echo rc $?
srun --ntasks=1 no-such-program; echo rc $?
srun true; echo rc $?
"""
    job = cluster.submit(body, *TWO_BY_TWO)
    cluster.end(job)
    text = cluster.log(job).replace(" (core dumped)", "")  # where a program takes cores, no limit stops it
    assert [line for line in text.splitlines() if line.startswith("rc")] == [
        "rc 6",
        "rc 137",
        "rc 139",
        "rc 2",
        "rc 0",
    ]
    for line in (
        "srun: error: local1: task 1: Exited with exit code 2",
        "srun: error: local2: task 3: Exited with exit code 6",
        "srun: error: local2: task 3: Killed",
        "srun: error: local1: task 0: Segmentation fault",
        "slurmstepd: error: execve(): no-such-program: No such file or directory",
    ):
        assert line in text.splitlines()


def test_a_bad_exit_ends_the_other_tasks(cluster: Cluster) -> None:
    body = "srun --kill-on-bad-exit=1 bash -c '[ $SLURM_PROCID = 1 ] && exit 7; exec sleep 600'; echo rc $?"
    job = cluster.submit(body, *TWO_BY_TWO, HPCSUBMIT_LOCAL_KILL_WAIT="100")  # nobody is to need KILL
    cluster.end(job)
    lines = cluster.log(job).splitlines()
    assert lines[0] == "srun: error: local1: task 1: Exited with exit code 7"
    assert lines[1] == f"srun: Terminating StepId={job}.0"
    assert sorted(lines[2:5]) == [
        "srun: error: local1: task 0: Terminated",
        "srun: error: local2: task 2: Terminated",
        "srun: error: local2: task 3: Terminated",
    ]
    assert lines[5] == "rc 143"


def test_a_bad_exit_kills_tasks_that_do_not_listen(cluster: Cluster) -> None:
    deaf = "trap '' TERM; echo $$ > deaf; while :; do sleep 0.1; done"
    wait = "while [ ! -s deaf ]; do sleep 0.01; done; exit 7"
    body = (
        f"srun --kill-on-bad-exit=1 bash -c 'if [ $SLURM_PROCID = 0 ]; then {wait}; fi; {deaf}'; echo rc $?"
    )
    job = cluster.submit(body.replace("trap ''", 'trap ""'), "--nodes=2")
    cluster.end(job)
    assert "srun: error: local2: task 1: Killed\nrc 137\n" in cluster.log(job)
    assert not lives(int((cluster.work / "deaf").read_text()))


def test_labels_stand_in_front_of_every_line(cluster: Cluster) -> None:
    job = cluster.submit("srun --label bash -c 'echo a; echo b >&2; printf c'", *TWO_BY_TWO)
    cluster.end(job)
    assert sorted(cluster.log(job).splitlines()) == sorted(
        f"{rank}: {word}" for rank in range(4) for word in "abc"
    )


def test_signals_to_srun_reach_every_task(cluster: Cluster) -> None:
    task = 'trap "echo $SLURM_PROCID got it; exit 5" USR1; echo > up.$SLURM_PROCID; sleep 600 & wait'
    job = cluster.submit(f"srun bash -c '{task}' & p=$!; wait $p; echo rc $?", "--nodes=2")
    for rank in (0, 1):
        cluster.written(cluster.work / f"up.{rank}")
    assert cluster.run("scancel", "--signal=USR1", f"{job}.0").returncode == 0
    cluster.end(job)
    lines = cluster.log(job).splitlines()
    assert {"0 got it", "1 got it"} <= set(lines)
    assert lines[-1] == "rc 5"


def test_a_signal_that_cannot_be_caught_reaches_the_tasks_too(cluster: Cluster) -> None:
    job = cluster.submit("srun bash -c 'echo > up.$SLURM_PROCID; exec sleep 600'; echo rc $?", "--nodes=2")
    for rank in (0, 1):
        cluster.written(cluster.work / f"up.{rank}")
    cluster.run("scancel", "--signal=KILL", f"{job}.0")
    cluster.end(job)
    assert cluster.log(job).splitlines()[-1] == "rc 137"


def test_cancelling_a_step_leaves_the_job_running(cluster: Cluster) -> None:
    deaf = 'trap "" TERM; echo > up; while :; do sleep 0.1; done'
    job = cluster.submit(f"srun --ntasks=1 bash -c '{deaf}'; echo rc $?; echo on")
    cluster.written(cluster.work / "up")
    assert cluster.run("scancel", f"{job}.0").returncode == 0
    assert cluster.end(job)["JobState"] == "COMPLETED"
    assert f"*** STEP {job}.0 ON local1 CANCELLED AT" in cluster.log(job)
    assert cluster.log(job).endswith("rc 137\non\n")


def test_a_signal_to_the_batch_script_alone(cluster: Cluster) -> None:
    body = "trap 'echo script got it; exit 0' USR2\nsrun sleep 600 &\necho > up; wait"
    job = cluster.submit(body)
    cluster.written(cluster.work / "up")
    assert cluster.run("scancel", "--signal=USR2", "--batch", job).returncode == 0
    assert cluster.end(job)["JobState"] == "COMPLETED"
    assert "script got it" in cluster.log(job)


def test_what_a_task_leaves_behind_ends_with_the_step(cluster: Cluster) -> None:
    job = cluster.submit("srun bash -c 'setsid sleep 600 & echo $! > left'; echo rc $?; sleep 0.1")
    cluster.end(job)
    assert cluster.log(job) == "rc 0\n"
    assert not lives(int((cluster.work / "left").read_text()))


def test_one_task_reads_what_is_piped_into_srun(cluster: Cluster) -> None:
    job = cluster.submit("echo piped | srun cat")
    cluster.end(job)
    assert cluster.log(job) == "piped\n"


@pytest.mark.parametrize(
    ("command", "message"),
    [
        ("srun --bogus true", "srun: error: unrecognized option '--bogus'"),
        ("srun --ntasks=two true", "srun: error: Invalid numeric value 'two' for --ntasks."),
        ("srun --ntasks", "srun: error: option '--ntasks' requires an argument"),
        ("srun --ntasks=2", "srun: error: No command given to execute."),
        (
            "srun --ntasks=9 true",
            "srun: error: Unable to create step for job 1: More processors requested than permitted",
        ),
        (
            "srun --nodes=3 true",
            "srun: error: Unable to create step for job 1: Requested node configuration is not available",
        ),
        ("srun --export=NONE true", "srun: error: only --export=ALL is known here"),
    ],
)
def test_what_srun_cannot_do_is_an_error(cluster: Cluster, command: str, message: str) -> None:
    job = cluster.submit(f"{command}; echo rc $?", *TWO_BY_TWO)
    cluster.end(job)
    lines = cluster.log(job).splitlines()
    assert lines[0] == message
    assert lines[-1] == "rc 1"


def test_a_bare_ntasks_per_node_is_ignored_as_slurm_does(cluster: Cluster) -> None:
    job = cluster.submit("srun --ntasks-per-node=1 echo task", *TWO_BY_TWO)
    cluster.end(job)
    lines = cluster.log(job).splitlines()
    assert lines[0].startswith("srun: Warning: can't honor --ntasks-per-node set to 1")
    assert lines[1:] == ["task"] * 4


@pytest.mark.parametrize(
    ("visible", "gres", "seen"),
    [
        ("4,5,6,7", "--gres=gpu:v100l:2", ["4,5", "6,7"]),
        ("4,5,6", "--gres=gpu:1", ["4", "5"]),
        ("GPU-aa,GPU-bb", "--gpus-per-node=1", ["GPU-aa", "GPU-bb"]),
        ("4,5,6", "--gres=gpu:2", ["", ""]),
        ("", "--gres=gpu:1", ["", ""]),
        ("4,5", "--comment=none", ["", ""]),
    ],
)
def test_gpus_are_dealt_out_in_order(cluster: Cluster, visible: str, gres: str, seen: list[str]) -> None:
    body = "echo batch $CUDA_VISIBLE_DEVICES.\nsrun bash -c 'echo $SLURM_NODEID $CUDA_VISIBLE_DEVICES.'"
    job = cluster.submit(body, "--nodes=2", gres, CUDA_VISIBLE_DEVICES=visible)
    cluster.end(job)
    batch, *tasks = cluster.log(job).splitlines()
    assert batch.replace(" ", "") == f"batch{seen[0]}."
    assert sorted(line.replace(" ", "") for line in tasks) == [f"0{seen[0]}.", f"1{seen[1]}."]
