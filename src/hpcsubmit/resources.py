"""What a job asks of a cluster, in the form that its profile wants, and within its limits: pure."""

from collections.abc import Sequence

from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory

DEFAULT_MEM_PER_GPU = Memory.parse("10G")


def where(account: str | None, partition: str | None, profile: Profile) -> list[Directive]:
    """Return the account and the partition of a job; None stands for "as the profile says"."""
    account = account or profile.account
    partition = partition or profile.partition
    found = []
    if account and profile.uses_accounts:
        found.append(Directive(name="account", value=account))
    if partition:
        found.append(Directive(name="partition", value=partition))
    return found


def gpus(request: Request, profile: Profile) -> Directive:
    """Return the request for GPUs, in the profile's syntax."""
    gpu_type = (request.gpu_type or profile.gpu_type) if profile.typed_gpus else ""
    value = f"{gpu_type}:{request.gpus}" if gpu_type else str(request.gpus)
    if profile.gpu_option == "gres":
        return Directive(name="gres", value=f"gpu:{value}")
    return Directive(name="gpus-per-node", value=value)


def memory(request: Request, profile: Profile) -> list[Directive]:
    """Return the request for memory, in the profile's form."""
    if profile.memory_option == "none":
        return []
    if request.memory_per_node:
        return [Directive(name="mem", value=str(request.memory_per_node))]
    per_gpu = request.memory_per_gpu or profile.mem_per_gpu or DEFAULT_MEM_PER_GPU
    if profile.memory_option == "mem-per-gpu":
        return [Directive(name="mem-per-gpu", value=str(per_gpu))]
    return [Directive(name="mem", value=f"{per_gpu.megabytes * request.gpus}M")]


def check_limits(request: Request, cpus: int, profile: Profile) -> None:
    """Raise HpcSubmitError for what no node, list or limit of the profile allows."""
    where = f"the profile '{profile.name}'"
    if profile.gpus_per_node is not None and request.gpus > profile.gpus_per_node:
        raise HpcSubmitError(
            f"--gpus {request.gpus} is more than the {profile.gpus_per_node} GPUs of a node in {where}",
            f"ask for at most {profile.gpus_per_node} per node, on more nodes with --num-nodes",
        )
    if profile.cpus_per_node is not None and cpus > profile.cpus_per_node:
        raise HpcSubmitError(
            f"{cpus} CPUs are more than the {profile.cpus_per_node} of a node in {where}",
            f"ask for at most --cpus {profile.cpus_per_node}; they are counted per node",
        )
    if profile.max_time is not None and request.time > profile.max_time:
        raise HpcSubmitError(
            f"--time {request.time} is longer than the limit of {where}, {profile.max_time}",
            "ask for less time, and let the program go on from a checkpoint in a second job",
        )
    if request.gpu_type and profile.typed_gpus:
        _check_listed("--gpu-type", request.gpu_type, profile.gpu_types, where)
    if request.account and profile.uses_accounts:
        _check_listed("--account", request.account, profile.accounts, where)


def _check_listed(option: str, value: str, listed: Sequence[str], where: str) -> None:
    if listed and value not in listed:
        raise HpcSubmitError(
            f"{option} {value} is not one that {where} lists",
            f"{did_you_mean(value, listed)} it lists {', '.join(listed)}",
        )
