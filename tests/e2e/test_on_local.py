"""The embedded cluster: the same scripts with real processes, on a machine without Slurm."""

import json
import os
import re
import shutil
import signal
import subprocess
import time
import venv
from pathlib import Path

import pytest

from cluster.job_python import job_python
from e2e.rank_programs import SAY
from sandbox import HPCSUBMIT, Sandbox

EXAMPLES = Path(__file__).parents[2] / "examples"
PROBE = (
    f"{SAY}import time\n"
    "env = os.environ\n"
    "say('rank', env['SLURM_PROCID'], env['SLURMD_NODENAME'], env['SLURM_TMPDIR'], 'gpus',"
    " repr(env.get('CUDA_VISIBLE_DEVICES')), env['MASTER_ADDR'])\n"
    "sys.stdout.flush()\n"
    "open(env['SLURM_TMPDIR'] + '/mine', 'x').close() if env['SLURM_LOCALID'] == '0' else None\n"
    "time.sleep(float(env.get('NAP', 0)))\n"
    "sys.exit(int(env.get('CODE', 0)))\n"
)


@pytest.fixture
def laptop(sandbox: Sandbox) -> Sandbox:
    """A machine without Slurm, with a state folder of its own and no GPUs."""
    (sandbox.bin / "sbatch").unlink()
    del sandbox.environ["HPCSUBMIT_CLUSTER"]
    del sandbox.environ["SCRATCH"]
    sandbox.environ.update(
        PATH=_without_slurm(sandbox.bin),
        XDG_STATE_HOME=str(sandbox.root / "state"),
        TMPDIR=str(sandbox.root / "tmp"),
        HPCSUBMIT_LOCAL_KILL_WAIT="3",
        CUDA_VISIBLE_DEVICES="",
    )  # fmt: skip
    (sandbox.root / "tmp").mkdir()
    sandbox.write("python probe.py\n")
    sandbox.write(PROBE, sandbox.project / "probe.py")
    return sandbox


def _without_slurm(folder: Path) -> str:
    """A PATH with all of /usr/bin but Slurm's commands, which this machine may have."""
    slurm = {"sbatch", "srun", "squeue", "scontrol", "scancel", "sacct", "sinfo"}
    for place in ("/usr/bin", "/bin"):
        for program in Path(place).iterdir():
            link = folder / program.name
            if program.name not in slurm and not link.is_symlink():
                link.symlink_to(program)
    return str(folder)


def node_local(laptop: Sandbox) -> list[Path]:
    """The nodes' folders that are there."""
    return list((laptop.root / "tmp").glob("hpcsubmit-*/*/*"))


def test_repeats_are_followed_shown_and_found_task_by_task(laptop: Sandbox) -> None:
    laptop.write(
        "import os, sys\nprint('seed', os.environ['SEED'])\nsys.exit(os.environ['SEED'] == '5')\n",
        laptop.project / "probe.py",
    )
    said = laptop.hpcsubmit("--seeds", "3,5,8", "--follow", timeout=300)
    assert (said.code, said.error.partition(": ")[2]) == (1, "2 done, 1 failed, exit code 1")
    for task, seed, code in ((1, 3, 0), (2, 5, 1), (3, 8, 0)):
        assert f"==> task 1_{task}, exit code {code} <==\nseed {seed}\n" in said.stdout
    assert laptop.hpcsubmit("status").stdout.splitlines()[1].split()[:3] == ["1_[1-3]", "FAILED", "1:0"]
    assert laptop.hpcsubmit("status", "1_2").stdout.splitlines()[1].split()[:3] == ["1_2", "FAILED", "1:0"]
    assert laptop.hpcsubmit("cancel", "1").stdout == "array 1_[1-3] had already ended: 2 done, 1 failed\n"
    shutil.rmtree(
        laptop.root / "state" / "hpcsubmit" / "local" / "jobs"
    )  # as when Slurm has forgotten all of it
    rows = [line.split() for line in laptop.hpcsubmit("status", "1").stdout.splitlines()[1:]]
    assert [row[:3] for row in rows] == [["1_[1-3]", "FAILED", "1:0"], ["1_2", "FAILED", "1:0"]]


@pytest.mark.parametrize("launcher", ["lightning", "torchrun"])
def test_two_nodes_of_two_train_as_on_a_cluster(laptop: Sandbox, launcher: str) -> None:
    (laptop.project / "examples").symlink_to(EXAMPLES)
    (laptop.project / "virtual_env").rename(laptop.project / "unused")
    (laptop.project / "virtual_env").symlink_to(job_python().parents[1])
    experiment = "../experiment_configurations.txt" if launcher == "lightning" else "digits/torchrun.txt"
    path = (EXAMPLES / experiment).resolve()
    said = laptop.hpcsubmit("-W", launcher, "-C", str(path), "-g", "2", "-n", "2", "--follow", timeout=900)
    assert said.code == 0, said.stdout + said.stderr
    (accuracy,) = re.findall(r"^accuracy: (0\.\d+)", said.stdout, re.MULTILINE)
    assert float(accuracy) > 0.9
    ranks = re.findall(r"^rank (\d) of 4 on (\S+) with cpu: weights (\w+)", said.stdout, re.MULTILINE)
    assert sorted(rank for rank, _, _ in ranks) == ["0", "1", "2", "3"]
    assert {host for _, host, _ in ranks} == {"local1", "local2"}
    assert len({weights for _, _, weights in ranks}) == 1
    assert not node_local(laptop)


def test_without_sbatch_the_job_runs_here_and_a_note_says_so(laptop: Sandbox) -> None:
    said = laptop.hpcsubmit("--follow")
    assert said.code == 0, said.stderr
    assert "note: there is no sbatch on the PATH" in said.stderr
    assert "the job runs on the CPU" in said.stderr
    assert re.fullmatch(r"rank 0 local1 \S+ gpus '' 127\.0\.0\.1\n", said.stdout)
    assert (laptop.root / "state/hpcsubmit/scratch/gan/hpc_outputs").is_dir()


def test_a_project_whose_path_bash_could_misread_runs_in_its_own_environment(laptop: Sandbox) -> None:
    project = laptop.root / "home" / 'a "b" $HOME `id` Zoë\'s 50%'
    venv.create(project / "virtual_env", with_pip=False, symlinks=True)
    laptop.write("python -c 'import sys; print(sys.prefix)'\n", project / laptop.experiment.name)
    said = laptop.hpcsubmit("--follow", cwd=project)
    assert (said.code, said.stdout) == (0, f"{project}/virtual_env\n"), said.stderr


def test_without_follow_it_runs_in_the_background(laptop: Sandbox) -> None:
    laptop.environ["NAP"] = "300"
    said = laptop.hpcsubmit("-g", "2", "-n", "2")
    assert said.stdout == "Submitted batch job 1\n"
    _wait_for(laptop, "RUNNING")
    folders = node_local(laptop)
    assert len(folders) == 2
    assert all(folder.stat().st_mode & 0o777 == 0o700 for folder in folders)
    assert laptop.hpcsubmit("cancel", "1").stdout == "cancelled job 1\n"
    _wait_for(laptop, "CANCELLED")
    assert not node_local(laptop)


def test_visible_gpus_are_dealt_to_the_nodes_in_order(laptop: Sandbox) -> None:
    laptop.environ["CUDA_VISIBLE_DEVICES"] = "4,5,6,7"
    said = laptop.hpcsubmit("-g", "2", "-n", "2", "--follow", timeout=180)
    assert "on the CPU" not in said.stderr
    dealt = {line.split()[2]: line.split("'")[1] for line in said.stdout.splitlines()}
    assert dealt == {"local1": "4,5", "local2": "6,7"}


def test_the_program_s_exit_code_is_hpcsubmit_s(laptop: Sandbox) -> None:
    laptop.environ["CODE"] = "9"
    said = laptop.hpcsubmit("--follow")
    assert said.code == 9
    assert said.error == "job 1 is FAILED, exit code 9"
    assert "standard_1.out" in said.hint


def test_the_time_limit_ends_a_job(laptop: Sandbox) -> None:
    laptop.environ["NAP"] = "60"
    said = laptop.hpcsubmit("--follow", "-t", "0:02")
    assert (said.code, said.error) == (1, "job 1 is TIMEOUT, exit code 1")
    assert not node_local(laptop)


def test_ctrl_c_while_following_leaves_the_job_running_and_says_how_to_end_it(laptop: Sandbox) -> None:
    laptop.environ["NAP"] = "300"
    follower = subprocess.Popen(
        [*HPCSUBMIT, "--follow"],
        cwd=laptop.project,
        env=laptop.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert follower.stdout is not None
    assert follower.stdout.readline().startswith("rank 0")
    os.kill(follower.pid, signal.SIGINT)
    _, said = follower.communicate(timeout=120)
    assert follower.returncode == 130
    assert "job 1 goes on; hpcsubmit cancel 1 ends it" in said
    assert "RUNNING" in laptop.hpcsubmit("status", "1").stdout
    laptop.hpcsubmit("cancel", "1")
    _wait_for(laptop, "CANCELLED")


def _wait_for(laptop: Sandbox, state: str) -> None:
    deadline = time.monotonic() + 120
    while state not in (shown := laptop.hpcsubmit("status").stdout):
        assert time.monotonic() < deadline, shown
        time.sleep(0.2)
    if state == "RUNNING":
        while not node_local(laptop):
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_data_reach_every_node_and_results_come_home(laptop: Sandbox) -> None:
    scratch = laptop.root / "state" / "hpcsubmit" / "scratch" / "gan"
    (scratch / "datasets" / "d1").mkdir(parents=True)
    (scratch / "datasets" / "d1" / "two words").write_text("hello")
    program = (
        "import os, pathlib\n"
        "here = pathlib.Path(os.environ['SLURM_TMPDIR'])\n"
        "(here / 'results').mkdir(exist_ok=True)\n"
        "text = (here / 'datasets/d1/two words').read_text()\n"
        "(here / 'results' / os.environ['SLURM_PROCID']).write_text(text)\n"
    )
    laptop.write(program, laptop.project / "copies.py")
    laptop.write("python copies.py\n", laptop.project / "copies.txt")
    argv = ("-C", "copies.txt", "-g", "2", "-n", "2", "--data", "datasets", "--collect", "results")
    said = laptop.hpcsubmit(*argv, "--follow", timeout=180)
    assert said.code == 0, said.stdout + said.stderr
    (home,) = (scratch / "collected").iterdir()
    found = {str(path.relative_to(home)): path.read_text() for path in home.rglob("*") if path.is_file()}
    assert found == {f"local{1 + rank // 2}/results/{rank}": "hello" for rank in range(4)}
    assert not node_local(laptop)


def test_results_come_home_before_the_time_limit(laptop: Sandbox) -> None:
    program = (
        "import os, pathlib, signal, sys, time\n"
        "def told(*_):\n"
        "    pathlib.Path(os.environ['SLURM_TMPDIR'], 'late').write_text('x')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, told)\n"
        "time.sleep(100)\n"
    )
    laptop.write(program, laptop.project / "late.py")
    laptop.write("python late.py\n", laptop.project / "late.txt")
    argv = ("-C", "late.txt", "-t", "00:00:40", "--collect-grace", "20", "--collect", "late", "--follow")
    said = laptop.hpcsubmit(*argv, timeout=180)
    assert said.code == 0, "the program ended by itself, with its own code"
    assert "the time limit was near" in said.stdout
    assert len(list(laptop.root.glob("state/hpcsubmit/scratch/gan/collected/*/late"))) == 1
    assert not node_local(laptop)


def test_a_symlink_that_is_collected_brings_home_what_it_leads_to(laptop: Sandbox) -> None:
    program = (
        "import os, pathlib\n"
        "here = pathlib.Path(os.environ['SLURM_TMPDIR'])\n"
        "(here / 'real').mkdir()\n"
        "(here / 'real' / 'file').write_text('x')\n"
        "(here / 'folder').symlink_to(here / 'real')\n"
        "(here / 'last').symlink_to('real/file')\n"
    )
    laptop.write(program, laptop.project / "links.py")
    laptop.write("python links.py\n", laptop.project / "links.txt")
    argv = ("-C", "links.txt", "--collect", "folder", "last", "--follow")
    # An option that leaves things out of every tar of the user's must not reach ours.
    said = laptop.hpcsubmit(*argv, environ=laptop.environ | {"TAR_OPTIONS": "--exclude=file"})
    assert said.code == 0, said.stdout
    (home,) = laptop.root.glob("state/hpcsubmit/scratch/gan/collected/*")
    assert {str(path.relative_to(home)) for path in home.rglob("*")} == {"folder", "folder/file", "last"}
    assert not any(path.is_symlink() for path in home.rglob("*"))


def test_results_that_no_node_has_are_told_of_at_the_end(laptop: Sandbox) -> None:
    program = (
        "import os, pathlib, sys\n"
        "if sys.argv[1] == os.environ['SLURM_PROCID']:\n"
        "    pathlib.Path(os.environ['SLURM_TMPDIR'], 'res').write_text('x')\n"
        "print('trained')\n"
    )
    laptop.write(program, laptop.project / "one.py")
    for rank, nothing in (("none", 1), ("1", 0)):
        laptop.write(f"python one.py {rank}\n", laptop.project / "one.txt")
        argv = ("-C", "one.txt", "-n", "2", "--collect", "res", "logs", "--follow")
        said = laptop.hpcsubmit(*argv)
        assert said.code == 0, said.stdout + said.stderr
        line = "hpcsubmit: results: nothing was collected: no path of --collect was there on any node\n"
        assert said.stdout.count(line) == nothing
        assert said.stdout.count("hpcsubmit: results: there is no 'logs' on local") == 2
        assert said.stdout.rstrip().splitlines()[-1].startswith("hpcsubmit: results: "), "at the end"


def test_results_of_two_jobs_of_one_number_are_both_kept(laptop: Sandbox) -> None:
    program = (
        "import os, pathlib\npathlib.Path(os.environ['SLURM_TMPDIR'], 'res').write_text(os.environ['WORD'])\n"
    )
    laptop.write(program, laptop.project / "word.py")
    laptop.write("python word.py\n", laptop.project / "word.txt")
    for word in ("first", "second", "third"):
        argv = ("-C", "word.txt", "--collect", "res", "--follow")
        assert laptop.hpcsubmit(*argv, environ=laptop.environ | {"WORD": word}).code == 0
        shutil.rmtree(laptop.root / "state" / "hpcsubmit" / "local")  # its job numbers begin anew
    folder = laptop.root / "state" / "hpcsubmit" / "scratch" / "gan" / "collected"
    found = {path.parent.name: path.read_text() for path in folder.rglob("res")}
    assert found == {"1": "third", "1.attempt-0": "first", "1.attempt-1": "second"}


def test_the_users_variables_reach_the_program_as_they_are(laptop: Sandbox) -> None:
    """Whatever the script calls its own variables."""
    (laptop.root / "state" / "hpcsubmit" / "scratch" / "gan" / "d").mkdir(parents=True)
    argv = ("-g", "1", "-n", "2", "-W", "torchrun", "--data", "d", "--collect", "res")
    script = laptop.hpcsubmit(*argv, "--dry-run").stdout
    names = set(re.findall(r"(?:^|\s)([a-z][a-z0-9_]*)(?:=|\+=)", script, re.MULTILINE))
    names |= set(re.findall(r"for ([a-z]\w*) in ", script))
    for line in re.findall(r"\n *local (.*)", script):
        names |= {word.partition("=")[0] for word in line.split() if word[0].islower()}
    names -= {"source_dir", "project_name", "scratch_dir", "exp_name"}
    assert len(names) > 20
    program = "import json, os, sys\nprint(json.dumps([sys.argv[1:], dict(os.environ)]))\n"
    laptop.write(program, laptop.project / "probe.py")
    ordered = sorted(name for name in names if name.isidentifier())
    laptop.write(f"python probe.py {' '.join(f'${name}' for name in ordered)}\n")
    theirs = {name: f"mine-{name}" for name in ordered}
    said = laptop.hpcsubmit("--data", "d", "--collect", "res", "--follow", environ=laptop.environ | theirs)
    assert said.code == 0, said.stdout + said.stderr
    given, environ = json.loads(next(line for line in said.stdout.splitlines() if line.startswith("[[")))
    assert given == list(theirs.values())
    assert {name: environ.get(name) for name in ordered} == theirs
