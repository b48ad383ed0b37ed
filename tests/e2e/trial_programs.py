"""Programs for trials: quick ones, and one that is a distributed training of its own."""

import time
from pathlib import Path

from e2e.desk import Desk
from e2e.rank_programs import LEAVE, SAY

QUICK = """
import argparse, json, os, sys, time
parser = argparse.ArgumentParser()
for name in ("lr", "depth", "name", "fail", "seed", "nap"):
    parser.add_argument(f"--{name}", default="0")
given = parser.parse_args()
print("trial", json.dumps(vars(given)), "SEED", os.environ.get("SEED"), flush=True)
wakes = time.monotonic() + float(given.nap)
while time.monotonic() < wakes and not os.path.exists("go"):
    time.sleep(0.1)
accuracy = float(given.lr) * 10 + float(given.depth) + float(os.environ.get("SEED", 0)) / 100
if given.fail == given.depth != "0":
    sys.exit(7)
with open(os.environ["OUTPUT_DIR"] + "/metrics.json", "w") as file:
    json.dump([{"step": n, "accuracy": accuracy * n / 3} for n in (1, 2, 3)], file)
"""
"""Metrics follow from the parameters and the seed; --fail N fails where --depth is N, with exit code 7.

--nap is how long it takes at most: a file `go` in the project ends it.
"""

RANKS = (
    SAY
    + """
import argparse, json, torch
import torch.distributed as distributed
parser = argparse.ArgumentParser()
parser.add_argument("--lr", type=float)
parser.add_argument("--num_nodes", default="")
parser.add_argument("--gpus", default="")
given = parser.parse_args()
os.environ.setdefault("RANK", os.environ["SLURM_PROCID"])
os.environ.setdefault("WORLD_SIZE", os.environ["SLURM_NTASKS"])
distributed.init_process_group("gloo")
total = torch.ones(1)
distributed.all_reduce(total)
rank, seed = distributed.get_rank(), os.environ.get("SEED")
flags = given.num_nodes + given.gpus
say("rank", rank, "of", int(total), "on", node, "lr", given.lr, "seed", seed, "flags", flags)
if rank == 0:
    with open(os.environ["OUTPUT_DIR"] + "/metrics.json", "w") as file:
        json.dump({"world": int(total), "lr_seen": given.lr}, file)
distributed.barrier()
distributed.destroy_process_group()
"""
    + LEAVE
)
"""A distributed training without the training: every rank is counted by an all-reduce."""


def wait_for_array(desk: Desk, job: int, limit: float = 900) -> None:
    """Return when squeue knows no task of an array any more."""
    deadline = time.monotonic() + limit
    while True:
        # Without --states, which would leave out a job that is just being signalled or requeued.
        done = desk.cluster.run(["squeue", "--noheader", "-r", f"--jobs={job}", "-o", "%T"])
        answered = done.returncode == 0 or "Invalid job id" in done.stderr
        if answered and not done.stdout.strip():
            return
        assert time.monotonic() < deadline, done.stdout + done.stderr
        time.sleep(0.5)


def logs(desk: Desk, job: int) -> dict[int, str]:
    """The log of every task of an array, by its index."""
    paths = desk.scratch("hpc_outputs").glob(f"*_{job}_*.out")
    return {int(path.stem.rpartition("_")[2]): path.read_text("utf-8", errors="replace") for path in paths}


def newest_run(desk: Desk) -> Path:
    """The record of what was submitted last."""
    return max(desk.scratch("hpcsubmit/runs").iterdir(), key=lambda path: path.name)
