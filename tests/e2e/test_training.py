"""Real multi-node jobs of an ordinary user on both clusters: they train, ranks agree, codes are true."""

import re

import pytest

from e2e.desk import Desk
from e2e.rank_programs import SAY

# NAP is for the first attempt: one that Slurm requeues ends at once.
PROBE = (
    SAY
    + """
import signal, socket, time
env = os.environ
say("rank", env.get("SLURM_PROCID"), "on", socket.gethostname(), "of", env.get("GLOBAL_WORLD_SIZE"),
      "tmp", env["SLURM_TMPDIR"], oct(os.stat(env["SLURM_TMPDIR"]).st_mode & 0o777), "args", sys.argv[1:],
      "meet", env["MASTER_ADDR"], env["MASTER_PORT"], "gpus", env.get("CUDA_VISIBLE_DEVICES"),
      "out", os.path.isdir(env["OUTPUT_DIR"]),
      "cwd", os.getcwd() == env["source_dir"] == env["SOURCE_DIR"])
sys.stdout.flush()
open(os.path.join(env["SLURM_TMPDIR"], "written-" + env["SLURM_PROCID"]), "w").write("x")
if env["SLURM_PROCID"] == env.get("FAIL_RANK"):
    time.sleep(1)
    os.kill(os.getpid(), int(env["KILL"])) if "KILL" in env else sys.exit(7)
time.sleep(float(env.get("NAP", 0)) if "SLURM_RESTART_COUNT" not in env else 0)
"""
)


@pytest.fixture
def probe(desk: Desk) -> Desk:
    """The cluster with a project whose program tells where it runs."""
    desk.write("probe.py", PROBE)
    desk.write("probe.txt", "python probe.py --dir $SLURM_TMPDIR --name 'two words'\n")
    return desk


def test_two_nodes_of_two_gpus_train_with_lightning(desk: Desk) -> None:
    done = desk.hpcsubmit("--gpus", "2", "--num-nodes", "2", "--cpus", "4", "--follow", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    _check_training(done.stdout)


def test_two_nodes_of_two_gpus_train_with_torchrun(desk: Desk) -> None:
    words = [
        "-W",
        "torchrun",
        "-C",
        "examples/digits/torchrun.txt",
        "-g",
        "2",
        "-n",
        "2",
        "-c",
        "4",
        "--follow",
    ]
    done = desk.hpcsubmit(*words, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    _check_training(done.stdout)


def _check_training(output: str) -> None:
    """The accuracy is printed once and passes 0.9; four ranks on two hosts hold the same weights."""
    (accuracy,) = re.findall(r"^accuracy: (0\.\d+)", output, re.MULTILINE)
    assert float(accuracy) > 0.9
    ranks = re.findall(r"^rank (\d) of 4 on (\S+) with \S+: weights (\w+)", output, re.MULTILINE)
    assert sorted(rank for rank, _, _ in ranks) == ["0", "1", "2", "3"]
    assert len({host for _, host, _ in ranks}) == 2
    assert len({weights for _, _, weights in ranks}) == 1


def test_a_plain_job_runs_once_with_what_was_promised(probe: Desk) -> None:
    done = probe.hpcsubmit("-C", "probe.txt", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    (line,) = done.stdout.splitlines()
    assert "rank 0 on" in line
    assert "0o700" in line
    assert "'--name', 'two words'" in line
    assert "--num_nodes" not in line
    assert "out True cwd True" in line


def test_lightning_gets_its_numbers_and_every_task_its_node(probe: Desk) -> None:
    done = probe.hpcsubmit("-C", "probe.txt", "-g", "2", "-n", "2", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if line.startswith("rank ")]
    assert len(lines) == 4
    assert all("'--num_nodes', '2', '--gpus', '2'" in line for line in lines)
    assert all("of 4" in line and "gpus 0,1" in line for line in lines)
    meeting_points = {re.search(r"meet (\S+) (\d+)", line).groups() for line in lines}  # type: ignore[union-attr]
    ((address, port),) = meeting_points
    assert not address.startswith("127.")
    assert 10000 <= int(port) < 32768


def test_a_plain_program_s_code_is_the_job_s_and_hpcsubmit_s(probe: Desk) -> None:
    done = probe.hpcsubmit("-C", "probe.txt", "--follow", environ={"FAIL_RANK": "0"})
    assert done.returncode == 7
    job = _job(done.stderr)
    assert probe.cluster.job_state(job) == ("FAILED", "7:0")
    assert f"error: job {job} is FAILED, exit code 7" in done.stderr


def test_a_program_killed_by_a_signal_gives_128_and_the_signal(probe: Desk) -> None:
    done = probe.hpcsubmit("-C", "probe.txt", "--follow", environ={"FAIL_RANK": "0", "KILL": "11"})
    assert done.returncode == 139


def test_one_failing_rank_ends_the_others_and_the_log_names_it_last(probe: Desk) -> None:
    done = probe.hpcsubmit(
        "-C", "probe.txt", "-g", "2", "-n", "2", "--follow", environ={"FAIL_RANK": "1", "NAP": "100"}
    )
    assert done.returncode == 143
    last = done.stdout.splitlines()[-1]
    assert re.fullmatch(
        r"hpcsubmit: the first to fail was \S+: task 1: Exited with exit code 7; the job's exit code is 143",
        last,
    )


def test_an_unset_variable_stops_the_job_and_is_named(probe: Desk) -> None:
    probe.write("unset.txt", "python probe.py $NO_SUCH_NAME\n")
    done = probe.hpcsubmit("-C", "unset.txt", "--follow")
    assert done.returncode != 0
    assert "NO_SUCH_NAME" in done.stdout
    assert "rank" not in done.stdout


def test_names_with_blanks_quotes_percent_and_umlauts_work(desk: Desk) -> None:
    name = '50% of Zoë\'s "gan"'
    folder = f"/home/researcher/{name}"
    desk.cluster.run(["cp", "-a", "/home/researcher/gan", folder])
    strange = desk.cluster.shared(folder)
    (strange / "probe.py").write_text(PROBE)
    (strange / "experiment_configurations.txt").write_text("python probe.py\n")
    done = desk.cluster.run([str(desk.tool), "--follow", "-e", "a.b-c_1"], cwd=folder, timeout=600)
    desk.cluster.run(["rm", "-rf", folder])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "cwd True" in done.stdout


def _job(stderr: str) -> int:
    return int(re.search(r"Submitted batch job (\d+)", stderr)[1])  # type: ignore[index]
