"""srun's command line and variables: what they say about the step."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.directives import gpu_count
from hpcsubmit.local.job import Job
from hpcsubmit.local.layout import Step, distribute
from hpcsubmit.local.nodelist import expand, node_name

_SHORT = {
    "-N": "--nodes",
    "-n": "--ntasks",
    "-c": "--cpus-per-task",
    "-l": "--label",
    "-w": "--nodelist",
    "-J": "--job-name",
    "-K": "--kill-on-bad-exit",
    "-u": "--unbuffered",
}
_HONOURED = (
    "--nodes",
    "--ntasks",
    "--ntasks-per-node",
    "--cpus-per-task",
    "--gres",
    "--nodelist",
    "--export",
)
# One machine has nothing to choose here: accepted and left out.
_IGNORED = ("--mem", "--mpi", "--job-name", "--cpu-bind", "--distribution")
_FLAGS = ("--label", "--kill-on-bad-exit", "--overlap", "--exact", "--unbuffered")


@dataclass(frozen=True, slots=True, kw_only=True)
class SrunOptions:
    """A parsed command line. values: what the options with a value were given, by long name."""

    values: Mapping[str, str]
    label: bool
    kill_on_bad_exit: bool
    command: tuple[str, ...]


def parse(arguments: Sequence[str]) -> SrunOptions:
    """Splits srun's own options from the program; raises HpcSubmitError for one that is not known."""
    values: dict[str, str] = {}
    words = list(arguments)
    while words and words[0].startswith("-") and words[0] != "--":
        name, equals, value = words.pop(0).partition("=")
        name = _SHORT.get(name, name)
        if name not in (*_HONOURED, *_IGNORED, *_FLAGS):
            raise _error(
                f"unrecognized option '{name}'", "the embedded cluster knows the common options only"
            )
        if name not in _FLAGS and not equals:
            if not words:
                raise _error(f"option '{name}' requires an argument", f"write {name}=VALUE")
            value = words.pop(0)
        values[name] = value
    command = tuple(words[1:] if words[:1] == ["--"] else words)
    if not command:
        raise _error("No command given to execute.", "write the program after the options")
    if values.get("--export", "ALL") != "ALL":
        raise _error("only --export=ALL is known here", "export the variables before srun")
    return SrunOptions(
        values=values,
        label="--label" in values,
        kill_on_bad_exit=values.get("--kill-on-bad-exit", "0") != "0",
        command=command,
    )


def plan_step(options: SrunOptions, environment: Mapping[str, str], job: Job) -> Step:
    """The step that srun is asked for, its id not yet taken.

    The job's shape comes from SLURM_NTASKS and its like, as in Slurm: a script may set or unset them.
    """
    nodes = _nodes(options, environment, job)
    tasks, per_node = _tasks(options, environment, len(nodes))
    cpus = _number(options, "--cpus-per-task", environment.get("SRUN_CPUS_PER_TASK")) or 1
    counts = distribute(tasks, len(nodes), per_node)
    if len(counts) > len(nodes) or max(counts) * cpus > job.cpus_per_node:
        raise _error(f"Unable to create step for job {job.id}: More processors requested than permitted")
    return Step(
        id=0,
        nodes=tuple(nodes[: len(counts)]),
        per_node=counts,
        cpus_per_task=cpus,
        gpus=_gpus(options.values.get("--gres")),
    )


def _nodes(options: SrunOptions, environment: Mapping[str, str], job: Job) -> list[int]:
    names = {node_name(index): index for index in range(job.nodes)}
    chosen = expand(options.values["--nodelist"]) if "--nodelist" in options.values else list(names)
    count = _number(options, "--nodes", None)
    if count is None and "--nodelist" not in options.values:
        count = _number(options, "--nodes", environment.get("SLURM_NNODES"))
    if (count is not None and count > len(chosen)) or not set(chosen) <= set(names):
        raise _error(f"Unable to create step for job {job.id}: Requested node configuration is not available")
    return sorted(names[name] for name in chosen)[:count]


def _tasks(options: SrunOptions, environment: Mapping[str, str], nodes: int) -> tuple[int, int | None]:
    per_node = _number(options, "--ntasks-per-node", None)
    given = _number(options, "--ntasks", environment.get("SLURM_NTASKS"))
    if given is None:
        return nodes * (per_node or 1), per_node
    if per_node is not None and per_node * nodes < given:
        # Seen with Slurm 22.05: a bare --ntasks-per-node in a job with more tasks starts them all.
        raise_to = f"the requested tasks {given} with the number of requested nodes {nodes}"
        _warn(f"can't honor --ntasks-per-node set to {per_node} which doesn't match {raise_to}.")
        return given, None
    return given, per_node


def _warn(text: str) -> None:
    sys.stderr.write(f"srun: Warning: {text} Ignoring --ntasks-per-node.\n")


def _number(options: SrunOptions, name: str, default: str | None) -> int | None:
    text = options.values.get(name, default)
    if text is None:
        return None
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise _error(f"Invalid numeric value {text!r} for {name}.", "give a whole number above 0")


def _gpus(gres: str | None) -> int | None:
    if gres is None:
        return None
    return 0 if gres.lower() == "none" else gpu_count(gres)


def _error(text: str, hint: str = "") -> HpcSubmitError:
    return HpcSubmitError(f"srun: error: {text}", hint)
