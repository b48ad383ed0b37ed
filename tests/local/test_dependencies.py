"""Jobs that wait for others, as on Slurm 22.05."""

import os
import signal

import pytest

from local.embedded import Cluster, until

WAIT = "echo > up.$SLURM_JOB_ID; while [ ! -e go ]; do sleep 0.02; done"


def submit(cluster: Cluster, body: str, *options: str, name: str = "job.sh") -> int:
    """A job with options of sbatch's own, as hpcsubmit gives them."""
    script = cluster.script(body, "--output=%j.out", name=name)
    said = cluster.run("sbatch", "--parsable", *options, script)
    assert said.returncode == 0, said.stderr
    return int(said.stdout)


def test_a_job_begins_after_the_one_that_it_needs_has_ended_well(cluster: Cluster) -> None:
    first = cluster.submit(WAIT + "; echo first >> order")
    second = submit(cluster, "echo second >> order", f"--dependency=afterok:{first}")
    third = submit(cluster, "echo third >> order", f"--dependency=afterok:{first}:{second}")
    assert cluster.queue() == [
        f"{second} PENDING Dependency",
        f"{third} PENDING Dependency",
        f"{first} RUNNING None",
    ]
    shown = cluster.show(third)
    assert shown["Dependency"] == f"afterok:{first}(unfulfilled),afterok:{second}(unfulfilled)"
    assert (shown["NodeList"], shown["StartTime"]) == ("", "Unknown")
    (cluster.work / "go").touch()
    assert cluster.end(third)["JobState"] == "COMPLETED"
    assert (cluster.work / "order").read_text().split() == ["first", "second", "third"]
    assert cluster.show(third)["Dependency"] == "(null)"


def test_one_that_can_never_begin_waits_or_is_cancelled_where_that_was_asked(cluster: Cluster) -> None:
    first = cluster.submit(WAIT + "; exit 3")
    need = f"--dependency=afterok:{first}"
    waits = submit(cluster, "echo > ran", need)
    array = submit(cluster, "echo > ran", need, "--kill-on-invalid-dep=yes", "--array=1-3%2")
    ends = submit(cluster, "echo > ran", need, "--kill-on-invalid-dep=yes")
    anyway = submit(cluster, "true", f"--dependency=afterany:{first}")
    assert cluster.queue(f"--jobs={array}") == [f"{array}_[1-3%2] PENDING Dependency"]
    (cluster.work / "go").touch()
    shown = cluster.end(ends)
    assert (shown["JobState"], shown["Reason"]) == ("CANCELLED", "DependencyNeverSatisfied")
    assert shown["Dependency"] == f"afterok:{first}(failed)"
    assert shown["StartTime"] == shown["EndTime"] != "Unknown"
    assert cluster.end_of_tasks(array) == {f"{array}_[1-3%2]": "CANCELLED"}
    assert cluster.show(array)["Reason"] == "DependencyNeverSatisfied"
    assert cluster.end(anyway)["JobState"] == "COMPLETED"
    never = [f"{waits} PENDING DependencyNeverSatisfied"]
    until(lambda: cluster.queue() == never, "the other to wait for nothing")
    assert cluster.run("scancel", waits).returncode == 0
    assert cluster.end(waits)["JobState"] == "CANCELLED"
    assert not (cluster.work / "ran").exists()


def test_a_whole_array_is_waited_for_or_one_task_of_it(cluster: Cluster) -> None:
    array = cluster.submit(WAIT + "; exit $((SLURM_ARRAY_TASK_ID == 2))", "--array=1-3%1")
    good = submit(cluster, "true", f"--dependency=afterok:{array}")
    some = submit(cluster, "true", f"--dependency=afterany:{array}")
    one = submit(cluster, "true", f"--dependency=afterok:{array}_1")
    two = submit(cluster, "true", f"--dependency=afterok:{array}_2")
    assert cluster.show(good)["Dependency"] == f"afterok:{array}_*(unfulfilled)"
    assert cluster.show(two)["Dependency"] == f"afterok:{array}_2(unfulfilled)"
    (cluster.work / "go").touch()
    assert cluster.end(one)["JobState"] == "COMPLETED"
    assert cluster.end(some)["JobState"] == "COMPLETED"
    never = [f"{good} PENDING DependencyNeverSatisfied", f"{two} PENDING DependencyNeverSatisfied"]
    until(lambda: cluster.queue() == never, "the others to wait for nothing")
    assert cluster.show(good)["Dependency"] == f"afterok:{array}_*(failed)"


def test_an_array_waits_as_a_whole_and_can_be_cancelled_then(cluster: Cluster) -> None:
    first = cluster.submit(WAIT)
    array = submit(cluster, "echo > ran.$SLURM_ARRAY_TASK_ID", f"--dependency=afterok:{first}", "--array=1-3")
    other = submit(cluster, "echo > no", f"--dependency=afterok:{first}", "--array=1-3")
    assert cluster.show(array)["Dependency"] == f"afterok:{first}(unfulfilled)"
    assert cluster.run("scancel", other).returncode == 0
    assert cluster.states(other) == {f"{other}_[1-3]": "CANCELLED"}
    (cluster.work / "go").touch()
    assert cluster.end_of_tasks(array) == {f"{array}_{task}": "COMPLETED" for task in (1, 2, 3)}
    assert not (cluster.work / "no").exists()


def test_a_singleton_waits_for_the_earlier_jobs_of_its_name(cluster: Cluster) -> None:
    options = ("--job-name=build", "--dependency=singleton")
    first = cluster.submit(WAIT + "; echo first >> order", *options)
    second = cluster.submit("echo second >> order", *options)
    slow = "[ $SLURM_ARRAY_TASK_ID = 2 ] || while [ ! -e on ]; do sleep 0.02; done; echo array >> order"
    array = cluster.submit(slow, *options, "--array=1-2%2")
    third = cluster.submit("echo third >> order", *options)
    free = cluster.submit("true", "--job-name=other", "--dependency=singleton")
    assert cluster.end(free)["JobState"] == "COMPLETED"
    assert cluster.queue() == [
        f"{second} PENDING Dependency",
        f"{array}_[1-2%2] PENDING Dependency",
        f"{third} PENDING Dependency",
        f"{first} RUNNING None",
    ]
    assert cluster.show(second)["Dependency"] == "singleton(unfulfilled)"
    (cluster.work / "go").touch()
    until(lambda: cluster.queue()[1:] == [f"{array}_1 RUNNING None"], "the array's second task to end")
    # The first one has a later id than the job that waits, and was submitted before it.
    assert int(cluster.show(f"{array}_1")["JobId"]) > third
    assert cluster.queue()[0] == f"{third} PENDING Dependency"
    (cluster.work / "on").touch()
    assert cluster.end(third)["JobState"] == "COMPLETED"
    assert (cluster.work / "order").read_text().split() == ["first", "second", "array", "array", "third"]


def test_a_log_is_emptied_when_its_job_begins_and_no_sooner(cluster: Cluster) -> None:
    options = ("--job-name=build", "--dependency=singleton", "--output=build.log")
    first = cluster.submit("echo first; " + WAIT, *options)
    cluster.written(cluster.work / f"up.{first}")
    second = cluster.submit("echo second", *options)
    assert (cluster.work / "build.log").read_text() == "first\n"
    (cluster.work / "go").touch()
    cluster.end(second)
    assert (cluster.work / "build.log").read_text() == "second\n"


def test_a_job_that_is_not_known_is_waited_for_by_nobody(cluster: Cluster) -> None:
    job = submit(cluster, "true", "--kill-on-invalid-dep=yes", "--dependency=afterok:99,afterany:98")
    assert cluster.end(job)["JobState"] == "COMPLETED"


def test_a_signal_for_a_job_that_waits_is_refused(cluster: Cluster) -> None:
    first = cluster.submit(WAIT)
    job = submit(cluster, "true", f"--dependency=afterok:{first}")
    said = cluster.run("scancel", "--signal=USR1", job)
    assert said.stderr.strip() == (
        f"scancel: error: Kill job error on job id {job}: Job is pending execution"
    )


def test_a_killed_runner_waits_no_more(cluster: Cluster) -> None:
    first = cluster.submit(WAIT)
    job = submit(cluster, "true", f"--dependency=afterok:{first}")
    os.kill(int(cluster.show(job)["AllocNode:Sid"].rpartition(":")[2]), signal.SIGKILL)
    assert cluster.end(job)["JobState"] == "NODE_FAIL"


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("--dependency=afterok:x", "sbatch: error: Batch job submission failed: Job dependency problem"),
        ("--dependency=after:1", "sbatch: error: the cluster `local` has no --dependency=after:1"),
        ("--time=5", "sbatch: error: can't take '--time=5'"),
    ],
)
def test_what_sbatch_cannot_take_is_said(cluster: Cluster, option: str, message: str) -> None:
    said = cluster.run("sbatch", option, cluster.script("true"))
    assert (said.returncode, said.stdout, said.stderr.splitlines()[0]) == (1, "", message)
    assert not (cluster.state / "jobs").exists()
