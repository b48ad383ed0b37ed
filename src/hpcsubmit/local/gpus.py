"""The machine's GPUs, dealt out to the nodes of a job."""

from collections.abc import Mapping


def deal(environment: Mapping[str, str], *, nodes: int, per_node: int) -> tuple[str, ...]:
    """CUDA_VISIBLE_DEVICES of each node: node 0 gets the first GPUs, and so on.

    The GPUs there are, are the ones in the caller's own CUDA_VISIBLE_DEVICES. Where they are too few,
    every node gets none, so that all ranks run on the CPU instead of some of them.
    """
    hands = deal_hands(environment, nodes=nodes, per_node=per_node)
    return hands[0] if hands else ("",) * nodes


def deal_hands(environment: Mapping[str, str], *, nodes: int, per_node: int) -> list[tuple[str, ...]]:
    """What `deal` gives, for as many jobs as have GPUs at the same time; empty for those that have none."""
    visible = [word.strip() for word in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    gpus = [gpu for gpu in visible if gpu and gpu not in ("-1", "NoDevFiles")]
    shares = [",".join(gpus[first : first + per_node]) for first in _steps(len(gpus), per_node)]
    return [tuple(shares[first : first + nodes]) for first in _steps(len(shares), nodes)]


def _steps(count: int, width: int) -> range:
    """Where each of the whole groups of this width begins."""
    return range(0, count - width + 1, width) if width else range(0)
