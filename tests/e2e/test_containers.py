"""Jobs inside a real Apptainer on the real clusters: trainings, what a program sees, and how it ends."""

import json
import re
import time
from collections.abc import Iterator

import pytest

from cluster.images import PYTHON_BINDS, python_images, small_images
from e2e.desk import USER, Desk
from e2e.harbour import harbour, python_image
from e2e.test_node_local_folders import clean
from e2e.test_training import _check_training

KEY = "0123456789abcdef0123456789abcdef01234567"


@pytest.fixture
def both(desk: Desk) -> Iterator[Desk]:
    """Each cluster in turn: SLURM_TMPDIR is given on cedar, and made on plai."""
    yield from harbour(desk)


@pytest.fixture
def cedar_harbour(cedar_desk: Desk) -> Iterator[Desk]:
    yield from harbour(cedar_desk)
    cedar_desk.clear()


@pytest.fixture
def plai_harbour(plai: Desk) -> Iterator[Desk]:
    yield from harbour(plai)


def test_two_nodes_of_two_train_with_torchrun(cedar_harbour: Desk) -> None:
    words = ["-W", "torchrun", "-g", "2", "-n", "2", "-c", "4", "-C", "examples/digits/torchrun.txt"]
    done = cedar_harbour.hpcsubmit(*python_image(), *words, "--follow", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    _check_training(done.stdout)
    assert clean(cedar_harbour)


def test_two_nodes_of_two_train_with_lightning(plai_harbour: Desk) -> None:
    done = plai_harbour.hpcsubmit(*python_image(), "-g", "2", "-n", "2", "-c", "4", "--follow", timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    _check_training(done.stdout)
    assert clean(plai_harbour)


@pytest.mark.parametrize(
    ("launcher", "program"), [("torchrun", "train_ddp.py"), ("lightning", "lightning_digits.py")]
)
def test_two_processes_of_one_node_train(plai_harbour: Desk, launcher: str, program: str) -> None:
    plai_harbour.write("short.txt", f"python examples/digits/{program} --epochs 1\n")
    words = ["-W", launcher, "-g", "2", "-c", "4", "-C", "short.txt", "--follow"]
    done = plai_harbour.hpcsubmit(*python_image(), *words, timeout=900)
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = re.findall(r"^rank (\d) of 2 on (\S+) with \S+: weights (\w+)$", done.stdout, re.MULTILINE)
    assert sorted(rank for rank, _, _ in ranks) == ["0", "1"], done.stdout
    assert len({host for _, host, _ in ranks}) == len({weights for _, _, weights in ranks}) == 1
    assert clean(plai_harbour)


def test_the_ranks_of_mpi_meet(plai_harbour: Desk) -> None:
    plai_harbour.write("comm.txt", "python -m hpcsubmit.comm\n")
    words = ["-W", "pmi", "-g", "2", "-n", "2", "-c", "4", "-C", "comm.txt"]
    done = plai_harbour.hpcsubmit(*python_image(), *words, "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    for rank in range(4):
        assert done.stdout.count(f"{rank}: rank {rank} of 4 met all, and gloo sums right\n") == 1, done.stdout


# What a program sees and leaves, in one line of JSON.
LOOK = """
import json, os, pathlib, sys
from hpcsubmit import comm

def argv(process):
    try:
        return (process / "cmdline").read_text(errors="replace")
    except OSError:
        return ""

def left(folder):
    try:
        (pathlib.Path(folder) / "look").write_text("here")
        return True
    except OSError:
        return False

home, tmpdir = os.environ["HOME"], os.environ["SLURM_TMPDIR"]
own = (os.getcwd(), home, "/db", "/tmp", "/var/tmp", "/data", "/more", "/scratch_storage", "/dev/shm", "/")
print(json.dumps({
    "environ": dict(os.environ),
    "cwd": os.getcwd(),
    "comm": comm.identify()._asdict(),
    "listed": [sorted(os.listdir(folder)) for folder in (home, "/more", "/data/x", f"{tmpdir}/data/x")],
    "argvs": [argv(path) for path in pathlib.Path("/proc").iterdir() if path.name.isdigit()],
    "left": {folder: left(folder) for folder in own},
}))
"""


def test_a_program_sees_what_was_promised_and_only_the_persistent_folder_stays(both: Desk) -> None:
    words = ["-e", "look", "--workdir", "/workdir", "--container-on-node", "--pass-env", "MINE"]
    words += ["--data", "data/x", "--bind", f"/scratch/{USER}/more:/more:ro", "-C", "look.txt", "--follow"]
    both.write("look.txt", "LR='1e-3' python $source_dir/look.py\n")
    both.write("look.py", LOOK)
    both.cluster.run(["mkdir", "-p", f"/scratch/{USER}/more/inside", f"/scratch/{USER}/gan/data/x/y"])
    key_file = f"/home/{USER}/wandb_credentials.txt"
    both.cluster.run(["sh", "-c", f"umask 077; echo {KEY} >{key_file}"])
    environ = {"SEED": "5", "MINE": "it's `a` $b", "NOT_MINE": "x"}
    try:
        done = both.hpcsubmit(*python_image(), *words, environ=environ)
    finally:
        both.cluster.run(["rm", "-r", key_file, f"/scratch/{USER}/more"])
    assert done.returncode == 0, done.stdout + done.stderr
    *before, line = done.stdout.splitlines()
    assert [re.sub("[0-9.]+", "N", text) for text in before] == [
        "hpcsubmit: data: to each node N kB in N s (archives: N)",
        "hpcsubmit: container: copied to each node and tried: N kB in N s",
    ]
    seen = json.loads(line)
    _check_environment(seen["environ"], both)
    job = seen["environ"]["SLURM_JOB_ID"]
    assert seen["cwd"] == "/workdir"
    assert seen["comm"]["world_size"] == 1
    assert seen["listed"] == [["gan"], ["inside"], ["y"], ["y"]], "the home is another one, with the project"
    assert any("slurmstepd" in argv for argv in seen["argvs"]), "the node's processes are seen"
    assert not any(KEY in argv for argv in seen["argvs"])
    assert [folder for folder, could in seen["left"].items() if not could] == ["/more"]
    stays = both.scratch(f"look/singularity_{job}")
    assert [path.name for path in stays.iterdir()] == ["look"]
    _check_nothing_else_is_left(both)


def _check_environment(environ: dict[str, str], desk: Desk) -> None:
    scratch = f"/scratch/{USER}/gan"
    job = environ["SLURM_JOB_ID"]
    tmpdir = {"cedar": f"/localscratch/{USER}.{job}.0", "plai": f"/scratch-ssd/{USER}_{job}"}
    named = {"source_dir": f"/home/{USER}/gan", "project_name": "gan", "scratch_dir": scratch}
    named |= {"exp_name": "look"}
    promised = named | {name.upper(): value for name, value in named.items()}
    promised |= {"SLURM_TMPDIR": tmpdir[desk.cluster.name], "CUDA_VISIBLE_DEVICES": "0", "WANDB_API_KEY": KEY}
    promised |= {"NCCL_SOCKET_IFNAME": "eth7", "OMP_PLACES": "cores", "SEED": "5", "LR": "1e-3"}
    promised |= {"MINE": "it's `a` $b", "SLURM_PROCID": "0", "HOME": f"/home/{USER}"}
    assert {name: environ.get(name) for name in promised} == promised
    assert environ["OUTPUT_DIR"].startswith(f"{scratch}/look/runs/r")
    assert not environ["MASTER_ADDR"].startswith("127.")
    assert 10000 <= int(environ["MASTER_PORT"]) < 32768
    assert "NOT_MINE" not in environ


def _check_nothing_else_is_left(desk: Desk) -> None:
    assert clean(desk)
    for folder in ("/tmp", "/var/tmp"):
        for node in desk.cluster.nodes:
            assert not (desk.cluster.node_disk(node, folder) / "look").exists()
    assert not desk.cluster.shared(f"/home/{USER}/look").exists()
    for node in desk.cluster.nodes:
        listed = desk.cluster.run(["ls", "/dev/shm", "/"], host=node)
        assert "look" not in listed.stdout


# Of two tasks on a node the first leaves something in its memory for the second, and removes it after that.
SHARE = """
import os, pathlib, sys, time
from hpcsubmit import comm

me = comm.identify()
shared = pathlib.Path("/dev/shm", "hpcsubmit-" + os.environ["SLURM_JOB_ID"])
if me.local_rank == 0:
    shared.with_suffix(".part").write_text(str(me.rank))
    shared.with_suffix(".part").rename(shared)

def wait_for(path):
    deadline = time.monotonic() + 180
    while not path.exists() and time.monotonic() < deadline:
        time.sleep(0.05)

wait_for(shared)
sys.stdout.write(f"rank {me.rank} of {me.world_size} shares with rank {shared.read_text()}\\n")
(pathlib.Path("/scratch_storage") / f"rank {me.rank}").touch()
results = pathlib.Path(os.environ["SLURM_TMPDIR"], "results")
results.mkdir(exist_ok=True)
(results / f"rank {me.rank}").touch()
if me.local_rank == 0:
    wait_for(results / f"rank {me.rank + 1}")
    shared.unlink()
"""


def test_containers_of_a_node_share_its_memory_and_results_come_home(plai_harbour: Desk) -> None:
    plai_harbour.write("share.py", SHARE)
    plai_harbour.write("share.txt", "python share.py\n")
    words = ["-W", "srun", "-g", "2", "-n", "2", "-C", "share.txt", "-e", "share", "--collect", "results"]
    done = plai_harbour.hpcsubmit(*python_image(), *words, "--data-transfer", "broadcast", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    pairs = re.findall(r"^rank (\d) of 4 shares with rank (\d)$", done.stdout, re.MULTILINE)
    assert sorted(pairs) == [("0", "0"), ("1", "0"), ("2", "2"), ("3", "2")]
    ranks = [f"rank {rank}" for rank in range(4)]
    (home,) = plai_harbour.scratch("share/collected").iterdir()
    assert sorted(path.name for path in home.rglob("rank *")) == ranks
    (storage,) = plai_harbour.scratch("share").glob("singularity_*")
    assert sorted(path.name for path in storage.iterdir()) == ranks
    assert done.stdout.count("hpcsubmit: container: copied to each node and tried") == 1
    assert clean(plai_harbour)


WORDS = r"""sh -c 'for word; do echo "<$word>"; done; exit 7' sh \
    'a  b' "" '*' "it's" '"' '$HOME' '`id`' '\' words.t*"""


@pytest.mark.parametrize("way", ["runscript", "exec"])
def test_the_words_arrive_as_they_are_and_the_exit_code_comes_back(plai_harbour: Desk, way: str) -> None:
    plai_harbour.write("words.txt", f"{WORDS}\n")
    binds = [word for bind in PYTHON_BINDS for word in ("--bind", bind)]
    exec_only = [str(python_images().without_runscript), "--container-exec", *binds]
    image = [str(small_images().bare)] if way == "runscript" else exec_only
    done = plai_harbour.hpcsubmit("-s", *image, "-C", "words.txt", "--follow")
    assert done.returncode == 7, done.stdout + done.stderr
    said = [line for line in done.stdout.splitlines() if line.startswith("<")]
    assert said == ["<a  b>", "<>", "<*>", "<it's>", '<">', "<$HOME>", "<`id`>", r"<\>", "<words.txt>"]


def test_a_cancelled_program_may_end_by_itself_and_nothing_is_left(both: Desk) -> None:
    program = """sh -c 'trap "echo told; exit 9" TERM; echo here; while :; do sleep 0.1; done'"""
    both.write("wait.txt", f"{program}\n")
    job = both.submit("-s", str(small_images().bare), "-C", "wait.txt")
    deadline = time.monotonic() + 180
    while "here" not in both.log(job).splitlines():
        assert time.monotonic() < deadline, both.log(job)
        time.sleep(0.1)
    both.hpcsubmit("cancel", str(job))
    assert both.cluster.wait_for_job(job, 180) == "CANCELLED"
    assert both.log(job).count("told") == 1
    assert clean(both)
