"""A launcher within a command, such as torchrun: where a job starts all ranks, each would start all again."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from hpcsubmit import trial
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command
from hpcsubmit.launch import JobKind, own_launcher
from hpcsubmit.request import Request

if TYPE_CHECKING:
    from hpcsubmit.sweep_file.reading import SweepFile

_COUNTS = {JobKind.TORCHRUN: "--nproc_per_node", JobKind.ACCELERATE: "--num_processes"}


class InnerLauncher(NamedTuple):
    """A launcher that a command starts.

    name: as the command says it, `torch.distributed.run` or `accelerate launch`. kind: of the jobs that start
    processes in its way. script: the Python file that it starts, main.py where the command names none.
    """

    name: str
    kind: JobKind
    script: str

    @property
    def cure(self) -> str:
        """What to write in its place."""
        return (
            f"leave out {self.name} and its options, such as {_COUNTS[self.kind]}, and write the script "
            f"itself: python {self.script}; -W {self.kind.value} starts it on every GPU"
        )


def check_command(kind: JobKind, request: Request, command: Command) -> None:
    """Raise HpcSubmitError where each of several ranks would start all of them again."""
    if kind is JobKind.ACCELERATE and own_launcher(command):
        return
    inner = _of_command(command)
    if inner and _starts_several(kind, request):
        raise HpcSubmitError(
            f"{kind.shown} starts every rank itself, but the command in {command.source} starts "
            f"{inner.name}, and each rank would start all of them again",
            inner.cure,
        )


def check_sweep(kind: JobKind, request: Request, file: "SweepFile") -> None:
    """Raise HpcSubmitError where each rank of a trial would start all of them again; request: of a trial."""
    known = {"${env}": "env", "${interpreter}": "python", "${program}": file.program}
    inner = launcher_in(trial.without_env([known.get(word, word) for word in file.command])[1])
    if inner and _starts_several(kind, request):
        problem = f"starts {inner.name}, but {kind.shown} starts every rank of a trial itself"
        raise file.source.mistake(("command",), problem, inner.cure)


def nodes_alone(kind: JobKind, request: Request, command: Command) -> list[str]:
    """Return a note where every node starts a launcher of its own, which does not know of the others."""
    inner = _of_command(command) if kind.task_per_gpu and request.num_nodes > 1 else None
    alone = "by itself: only its own options can join them"
    return [f"each of the {request.num_nodes} nodes starts {inner.name} {alone}"] if inner else []


def _of_command(command: Command) -> InnerLauncher | None:
    others = (word.raw.strip("\"'") if word.literal is None else word.literal for word in command.words[1:])
    return launcher_in([command.program, *others])


def launcher_in(words: Sequence[str]) -> InnerLauncher | None:
    """Return the launcher that a command's words start, by name or as a module of python; None for none."""
    name, rest = trial.launcher_in(words)
    kind = JobKind.ACCELERATE if "accelerate" in name else JobKind.TORCHRUN
    script = next((word for word in rest if word.endswith(".py")), "main.py")
    return InnerLauncher(name, kind, script) if name else None


def _starts_several(kind: JobKind, request: Request) -> bool:
    """Whether ranks are started already, more than one on a node or by a launcher.

    Where Slurm starts one task on each node, the launchers in them are alone there, and their options can
    join the nodes.
    """
    nodes = 1 if kind.task_per_gpu else request.num_nodes
    return kind.distributed and request.gpus * nodes > 1
