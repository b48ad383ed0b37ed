"""What a cluster is: the fields of a profile, and the YAML values that make one."""

import re
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, field, fields
from typing import Any

from hpcsubmit.errors import HpcSubmitError, UsageError, did_you_mean
from hpcsubmit.frozen import frozen
from hpcsubmit.request import parse_sbatch_arg
from hpcsubmit.slurm import Directive
from hpcsubmit.values import Memory, Walltime


class _Wrong(Exception):
    """A value of the wrong form; its text says which form is right.

    problem: what is wrong, where that is a part of the value.
    """

    def __init__(self, form: str, problem: str = "") -> None:
        super().__init__(form)
        self.problem = problem


def _text(value: object) -> str:
    if not isinstance(value, str) or not value or any(ord(c) < 32 for c in value):
        raise _Wrong("one line of text")
    return value


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _Wrong("a list of texts, [a, b]")
    return tuple(_text(item) for item in value)


def _pairs(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise _Wrong("names with a text each, {NAME: text}")
    return tuple(_pair(name, text) for name, text in value.items())


def _variables(value: object) -> tuple[tuple[str, str], ...]:
    if not isinstance(value, dict):
        raise _Wrong("names with a text or a number each, {NAME: text}")
    return tuple(_variable(name, each) for name, each in value.items())


def _variable(name: object, value: object) -> tuple[str, str]:
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise _Wrong("letters, digits and _, such as NCCL_DEBUG", f"{name!r} is no name of a variable")
    if name == "WANDB_API_KEY":
        raise _Wrong("the key into ~/wandb_credentials.txt", f"every script would show {name}")
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return _pair(name, str(value) if number else value)


def _pair(name: object, value: object) -> tuple[str, str]:
    try:
        return _text(name), _text(value)
    except _Wrong as wrong:
        problem = f"{name} cannot be {value!r}"
        raise _Wrong(f'{wrong}, in quotes: {name}: "{_meant(value)}"', problem) from wrong


def _meant(value: object) -> str:
    """What may have been written where YAML has read something else: yes is True for it without quotes."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value) if isinstance(value, int | float) else "text"


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise _Wrong("a whole number above 0")
    return value


def _count_or_none(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 0:
        raise _Wrong("a whole number, 0 or more")
    return value


def _compressors(value: object) -> tuple[str, ...]:
    found = _texts(value)
    if not set(found) <= {"gzip", "zstd"}:
        raise _Wrong("a list of gzip and zstd")
    return found


def _yes_or_no(value: object) -> bool:
    if not isinstance(value, bool):
        raise _Wrong("true or false")
    return value


def _walltime(value: object) -> Walltime:
    try:
        return Walltime.parse(_text(value))
    except (UsageError, _Wrong) as error:  # YAML reads 1:00:00 without quotes as a number
        raise _Wrong("a time in quotes, 'dd-HH:MM:SS'") from error


def _memory(value: object) -> Memory:
    try:
        return Memory.parse(_text(value))
    except (UsageError, _Wrong) as error:
        raise _Wrong("an amount such as 10G or 4000M") from error


def _path(value: object) -> str:
    if not re.fullmatch(r"/[^\n\\]*", _text(value)):
        raise _Wrong("an absolute path")
    return str(value)


def _flag(value: object) -> str:
    if not re.fullmatch(r"--[A-Za-z][A-Za-z0-9_.-]*", _text(value)):
        raise _Wrong("the name of an option, --name")
    return str(value)


def _directives(value: object) -> tuple[Directive, ...]:
    try:
        return tuple(parse_sbatch_arg(text) for text in _texts(value))
    except UsageError as error:
        raise _Wrong(f"a list of sbatch options, [--name=value]; {error.message}") from error


def _one_of(*allowed: str) -> Callable[[object], str]:
    def parse(value: object) -> str:
        if value not in allowed:
            raise _Wrong(f"{' or '.join(allowed)}; {did_you_mean(str(value), allowed)}")
        return str(value)

    return parse


def _field(parse: Callable[[object], Any], doc: str, default: Any = None) -> Any:
    """A field of a profile: how its YAML value is read, what it means, and its value where none is given."""
    return field(default=default, metadata={"parse": parse, "doc": doc})


@frozen
class Profile:
    """One cluster. docs/profiles.md is made from these fields.

    A default of None, an empty text or an empty list means "not known" or "none", never a guess.
    """

    name: str
    description: str = _field(_text, "One line for `hpcsubmit clusters`.", "")
    scheduler: str = _field(
        _one_of("slurm", "local"), "`slurm`, or `local` for the embedded cluster on this machine.", "slurm"
    )
    retired: str = _field(_text, "The day on which the cluster stopped computing, as text.", "")
    successor: str = _field(_text, "The profile to name to users of a retired cluster.", "")
    detect_environment: tuple[tuple[str, str], ...] = _field(
        _pairs, "Environment variables, with their values, that tell this cluster.", ()
    )
    detect_hosts: tuple[str, ...] = _field(
        _texts, "Host names that tell this cluster; `*`, `?` and `[...]` stand for any text.", ()
    )
    detect_cluster_name: str = _field(_text, "Slurm's ClusterName, where it tells this cluster.", "")
    account: str = _field(_text, "The account where `--account` is not given.", "")
    accounts: tuple[str, ...] = _field(
        _texts, "The accounts there are; with a list, any other is refused.", ()
    )
    uses_accounts: bool = _field(
        _yes_or_no,
        "False where Slurm has no accounts: `--account` is then ignored, with a note.",
        default=True,
    )
    partition: str = _field(_text, "The partition where `--partition` is not given.", "")
    gpu_type: str = _field(_text, "The GPU type where `--gpu-type` is not given.", "")
    gpu_types: tuple[str, ...] = _field(
        _texts, "The GPU types there are; with a list, any other is refused.", ()
    )
    typed_gpus: bool = _field(
        _yes_or_no, "False where GPUs have no types: `--gpu-type` is then ignored, with a note.", default=True
    )
    gpu_option: str = _field(
        _one_of("gres", "gpus-per-node"),
        "How GPUs are asked for: `gres` is `--gres=gpu:[TYPE:]N`, `gpus-per-node` is "
        "`--gpus-per-node=[TYPE:]N`.",
        "gres",
    )
    gpus_per_node: int | None = _field(_count_or_none, "GPUs of the largest node.")
    cpus_per_node: int | None = _field(_count, "CPU cores of the largest node.")
    cpus_per_gpu: int | None = _field(_count, "CPUs to ask for per GPU where `--cpus` is not given.")
    mem_per_gpu: Memory | None = _field(
        _memory, "Memory to ask for per GPU where neither `--mem-per-gpu` nor `--mem` is given."
    )
    memory_option: str = _field(
        _one_of("mem-per-gpu", "mem", "none"),
        "How memory is asked for: per GPU, per node (GPUs times the memory per GPU), or not at all.",
        "mem-per-gpu",
    )
    max_time: Walltime | None = _field(_walltime, "The longest time that a job may ask for.")
    max_jobs: int | None = _field(
        _count,
        "How many jobs one user may have submitted, pending and running, array tasks counted singly; "
        "without it Slurm is asked.",
    )
    max_array_size: int | None = _field(
        _count, "Slurm's MaxArraySize: every index of an array is below it; without it Slurm is asked."
    )
    array_throttle: int | None = _field(_count, "How many tasks of one submission run at once, at most.")
    submit_pause: int = _field(
        _count_or_none, "Seconds between two calls of sbatch, where a submission needs several.", 0
    )
    wandb: str = _field(
        _one_of("online", "offline"), "Whether the nodes reach wandb's server while a job runs.", "online"
    )
    modules: tuple[str, ...] = _field(_texts, "Modules that are loaded before anything else, in order.", ())
    slurm_tmpdir: str = _field(
        _one_of("given", "made", "either"),
        "Who makes SLURM_TMPDIR: the site (`given`), hpcsubmit (`made`), or hpcsubmit only where a job "
        "has none (`either`).",
        "either",
    )
    node_local_base: str = _field(
        _path,
        "The folder on every node in which hpcsubmit makes SLURM_TMPDIR.",
        "/tmp",  # noqa: S108
    )
    node_local_size: Memory | None = _field(
        _memory,
        "Room for one job's data, and its `--env-on-node`, on a node's own disk; more is refused at "
        "submission.",
    )
    nodes: str = _field(
        _text, "The nodes as Slurm lists them, `node[01-12]`; without it sinfo is asked, by partition.", ""
    )
    data_transfer: str = _field(
        _one_of("auto", "direct", "broadcast"),
        "How data reach the nodes where `--data-transfer` is not given: every node reads the shared file "
        "system (`direct`), one reads and sbcast sends (`broadcast`), or as `broadcast_nodes` says (`auto`).",
        "auto",
    )
    broadcast_nodes: int = _field(
        _count, "Jobs of this many nodes and more get their data by broadcast, where the choice is free.", 4
    )
    shared_read_rate: int = _field(
        _count, "MB/s that one node reads from the shared file system: decides whether compression pays.", 500
    )
    compressors: tuple[str, ...] = _field(
        _compressors, "What unpacks compressed data on every node: [gzip, zstd].", ("gzip",)
    )
    environment_built: str = _field(
        _one_of("login", "job"),
        "Where environments are built: here, in the foreground, or in a job of their own.",
        "login",
    )
    build_time: Walltime = _field(
        _walltime, "How long the job may run that builds an environment.", Walltime(seconds=3600)
    )
    build_memory: Memory = _field(
        _memory, "The memory of the job that builds an environment.", Memory.parse("10G")
    )
    python: str = _field(
        _text, "The interpreter that environments are made with: a path, or a name on the PATH.", "python3"
    )
    packages: str = _field(
        _one_of("index", "wheelhouse"),
        "Where packages come from: an index, or only from the `wheelhouse` (pip's --no-index).",
        "index",
    )
    wheelhouse: tuple[str, ...] = _field(
        _texts, "Folders or pages with wheels (pip's --find-links), besides those of pip's own settings.", ()
    )
    loopback: bool = _field(
        _yes_or_no, "True where all nodes are this machine: MASTER_ADDR is then 127.0.0.1.", default=False
    )
    scratch_hint: str = _field(_text, "What to do where SCRATCH is not set; shown as it is.", "")
    container_engine: str = _field(
        _text,
        "The program that runs containers: a name on the PATH, or a path. `apptainer` and `singularity` "
        "stand in for each other.",
        "apptainer",
    )
    container_modules: tuple[str, ...] = _field(
        _texts, "Modules that are loaded for containers, after `modules`.", ()
    )
    container_path: str = _field(_path, "A folder that is put before the PATH for containers.", "")
    container_on_node: bool = _field(
        _yes_or_no, "Whether every node copies the image to its own disk first.", default=False
    )
    environment: tuple[tuple[str, str], ...] = _field(
        _variables, "Variables for every job, such as {NCCL_SOCKET_IFNAME: ib0}.", ()
    )
    mpi: str = _field(_text, "What `-W pmi` gives to srun as --mpi.", "pmi2")
    lightning_nodes_flag: str = _field(
        _flag, "The option with the number of nodes that Lightning commands get.", "--num_nodes"
    )
    lightning_gpus_flag: str = _field(
        _flag, "The option with the GPUs per node that Lightning commands get.", "--gpus"
    )
    torchrun_max_restarts: int = _field(_count_or_none, "How often torchrun starts failed workers again.", 0)
    sbatch_args: tuple[Directive, ...] = _field(
        _directives, "Further options of sbatch for every job, each `--name=value` or `--name`.", ()
    )


FIELDS: Mapping[str, Field[Any]] = {f.name: f for f in fields(Profile) if f.name != "name"}
"""What a profile file may hold, in the order of the documentation."""


def parse_fields(values: object, origin: str) -> dict[str, Any]:
    """Read one layer of a profile, as YAML gave it.

    origin: the file, and the place in it, that errors name.
    Raises HpcSubmitError for an unknown field, with the nearest one, and for a wrong value.
    """
    if not isinstance(values, dict):
        raise HpcSubmitError(
            f"{origin} holds no profile fields", "write one 'field: value' a line; see docs/profiles.md"
        )
    return {str(name): _parse_field(str(name), value, origin) for name, value in values.items()}


def _parse_field(name: str, value: object, origin: str) -> Any:
    if name not in FIELDS:
        raise HpcSubmitError(f"{origin}: a profile has no field '{name}'", did_you_mean(name, FIELDS))
    if value is None:  # takes back what an earlier file says
        return default_of(name)
    try:
        return FIELDS[name].metadata["parse"](value)
    except _Wrong as wrong:
        problem = f": {wrong.problem}" if wrong.problem else f" cannot be {value!r}"
        raise HpcSubmitError(f"{origin}: field '{name}'{problem}", f"write {wrong}") from wrong


def default_of(name: str) -> Any:
    """The value of a field that no file gives."""
    default = FIELDS[name].default
    return None if default is MISSING else default
