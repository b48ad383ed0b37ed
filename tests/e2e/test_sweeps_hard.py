"""Sweeps whose jobs, programs, servers and keys fail, with the real wandb client on a real Slurm."""

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.job_python import job_python
from e2e.desk import USER, Desk
from e2e.rank_programs import SAY
from e2e.test_node_local_folders import clean
from e2e.test_sweeps_wandb import runs_of
from e2e.trial_programs import logs, newest_run, wait_for_array
from e2e.wandb_harbour import KEY, WandbDesk, wandb_desk

# --how says how a run ends; one that is to be deaf is not ended by a TERM. It needs no wandb. --nap is how
# long it takes at most: a file HOW.go in the project ends it. One write a line: its agent says things, too.
PROGRAM = (
    SAY
    + """
import argparse, resource, signal, time
parser = argparse.ArgumentParser()
parser.add_argument("--how", default="well")
parser.add_argument("--nap", type=float, default=0)
given = parser.parse_args()
if given.how == "deaf":
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
say("run", os.environ["WANDB_RUN_ID"], given.how, os.environ["OUTPUT_DIR"])
sys.stdout.flush()
wakes = time.monotonic() + given.nap
while time.monotonic() < wakes and not os.path.exists(given.how + ".go"):
    time.sleep(0.1)
if given.how == "killed":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a core would hold the key
    os.kill(os.getpid(), signal.SIGSEGV)
say("ends")
sys.exit(5 if given.how == "badly" else 0)
"""
)
LONG = 900
"""Seconds of a nap that something ends."""


@pytest.fixture
def online(plai: Desk) -> Iterator[WandbDesk]:
    plai.write("trial.py", PROGRAM)
    for path in plai.project.glob("*.go"):
        path.unlink()
    with wandb_desk(plai) as found:
        yield found


def sweep_of(online: WandbDesk, *hows: str, nap: float = 0, more: str = "") -> str:
    """A sweep with one run for each way to end."""
    values = ", ".join(hows)
    head = "program: trial.py\nmethod: grid\n"
    (sweep,) = online.create(f"{head}parameters:\n  how: [{values}]\n  nap: {nap}\n{more}")
    return sweep


def said_by(online: WandbDesk, job: int) -> str:
    return "".join(logs(online.desk, job).values())


def wait_for(online: WandbDesk, job: int, text: str, times: int = 1, limit: float = 300) -> None:
    """Return when the logs of an array hold a text so often."""
    deadline = time.monotonic() + limit
    while said_by(online, job).count(text) < times:
        assert time.monotonic() < deadline, said_by(online, job)
        time.sleep(0.3)


def processes(online: WandbDesk) -> str:
    """What the user has running on the nodes."""
    cluster = online.desk.cluster
    argv = ["pgrep", "-au", USER]
    return "".join(cluster.run(argv, host=node, user="root").stdout for node in cluster.nodes)


def wait_for_no_process(online: WandbDesk, limit: float = 60) -> None:
    """Return when the user has nothing running: the client's own service ends a moment after its agent."""
    deadline = time.monotonic() + limit
    while found := processes(online):
        assert time.monotonic() < deadline, found
        time.sleep(0.3)


def ended(online: WandbDesk) -> dict[int, str]:
    """The exit code in the record of each trial that has ended."""
    found: dict[int, str] = {}
    for path in newest_run(online.desk).glob("tasks/*/trial"):
        found[int(path.parent.name)] = path.read_text().partition("\n")[0]
    return found


def task_of(online: WandbDesk, job: int, text: str) -> int:
    return next(task for task, said in logs(online.desk, job).items() if text in said)


def test_cancelled_tasks_leave_nothing_and_no_result_and_the_others_go_on(online: WandbDesk) -> None:
    sweep = sweep_of(online, "badly", "deaf", "well", nap=LONG)
    job = online.submit("-w", sweep, "--num-sweeps", "3")
    wait_for(online, job, "\nrun ", 3)
    tasks = [task_of(online, job, f" {how} ") for how in ("badly", "deaf", "well")]
    for task in tasks[:2]:
        assert online.desk.cluster.run(["scancel", f"{job}_{task}"]).returncode == 0
    for task in tasks[:2]:
        assert online.desk.cluster.wait_for_job(f"{job}_{task}", 120) == "CANCELLED"
    online.desk.write("well.go", "")
    wait_for_array(online.desk, job)
    assert ended(online) == {tasks[2]: "code=0"}, said_by(online, job)
    # The agent was told to end as well, and may say so last.
    own = [line for line in logs(online.desk, job)[tasks[0]].splitlines() if "wandb" not in line]
    assert own[-1] == "hpcsubmit: Slurm ended the job: cancelled, out of time or preempted"
    assert "the sweep wants" not in said_by(online, job)
    wait_for_no_process(online)
    # Of a program that only a KILL ends, which also ends what cleans up, the folder may stay.
    left = {name for names in online.desk.node_local_folders().values() for name in names}
    assert left <= {f"{USER}_{job}_{tasks[1]}"}
    online.desk.empty_node_disks()


def test_a_preempted_agent_s_run_goes_on_under_its_id(online: WandbDesk) -> None:
    sweep = sweep_of(online, "well", nap=LONG)
    job = online.submit("-w", sweep, "--num-sweeps", "1", "-p", "plai-preempt")
    wait_for(online, job, "\nrun ")
    run = newest_run(online.desk)
    online.desk.write("quick.txt", "python -c ''\n")
    other = online.desk.submit("-C", "quick.txt", "-g", "8", "-n", "3", "-m", "100M")
    assert online.desk.cluster.wait_for_job(other, 300) == "COMPLETED"
    online.desk.write("well.go", "")
    wait_for_array(online.desk, job)
    first, second = re.findall(r"^run (\S+) well", said_by(online, job), re.M)
    assert first == second
    assert (run / "tasks/1/trial").read_text().startswith("code=0\n")
    assert len(runs_of(online, sweep)) == 1
    assert clean(online.desk)


def test_a_server_that_dies_in_the_middle_of_a_run_changes_nothing_of_it(online: WandbDesk) -> None:
    sweep = sweep_of(online, "badly", nap=LONG)
    job = online.submit("-w", sweep, "--num-sweeps", "1")
    wait_for(online, job, "\nrun ")
    online.kill_server()
    online.desk.write("badly.go", "")
    wait_for_array(online.desk, job)
    assert ended(online) == {1: "code=5"}, said_by(online, job)
    assert online.desk.cluster.job_state(job) == ("FAILED", "5:0")
    assert said_by(online, job).count("hpcsubmit: the run has ended, and its agent has not") == 1


def test_without_its_key_its_wandb_or_its_server_a_task_ends_with_its_reason(online: WandbDesk) -> None:
    sweep = sweep_of(online, "well")
    jobs = [online.submit("-w", sweep, "--num-sweeps", "1", "--sbatch-arg=--hold") for _ in range(3)]
    key = online.desk.cluster.shared(f"/home/{USER}/wandb_credentials.txt")
    key.write_text(KEY[::-1])
    assert "user is not logged in" in released(online, jobs[0])
    key.write_text(KEY)
    link = online.desk.project / "virtual_env"
    there = link.readlink()
    _lead(link, job_python().parents[1])
    said = released(online, jobs[1])
    _lead(link, there)
    assert [line for line in said.splitlines() if line.startswith("hpcsubmit: ")] == [
        "hpcsubmit: the environment of the job has no wandb that starts: see the lines before this one"
    ]
    assert online.desk.cluster.job_state(jobs[1]) == ("FAILED", "127:0")
    online.kill_server()
    said = released(online, jobs[2])
    assert "ended with exit code 1 before it had a run: see the lines before this one" in said
    assert {online.desk.cluster.job_state(job)[0] for job in jobs} == {"FAILED"}
    assert clean(online.desk)


def released(online: WandbDesk, job: int) -> str:
    """What a job that was held says once it may begin."""
    assert online.desk.cluster.run(["scontrol", "release", str(job)]).returncode == 0
    wait_for_array(online.desk, job)
    return said_by(online, job)


def _lead(link: Path, target: Path) -> None:
    link.unlink()
    link.symlink_to(target)


def test_what_a_sweep_s_command_starts_is_the_run_or_the_task_fails(online: WandbDesk) -> None:
    for name, text in (("pkg/__init__.py", ""), ("pkg/__main__.py", PROGRAM)):
        online.desk.write(name, text)
    online.desk.write("starts.sh", 'python trial.py "$@"\n')
    online.desk.write("alone.sh", "echo alone\n")
    codes = {
        '["${env}", "${interpreter}", "-u", "${program}", "${args}"]': "139:0",
        '["python3", "-u", "-m", "pkg", "${args}"]': "139:0",
        '["bash", "starts.sh", "${args}"]': "139:0",
        '["bash", "alone.sh", "${args}"]': "1:0",
    }
    jobs = {}
    for command in codes:
        sweep = sweep_of(online, "killed", more=f"command: {command}\n")
        jobs[command] = online.submit("-w", sweep, "--num-sweeps", "1")
    for job in jobs.values():
        wait_for_array(online.desk, job)
    found = {command: online.desk.cluster.job_state(job) for command, job in jobs.items()}
    assert found == {command: ("FAILED", code) for command, code in codes.items()}
    assert "the sweep's command does not start python" in said_by(online, job)


def test_the_trials_of_a_task_are_runs_of_their_own_and_the_first_failure_is_its_code(
    online: WandbDesk,
) -> None:
    sweep = sweep_of(online, "badly", "killed")
    job = online.submit("-w", sweep, "--num-sweeps", "3", "--trials-per-task", "3")
    wait_for_array(online.desk, job)
    said = said_by(online, job)
    seen = re.findall(r"^run (\S+) \S+ \S+/(\d)$", said, re.M)
    assert [trial for _, trial in seen] == ["1", "2"], said
    assert len({run for run, _ in seen}) == 2
    records = {path.parent.name: path.read_text() for path in newest_run(online.desk).glob("tasks/*/trial")}
    assert {trial for run, trial in seen if f"wandb={run}\n" in records[trial]} == set(records)
    codes = sorted(ended(online).values())
    assert codes == ["code=139", "code=5"]
    first = ended(online)[1].partition("=")[2]
    assert online.desk.cluster.job_state(job) == ("FAILED", f"{first}:0")
    what = {"5": "Exited with exit code 5", "139": "Segmentation fault"}[first]
    assert re.search(rf"the first to fail was .*{what}.*the job's exit code is {first}$", said, re.M), said
    assert said.count("the sweep has no run left") == 1


def test_an_agent_waits_while_its_sweep_is_paused(online: WandbDesk) -> None:
    sweep = sweep_of(online, "badly", "well", nap=8)
    first = online.submit("-w", sweep, "--num-sweeps", "1")
    wait_for(online, first, "\nrun ")
    assert online.hpcsubmit("sweep", "pause", sweep).returncode == 0
    second = online.submit("-w", sweep, "--num-sweeps", "1")
    wait_for(online, second, "Running runs: []")
    time.sleep(6)  # longer than the agent leaves between two questions
    assert "\nrun " not in said_by(online, second)
    assert online.desk.cluster.job_state(second)[0] == "RUNNING"
    assert online.hpcsubmit("sweep", "resume", sweep).returncode == 0
    wait_for_array(online.desk, second)
    assert len(runs_of(online, sweep)) == 2
    assert list(ended(online)) == [1]
