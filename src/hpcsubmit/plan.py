"""plan(request, profile, context) -> Plan: every decision of a submission, pure."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hpcsubmit.conda import CondaEnv
from hpcsubmit.container import Container, container
from hpcsubmit.context import Context
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.launch import NO_PROGRAM, JobKind, Program, kind_of, program_for
from hpcsubmit.node_disks import Collect, Load, StageIn, collect, environment_transfer, stage_in, transfer
from hpcsubmit.profile import Profile
from hpcsubmit.remarks import notes_of, warnings_of
from hpcsubmit.request import Request
from hpcsubmit.resources import check_limits, gpus, memory, where
from hpcsubmit.slurm import Directive
from hpcsubmit.trials import COUNTED, SWEEP, Source, Trials, spec_of, trials_of
from hpcsubmit.values import Walltime
from hpcsubmit.virtualenv import Virtualenv

RECORDS = "hpcsubmit"
"""The folder in the project's scratch folder that holds the records of its runs."""
DEFAULT_CPUS = 2


@frozen
class Plan:
    """One submission, decided: the script, the preview and the effects are all made from it.

    cpus_per_task, threads: CPU cores of a task, and of each of its processes that has a GPU.
    log: the pattern that sbatch gets, `%` of folders doubled.
    trials: what the tasks of an array run, None for a single job. spec: what their numbers stand for.
    exports: the variables that the program finds, besides those that only the node knows.
    notes, warnings: lines for the preview.
    """

    cluster: str
    scheduler: str
    kind: JobKind
    job_name: str
    exp_name: str
    run_id: str
    version: str
    command_line: str
    directives: tuple[Directive, ...]
    walltime: Walltime
    nodes: int
    gpus_per_node: int
    tasks_per_node: int
    cpus_per_task: int
    threads: int
    max_restarts: int
    project_root: Path
    scratch_dir: Path
    run_dir: Path
    output_dir: Path
    log: str
    folders: tuple[Path, ...]
    experiment_file: Path
    command_text: str
    program: Program
    virtualenv: Virtualenv | None
    container: Container | None
    conda: CondaEnv | None
    mpi: str
    data: StageIn | None
    collect: Collect | None
    exports: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    slurm_tmpdir: str
    node_local_base: str
    loopback: bool
    wandb_key_file: Path | None
    visible_gpus: tuple[str, ...]
    trials: Trials | None
    spec: Mapping[str, Any] | None
    notes: tuple[str, ...]
    warnings: tuple[str, ...]

    @property
    def shown_kind(self) -> str:
        """The kind of job as lists show it: `sweep`, or what starts its program."""
        return SWEEP if self.trials and self.trials.is_sweep else self.kind.value

    @property
    def seeds(self) -> tuple[int, ...] | str:
        """The seeds that the script itself gives to its trials; `counted` where a trial's is its number."""
        wanted = self.trials.wanted if self.trials else None
        if wanted is None or wanted.source is not Source.REPEATS:
            return ()
        return COUNTED if wanted.seeds == tuple(range(1, wanted.number + 1)) else wanted.seeds

    @property
    def given_words(self) -> bool:
        """Whether a trial's command is known only on the node."""
        return self.trials is not None and self.trials.is_sweep

    @property
    def tells_step(self) -> bool:
        """Whether the program's step says its number, so that it alone can be told to end."""
        return self.collect is not None or (self.trials is not None and self.trials.source == Source.AGENT)

    @property
    def cpus_per_node(self) -> int:
        """CPU cores of the job on a node."""
        return self.tasks_per_node * self.cpus_per_task

    @property
    def library(self) -> Path:
        """The folder on the job's PYTHONPATH that holds hpcsubmit.comm."""
        return self.run_dir / "python"

    @property
    def stages_in(self) -> bool:
        """Whether archives are unpacked on the nodes."""
        return self.data is not None or bool(self.virtualenv and self.virtualenv.manifest)


def plan(request: Request, profile: Profile, context: Context) -> Plan:
    """Decide everything about a submission; raises HpcSubmitError for what this cluster cannot do."""
    _check_name(request)
    wanted = context.trials
    sweep = wanted is not None and wanted.is_sweep
    trials = trials_of(wanted, request, profile) if wanted else None
    if sweep:  # plain --gpus and --num-nodes are forced to one; a trial's own are its job's
        request = replace(request, gpus=request.trial_gpus, num_nodes=request.trial_nodes)
    kind = kind_of(request)
    cpus = request.cpus or (profile.cpus_per_gpu or 0) * request.gpus or DEFAULT_CPUS
    tasks = request.gpus if kind.task_per_gpu else 1
    cpus_per_task = -(-cpus // tasks)
    check_limits(request, tasks * cpus_per_task, profile)
    run_dir = context.scratch_dir / RECORDS / "runs" / context.run_id
    experiment_dir = context.scratch_dir / request.exp_name
    outputs = context.scratch_dir / "hpc_outputs"
    job_name, log_name = _names(kind, trials, context.project_root.name, request.exp_name)
    log = f"{str(outputs).replace('%', '%%')}/{log_name}"
    output_dir = experiment_dir / "runs" / context.run_id
    if kind.distributed and not sweep:
        from hpcsubmit.inner_launcher import check_command  # late: for several processes alone

        check_command(kind, request, context.command)
    program = NO_PROGRAM if sweep else program_for(kind, context.command, request, profile)
    exports = _exports(kind, request, profile, context, output_dir)
    image = container(
        request,
        profile,
        image=context.image,
        conda=context.conda,
        project_root=context.project_root,
        scratch_dir=context.scratch_dir,
        exported=[*dict(exports), *program.names],
        distributed=kind.distributed,
        several_per_node=request.gpus > 1 and (kind.task_per_gpu or kind is JobKind.RANKS),
        transfer=transfer(request, profile),
    )
    return Plan(
        cluster=profile.name,
        scheduler=profile.scheduler,
        kind=kind,
        job_name=job_name,
        exp_name=request.exp_name,
        run_id=context.run_id,
        version=context.version,
        command_line=context.command_line,
        directives=_directives(request, profile, context, trials, job_name, log, tasks, cpus_per_task),
        walltime=request.time,
        nodes=request.num_nodes,
        gpus_per_node=request.gpus,
        tasks_per_node=tasks,
        cpus_per_task=cpus_per_task,
        threads=max(1, cpus // request.gpus),
        max_restarts=profile.torchrun_max_restarts,
        project_root=context.project_root,
        scratch_dir=context.scratch_dir,
        run_dir=run_dir,
        output_dir=output_dir,
        log=log,
        folders=(context.scratch_dir, outputs, experiment_dir / "checkpoints"),
        experiment_file=context.command.source,
        command_text=(trials and trials.wanted.command_text) or context.command.text,
        program=program,
        virtualenv=_virtualenv(request, profile, context),
        container=image,
        conda=context.conda,
        mpi=profile.mpi,
        data=stage_in(request, profile, context.data),
        collect=collect(request, profile, experiment_dir),
        exports=exports,
        modules=profile.modules + (image.modules if image else ()),
        slurm_tmpdir=profile.slurm_tmpdir,
        node_local_base=profile.node_local_base,
        loopback=profile.loopback,
        wandb_key_file=context.wandb_key_file,
        visible_gpus=context.visible_gpus,
        trials=trials,
        spec=spec_of(trials, run_id=context.run_id, kind=kind, request=request, profile=profile)
        if trials
        else None,
        notes=(
            *(trials.notes if trials else ()),
            *notes_of(kind, request, profile, context, cpus, tasks),
        ),
        warnings=tuple(warnings_of(profile, context)),
    )


def _check_name(request: Request) -> None:
    if request.exp_name == RECORDS:
        raise HpcSubmitError(
            f"an experiment cannot be named {RECORDS}: its outputs would lie among the records of runs",
            "choose another --exp-name",
        )


def _virtualenv(request: Request, profile: Profile, context: Context) -> Virtualenv | None:
    """The environment; where every node unpacks it, with the way on which it comes there."""
    found = context.virtualenv
    if found is None or found.manifest is None:
        return found
    chosen = environment_transfer(Load(found.room, found.sizes), context.data, request, profile)
    return found._replace(transfer=chosen)


def _names(kind: JobKind, trials: Trials | None, project: str, experiment: str) -> tuple[str, str]:
    """The name of the job and that of its log; an array's tasks each have a log."""
    sweep = trials is not None and trials.is_sweep
    job, log = (SWEEP, SWEEP) if sweep else (kind.job_name, kind.log_name)
    ending = "%A_%a.out" if trials else "%j.out"
    return "-".join(filter(None, (job, project, experiment))), "_".join(
        filter(None, (log, experiment, ending))
    )


def _directives(
    request: Request,
    profile: Profile,
    context: Context,
    trials: Trials | None,
    job_name: str,
    log: str,
    tasks: int,
    cpus_per_task: int,
) -> tuple[Directive, ...]:
    """Every option of sbatch, in the order of the script."""
    return (
        Directive(name="job-name", value=job_name),
        Directive(name="comment", value=context.run_id),
        *([Directive(name="array", value=trials.array.directive)] if trials else []),
        *where(request.account, request.partition, profile),
        Directive(name="time", value=str(request.time)),
        Directive(name="nodes", value=str(request.num_nodes)),
        Directive(name="ntasks-per-node", value=str(tasks)),
        Directive(name="cpus-per-task", value=str(cpus_per_task)),
        gpus(request, profile),
        *memory(request, profile),
        Directive(name="chdir", value=str(context.project_root)),
        Directive(name="output", value=log),
        Directive(name="open-mode", value="append"),
        *([Directive(name="signal", value=f"B:USR1@{request.collect_grace}")] if request.collect else []),
        *profile.sbatch_args,
        *request.sbatch_args,
    )


def _exports(
    kind: JobKind, request: Request, profile: Profile, context: Context, output_dir: Path
) -> tuple[tuple[str, str], ...]:
    """A4's variables; the upper-case twins are there because wandb substitutes only upper-case names."""
    named = {
        "source_dir": str(context.project_root),
        "project_name": context.project_root.name,
        "scratch_dir": str(context.scratch_dir),
        "exp_name": request.exp_name,
    }
    world = {"GLOBAL_WORLD_SIZE": str(request.num_nodes * request.gpus)} if kind.distributed else {}
    twins = {name.upper(): value for name, value in named.items()}
    job = named | twins | {"OUTPUT_DIR": str(output_dir)} | world
    return tuple((dict(profile.environment) | job).items())
