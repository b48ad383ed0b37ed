"""hpcsubmit.comm where MPI tells who a rank is: a small mpi4py, whose ranks tell each other by files."""

from pathlib import Path

from small_torch import ranks

# One node for every two ranks. What rank 0 sends is in a file, one for each time.
MPI4PY = """
import json, os, sys, time
from itertools import count
from pathlib import Path
from types import SimpleNamespace

COMM_TYPE_SHARED = "shared"
RANK, SIZE, NODE = int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]), 2
times = count()


def split(kind):
    assert kind == COMM_TYPE_SHARED
    return SimpleNamespace(rank=RANK % NODE, size=NODE)


def bcast(word):
    file = Path(os.environ["MEETING"], f"bcast-{next(times)}")
    if RANK == 0:
        new = file.with_suffix(".new")
        new.write_text(json.dumps(word))
        new.replace(file)
    end = time.monotonic() + 60
    while not file.exists() and time.monotonic() < end:
        time.sleep(0.01)
    return json.loads(file.read_text())


def Finalize():
    joined = sys.modules["torch.distributed"].group
    sys.stdout.write(f"MPI ends, and {'a group is' if joined else 'no group is'} left\\n")
    sys.stdout.flush()


COMM_WORLD = SimpleNamespace(rank=RANK, size=SIZE, Split_type=split, bcast=bcast)
"""


def test_all_ranks_meet_where_rank_0_says_and_mpi_is_ended_last(tmp_path: Path) -> None:
    (tmp_path / "mpi4py").mkdir()
    (tmp_path / "mpi4py" / "__init__.py").touch()
    (tmp_path / "mpi4py" / "MPI.py").write_text(MPI4PY, "utf-8")
    environs = [
        {"CUDA_VISIBLE_DEVICES": "", "MASTER_ADDR": f"10.0.0.{number}", "MASTER_PORT": str(29600 + number)}
        for number in range(4)
    ]
    for number, said in enumerate(ranks(tmp_path, *environs, method="mpi")):
        first, *_, met, last = said.splitlines()
        assert first.startswith(f"mpi: rank {number} of 4 on "), said
        assert first.endswith(f", local rank {number % 2}, meeting at 10.0.0.0:29600"), said
        assert met == f"rank {number} of 4 met all, and gloo sums right"
        assert last == "MPI ends, and no group is left"
