"""A value for every key of hpcsubmit.yaml that is an option, and what it is read as; but for paths."""

from typing import Any

from hpcsubmit.request import AUTO, Launcher
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory, Walltime
from hpcsubmit.wandb_sweep import WandbSweepId

EVERY_VALUE: dict[str, tuple[Any, Any]] = {
    "gpus": (2, 2),
    "num-nodes": ("3", 3),
    "cpus": (4, 4),
    "time": ("2:00:00", Walltime(seconds=7200)),
    "mem-per-gpu": ("20G", Memory.parse("20G")),
    "mem": ("4000M", Memory.parse("4000M")),
    "gpu-type": ("v100l", "v100l"),
    "which-distributed": ("script", Launcher.TORCHRUN),
    "exp-name": (2024, "2024"),
    "account": ("def-x", "def-x"),
    "partition": ("long", "long"),
    "data": (["datasets/a", "b"], ("datasets/a", "b")),
    "data-transfer": ("direct", "direct"),
    "data-compress": ("none", "none"),
    "collect": ("./results/", ("results",)),
    "collect-grace": (60, 60),
    "env-on-node": (True, True),
    "no-env": (False, False),
    "conda-env": ("torch", "torch"),
    "workdir": ("/workdir", "/workdir"),
    "pass-env": (["A", "B"], ("A", "B")),
    "container-exec": (True, True),
    "container-on-node": (False, False),
    "wandb-sweepid": ("me/gan/abc123", WandbSweepId.parse("me/gan/abc123")),
    "num-sweeps": ("auto", AUTO),
    "trial-gpus": (2, 2),
    "trial-nodes": (2, 2),
    "trials-per-task": (3, 3),
    "repeat": (3, 3),
    "seeds": ([1, 2, 5], (1, 2, 5)),
    "sbatch-arg": (
        ["--mail-type=END", "--exclusive"],
        (Directive(name="mail-type", value="END"), Directive(name="exclusive", value=None)),
    ),
}
