"""What the preview says beside the plan: notes of what was decided otherwise, and warnings. Pure."""

from hpcsubmit.context import Context
from hpcsubmit.launch import JobKind, placeholders
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
    if kind.task_per_gpu and request.num_nodes > 1 and not sweep:
        from hpcsubmit.inner_launcher import nodes_alone  # late: for several nodes alone

        notes += nodes_alone(kind, request, context.command)
    return notes + _about_placeholders(kind, context, sweep=sweep)


def _about_placeholders(kind: JobKind, context: Context, *, sweep: bool) -> list[str]:
    """Say what -W ranks would fill in and nothing does, or that it has nothing to fill in."""
    file = context.trials.file if context.trials else None
    named = placeholders(" ".join(file.command) if file else "" if sweep else context.command.text)
    if kind is not JobKind.RANKS:
        rule = "which -W ranks alone fills in: the program gets them as they are written"
        return [f"the command names {' and '.join(named)}, {rule}"] if named else []
    if not sweep and {"{rank}", "{local_rank}"}.isdisjoint(named):
        return ["the command names no {rank}: its processes differ by the variable RANK alone"]
    return []


def warnings_of(profile: Profile, context: Context) -> list[str]:
    """Return what may go wrong though the job can be submitted."""
    found = []
    if profile.retired:
        successor = f"; its successor is {profile.successor}" if profile.successor else ""
        found.append(f"{profile.name} stopped computing on {profile.retired}{successor}")
    found += context.data.warnings if context.data else ()
    found += context.trials.warnings if context.trials else ()
    found += _about_seeds(context)
    if context.wandb_without_key:
        found.append(
            "the project uses wandb, and WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold no key"
        )
    return found


def _about_seeds(context: Context) -> list[str]:
    """Warn of a {seed} that nothing fills in, and of a seed in the command that all repeats would have."""
    if context.trials and context.trials.is_sweep:
        return []  # what its command says is looked at with its file
    text = context.command.text
    if context.trials is None and "seed" not in text:
        return []
    from hpcsubmit.seeds import UNFILLED, has_place, seed_in, with_place  # late: for seeds alone

    if context.trials is None:
        return [f"the command names {UNFILLED}"] if has_place(text) else []
    words = [word.literal for word in (*context.command.assignments, *context.command.words)]
    given = seed_in(words, exact=has_place(text))
    return [f"every repeat has {given}: write {with_place(given)} in its place"] if given else []
