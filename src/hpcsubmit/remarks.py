"""What the preview says beside the plan: notes of what was decided otherwise, and warnings. Pure."""

from hpcsubmit.context import Context
from hpcsubmit.launch import JobKind, names_its_rank
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request


def notes_of(
    kind: JobKind, request: Request, profile: Profile, context: Context, cpus: int, tasks: int
) -> list[str]:
    """Return what was decided otherwise than the user may think; cpus: per node, tasks: of a node."""
    notes = [context.virtualenv.note] if context.virtualenv and context.virtualenv.note else []
    if request.gpu_type and not profile.typed_gpus:
        notes.append(f"--gpu-type {request.gpu_type} is ignored: the GPUs of '{profile.name}' have no types")
    if request.account and not profile.uses_accounts:
        notes.append(f"--account {request.account} is ignored: '{profile.name}' has no accounts")
    if cpus % tasks:
        notes.append(f"{cpus} CPUs do not divide among {tasks} tasks: each task gets {-(-cpus // tasks)}")
    if profile.memory_option == "none" and (request.memory_per_gpu or request.memory_per_node):
        notes.append(f"the memory asked for is ignored: '{profile.name}' does not limit it")
    gpus = request.gpus * request.num_nodes
    if profile.scheduler == "local" and gpus > len(context.visible_gpus):
        there = len(context.visible_gpus)
        notes.append(f"the job runs on the CPU: GPUs asked for: {gpus}, on this machine: {there}")
    sweep = context.trials is not None and context.trials.is_sweep
    if kind is JobKind.PLAIN and context.command.python_word is False and not sweep:
        notes.append(f"the program is '{context.command.program}', started as it is")
    if kind is JobKind.RANKS and not (sweep or names_its_rank(context.command)):
        notes.append("the command names no {rank}: its processes differ by the variable RANK alone")
    return notes


def warnings_of(profile: Profile, context: Context) -> list[str]:
    """Return what may go wrong though the job can be submitted."""
    found = []
    if profile.retired:
        successor = f"; its successor is {profile.successor}" if profile.successor else ""
        found.append(f"{profile.name} stopped computing on {profile.retired}{successor}")
    found += context.data.warnings if context.data else ()
    found += context.trials.warnings if context.trials else ()
    if context.wandb_without_key:
        found.append(
            "the project uses wandb, and WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold no key"
        )
    return found
