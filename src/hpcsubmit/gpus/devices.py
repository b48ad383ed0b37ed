"""A machine's GPUs and the processes on them; pure."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

UNKNOWN = "?"
"""Stands for a name that could not be found out."""
IDLE_MEMORY = 1024
"""MiB that a GPU may hold and still be idle: the driver's own share, or a desktop."""

NO_GPU_CODES = frozenset({6, 9, 12})
"""Errors of NVML, and exit codes of nvidia-smi, that say: nothing found, no driver, no NVML (nvml.h)."""


class Process(NamedTuple):
    """A process on a GPU.

    pid, memory: None where they are not known; memory is in MiB. user, name: UNKNOWN where they are not.
    """

    pid: int | None
    name: str
    memory: int | None
    user: str = UNKNOWN


class Gpu(NamedTuple):
    """A GPU, or a slice of one that MIG made, which programs use as if it were one.

    number: as nvidia-smi counts; `0:1` is MIG device 1 of GPU 0. memory, used: MiB, None where not known.
    """

    number: str
    name: str
    memory: int | None
    used: int | None
    uuid: str
    processes: tuple[Process, ...] = ()

    def with_unseen(self) -> "Gpu":
        """Return it with an unknown process where none is listed and its memory is in use all the same.

        Processes of another container, and those that draw, are in nobody's list.
        """
        if self.processes or (self.used or 0) <= IDLE_MEMORY:
            return self
        return self._replace(processes=(Process(pid=None, name=UNKNOWN, memory=self.used),))


class Seen(NamedTuple):
    """The GPUs that there are. note: what nvidia-smi or NVML said of them, "" for nothing."""

    gpus: tuple[Gpu, ...]
    note: str = ""


class Slice(NamedTuple):
    """A MIG device: its number on its GPU, its profile (`1g.5gb`) and its uuid."""

    number: int
    profile: str
    uuid: str


Listed = tuple[str, Process]
"""A process, and the uuid of the GPU or MIG device that it was listed for."""


def join(
    gpus: Sequence[Gpu], slices: Mapping[str, Sequence[Slice]], listed: Iterable[Listed]
) -> tuple[Gpu, ...]:
    """Put processes on their GPUs; of a GPU that MIG cut, the slices take its place.

    slices: by the uuid of the GPU. A process of a GPU that nobody listed gets one of its own: it came or went
    between two questions.
    """
    found: dict[str, list[Process]] = {}
    for uuid, process in listed:
        found.setdefault(uuid, []).append(process)
    joined = [each for gpu in gpus for each in _with_slices(gpu, slices.get(gpu.uuid, ()), found)]
    known = {gpu.uuid for gpu in joined} | {gpu.uuid for gpu in gpus}
    lost = [uuid for uuid in found if uuid not in known]
    return (
        *(gpu.with_unseen() for gpu in joined),
        *(Gpu(UNKNOWN, UNKNOWN, None, None, uuid, tuple(found[uuid])) for uuid in lost),
    )


def _with_slices(gpu: Gpu, slices: Sequence[Slice], found: Mapping[str, list[Process]]) -> Iterator[Gpu]:
    own = tuple(found.get(gpu.uuid, ()))
    if own or not slices:
        yield gpu._replace(processes=own)
    placed = own or any(each.uuid in found for each in slices)
    unseen = () if placed else gpu.with_unseen().processes
    for each in slices:
        processes = tuple(found.get(each.uuid, ())) or tuple(p._replace(memory=None) for p in unseen)
        # A process that is listed for the whole GPU is on one of its slices, and none of them is surely idle.
        if processes or not own:
            name = f"{gpu.name} MIG {each.profile}"
            yield Gpu(f"{gpu.number}:{each.number}", name, None, None, each.uuid, processes)
