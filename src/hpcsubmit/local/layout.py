"""Which task of a step runs on which node."""

import math
from dataclasses import dataclass

from hpcsubmit.local.nodelist import counts, node_list


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One process of a step. node: the node's index in the job; local_rank: its number on that node."""

    rank: int
    local_rank: int
    node: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One srun: the nodes it uses, by index, and the tasks on each of them.

    gpus: how many of its node's GPUs a task sees, None for all; the tasks of a node share them.
    """

    id: int
    nodes: tuple[int, ...]
    per_node: tuple[int, ...]
    cpus_per_task: int
    gpus: int | None

    @property
    def tasks(self) -> tuple[Task, ...]:
        """All tasks by rank: the first node's first (Slurm's block distribution)."""
        places = [
            (node, local)
            for node, count in zip(self.nodes, self.per_node, strict=True)
            for local in range(count)
        ]
        return tuple(
            Task(rank=rank, local_rank=local, node=node) for rank, (node, local) in enumerate(places)
        )

    @property
    def node_list(self) -> str:
        """The step's nodes in short form."""
        return node_list(self.nodes)

    @property
    def task_counts(self) -> str:
        """Tasks per node in short form."""
        return counts(self.per_node)


def distribute(tasks: int, nodes: int, per_node: int | None) -> tuple[int, ...]:
    """Tasks on each node, in order: at most per_node where given, else evenly, with more on the first.

    Fewer tasks than nodes leave the last nodes out.
    """
    if per_node is not None:
        return tuple(min(per_node, tasks - first) for first in range(0, tasks, per_node))
    used = min(nodes, tasks)
    return tuple(math.ceil((tasks - index) / used) for index in range(used))
