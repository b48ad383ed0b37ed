"""The machine's GPUs, dealt out to the nodes of a job."""

from collections.abc import Mapping


def deal(environment: Mapping[str, str], *, nodes: int, per_node: int) -> tuple[str, ...]:
    """CUDA_VISIBLE_DEVICES of each node: node 0 gets the first GPUs, and so on.

    The GPUs there are, are the ones in the caller's own CUDA_VISIBLE_DEVICES. Where they are too few,
    every node gets none, so that all ranks run on the CPU instead of some of them.
    """
    visible = [word.strip() for word in environment.get("CUDA_VISIBLE_DEVICES", "").split(",")]
    gpus = [gpu for gpu in visible if gpu and gpu not in ("-1", "NoDevFiles")]
    if nodes * per_node > len(gpus):
        return ("",) * nodes
    return tuple(",".join(gpus[node * per_node : (node + 1) * per_node]) for node in range(nodes))
