"""What `hpcsubmit gpus` prints: lines of processes, tables of nodes, and both as JSON."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from hpcsubmit.cli.table import align
from hpcsubmit.gpus.devices import Gpu, Process
from hpcsubmit.gpus.sinfo_text import NodeGpus, totals


def machine_lines(gpus: Iterable[Gpu]) -> Iterator[str]:
    """Return one line for each process, and one for each GPU without any.

    `-` is nothing, `?` is not known; a MB is 1024 * 1024 bytes, as nvidia-smi counts.
    """
    for gpu in gpus:
        device = f"GPU-Info: {gpu.number}, {gpu.name}, {_mb(gpu.memory)}, {gpu.uuid}"
        for process in gpu.processes:
            yield f"{_process(process)}, {device}"
        if not gpu.processes:
            yield f"User: -, PID: -, Process: -, Used Memory: {_mb(gpu.used)}, {device}"


def _process(process: Process) -> str:
    pid = "?" if process.pid is None else process.pid
    name = "".join(c if c.isprintable() else "?" for c in process.name)  # one line, whatever it calls itself
    return f"User: {process.user}, PID: {pid}, Process: {name}, Used Memory: {_mb(process.memory)}"


def _mb(amount: int | None) -> str:
    return "?" if amount is None else f"{amount} MB"


def machine_json(gpus: Iterable[Gpu]) -> dict[str, Any]:
    """Return the same for programs; what is not known is null, and memory is in MiB."""
    return {
        "gpus": [
            {
                "index": gpu.number,
                "name": gpu.name,
                "memory_total_mib": gpu.memory,
                "memory_used_mib": gpu.used,
                "uuid": gpu.uuid,
                "processes": [
                    {
                        "user": _or_null(process.user),
                        "pid": process.pid,
                        "process": _or_null(process.name),
                        "memory_used_mib": process.memory,
                    }
                    for process in gpu.processes
                ],
            }
            for gpu in gpus
        ]
    }


def _or_null(text: str) -> str | None:
    return None if text == "?" else text


def cluster_tables(nodes: Sequence[NodeGpus]) -> Iterator[str]:
    """Return the nodes in sinfo's order, then the sum of each type: the end is what a terminal shows."""
    heading = ("NODE", "TYPE", "TOTAL", "USED", "FREE", "CPUS FREE", "MEMORY FREE", "STATE")
    yield from align([heading, *map(_node_row, nodes)])
    yield ""
    sums = [
        (each.kind or "-", str(each.total), str(each.used), str(each.free), str(each.unavailable))
        for each in totals(nodes)
    ]
    yield from align([("TYPE", "TOTAL", "USED", "FREE", "UNAVAILABLE"), *sums])


def _node_row(each: NodeGpus) -> tuple[str, ...]:
    memory = "?" if each.memory_free is None else f"{each.memory_free // 1024} GB"
    cpus = "?" if each.cpus_free is None else str(each.cpus_free)
    counts = (str(each.total), str(each.used), str(each.free))
    return each.node, each.kind or "-", *counts, cpus, memory, each.state


def cluster_json(nodes: Sequence[NodeGpus]) -> dict[str, Any]:
    """Return the same for programs; a type is null where the GPUs have none, and memory is in MiB."""
    return {
        "types": [
            {
                "type": each.kind or None,
                "total": each.total,
                "used": each.used,
                "free": each.free,
                "unavailable": each.unavailable,
            }
            for each in totals(nodes)
        ],
        "nodes": [
            {
                "node": each.node,
                "type": each.kind or None,
                "total": each.total,
                "used": each.used,
                "free": each.free,
                "cpus_free": each.cpus_free,
                "memory_free_mib": each.memory_free,
                "state": each.state,
                "partitions": list(each.partitions),
            }
            for each in nodes
        ],
    }
