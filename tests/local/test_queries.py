"""squeue, scontrol and scancel, as hpcsubmit asks them."""

import os

import pytest

from local.embedded import Cluster


def test_squeue_prints_active_jobs_in_the_form_asked_for(cluster: Cluster) -> None:
    first = cluster.submit("sleep 600", "--job-name=one", "--nodes=2", "--time=1-2:03", "--comment=run=r1")
    second = cluster.submit("sleep 600", "--job-name=two")
    form = "--format=%i|%T|%t|%r|%N|%l|%k|%j|%o|%D|%5i|%.5i|%u %%"
    said = cluster.run("squeue", "--noheader", "--me", form)
    user = cluster.show(first)["UserId"].partition("(")[0]
    script = cluster.work / "job.sh"
    assert said.stdout.splitlines() == [
        f"{first}|RUNNING|R|None|local[1-2]|1-02:03:00|run=r1|one|{script}|2|{first:<5}|{first:>5}|{user} %",
        f"{second}|RUNNING|R|None|local1|UNLIMITED|(null)|two|{script}|1|{second:<5}|{second:>5}|{user} %",
    ]
    assert cluster.run("squeue", "-h", f"--jobs={second},99", "-o", "%i").stdout == f"{second}\n"
    assert cluster.run("squeue", "-h", "--me", "--states=PENDING", "-o", "%i").stdout == ""
    assert (
        cluster.run("squeue", "--name=one", "--format=%.6i %T").stdout
        == f" JOBID STATE\n{first:>6} RUNNING\n"
    )


def test_squeue_forgets_a_job_that_has_ended(cluster: Cluster) -> None:
    job = cluster.submit("true")
    cluster.end(job)
    said = cluster.run("squeue", "--noheader", f"--jobs={job}", "--format=%T")
    assert (said.returncode, said.stdout, said.stderr) == (0, "", "")


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("squeue --noheader --jobs=99", 1, "slurm_load_jobs error: Invalid job id specified"),
        ("scontrol show job 99", 1, "slurm_load_jobs error: Invalid job id specified"),
        ("scontrol show node cdr1", 1, "Node cdr1 not found"),
        ("scontrol show bogus", 1, "invalid keyword: show bogus"),
        ("scontrol show hostnames", 1, "scontrol: error: host list is empty"),
        ("scontrol requeue 1", 1, "Requested operation is presently disabled for job 1"),
        ("scancel 99", 1, "scancel: error: Kill job error on job id 99: Invalid job id specified"),
        ("scancel 99.1", 1, "scancel: error: Kill job error on job step id 99.1: Invalid job id specified"),
        ("scancel", 1, "scancel: error: No job identification provided"),
        ("scancel x", 1, "scancel: error: Invalid job id x"),
        ("scancel --signal=BOGUS 1", 1, "scancel: error: Unknown job signal: BOGUS"),
        ("squeue --bogus", 1, "squeue: unrecognized option '--bogus'"),
        ("srun true", 1, "srun: error: not in a job of the cluster `local`"),
        ("sbatch missing.sh", 1, "sbatch: error: Unable to open file missing.sh"),
        ("sinfo", 2, "error: no command 'sinfo'"),
    ],
)
def test_what_is_not_there_is_said_in_slurms_words(
    cluster: Cluster, command: str, code: int, message: str
) -> None:
    said = cluster.run(*command.split())
    assert (said.returncode, said.stdout, said.stderr.splitlines()[0]) == (code, "", message)


def test_cancelling_a_job_that_has_ended_is_no_error(cluster: Cluster) -> None:
    job = cluster.submit("true")
    cluster.end(job)
    assert cluster.run("scancel", job).returncode == 0
    said = cluster.run("scancel", "--signal=USR1", job)
    assert said.returncode == 1
    assert said.stderr.strip().endswith("Job/step already completing or completed")


def test_scontrol_shows_a_job_line_by_line_and_in_one_line(cluster: Cluster) -> None:
    job = cluster.submit("sleep 600", "--nodes=2", "--ntasks-per-node=2", "--cpus-per-task=3", "--time=90")
    said = cluster.run("scontrol", "show", "job", job)
    assert said.stdout.startswith(f"JobId={job} JobName=job.sh\n   UserId=")
    shown = cluster.show(job)
    assert (shown["JobState"], shown["NodeList"], shown["NumNodes"]) == ("RUNNING", "local[1-2]", "2")
    assert (shown["NumTasks"], shown["NumCPUs"], shown["TimeLimit"]) == ("4", "12", "01:30:00")
    assert shown["RunTime"].startswith("00:00:")
    assert shown["EndTime"] > shown["StartTime"] >= shown["SubmitTime"]


def test_scontrol_knows_hosts_nodes_and_the_configuration(cluster: Cluster) -> None:
    said = cluster.run("scontrol", "show", "hostnames", "a[01-03,7],b,c[1-2]-x")
    assert said.stdout.split() == ["a01", "a02", "a03", "a7", "b", "c1-x", "c2-x"]
    said = cluster.run("scontrol", "show", "hostnames", SLURM_JOB_NODELIST="local[1-3]")
    assert said.stdout.split() == ["local1", "local2", "local3"]
    assert (
        "NodeName=local2 NodeAddr=127.0.0.1 NodeHostName=local2"
        in cluster.run("scontrol", "show", "node", "local2").stdout
    )
    config = cluster.run("scontrol", "show", "config", HPCSUBMIT_LOCAL_KILL_WAIT="")
    assert "KillWait                = 30 sec\n" in config.stdout
    assert "ClusterName             = local\n" in config.stdout


def test_records_older_than_thirty_days_go_but_never_the_newest(cluster: Cluster) -> None:
    jobs = [cluster.submit("true") for _ in range(3)]
    cluster.at_rest()
    for job in jobs:
        os.utime(cluster.state / "jobs" / str(job), (0, 0))
    running = cluster.submit("sleep 600")
    os.utime(cluster.state / "jobs" / str(running), (0, 0))
    last = cluster.submit("true")
    assert sorted(path.name for path in (cluster.state / "jobs").iterdir()) == ["4", "5"]
    assert (running, last) == (4, 5)


def test_sacct_tells_how_jobs_ended_and_leaves_out_what_never_was(cluster: Cluster) -> None:
    good, bad = cluster.submit("true"), cluster.submit("exit 3")
    cluster.end(good)
    cluster.end(bad)
    said = cluster.run("sacct", "-X", "-P", "-n", "--format=JobID,State,ExitCode", f"--jobs={good},{bad},99")
    assert said.stdout == f"{good}|COMPLETED|0:0\n{bad}|FAILED|3:0\n"
    assert "Invalid field requested" in cluster.run("sacct", "--format=Nope", f"--jobs={good}").stderr
