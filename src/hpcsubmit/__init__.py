"""hpcsubmit: one command from a PyTorch project to multi-node training on a Slurm cluster."""

__version__ = "0.1.0"
