"""How a job's program is started: the kind of job, and what each kind makes of the user's command."""

import re
from enum import StrEnum
from itertools import takewhile
from pathlib import PurePosixPath
from typing import NamedTuple, assert_never

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request
from hpcsubmit.shellwords import Word


class JobKind(StrEnum):
    """The kinds of job: one process as on a laptop, or a distributed training and what starts it."""

    PLAIN = "plain"
    LIGHTNING = "lightning"
    TORCHRUN = "torchrun"
    ACCELERATE = "accelerate"
    SRUN = "srun"
    PMI = "pmi"
    RANKS = "ranks"

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
    def shown(self) -> str:
        """A job of this kind, as a sentence names it: `a plain job`, `an srun job`."""
        return f"{'an' if self in (JobKind.ACCELERATE, JobKind.SRUN) else 'a'} {self.value} job"

    @property
    def task_per_gpu(self) -> bool:
        """Whether Slurm starts a task for every GPU, and not one on every node."""
        return self in (JobKind.LIGHTNING, JobKind.SRUN, JobKind.PMI)

    @property
    def started_by(self) -> str:
        """The name of the template that starts the program: partials/launch/NAME.sh.j2."""
        own = (JobKind.TORCHRUN, JobKind.ACCELERATE, JobKind.RANKS)
        return self.value if self in own else "python"


def kind_of(request: Request) -> JobKind:
    """Choose the kind of job: plain for one GPU on one node without -W, Lightning for more of them."""
    if request.launcher is not None:
        return JobKind(request.launcher.value)
    return JobKind.PLAIN if request.gpus * request.num_nodes == 1 else JobKind.LIGHTNING


class Program(NamedTuple):
    """What each task of the job runs.

    assignments, names: the `NAME=value` words of the command as bash source, and their names.
    launcher: the words before the own options of torchrun or accelerate; empty for other kinds.
    no_python: whether these are told that the command names its interpreter itself.
    own_strategy: whether the command's own options of accelerate say how the processes train together.
    arguments: the words of the command, or of what they start; bash source, expanded on the node.
    python: the word that starts Python on every rank.
    """

    assignments: tuple[Word, ...]
    names: tuple[str, ...]
    arguments: tuple[Word, ...]
    launcher: tuple[Word, ...] = ()
    no_python: bool = False
    own_strategy: bool = False
    python: Word = Word(raw="python", literal="python")


NO_PROGRAM = Program(assignments=(), names=(), arguments=())
"""The program of a sweep's tasks: each trial's command is known only on its node."""


def program_for(kind: JobKind, command: Command, request: Request, profile: Profile) -> Program:
    """Make the program of a job from the user's command; raises HpcSubmitError where it does not fit."""
    if kind is JobKind.ACCELERATE and (launcher := own_launcher(command)):
        return _accelerate_launch(command, launcher)
    if kind.distributed and not command.python_word:
        raise HpcSubmitError(
            f"{kind.shown} starts Python on every rank, but the command in {command.source} starts "
            f"'{command.program}'",
            "begin the command with python, or ask for one GPU on one node without -W",
        )
    match kind:
        case JobKind.PLAIN | JobKind.SRUN | JobKind.PMI:
            return _as_it_is(command)
        case JobKind.LIGHTNING:
            flags = (profile.lightning_nodes_flag, profile.lightning_gpus_flag)
            counts = (str(request.num_nodes), str(request.gpus))
            appended = [word for pair in zip(flags, counts, strict=True) for word in pair]
            return _as_it_is(command.without_flags(flags).with_words(*appended))
        case JobKind.TORCHRUN:
            return _launched(command, ("torchrun",), "torch.distributed.run")
        case JobKind.ACCELERATE:
            return _launched(command, ("accelerate", "launch"), "accelerate.commands.launch")
        case JobKind.RANKS:
            return _ranks(command, request)
        case _:
            assert_never(kind)


def _as_it_is(command: Command) -> Program:
    return Program(
        assignments=command.assignments,
        names=command.assigned_names,
        arguments=command.words,
        python=command.words[0],
    )


def _launched(command: Command, launcher: tuple[str, ...], module: str) -> Program:
    """What torchrun or accelerate starts: the command's words behind its python.

    The launcher is the environment's own for a plain `python`; a path to a Python keeps that one, with the
    launcher as a module.
    """
    python, arguments = command.words[0], command.words[1:]
    while arguments and arguments[0].literal == "-u":  # both start every worker with -u
        arguments = arguments[1:]
    if not arguments:
        raise HpcSubmitError(
            f"the command in {command.source} gives python nothing to run",
            "write the script behind it: python main.py",
        )
    first = arguments[0].literal or arguments[0].raw
    no_python = first.startswith("-") and first != "-m"
    named = python.literal is not None and "/" not in python.literal
    return Program(
        assignments=command.assignments,
        names=command.assigned_names,
        launcher=_words(*launcher) if named else (python, *_words("-m", module)),
        no_python=no_python,
        arguments=(python, *arguments) if no_python else arguments,
        python=python,
    )


_OF_THE_JOB = (
    "--num_machines", "--num_processes", "--machine_rank", "--main_process_ip", "--main_process_port",
    "--multi_gpu", "--gpu_ids",
)  # fmt: skip
"""The options of `accelerate launch` that follow from the job."""
_STRATEGIES = (
    "--config_file", "--use_deepspeed", "--use_fsdp", "--use_megatron_lm", "--use_parallelism_config",
    "--cpu", "--tpu",
)  # fmt: skip
"""Those that say how the processes train together; accelerate refuses --multi_gpu beside most of them."""


def own_launcher(command: Command) -> int:
    """Say how many words of the command are `accelerate launch`, or python and that module; 0 for none."""
    if not command.python_word:
        named = PurePosixPath(command.program).name == "accelerate"
        return 2 if named and command.words[1:] and command.words[1].literal == "launch" else 0
    from hpcsubmit.trial import python_runs  # late: for accelerate alone

    run = python_runs([_text(word) for word in command.words[1:]])
    return run.at + 2 if run and run[:2] == ("module", "accelerate.commands.launch") else 0


def _accelerate_launch(command: Command, launcher: int) -> Program:
    """The user's own `accelerate launch OPTIONS SCRIPT ...`, which gets the job's options in front."""
    words = command.words[launcher:]
    if not words:
        raise HpcSubmitError(
            f"the command in {command.source} gives accelerate nothing to run",
            "write the script behind it: accelerate launch main.py",
        )
    options = [_option(word) for word in takewhile(lambda word: not _is_script(word), words)]
    for option in filter(None, options):
        taken = next((whole for whole in _OF_THE_JOB if whole.startswith(option)), None)
        if taken:
            raise HpcSubmitError(
                f"the command in {command.source} gives accelerate {taken}, which hpcsubmit sets itself",
                f"leave {taken} out: it follows from --gpus and --num-nodes",
            )
    made = _as_it_is(command)
    (python,) = _words("python")
    return made._replace(
        launcher=command.words[:launcher],
        arguments=words,
        own_strategy=not set(_STRATEGIES).isdisjoint(options),
        python=command.words[0] if command.python_word else python,
    )


def _is_script(word: Word) -> bool:
    """Whether what follows belongs to the script: it is one, or -m comes before it."""
    return word.literal in ("-m", "--module") or _text(word).endswith(".py")


def _option(word: Word) -> str:
    """The name of an option, which accelerate also takes with hyphens; "" for another word."""
    name = _text(word).partition("=")[0]
    return f"--{name[2:].replace('-', '_')}" if name.startswith("--") and name != "--" else ""


def _text(word: Word) -> str:
    return word.raw if word.literal is None else word.literal


def _ranks(command: Command, request: Request) -> Program:
    if request.num_nodes > 1:
        raise HpcSubmitError(
            f"-W ranks starts its processes on one node, and {request.num_nodes} are asked for",
            "ask for --num-nodes 1, or for -W torchrun or -W srun on several",
        )
    return _as_it_is(command)


def placeholders(text: str) -> list[str]:
    """Return what `-W ranks` fills in of a command's text, each once, in order; `${rank}` is bash's own."""
    return list(dict.fromkeys(re.findall(r"(?<!\$)\{(?:rank|local_rank|world_size|master_port)\}", text)))


def mpi_flavours(said: str) -> tuple[str, ...]:
    """The values of srun's --mpi in what `srun --mpi=list` says.

    A title that ends in `...`, then one a line; `srun: ` goes before every line until Slurm 21. A last line
    may name versions of pmix behind a colon (Slurm 22.05, 23.11).
    """
    lines = [line.removeprefix("srun:").strip() for line in said.splitlines()]
    named = " ".join(line.rpartition(":")[2] for line in lines if not line.endswith("..."))
    return tuple(named.replace(",", " ").split())


def _words(*literals: str) -> tuple[Word, ...]:
    return tuple(Word(raw=literal, literal=literal) for literal in literals)
