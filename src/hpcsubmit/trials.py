"""The trials of a submission: many runs of one program as the tasks of an array; decided, pure."""

from enum import StrEnum
from typing import TYPE_CHECKING, Any

from hpcsubmit.array import Array, Limits, array_of
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.launch import JobKind
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request
from hpcsubmit.wandb_sweep import WandbSweepId

if TYPE_CHECKING:
    from hpcsubmit.sweep_file.reading import SweepFile

SWEEP = "sweep"
"""What the names of a sweep's jobs and logs begin with, and its kind in the record."""
COUNTED = "counted"
"""The seeds 1, 2, 3, ... as a template takes them."""


class Source(StrEnum):
    """What tells a trial its parameters: a wandb server, the sweep file, or nothing but its seed."""

    AGENT = "agent"
    FILE = "file"
    REPEATS = "repeats"


@frozen
class Wanted:
    """The trials that a submission is to have, before the cluster has its say.

    number: of all trials, seeds counted. seeds: one after another for each set of parameters; () for none.
    sweep: on the server, complete. file: the sweep's file, None where only the server knows it.
    tags: of its runs. per_task: trials one after another in a task, None for as the limits want it.
    """

    source: Source
    number: int
    limits: Limits
    seeds: tuple[int, ...] = ()
    sweep: WandbSweepId | None = None
    file: "SweepFile | None" = None
    tags: tuple[str, ...] = ()
    per_task: int | None = None
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def is_sweep(self) -> bool:
        """Whether the trials differ by more than their seeds."""
        return self.source is not Source.REPEATS

    @property
    def command_text(self) -> str:
        """What a sweep's tasks start, as records and lists show it; "" for what the command says itself."""
        if self.source is Source.AGENT:
            return f"wandb agent --count 1 {self.sweep}"
        return self.file.shown_command if self.file else ""


@frozen
class Trials:
    """The trials of a plan; `source`, `tags` and `sweep_path` as the template takes them."""

    wanted: Wanted
    array: Array
    notes: tuple[str, ...]

    @property
    def source(self) -> str:
        """The name of the template that runs a trial: partials/trials/NAME.sh.j2."""
        return self.wanted.source.value

    @property
    def is_sweep(self) -> bool:
        """Whether the trials differ by more than their seeds."""
        return self.wanted.is_sweep

    @property
    def tags(self) -> str:
        """The tags of the runs as WANDB_TAGS wants them, joined by commas."""
        return ",".join(self.wanted.tags)

    @property
    def sweep_path(self) -> str:
        """ENTITY/PROJECT/ID, "" without a server."""
        return str(self.wanted.sweep) if self.wanted.sweep else ""


def trials_of(wanted: Wanted, request: Request, profile: Profile) -> Trials:
    """Divide trials among the tasks of arrays; raises HpcSubmitError where they do not fit the cluster.

    request: as it was asked for, with the --gpus and --num-nodes that a sweep does not take.
    """
    array = array_of(
        wanted.number,
        wanted.limits,
        throttle=profile.array_throttle,
        per_task=wanted.per_task,
        walltime=request.time,
    )
    _check_collected(request, array)
    forced = _forced_to_one(request) if wanted.is_sweep else ()
    return Trials(wanted=wanted, array=array, notes=(*forced, *wanted.notes, *array.notes))


def _forced_to_one(request: Request) -> tuple[str, ...]:
    """Say that a sweep does not take --gpus and --num-nodes, where they were given."""
    if request.gpus == request.num_nodes == 1:
        return ()
    ignored = f"--gpus {request.gpus} --num-nodes {request.num_nodes} are ignored"
    return (f"{ignored}: a run of a sweep gets --trial-gpus on --trial-nodes, one by default",)


def _check_collected(request: Request, array: Array) -> None:
    """Raise HpcSubmitError where the results of several trials would take each other's place."""
    if request.collect and array.per_task > 1:
        raise HpcSubmitError(
            f"--collect copies a task's folder once, and each task runs {array.per_task} trials",
            "ask for fewer trials at a time, or let the program write into $OUTPUT_DIR",
        )


def spec_of(
    trials: Trials, *, run_id: str, kind: JobKind, request: Request, profile: Profile
) -> dict[str, Any]:
    """Return what a trial's number stands for, as sweep.json of the record holds it."""
    wanted = trials.wanted
    described = wanted.file.as_spec() if wanted.file else _NO_FILE
    there = {"entity": wanted.sweep.entity, "project": wanted.sweep.project} if wanted.sweep else {}
    return {
        **described,
        **there,
        "trials": wanted.number,
        "seeds": list(wanted.seeds),
        "run": run_id,
        "sweep": trials.sweep_path,
        "launch": {
            "kind": kind.value,
            "nodes": request.num_nodes,
            "gpus": request.gpus,
            "nodes_flag": profile.lightning_nodes_flag,
            "gpus_flag": profile.lightning_gpus_flag,
        },
    }


_NO_FILE: dict[str, Any] = {
    "name": "", "method": "grid", "parameters": [], "random_seed": 0, "program": "", "command": [],
    "metric": None, "tags": [], "entity": "", "project": "", "file": "",
}  # fmt: skip
