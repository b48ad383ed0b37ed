"""--collect: what programs leave on the nodes' disks comes home, however the job ends."""

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from e2e.desk import Desk
from e2e.test_node_local_folders import clean

# Writes results at once, and more when it is told to end; STUBBORN goes on all the same.
PROGRAM = """
import os, pathlib, signal, sys, time
results = pathlib.Path(os.environ["SLURM_TMPDIR"], "results")
rank = os.environ["SLURM_PROCID"]
(results / "deep").mkdir(parents=True, exist_ok=True)
(results / "deep" / f"early {rank}").write_text("early")
(results / f"link-{rank}").symlink_to("deep")

def told(*_):
    print("told to end", flush=True)
    (results / f"late-{rank}").write_text("late")
    if "STUBBORN" not in os.environ:
        sys.exit(0)

signal.signal(signal.SIGTERM, told)
print("rank", rank, flush=True)
end = time.monotonic() + float(os.environ.get("NAP", "0"))
while time.monotonic() < end:
    time.sleep(0.1)
# The first that ends with a code has the others told to end: all have finished by then.
signal.signal(signal.SIGTERM, signal.SIG_IGN)
finished = pathlib.Path(os.environ["OUTPUT_DIR"])
(finished / f"finished {rank}").touch()
while len(list(finished.glob("finished *"))) < int(os.environ["SLURM_NTASKS"]):
    time.sleep(0.05)
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def saver(desk: Desk) -> Iterator[Desk]:
    yield from _saver(desk)


@pytest.fixture
def plai_saver(plai: Desk) -> Iterator[Desk]:
    yield from _saver(plai)


def _saver(desk: Desk) -> Iterator[Desk]:
    desk.write("saver.py", PROGRAM)
    desk.write("saver.txt", "python saver.py\n")
    shutil.rmtree(desk.scratch("collected"), ignore_errors=True)
    yield desk
    desk.cluster.cancel_all(timeout=180)


def words(nodes: int, *argv: str) -> list[str]:
    return ["-C", "saver.txt", "-g", "2", "-n", str(nodes), "--collect", "results", *argv]


def started(desk: Desk, nodes: int, *argv: str, **environ: str) -> int:
    job = desk.submit(*words(nodes, *argv), environ={"NAP": "300"} | environ)
    deadline = time.monotonic() + 180
    while desk.log(job).count("rank ") < 2 * nodes:
        assert time.monotonic() < deadline, desk.log(job)
        time.sleep(0.1)
    return job


def home(desk: Desk) -> Path:
    """The folder of the results of the one job there is."""
    (folder,) = desk.scratch("collected").iterdir()
    return folder


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


@pytest.mark.parametrize("code", ["0", "3"])
def test_results_of_every_node_come_home_after_success_and_after_failure(saver: Desk, code: str) -> None:
    argv = words(2, "none here", "--follow")
    done = saver.hpcsubmit(*argv, environ={"CODE": code})
    assert done.returncode == int(code), done.stdout + done.stderr
    folder = home(saver)
    first, second = sorted(folder.iterdir())
    assert files(first) == [f"results/deep/early {rank}" for rank in (0, 1)]
    assert files(second) == [f"results/deep/early {rank}" for rank in (2, 3)]
    assert (first / "results" / "link-0").is_symlink()
    assert done.stdout.count("hpcsubmit: results: there is no 'none here' on") == 2
    assert f"to /scratch/researcher/gan/collected/{folder.name}" in done.stdout
    assert clean(saver)


def test_the_results_of_one_node_have_no_folder_of_a_node(plai_saver: Desk) -> None:
    done = plai_saver.hpcsubmit(*words(1, "--follow"))
    assert done.returncode == 0
    assert files(home(plai_saver)) == [f"results/deep/early {rank}" for rank in (0, 1)]


def test_a_cancelled_program_may_still_save_and_its_results_come_home(saver: Desk) -> None:
    job = started(saver, 2)
    saver.hpcsubmit("cancel", str(job))
    assert saver.cluster.wait_for_job(job, 180) == "CANCELLED"
    assert clean(saver)
    late = [path for path in files(home(saver)) if "late-" in path]
    assert len(late) == 4
    assert saver.log(job).count("told to end") == 4


def test_a_signal_that_users_send_ends_no_keeper(plai_saver: Desk) -> None:
    plai_saver.write("trap.sh", 'trap "" USR1; echo rank; for i in 1 2 3 4 5 6 7 8; do sleep 0.5; done\n')
    plai_saver.write("saver.txt", "bash trap.sh\n")
    job = plai_saver.submit("-C", "saver.txt", "--collect", "results", "-n", "1")
    deadline = time.monotonic() + 180
    while "rank" not in plai_saver.log(job):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    plai_saver.cluster.run(["scancel", "--signal=USR1", str(job)])
    assert plai_saver.cluster.wait_for_job(job, 180) == "COMPLETED"
    assert clean(plai_saver)


def test_before_the_time_limit_the_program_is_told_and_a_stubborn_one_is_ended(plai_saver: Desk) -> None:
    limit = ["-t", "00:01:50", "--collect-grace", "40"]
    willing = started(plai_saver, 1, *limit, "-e", "willing")
    stubborn = started(plai_saver, 1, *limit, "-e", "stubborn", STUBBORN="1")
    try:
        for job, name, state in ((willing, "willing", "COMPLETED"), (stubborn, "stubborn", "FAILED")):
            assert plai_saver.cluster.wait_for_job(job, 400) == state, "the program's own exit code counts"
            log = plai_saver.log(job)
            assert "hpcsubmit: the time limit was near" in log
            assert log.splitlines().count("told to end") == 2
            folder = plai_saver.scratch(f"{name}/collected/{job}")
            assert len([path for path in files(folder) if "late-" in path]) == 2
        done = plai_saver.hpcsubmit("status", str(stubborn))
        assert "143:0" in done.stdout, "a program that had to be killed is no success"
        assert clean(plai_saver)
    finally:
        for name in ("willing", "stubborn"):
            shutil.rmtree(plai_saver.scratch(name))


def test_results_that_cannot_be_kept_make_a_good_job_fail_and_are_never_half_there(plai_saver: Desk) -> None:
    locked = plai_saver.scratch("collected")
    locked.write_text("a file where the folder should be")
    try:
        done = plai_saver.hpcsubmit(*words(1, "--follow"))
    finally:
        locked.unlink()
    assert done.returncode == 1
    assert "hpcsubmit: results: not all of" in done.stdout
