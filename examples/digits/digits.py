"""Handwritten digits, a small network that reads them, and what both training scripts share.

The 1,797 images of 8 x 8 pixels are real and come with scikit-learn, so nothing is downloaded.
"""

import argparse
import hashlib
import json
import os
import socket
import sys
import tempfile
from pathlib import Path
from typing import NoReturn

import torch
import torch.distributed as dist
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch import Tensor, nn
from torch.utils.data import Subset, TensorDataset


def options(description: str) -> argparse.ArgumentParser:
    """Make the parser of the options that both scripts take."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--lr", type=float, default=0.003, help="learning rate of Adam")
    parser.add_argument("--batch_size", type=int, default=16, help="images per step and process")
    parser.add_argument("--hidden", type=int, default=128, help="units of each hidden layer")
    parser.add_argument("--epochs", type=int, default=15, help="passes over the training images")
    parser.add_argument("--seed", type=int, default=0, help="fixes the first weights and the order of images")
    parser.add_argument(
        "--output_dir",
        type=Path,
        default=os.environ.get("OUTPUT_DIR") or None,
        help="folder of the checkpoint (default: $OUTPUT_DIR; without it none is written)",
    )
    return parser


def load_images() -> tuple[TensorDataset, TensorDataset]:
    """Return the training images and the held-out test images, the same ones in every process."""
    images, labels = load_digits(return_X_y=True)
    train_x, test_x, train_y, test_y = train_test_split(
        torch.tensor(images / 16.0, dtype=torch.float32),  # a pixel is 0 to 16
        torch.tensor(labels, dtype=torch.int64),
        test_size=0.2,
        random_state=0,
        stratify=labels,
    )
    return TensorDataset(train_x, train_y), TensorDataset(test_x, test_y)


def build_network(hidden: int) -> nn.Module:
    """Return a perceptron from the 64 pixels to the 10 digits."""
    return nn.Sequential(
        nn.Linear(64, hidden),
        nn.ReLU(),
        nn.Linear(hidden, hidden),
        nn.ReLU(),
        nn.Linear(hidden, 10),
    )


def share_of(dataset: TensorDataset, rank: int, world_size: int) -> Subset[tuple[Tensor, ...]]:
    """Return every `world_size`-th sample, beginning with number `rank`.

    Over all ranks each sample comes exactly once. A DistributedSampler does not promise that: it
    repeats samples until all shares are equally long, which is right for training, wrong for a test.
    """
    return Subset(dataset, range(rank, len(dataset), world_size))


def limit_threads() -> None:
    """Compute with $OMP_NUM_THREADS threads, or one: the processes of a node share its cores."""
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))


def save(network: nn.Module, folder: Path) -> None:
    """Write the weights to `folder`/digits.pt, which is at every moment absent, the old or the new file."""
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = folder / "digits.pt.tmp"
    torch.save(network.state_dict(), unfinished)
    unfinished.replace(folder / "digits.pt")


def say(line: str) -> None:
    """Print a line in one write, so that the lines of several processes do not mix in the job's log."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def say_who(rank: int, world_size: int, device: torch.device, network: nn.Module) -> None:
    """Print who this process is and a checksum of its weights, which must be the same on every rank."""
    host = os.environ.get("SLURMD_NODENAME", socket.gethostname())
    weights = hashlib.sha256()
    for parameter in network.parameters():
        weights.update(parameter.detach().cpu().numpy().tobytes())
    say(f"rank {rank} of {world_size} on {host} with {device}: weights {weights.hexdigest()[:12]}")


def say_accuracy(correct: int, total: int) -> None:
    """Print the accuracy on the test images, and write it where the results of sweeps are looked for.

    A run of a wandb sweep also records it there.
    """
    accuracy = correct / total
    say(f"accuracy: {accuracy:.3f}")
    if folder := os.environ.get("OUTPUT_DIR"):
        Path(folder, "metrics.json").write_text(json.dumps({"accuracy": accuracy}))
    if "WANDB_SWEEP_ID" in os.environ:
        import wandb

        with wandb.init(dir=os.environ.get("OUTPUT_DIR", tempfile.gettempdir())) as run:
            run.log({"accuracy": accuracy})


def leave() -> NoReturn:
    """End a finished training with exit code 0.

    torch 2.13 with gloo now and then aborts while Python shuts down ("terminate called without an
    active exception"), even after destroy_process_group. os._exit leaves that shutdown out, so that
    a training that is done, checked and saved cannot be reported as failed.
    """
    if dist.is_initialized():
        dist.barrier()  # no process leaves while another still needs it
        dist.destroy_process_group()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
