"""Slurm's short forms: `local[1-2]` for a list of nodes, `2(x2),1` for a count per node."""

import re
from collections.abc import Iterable, Sequence
from itertools import groupby

PREFIX = "local"

_ENTRY = re.compile(r"(?:[^,\[]|\[[^\]]*\])+")
_BRACKET = re.compile(r"([^\[]*)\[([^\]]*)\](.*)", re.DOTALL)


def node_name(index: int) -> str:
    """Name of the node with this index, counted from 0: `local1` is the first."""
    return f"{PREFIX}{index + 1}"


def node_list(indices: Sequence[int]) -> str:
    """Nodes by index, as SLURM_NODELIST has them: `local1`, `local[1-3,5]`."""
    if len(indices) == 1:
        return node_name(indices[0])
    runs = [
        [number for _, number in run]
        for _, run in groupby(enumerate(indices), lambda pair: pair[1] - pair[0])
    ]
    spans = [f"{run[0] + 1}" if len(run) == 1 else f"{run[0] + 1}-{run[-1] + 1}" for run in runs]
    return f"{PREFIX}[{','.join(spans)}]"


def expand(text: str) -> list[str]:
    """Every host of a list in short form, zeros and order kept, as `scontrol show hostnames` prints them."""
    return [host for entry in _ENTRY.findall(text) for host in _expand_entry(entry)]


def _expand_entry(entry: str) -> list[str]:
    match = _BRACKET.fullmatch(entry)
    if match is None:
        return [entry]
    head, ranges, tail = match.groups()
    return [
        f"{head}{number}{rest}"
        for span in ranges.split(",")
        for number in _numbers(span)
        for rest in _expand_entry(tail)
    ]


def _numbers(span: str) -> Iterable[str]:
    first, dash, last = span.partition("-")
    if not dash:
        return [span]
    return [str(number).zfill(len(first)) for number in range(int(first), int(last) + 1)]


def counts(per_node: Sequence[int]) -> str:
    """Counts per node, as SLURM_TASKS_PER_NODE has them: `2(x2),1`."""
    runs = [(count, len(list(run))) for count, run in groupby(per_node)]
    return ",".join(f"{count}(x{times})" if times > 1 else f"{count}" for count, times in runs)
