"""Asks NVML, NVIDIA's library, of this machine's GPUs: through nvidia-ml-py where that is installed."""

from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from hpcsubmit.gpus.devices import NO_GPU_CODES, UNKNOWN, Gpu, Process

MEBI = 1 << 20


class NvmlUnusable(Exception):
    """NVML did not answer.

    why: its words, "" where nvidia-ml-py is not installed. no_gpu: whether they mean that there is none.
    """

    def __init__(self, why: str = "", *, no_gpu: bool = False) -> None:
        super().__init__(why)
        self.why = why
        self.no_gpu = no_gpu


def look() -> tuple[Gpu, ...]:
    """Return the GPUs with their processes, whose users are not known yet; raises NvmlUnusable."""
    try:
        import pynvml  # late: it is optional, and takes 60 ms
    except (ImportError, SyntaxError):  # its oldest releases are for Python 2
        raise NvmlUnusable from None
    try:
        pynvml.nvmlInit()
        try:
            gpus = [gpu for number in range(pynvml.nvmlDeviceGetCount()) for gpu in _gpus(pynvml, number)]
        finally:
            pynvml.nvmlShutdown()
    except (pynvml.NVMLError, AttributeError, ValueError) as error:  # or an old one that lacks a function
        no_gpu = getattr(error, "value", None) in NO_GPU_CODES
        raise NvmlUnusable(str(error) or type(error).__name__, no_gpu=no_gpu) from error
    return tuple(gpu.with_unseen() for gpu in gpus)


def _gpus(nvml: Any, number: int) -> Iterator[Gpu]:
    """A GPU, or the MIG devices that it is cut into."""
    handle = nvml.nvmlDeviceGetHandleByIndex(number)
    slices = list(_slices(nvml, handle))
    for place, each in slices:
        yield _gpu(nvml, each, f"{number}:{place}")
    if not slices:
        yield _gpu(nvml, handle, str(number))


def _slices(nvml: Any, handle: Any) -> Iterator[tuple[int, Any]]:
    try:
        mode, _ = nvml.nvmlDeviceGetMigMode(handle)
        places = nvml.nvmlDeviceGetMaxMigDeviceCount(handle) if mode else 0
    except (nvml.NVMLError, AttributeError):  # this GPU, or this driver, has no MIG
        return
    for place in range(places):
        with suppress(nvml.NVMLError):  # nothing is there
            yield place, nvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, place)


def _gpu(nvml: Any, handle: Any, number: str) -> Gpu:
    memory = used = None
    with suppress(nvml.NVMLError):
        info = nvml.nvmlDeviceGetMemoryInfo(handle)
        memory, used = info.total // MEBI, info.used // MEBI
    return Gpu(
        number=number,
        name=_text(nvml.nvmlDeviceGetName(handle)),
        memory=memory,
        used=used,
        uuid=_text(nvml.nvmlDeviceGetUUID(handle)),
        processes=_processes(nvml, handle),
    )


def _processes(nvml: Any, handle: Any) -> tuple[Process, ...]:
    try:
        running = nvml.nvmlDeviceGetComputeRunningProcesses(handle)
    except nvml.NVMLError:  # not supported here, or not permitted: it is not known to be idle
        return (Process(pid=None, name=UNKNOWN, memory=None),)
    return tuple(_process(nvml, each.pid, each.usedGpuMemory) for each in running)


def _process(nvml: Any, pid: int, used: int | None) -> Process:
    name = UNKNOWN
    with suppress(nvml.NVMLError):  # it has ended, or is another container's
        name = _text(nvml.nvmlSystemGetProcessName(pid)) or UNKNOWN
    return Process(pid=pid, name=name, memory=None if used is None else used // MEBI)


def _text(value: str | bytes) -> str:
    """A text; releases before 11.515 give bytes."""
    return value.decode(errors="replace") if isinstance(value, bytes) else value
