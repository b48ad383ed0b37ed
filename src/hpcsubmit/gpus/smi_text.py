"""The parsers of what nvidia-smi prints; pure.

The forms are those of its manual page and of drivers 390 to 580. A value that it does not have stands in
brackets: `[N/A]`, `[Not Supported]`, `[Insufficient Permissions]`.
"""

import re
from collections.abc import Iterator

from hpcsubmit.gpus.devices import UNKNOWN, Gpu, Listed, Process, Slice

FORMAT = "--format=csv,noheader,nounits"
GPU_FIELDS = "index,name,memory.total,gpu_uuid,memory.used"
MIG_FIELD = "mig.mode.current"
"""A field that drivers before 450 refuse."""
PROCESS_FIELDS = "gpu_uuid,pid,process_name,used_memory"

# Names may hold commas, so the fields beside them say where they end.
_GPU = re.compile(r"(\d+), (.*), ([^,]*), ((?:GPU|MIG)-[^,]*)(?:, ([^,]*))?(?:, ([^,]*))?", re.ASCII)
_PROCESS = re.compile(r"([^,]+), (\d+), (.*), ([^,]*)", re.ASCII)
_GPU_LISTED = re.compile(r"GPU \d+: .*\(UUID: ([^)]+)\)", re.ASCII)
_SLICE_LISTED = re.compile(r"\s+MIG (\S+)\s+Device\s+(\d+): \(UUID: ([^)]+)\)", re.ASCII)


def parse_gpus(text: str) -> list[tuple[Gpu, bool]]:
    """Read the answer about GPU_FIELDS and MIG_FIELD: the GPUs, and whether each is in MIG mode."""
    rows = (_GPU.fullmatch(line.strip()) for line in text.splitlines())
    return [(_gpu(row), row[6] == "Enabled") for row in rows if row]


def _gpu(row: re.Match[str]) -> Gpu:
    return Gpu(number=row[1], name=row[2], memory=_number(row[3]), used=_number(row[5]), uuid=row[4])


def parse_processes(text: str) -> Iterator[Listed]:
    """Read the answer about PROCESS_FIELDS."""
    for line in text.splitlines():
        row = _PROCESS.fullmatch(line.strip())
        if row:
            name = UNKNOWN if re.fullmatch(r"\[.*\]|-|", row[3]) else row[3]
            yield row[1], Process(pid=int(row[2]), name=name, memory=_number(row[4]))


def parse_slices(text: str) -> dict[str, list[Slice]]:
    """Read `nvidia-smi -L`: the MIG devices, by the uuid of their GPU."""
    found: dict[str, list[Slice]] = {}
    gpu = ""
    for line in text.splitlines():
        if row := _GPU_LISTED.match(line):
            gpu = row[1]
        elif row := _SLICE_LISTED.match(line):
            found.setdefault(gpu, []).append(Slice(number=int(row[2]), profile=row[1], uuid=row[3]))
    return found


def remarks(text: str) -> str:
    """Return what nvidia-smi says besides rows of its tables, on one line."""
    rows = (_GPU, _PROCESS)
    lines = (line for line in text.splitlines() if not any(row.fullmatch(line.strip()) for row in rows))
    return " ".join(" ".join(lines).split())


def _number(text: str | None) -> int | None:
    """A number of MiB; None for a value that nvidia-smi does not have."""
    row = re.match(r"(\d+)(?: MiB)?$", text or "", re.ASCII)
    return int(row[1]) if row else None
