"""hpcsubmit.comm where real launchers start the ranks: 4 on 2 nodes meet, sum, and say who is missing."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest

from e2e.desk import PROJECT, Desk

COMM = Path(__file__).parents[2] / "src" / "hpcsubmit"

TRAIN = """
import os, socket, sys
from hpcsubmit import comm

comm.init(*sys.argv[1:2], timeout=float(os.environ.get("TIMEOUT", 240)))
import torch

total = torch.tensor([comm.rank() + 1])
torch.distributed.all_reduce(total)
ranks = f"{comm.rank()} of {comm.world_size()}, {comm.local_rank()} of {comm.local_world_size()}"
text = f"on {socket.gethostname()}, main {comm.is_main()}, {comm.device()}: sum {total.item()}"
sys.stdout.write(f"rank {ranks} {text}\\n")
comm.finalize()
sys.stdout.flush()
if "mpi4py" in sys.modules:  # mpirun wants its processes to end properly
    sys.modules["mpi4py.MPI"].Finalize()
os._exit(0)  # torch with gloo now and then aborts while Python shuts down
"""

TORCHRUN = (
    "srun --ntasks=2 --ntasks-per-node=1 --mpi=pmi2 torchrun --nnodes 2 --nproc-per-node 2"
    " --rdzv-backend c10d --rdzv-endpoint $SLURMD_NODENAME:29400 --rdzv-id $SLURM_JOB_ID train.py"
)

SCRIPT = """#!/bin/bash
#SBATCH --nodes=2 --nodelist=plai[1-2] --ntasks-per-node=2 --time=10 --mem=4G
#SBATCH --output={project}/comm.out --open-mode=truncate
export PYTHONPATH={project}/library OMP_NUM_THREADS=1 PATH={project}/virtual_env/bin:$PATH
{command}
"""


class Ended(NamedTuple):
    """How a batch job ended: its exit code, and its log."""

    code: int
    log: str


@pytest.fixture
def comm_desk(plai: Desk) -> Desk:
    """The cluster with the program, and with the library as a job is given it."""
    for name in ("__init__.py", "comm.py"):
        plai.write(f"library/hpcsubmit/{name}", (COMM / name).read_text("utf-8"))
    plai.write("train.py", TRAIN)
    return plai


@pytest.mark.parametrize(
    ("command", "method"),
    [
        ("srun --mpi=pmi2 python train.py", "slurm-pmi, chosen by auto"),
        ("srun --mpi=pmix python train.py", "slurm-pmix, chosen by auto"),
        ("srun --mpi=none python train.py", "slurm, chosen by auto"),
        ("mpirun python train.py", "openmpi, chosen by auto"),
        ("mpirun python train.py mpi", "mpi"),
        (TORCHRUN, "env, chosen by auto"),
    ],
)
def test_four_ranks_on_two_nodes_meet(comm_desk: Desk, command: str, method: str) -> None:
    ended = run(comm_desk, command)
    assert ended.code == 0, ended.log
    said = re.findall(r"^hpcsubmit\.comm: (.*): rank 0 of 4 on", ended.log, re.MULTILINE)
    assert said == [method]
    assert "rank 0 of 4, 0 of 2 on plai1, main True, cpu: sum 10\n" in ended.log
    ranks = re.findall(r"rank (\d) of 4, (\d) of 2 on plai(\d), main (True|False), cpu: sum 10", ended.log)
    assert sorted(rank for rank, _, _, _ in ranks) == ["0", "1", "2", "3"]
    assert sorted((node, local) for _, local, node, _ in ranks) == [
        ("1", "0"),
        ("1", "1"),
        ("2", "0"),
        ("2", "1"),
    ]
    assert [main for _, _, _, main in ranks].count("True") == 1


def test_a_batch_script_s_own_python_is_alone(comm_desk: Desk) -> None:
    ended = run(comm_desk, "python train.py")
    assert ended.code == 0, ended.log
    assert "hpcsubmit.comm: single, chosen by auto: rank 0 of 1 on plai1, local rank 0, gloo\n" in ended.log
    assert "rank 0 of 1, 0 of 1 on plai1, main True, cpu: sum 1\n" in ended.log


def test_ranks_whose_launcher_tells_no_local_rank_count_it_out(comm_desk: Desk) -> None:
    hidden = "env -u SLURM_LOCALID -u SLURM_PROCID -u SLURM_LAUNCH_NODE_IPADDR MASTER_ADDR=$SLURMD_NODENAME"
    ended = run(comm_desk, f"srun --mpi=pmi2 --distribution=cyclic {hidden} python train.py nccl-slurm-pmi")
    assert ended.code == 0, ended.log
    ranks = re.findall(r"rank (\d) of 4, (\d) of 2 on plai(\d)", ended.log)
    assert sorted(ranks) == [("0", "0", "1"), ("1", "0", "2"), ("2", "1", "1"), ("3", "1", "2")]


def test_a_rank_that_never_comes_is_named_by_all_that_came(comm_desk: Desk) -> None:
    one_leaves = "bash -c '((PMI_RANK == 2)) || exec python train.py'"
    ended = run(comm_desk, f"export TIMEOUT=30; srun --mpi=pmi2 {one_leaves}")
    assert ended.code == 1, ended.log
    named = "hpcsubmit.comm.CommError: Of 4 ranks, 2 did not come within 30 s."
    assert ended.log.count(named) == 3
    assert "sum" not in ended.log


def test_ranks_that_cannot_connect_all_say_so(comm_desk: Desk) -> None:
    ended = run(comm_desk, "export TIMEOUT=30 GLOO_SOCKET_IFNAME=lo; srun --mpi=pmi2 python train.py")
    assert ended.code == 1, ended.log
    assert ended.log.count("CommError: The ranks met, but gloo cannot join them (") == 4
    assert ended.log.count("GLOO_SOCKET_IFNAME can name the network between the nodes.") == 4


def test_rank_0_elsewhere_than_the_others_were_told_is_explained(comm_desk: Desk) -> None:
    elsewhere = "env SLURM_LAUNCH_NODE_IPADDR=10.78.0.9"
    ended = run(comm_desk, f"export TIMEOUT=3; srun --mpi=none {elsewhere} python train.py")
    assert ended.code == 1, ended.log
    assert ended.log.count("CommError: Rank 0 of 4 cannot be met at 10.78.0.9:29500 (") == 1
    assert (
        len(re.findall(r"CommError: Rank [123] of 4 cannot meet rank 0 at 10\.78\.0\.9:29500 \(", ended.log))
        == 3
    )


def test_another_kind_of_srun_is_answered_with_what_is_missing(comm_desk: Desk) -> None:
    ended = run(comm_desk, "srun --mpi=none python train.py slurm-pmi")
    assert ended.code == 1, ended.log
    assert (
        ended.log.count("slurm-pmi needs PMI_RANK, not set here. Start all ranks with srun --mpi=pmi2,") == 4
    )


def test_started_by_itself_every_rank_says_who_it_is_and_that_all_met(comm_desk: Desk) -> None:
    ended = run(comm_desk, "srun --mpi=pmix python -m hpcsubmit.comm")
    for rank, node, local in ((0, 1, 0), (1, 1, 1), (2, 2, 0), (3, 2, 1)):
        place = rf"^slurm-pmix: rank {rank} of 4 on plai{node}, local rank {local}, meeting at [0-9.]+:29500$"
        assert len(re.findall(place, ended.log, re.MULTILINE)) == 1, ended.log
        assert ended.log.count(f"rank {rank} of 4 met all, and gloo sums right\n") == 1, ended.log


def run(desk: Desk, command: str) -> Ended:
    """Run a batch script of 2 nodes with 2 tasks each that calls the command, to its end."""
    desk.write("comm.sh", SCRIPT.format(project=PROJECT, command=command))
    done = desk.cluster.run(["sbatch", "--parsable", "comm.sh"], cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    desk.cluster.wait_for_job(done.stdout.strip(), 700)
    _, code = desk.cluster.job_state(done.stdout.strip())
    return Ended(int(code.split(":")[0]), (desk.project / "comm.out").read_text("utf-8", errors="replace"))
