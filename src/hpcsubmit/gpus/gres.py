"""The GPUs in Slurm's words for generic resources (gres); pure.

As sinfo prints Gres and GresUsed: `gpu:v100l:4(S:0-1)`, `gpu:8`, `gpu:v100l:2(IDX:0-1)`, of GPUs without a
type `gpu:(null):2(IDX:0,2)`, several with commas between; `shard` and `mps` are shares of the same GPUs.
"""

import re
from collections.abc import Mapping

UNTYPED = ""
"""The type of GPUs that have none."""

_GPUS = re.compile(r"(?:^|,)gpu(?::(\(null\)|[^:,()]+))?:(\d+)(?=[(,]|$)", re.ASCII)


def gpus_in(text: str) -> dict[str, int]:
    """Return the number of GPUs of each type; empty where there are none."""
    found: dict[str, int] = {}
    for row in _GPUS.finditer(text.strip()):
        kind = UNTYPED if row[1] in (None, "(null)") else row[1]
        found[kind] = found.get(kind, 0) + int(row[2])
    return found


def used_of(total: Mapping[str, int], used: Mapping[str, int]) -> dict[str, int]:
    """Return how many of each type in `total` are in use.

    Where only one of the two texts has types, what does not fit by name is taken from the one type that there
    is.
    """
    fitting = {kind: used.get(kind, 0) for kind in total}
    if len(total) == 1:
        fitting = dict.fromkeys(total, sum(used.values()))
    return {kind: min(count, total[kind]) for kind, count in fitting.items()}
