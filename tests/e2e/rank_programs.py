"""Programs of several ranks, each in one file, for the tests of the launchers."""

# One write a line: print() makes several where Python does not buffer, and lines of others come between.
SAY = """
import os, sys
node = os.environ.get("SLURMD_NODENAME") or os.uname().nodename
def say(*words):
    sys.stdout.write(" ".join(map(str, words)) + "\\n")
"""
# How they end: torch 2.13 with gloo now and then aborts while Python shuts down.
LEAVE = """
sys.stdout.flush()
os._exit(0)
"""
TRAIN = (
    SAY.replace("{", "{{").replace("}", "}}")
    + """
import torch
import torch.distributed as dist

{begin}
torch.manual_seed(1)
network = torch.nn.Linear(3, 1)
inputs = torch.randn(64, 3)
targets = inputs @ torch.tensor([[1.0], [-2.0], [0.5]])
mine = slice(rank * 64 // world, (rank + 1) * 64 // world)
losses = []
for step in range(40):
    network.zero_grad()
    loss = torch.nn.functional.mse_loss(network(inputs[mine]), targets[mine])
    loss.backward()
    for parameter in network.parameters():
        dist.all_reduce(parameter.grad)
        parameter.data -= 0.2 * parameter.grad / world
    dist.all_reduce(loss.detach())
    losses.append(loss.item())
weights = network.weight.detach().flatten().tolist()
say("rank", rank, "of", world, "on", node, "sees",
      os.environ.get("CUDA_VISIBLE_DEVICES"), "learned", losses[-1] < losses[0] / 100,
      "weights", ",".join(f"{{w:.6f}}" for w in weights))
dist.barrier()
dist.destroy_process_group()
"""
    + LEAVE
)

# As arcworld's distributed.py: its numbers are key=value words.
ARCWORLD = TRAIN.format(
    begin="""given = dict(word.split("=", 1) for word in sys.argv[1:])
if not {"rank", "world_size"} <= given.keys():
    raise ValueError("rank and world_size are needed")
rank, world = int(given["rank"]), int(given["world_size"])
port = given.get("port", os.environ["MASTER_PORT"])
dist.init_process_group("gloo", f"tcp://{os.environ['MASTER_ADDR']}:{port}", rank=rank, world_size=world)"""
)
# As many programs for srun: torch reads RANK and its like.
ENV = TRAIN.format(
    begin="""dist.init_process_group("gloo", init_method="env://")
rank, world = dist.get_rank(), dist.get_world_size()
assert (int(os.environ["LOCAL_RANK"]), int(os.environ["LOCAL_WORLD_SIZE"])) == (rank % 2, 2)"""
)
ACCELERATED = (
    SAY
    + """
import torch
from accelerate import Accelerator
accelerator = Accelerator()
total = accelerator.reduce(torch.tensor([float(accelerator.process_index)]), "sum").item()
say("rank", accelerator.process_index, "of", accelerator.num_processes, "on", node,
      "sum", total, "by", accelerator.distributed_type.value, "given", sys.argv[1:])
accelerator.wait_for_everyone()
accelerator.end_training()
"""
    + LEAVE
)
COMM = (
    SAY
    + """
from hpcsubmit import comm
comm.init()
import torch
import torch.distributed as dist
total = torch.tensor([comm.rank()])
dist.all_reduce(total)
say("rank", comm.rank(), "of", comm.world_size(), "on", node, "local",
      comm.local_rank(), comm.local_world_size(), "sum", total.item())
comm.finalize()
"""
    + LEAVE
)
# One rank fails when three have begun.
FAILING = """
import os, sys, time
open(os.path.join(os.environ["SLURM_TMPDIR"], sys.argv[1]), "x").close()
while len([name for name in os.listdir(os.environ["SLURM_TMPDIR"]) if len(name) == 1]) < 3: time.sleep(0.05)
if sys.argv[1] == "1": sys.exit(9)
time.sleep(300)
"""
# One that is told things.
TOLD = """
import signal, sys
sys.stdout.reconfigure(line_buffering=True)
signal.signal(signal.SIGUSR1, lambda *_: sys.stdout.write("noted\\n"))
signal.signal(signal.SIGTERM, lambda *_: sys.exit(sys.stdout.write("told\\n") and 0))
sys.stdout.write("ready\\n")
while True: signal.pause()
"""
