"""The GPUs of this machine and who uses them: asked of NVML, else of nvidia-smi."""

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.gpus import nvidia_smi, nvml
from hpcsubmit.gpus.devices import UNKNOWN, Gpu, Seen
from hpcsubmit.gpus.users import user_names
from hpcsubmit.host import Host


def look(host: Host) -> Seen:
    """Return the GPUs with their processes and users; without a GPU, why there is none.

    Raises HpcSubmitError where there is one and neither NVML nor nvidia-smi can tell of it.
    """
    try:
        seen = Seen(nvml.look())
    except nvml.NvmlUnusable as error:
        seen = _without_nvml(host, error)
    if not seen.gpus:
        return seen if seen.note else seen._replace(note="NVML lists none")
    return seen._replace(gpus=_with_users(seen.gpus, host))


def _without_nvml(host: Host, error: nvml.NvmlUnusable) -> Seen:
    if host.which("nvidia-smi") is not None:
        return nvidia_smi.look(host)
    if not error.why:
        return Seen((), "there is no nvidia-smi on the PATH")
    if error.no_gpu:
        return Seen((), f"NVML says: {error.why}")
    raise HpcSubmitError(
        f"NVML cannot tell of this machine's GPUs ({error.why}), and there is no nvidia-smi on the PATH",
        "the driver or a GPU is out of order: tell those who run this machine",
    )


def _with_users(gpus: tuple[Gpu, ...], host: Host) -> tuple[Gpu, ...]:
    pids = {process.pid for gpu in gpus for process in gpu.processes if process.pid is not None}
    users = user_names(pids, host)
    return tuple(
        gpu._replace(processes=tuple(p._replace(user=users.get(p.pid or -1, UNKNOWN)) for p in gpu.processes))
        for gpu in gpus
    )
