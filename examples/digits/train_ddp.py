"""Train on the digits with plain PyTorch: alone, or in every process that torchrun, srun or mpirun starts.

In a job, hpcsubmit.comm is there. By hand, in a checkout, `export PYTHONPATH=$PWD/src` comes first, and then
`cd examples/digits` with `python train_ddp.py` or `torchrun --standalone --nproc-per-node 2 train_ddp.py`.
"""

import argparse

import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, DistributedSampler, TensorDataset

import digits
from hpcsubmit import comm


def train(args: argparse.Namespace, data: TensorDataset, device: torch.device) -> nn.Module:
    """Return the trained network, with the same weights on every rank."""
    torch.manual_seed(args.seed)
    network = DistributedDataParallel(digits.build_network(args.hidden).to(device))
    optimizer = torch.optim.Adam(network.parameters(), lr=args.lr)
    sampler = DistributedSampler(data, seed=args.seed)
    loader = DataLoader(data, batch_size=args.batch_size, sampler=sampler)
    for epoch in range(args.epochs):
        sampler.set_epoch(epoch)  # another order of images in every epoch
        for images, labels in loader:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(network(images.to(device)), labels.to(device))
            loss.backward()
            optimizer.step()
    return network.module


@torch.no_grad()
def count_correct(network: nn.Module, data: TensorDataset, device: torch.device) -> int:
    """Return how many images of `data` the network reads right; every rank reads its share of them."""
    share = digits.share_of(data, comm.rank(), comm.world_size())
    correct = torch.zeros((), dtype=torch.int64, device=device)
    for images, labels in DataLoader(share, batch_size=256):
        correct += (network(images.to(device)).argmax(dim=1) == labels.to(device)).sum()
    dist.all_reduce(correct)
    return int(correct)


def main() -> None:
    """Train, test, and save the weights."""
    args = digits.options("Train on scikit-learn's digits with DistributedDataParallel.").parse_args()
    digits.limit_threads()
    comm.init()
    device = comm.device()
    train_set, test_set = digits.load_images()
    network = train(args, train_set, device)
    correct = count_correct(network, test_set, device)
    digits.say_who(comm.rank(), comm.world_size(), device, network)
    if comm.is_main():
        if args.output_dir:
            digits.save(network, args.output_dir)
        digits.say_accuracy(correct, len(test_set))
    digits.leave()


if __name__ == "__main__":
    main()
