"""How a job's program is started: the kind of job, and what each kind makes of the user's command."""

from enum import StrEnum
from typing import NamedTuple, assert_never

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command
from hpcsubmit.profile import Profile
from hpcsubmit.request import Launcher, Request
from hpcsubmit.shellwords import Word


class JobKind(StrEnum):
    """The kinds of job: one process as on a laptop, or a distributed training and what starts it."""

    PLAIN = "plain"
    LIGHTNING = "lightning"
    TORCHRUN = "torchrun"

    @property
    def distributed(self) -> bool:
        """Whether several processes work together, on one node or more."""
        return self is not JobKind.PLAIN

    @property
    def log_name(self) -> str:
        """What the name of the job's log begins with."""
        return self.value if self.distributed else "standard"

    @property
    def job_name(self) -> str:
        """What the job's name begins with."""
        return f"{self.value}_dist" if self.distributed else "standard"

    @property
    def started_by(self) -> str:
        """The name of the template that starts the program: partials/launch/NAME.sh.j2."""
        return "torchrun" if self is JobKind.TORCHRUN else "python"


def kind_of(request: Request) -> JobKind:
    """Choose the kind of job: plain for one GPU on one node without -W, Lightning for more of them."""
    match request.launcher:
        case Launcher.LIGHTNING:
            return JobKind.LIGHTNING
        case Launcher.TORCHRUN:
            return JobKind.TORCHRUN
        case None:
            return JobKind.PLAIN if request.gpus * request.num_nodes == 1 else JobKind.LIGHTNING
        case _:
            assert_never(request.launcher)


class Program(NamedTuple):
    """What each task of the job runs.

    assignments, names: the `NAME=value` words of the command as bash source, and their names.
    launcher: the words before torchrun's own options; empty for other kinds.
    no_python: whether torchrun is told that the command names its interpreter itself.
    arguments: the words of the command, or of what torchrun starts; bash source, expanded on the node.
    """

    assignments: tuple[Word, ...]
    names: tuple[str, ...]
    arguments: tuple[Word, ...]
    launcher: tuple[Word, ...] = ()
    no_python: bool = False


def program_for(kind: JobKind, command: Command, request: Request, profile: Profile) -> Program:
    """Make the program of a job from the user's command; raises HpcSubmitError where it does not fit."""
    if kind.distributed and not command.python_word:
        raise HpcSubmitError(
            f"a {kind.value} job starts Python on every rank, but the command in {command.source} starts "
            f"'{command.program}'",
            "begin the command with python, or ask for one GPU on one node without -W",
        )
    match kind:
        case JobKind.PLAIN:
            return _as_it_is(command)
        case JobKind.LIGHTNING:
            flags = (profile.lightning_nodes_flag, profile.lightning_gpus_flag)
            counts = (str(request.num_nodes), str(request.gpus))
            appended = [word for pair in zip(flags, counts, strict=True) for word in pair]
            return _as_it_is(command.without_flags(flags).with_words(*appended))
        case JobKind.TORCHRUN:
            return _torchrun(command)
        case _:
            assert_never(kind)


def _as_it_is(command: Command) -> Program:
    return Program(assignments=command.assignments, names=command.assigned_names, arguments=command.words)


def _torchrun(command: Command) -> Program:
    python, arguments = command.words[0], command.words[1:]
    while arguments and arguments[0].literal == "-u":  # torchrun starts every worker with -u
        arguments = arguments[1:]
    if not arguments:
        raise HpcSubmitError(
            f"the command in {command.source} gives python nothing to run",
            "write the script behind it: python main.py",
        )
    first = arguments[0].literal or arguments[0].raw
    no_python = first.startswith("-") and first != "-m"
    return Program(
        assignments=command.assignments,
        names=command.assigned_names,
        launcher=_launcher(python),
        no_python=no_python,
        arguments=(python, *arguments) if no_python else arguments,
    )


def _launcher(python: Word) -> tuple[Word, ...]:
    """The environment's torchrun for a plain `python`; a path to a Python keeps that one."""
    if python.literal is not None and "/" not in python.literal:
        return (Word(raw="torchrun", literal="torchrun"),)
    run = "torch.distributed.run"
    return (python, Word(raw="-m", literal="-m"), Word(raw=run, literal=run))
