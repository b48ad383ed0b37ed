"""What sinfo prints of the GPUs of a cluster's nodes: its parser, and the sums; pure."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from hpcsubmit.gpus.gres import gpus_in, used_of

COLUMNS = {
    "NodeList": 64,
    "Partition": 64,
    "Available": 8,
    "StateLong": 24,
    "CPUsState": 32,
    "Memory": 16,
    "AllocMem": 16,
    "Gres": 256,
    "GresUsed": 512,
}
"""What sinfo is asked for, and how wide: it cuts a longer value off, and puts nothing between two."""

TAKING_JOBS = frozenset(
    {"allocated", "completing", "idle", "mixed", "planned", "powered_down", "powering_up"}
)
"""The states of a node that new jobs may be given to (sinfo(1), NODE STATE CODES, Slurm 22.05 to 24.11)."""
CLOSED_MARKS = "*$@^!%"
"""Behind a state: no answer, maintenance, a reboot that is asked for or under way, about to be off."""
OTHER_MARKS = "~#-+"


class NodeGpus(NamedTuple):
    """The GPUs of one type on one node.

    kind: the type, "" for none. free: those that a new job may get; none where the node takes no jobs, or has
    no core or no memory left. cpus_free, memory_free (MiB): None where sinfo does not say.
    """

    node: str
    kind: str
    total: int
    used: int
    free: int
    cpus_free: int | None
    memory_free: int | None
    state: str
    partitions: tuple[str, ...]


class Totals(NamedTuple):
    """The GPUs of one type on all nodes; those that are neither used nor free are on nodes without room."""

    kind: str
    total: int
    used: int
    free: int

    @property
    def unavailable(self) -> int:
        """GPUs that nobody uses and no new job can have."""
        return self.total - self.used - self.free


def parse_nodes(text: str) -> tuple[NodeGpus, ...]:
    """Read sinfo's answer about COLUMNS: a line for each node and partition, in sinfo's order."""
    lines: dict[str, list[dict[str, str]]] = {}
    for cells in map(_cells, text.splitlines()):
        if cells["NodeList"]:
            lines.setdefault(cells["NodeList"], []).append(cells)
    return tuple(each for cells in lines.values() for each in _gpus_of(cells))


def totals(nodes: Iterable[NodeGpus]) -> tuple[Totals, ...]:
    """Add up the GPUs of each type, in the order of the types' names."""
    found: dict[str, Totals] = {}
    for each in nodes:
        sums = found.get(each.kind, Totals(each.kind, 0, 0, 0))
        found[each.kind] = Totals(
            each.kind, sums.total + each.total, sums.used + each.used, sums.free + each.free
        )
    return tuple(found[kind] for kind in sorted(found))


def _cells(line: str) -> dict[str, str]:
    found, start = {}, 0
    for name, width in COLUMNS.items():
        found[name] = line[start : start + width].strip()
        start += width
    return found


def _gpus_of(lines: list[dict[str, str]]) -> Iterator[NodeGpus]:
    """The GPUs of a node, from its lines: one for each of its partitions, the same but for these."""
    first = lines[0]
    total = gpus_in(first["Gres"])
    used = used_of(total, gpus_in(first["GresUsed"]))
    cpus, memory = _idle_cpus(first["CPUsState"]), _free_memory(first["Memory"], first["AllocMem"])
    up = any(cells["Available"] == "up" for cells in lines)
    room = up and takes_jobs(first["StateLong"]) and 0 not in (cpus, memory)
    for kind, count in total.items():
        yield NodeGpus(
            node=first["NodeList"],
            kind=kind,
            total=count,
            used=used[kind],
            free=count - used[kind] if room else 0,
            cpus_free=cpus,
            memory_free=memory,
            state=first["StateLong"] if up else f"{first['StateLong']}, partition {first['Available']}",
            partitions=tuple(sorted({cells["Partition"].rstrip("*") for cells in lines})),
        )


def takes_jobs(state: str) -> bool:
    """Whether a node in this state may be given new jobs: `idle`, `mixed-`, not `drained` or `idle*`."""
    word = state.rstrip(CLOSED_MARKS + OTHER_MARKS)
    return word in TAKING_JOBS and not set(state[len(word) :]) & set(CLOSED_MARKS)


def _idle_cpus(text: str) -> int | None:
    """The second number of `allocated/idle/other/total`."""
    numbers = text.split("/")
    return int(numbers[1]) if len(numbers) == 4 and numbers[1].isdecimal() else None


def _free_memory(size: str, allocated: str) -> int | None:
    """What jobs may still ask for, in MiB."""
    if not (size.isdecimal() and allocated.isdecimal()):
        return None
    return max(0, int(size) - int(allocated))
