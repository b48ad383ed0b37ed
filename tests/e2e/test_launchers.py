"""Real jobs of every further launcher, on this machine alone and on a real Slurm; and conda environments."""

import re
import time
from collections.abc import Iterator

import pytest

from cluster.job_python import job_python
from e2e import test_on_local
from e2e.desk import USER, Desk
from e2e.harbour import harbour, python_image
from e2e.rank_programs import ACCELERATED, ARCWORLD, COMM, ENV, FAILING, TOLD
from sandbox import Sandbox

laptop = test_on_local.laptop

TRAINED = r"rank (\d) of (\d) on (\S+) sees (\S+) learned (\w+) weights (\S+)$"


@pytest.fixture
def torch_laptop(laptop: Sandbox) -> Sandbox:
    """A machine without Slurm, with PyTorch in the project's environment."""
    (laptop.project / "virtual_env").rename(laptop.project / "unused")
    (laptop.project / "virtual_env").symlink_to(job_python().parents[1])
    return laptop


def check_training(output: str, *, world: int, nodes: int, label: str = "") -> list[str]:
    """All ranks learned the same; returns the GPUs that each saw, by rank."""
    found = re.findall(f"^{label}{TRAINED}", output, re.MULTILINE)
    assert sorted((rank, of) for rank, of, *_ in found) == [(str(n), str(world)) for n in range(world)], (
        output
    )
    assert len({node for _, _, node, *_ in found}) == nodes
    assert {learned for *_, learned, _ in found} == {"True"}
    assert len({weights for *_, weights in found}) == 1
    return [gpus for _, _, _, gpus, *_ in sorted(found)]


def check_sums(output: str, pattern: str) -> None:
    """Four ranks on two nodes, whose numbers were summed."""
    found = re.findall(rf"^{pattern}", output, re.MULTILINE)
    assert sorted(rank for rank, _ in found) == ["0", "1", "2", "3"], output
    assert len({node for _, node in found}) == 2


def test_arcworlds_command_trains_on_two_chosen_gpus_of_this_machine(torch_laptop: Sandbox) -> None:
    torch_laptop.write(ARCWORLD, torch_laptop.project / "distributed.py")
    torch_laptop.write("python distributed.py rank={rank} world_size={world_size} port={master_port}\n")
    torch_laptop.environ["CUDA_VISIBLE_DEVICES"] = "4,7"
    said = torch_laptop.hpcsubmit("--cluster", "local", "--gpus", "2", "-W", "ranks", "--follow", timeout=600)
    assert said.code == 0, said.stdout + said.stderr
    assert check_training(said.stdout, world=2, nodes=1, label=r"(?:\[1\] )?") == ["4,7", "4,7"]
    assert len(re.findall(r"^rank 0", said.stdout, re.MULTILINE)) == 1
    assert len(re.findall(r"^\[1\] rank 1", said.stdout, re.MULTILINE)) == 1
    (outputs,) = torch_laptop.root.glob("state/hpcsubmit/scratch/gan/runs/*")
    for rank in (0, 1):
        assert f"\nrank {rank} of 2" in "\n" + (outputs / f"rank_{rank}.log").read_text()


def test_two_nodes_of_two_meet_under_srun_on_this_machine(torch_laptop: Sandbox) -> None:
    torch_laptop.write(ENV, torch_laptop.project / "env.py")
    torch_laptop.write("python env.py\n")
    said = torch_laptop.hpcsubmit("-W", "srun", "-g", "2", "-n", "2", "--follow", timeout=600)
    assert said.code == 0, said.stdout + said.stderr
    check_training(said.stdout.replace("sees  ", "sees none "), world=4, nodes=2)


def test_two_nodes_of_two_meet_under_accelerate_on_this_machine(torch_laptop: Sandbox) -> None:
    torch_laptop.write(ACCELERATED, torch_laptop.project / "accelerated.py")
    torch_laptop.write("accelerate launch --mixed_precision no accelerated.py --lr '1 2'\n")
    said = torch_laptop.hpcsubmit("-W", "accelerate", "-g", "2", "-n", "2", "--follow", timeout=600)
    assert said.code == 0, said.stdout + said.stderr
    check_sums(said.stdout, r"rank (\d) of 4 on (\S+) sum 6\.0 by MULTI_CPU given \['--lr', '1 2'\]$")


def test_a_rank_that_fails_ends_the_others_on_this_machine(laptop: Sandbox) -> None:
    laptop.write(FAILING, laptop.project / "failing.py")
    laptop.write("python failing.py {rank}\n")
    said = laptop.hpcsubmit("-W", "ranks", "-g", "3", "--follow", timeout=180)
    assert said.code == 9
    assert "hpcsubmit: rank 1 ended with exit code 9: the others are told to end\n" in said.stdout
    assert not test_on_local.node_local(laptop)


def test_arcworlds_command_trains_on_slurm(plai: Desk) -> None:
    plai.write("distributed.py", ARCWORLD)
    plai.write("arcworld.txt", "python distributed.py rank={rank} world_size={world_size}\n")
    words = ["-W", "ranks", "-g", "2", "-c", "2", "-e", "arc", "-C", "arcworld.txt", "--follow"]
    done = plai.hpcsubmit(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    assert check_training(done.stdout, world=2, nodes=1, label=r"(?:\[1\] )?") == ["0,1", "0,1"]
    (outputs,) = plai.scratch("arc/runs").iterdir()
    assert "\nrank 1 of 2" in "\n" + (outputs / "rank_1.log").read_text()


def test_arcworlds_command_trains_inside_a_container(plai: Desk) -> None:
    for desk in harbour(plai):
        desk.write("distributed.py", ARCWORLD)
        desk.write("arcworld.txt", "python distributed.py rank={rank} world_size={world_size}\n")
        words = ["-W", "ranks", "-g", "2", "-c", "2", "-C", "arcworld.txt", "--follow"]
        done = desk.hpcsubmit(*python_image(), *words)
        assert done.returncode == 0, done.stdout + done.stderr
        assert check_training(done.stdout, world=2, nodes=1, label=r"(?:\[1\] )?") == ["0,1", "0,1"]


def test_a_rank_that_fails_ends_the_others_on_slurm(plai: Desk) -> None:
    plai.write("failing.py", FAILING)
    plai.write("failing.txt", "python failing.py {rank}\n")
    done = plai.hpcsubmit("-W", "ranks", "-g", "3", "-C", "failing.txt", "--follow")
    assert done.returncode == 9, done.stdout + done.stderr
    assert "hpcsubmit: rank 1 ended with exit code 9: the others are told to end\n" in done.stdout


def test_a_users_signal_and_a_cancel_reach_every_rank(plai: Desk) -> None:
    plai.write("told.py", TOLD)
    plai.write("told.txt", "python told.py {rank}\n")
    job = plai.submit("-W", "ranks", "-g", "2", "-C", "told.txt")
    wait_for(plai, job, "ready", 2)
    plai.cluster.run(["scancel", "--signal=USR1", str(job)])
    wait_for(plai, job, "noted", 2)
    plai.cluster.run(["scancel", str(job)])
    assert plai.cluster.wait_for_job(job, 180) == "CANCELLED"
    for word in ("noted", "told"):
        assert set(re.findall(rf"^.*{word}$", plai.log(job), re.MULTILINE)) == {word, f"[1] {word}"}


def wait_for(desk: Desk, job: int, word: str, count: int) -> None:
    """Wait until a job's log holds a word so often."""
    deadline = time.monotonic() + 180
    while desk.log(job).count(word) < count:
        assert time.monotonic() < deadline, desk.log(job)
        time.sleep(0.2)


def test_two_nodes_of_two_meet_under_srun_on_slurm(plai: Desk) -> None:
    plai.write("env.py", ENV)
    plai.write("env.txt", "python env.py\n")
    done = plai.hpcsubmit("-W", "srun", "-g", "2", "-n", "2", "-c", "2", "-C", "env.txt", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    assert check_training(done.stdout, world=4, nodes=2) == ["0,1"] * 4


def test_two_nodes_of_two_meet_under_accelerate_on_slurm(plai: Desk) -> None:
    plai.write("accelerated.py", ACCELERATED)
    # The nodes' GPUs are pretended.
    plai.write("accelerated.txt", "ACCELERATE_USE_CPU=1 python accelerated.py --lr '1 2'\n")
    words = ["-W", "accelerate", "-g", "2", "-n", "2", "-c", "2", "-C", "accelerated.txt", "--follow"]
    done = plai.hpcsubmit(*words)
    assert done.returncode == 0, done.stdout + done.stderr
    check_sums(done.stdout, r"rank (\d) of 4 on (\S+) sum 6\.0 by MULTI_CPU given \['--lr', '1 2'\]$")


def test_two_nodes_of_two_meet_under_pmi(desk: Desk) -> None:
    desk.write("meets.py", COMM)
    desk.write("meets.txt", "python meets.py\n")
    done = desk.hpcsubmit("-W", "pmi", "-g", "2", "-n", "2", "-c", "2", "-C", "meets.txt", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    lines = [line for line in done.stdout.splitlines() if " of 4 on " in line and "sum" in line]
    labels = [re.fullmatch(r"(\d): rank (\d) of 4 on \S+ local (\d) 2 sum 6", line) for line in lines]
    assert sorted(found.groups() for found in labels if found) == [
        (str(rank), str(rank), str(rank % 2)) for rank in range(4)
    ], done.stdout
    assert re.search(
        r"^0: hpcsubmit\.comm: slurm-pmi, chosen by auto: rank 0 of 4", done.stdout, re.MULTILINE
    )


def test_a_flavour_of_mpi_that_this_slurm_lacks_is_refused_here_and_on_the_node(plai: Desk) -> None:
    plai.write("meets.txt", "python -c 1\n")
    words = ["-W", "pmi", "-g", "2", "-C", "meets.txt"]
    plai.write("hpcsubmit.yaml", "profiles: {plai: {mpi: pmix_v99}}\n")
    refused = plai.hpcsubmit(*words, "--dry-run")
    (plai.project / "hpcsubmit.yaml").unlink()
    assert refused.returncode == 1
    assert re.search(
        r"^error: Slurm here knows no --mpi=pmix_v99: it has .*pmi2", refused.stderr, re.MULTILINE
    )
    script = plai.hpcsubmit(*words, "--dry-run").stdout
    (path,) = re.findall(r"^_run_dir=(.*)", script, re.MULTILINE)
    plai.cluster.run(["mkdir", "-p", path, f"/scratch/{USER}/gan/hpc_outputs"])
    sent = plai.cluster.run(["sbatch", "--parsable"], stdin=script.replace("_mpi=pmi2", "_mpi=pmix_v99"))
    assert plai.cluster.wait_for_job(int(sent.stdout), 180) == "FAILED", sent.stderr
    assert "hpcsubmit: srun here knows no --mpi=pmix_v99: MPI plugin types are..." in plai.log(
        int(sent.stdout)
    )


WHERE = (
    "import os, sys\n"
    "told = [sys.prefix, *(str(os.environ.get(name)) for name in sys.argv[1:])]\n"
    "sys.stdout.write('|'.join(told) + '\\n')\n"
)
CONDA = f"/home/{USER}/miniforge3/envs/gan-env"
# conda itself cannot be had everywhere: the folders of an environment of its, around a real Python.
MAKE_CONDA = f"""
/usr/bin/python3 -m venv --without-pip {CONDA} && cd {CONDA} && mkdir -p conda-meta etc/conda/activate.d &&
echo 'export TOOL="activated in $CONDA_PREFIX"' >etc/conda/activate.d/tool.sh &&
echo 'function tc() {{ [[ $1 == on ]] && export CC="cc of $CONDA_DEFAULT_ENV"; }}
tc on' >etc/conda/activate.d/gcc.sh &&
echo '{{"version": 1, "env_vars": {{"MINE": "set by conda"}}}}' >conda-meta/state
"""
ACTIVATED = f"{CONDA}|{CONDA}|gan-env|activated in {CONDA}|cc of gan-env|set by conda"


@pytest.fixture
def conda_desk(plai: Desk) -> Iterator[Desk]:
    """A cluster whose user has an environment of conda, and a program that tells where it runs."""
    made = plai.cluster.run(["bash", "-c", MAKE_CONDA], timeout=180)
    assert made.returncode == 0, made.stderr
    plai.write("where.py", WHERE)
    plai.write("where.txt", "python where.py CONDA_PREFIX CONDA_DEFAULT_ENV TOOL CC MINE\n")
    yield plai
    plai.cluster.run(["rm", "-rf", f"/home/{USER}/miniforge3"])


def test_a_conda_environment_is_activated_on_the_nodes(conda_desk: Desk) -> None:
    done = conda_desk.hpcsubmit(
        "--conda-env", "gan-env", "-W", "srun", "-n", "2", "-C", "where.txt", "--follow"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines() == [ACTIVATED, ACTIVATED]


def test_a_conda_environment_is_activated_inside_a_container(conda_desk: Desk) -> None:
    for desk in harbour(conda_desk):
        done = desk.hpcsubmit(*python_image(), "--conda-env", CONDA, "-C", "where.txt", "--follow")
        assert done.returncode == 0, done.stdout + done.stderr
        assert ACTIVATED in done.stdout.splitlines()
