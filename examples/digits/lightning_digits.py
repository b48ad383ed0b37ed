"""Train on the digits with PyTorch Lightning, on any number of nodes and GPUs (or CPU processes).

Try it with `python lightning_digits.py --num_nodes 1 --gpus 2`. In a distributed job,
hpcsubmit appends `--num_nodes N --gpus G` to the command and starts it once per GPU; Lightning finds
the other processes through the variables that Slurm sets.
"""

import argparse
import signal

import pytorch_lightning as pl
import torch
from pytorch_lightning.plugins.environments import SLURMEnvironment, TorchElasticEnvironment
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

import digits

Batch = tuple[Tensor, Tensor]


class DigitReader(pl.LightningModule):
    """The network, its data, and how Lightning trains and tests it."""

    def __init__(self, args: argparse.Namespace) -> None:
        super().__init__()
        self.args = args
        self.network = digits.build_network(args.hidden)
        self.train_set, self.test_set = digits.load_images()

    def train_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Give every rank its share of the images, in another order in every epoch."""
        world_size, rank = self.trainer.world_size, self.trainer.global_rank
        sampler = DistributedSampler(self.train_set, world_size, rank, seed=self.args.seed)
        return DataLoader(self.train_set, batch_size=self.args.batch_size, sampler=sampler)

    def test_dataloader(self) -> DataLoader[tuple[Tensor, ...]]:
        """Give every rank its share of the test images, each image to one rank only."""
        share = digits.share_of(self.test_set, self.trainer.global_rank, self.trainer.world_size)
        return DataLoader(share, batch_size=256)

    def on_train_start(self) -> None:
        """Let the SIGTERM with which Slurm ends a job early end this process at once, as an unfinished one.

        Lightning 2.6 would take it for a wish to stop, and often end with exit code 0.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)

    def training_step(self, batch: Batch) -> Tensor:
        """Return the loss of one batch."""
        images, labels = batch
        return nn.functional.cross_entropy(self.network(images), labels)

    def test_step(self, batch: Batch) -> None:
        """Count the images that are read right, over all batches and ranks."""
        images, labels = batch
        correct = (self.network(images).argmax(dim=1) == labels).sum().float()
        self.log("correct", correct, on_epoch=True, reduce_fx="sum", sync_dist=True)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return the optimizer."""
        return torch.optim.Adam(self.network.parameters(), lr=self.args.lr)


def parse_options() -> argparse.Namespace:
    """Read the command line, with the two options that hpcsubmit appends."""
    parser = digits.options("Train on scikit-learn's digits with PyTorch Lightning.")
    parser.add_argument("--num_nodes", type=int, default=1, help="nodes of the job")
    parser.add_argument("--gpus", type=int, default=1, help="GPUs per node, or processes without any")
    return parser.parse_args()


def build_trainer(args: argparse.Namespace) -> pl.Trainer:
    """Return a trainer that writes nothing by itself: no logger, no progress bar, no checkpoints."""
    enough_gpus = torch.cuda.is_available() and torch.cuda.device_count() >= args.gpus
    in_slurm = SLURMEnvironment.detect() and not TorchElasticEnvironment.detect()
    return pl.Trainer(
        num_nodes=args.num_nodes,
        devices=args.gpus,
        accelerator="gpu" if enough_gpus else "cpu",
        strategy="ddp" if args.num_nodes * args.gpus > 1 else "auto",
        max_epochs=args.epochs,
        use_distributed_sampler=False,  # the two loaders above share out the images
        # By default Lightning would answer SIGUSR1 by requeueing the job: of no use for a run of seconds.
        plugins=[SLURMEnvironment(auto_requeue=False)] if in_slurm else [],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def main() -> None:
    """Train, test, and save the weights."""
    args = parse_options()
    digits.limit_threads()
    pl.seed_everything(args.seed, verbose=False)
    trainer = build_trainer(args)
    reader = DigitReader(args)
    trainer.fit(reader)
    (result,) = trainer.test(reader, verbose=False)
    digits.say_who(trainer.global_rank, trainer.world_size, trainer.strategy.root_device, reader.network)
    if trainer.is_global_zero:
        if args.output_dir:
            digits.save(reader.network, args.output_dir)
        digits.say_accuracy(int(result["correct"]), len(reader.test_set))
    digits.leave()


if __name__ == "__main__":
    main()
