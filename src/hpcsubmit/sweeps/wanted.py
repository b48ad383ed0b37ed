"""Which trials a submission is to have: of a sweep on a server, of a sweep file, or repeats."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcsubmit.array import Limits
from hpcsubmit.conda import CondaEnv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command, read_command
from hpcsubmit.host import Host
from hpcsubmit.inner_launcher import check_sweep
from hpcsubmit.launch import JobKind, kind_of
from hpcsubmit.limits import limits_here
from hpcsubmit.profile import Profile
from hpcsubmit.project import HPC_FILES
from hpcsubmit.request import AUTO, Request
from hpcsubmit.scheduler import scheduler_for
from hpcsubmit.sweeps.installed import check_wandb
from hpcsubmit.sweeps.workers import fewer_tasks, per_task
from hpcsubmit.trials import Source, Wanted
from hpcsubmit.virtualenv import Virtualenv
from hpcsubmit.wandb_key import has_key
from hpcsubmit.wandb_sweep import WandbSweepId, resolve

if TYPE_CHECKING:
    from hpcsubmit.sweep_file.reading import SweepFile

NOT_CREATED = WandbSweepId(entity="ENTITY", project="PROJECT", sweep="not-created-yet")
"""What stands for a sweep in its preview, before the server has given it an id."""
MOST_TRIALS = 1_000_000
"""More trials in one submission are a slip of the pen: no cluster would run them."""

AskNumber = Callable[[int | None], int]
"""Asks the user for the number of runs; its argument is the proposed answer, None without one."""


class Site(NamedTuple):
    """Where the trials are to run: the project's folder and environment, the cluster, and this machine."""

    root: Path
    profile: Profile
    environment: Virtualenv | CondaEnv | None
    host: Host
    ask: AskNumber | None


def wanted_trials(request: Request, command: Command, site: Site) -> Wanted:
    """Say which trials a request asks for; raises HpcSubmitError for what cannot be.

    command: of the experiment file; a wandb agent there is a sweep too.
    """
    if request.sweep_file and request.offline:
        return _of_file(request, request.sweep_file, site)
    if request.sweep_file or request.sweep or command.starts_wandb_agent:
        return _of_server(request, command, site)
    number = len(request.seeds)
    return Wanted(
        source=Source.REPEATS,
        number=number,
        seeds=request.seeds,
        per_task=request.trials_per_task,
        limits=_limits(request, number, site),
    )


def placeholder(source: Path) -> Command:
    """The command of a sweep for records and previews: its runs start what the sweep says."""
    return read_command("wandb agent --count 1", source)


def _of_file(request: Request, file: "SweepFile", site: Site) -> Wanted:
    """Every combination of a file, once for each seed; the parameters are decoded from the trial's number."""
    from hpcsubmit.sweep_file.reading import check_offline  # late: for sweep files alone
    from hpcsubmit.sweeps.doubts import doubts

    cut_off = site.profile.name if site.profile.wandb == "offline" else ""
    check_offline(file, number=request.num_sweeps, cut_off=cut_off)
    _check_fit(request, file, site)
    warnings = doubts(request, file, site.root)
    ends = file.combinations is not None
    whole = (file.combinations or 0) * max(1, len(request.seeds)) if ends else request.num_sweeps or 0
    number = min(whole, request.num_sweeps or whole)
    _check_number(number, f"{file.path} describes")
    notes = [f"{number} of the {whole} trials that {file.path.name} describes"] if number < whole else []
    return Wanted(
        source=Source.FILE,
        number=number,
        seeds=request.seeds,
        file=file,
        per_task=per_task(request, file.workers, number),
        tags=file.tags,
        limits=_limits(request, number, site),
        notes=(*notes, *fewer_tasks(request, file.workers, number)),
        warnings=warnings,
    )


def _of_server(request: Request, command: Command, site: Site) -> Wanted:
    """Runs of a sweep on the server, whose agents ask it for their parameters."""
    if request.seeds:
        raise HpcSubmitError(
            "a wandb sweep cannot be repeated: its server deals out the parameters",
            "add a parameter to its file: seed: {values: [1, 2, 3]}, or run it with sweep run FILE --offline",
        )
    unsure = _check_reachable(site)
    if request.sweep_file:
        return _of_created(request, request.sweep_file, site, unsure)
    from hpcsubmit.sweeps.creation import read_record  # late: for sweeps on a server alone
    from hpcsubmit.sweeps.look import runs_left

    sweep, warnings = resolve(request.sweep, command, _environ_beside(request.sweep_beside, site.host))
    left, notes = runs_left(sweep, site.host, site.environment.path if site.environment else None)
    number = _number(request, left, site, proposed=left or _in_shipped_file(site.root))
    if left is not None and number > left:
        notes.append(f"the sweep has only {left} runs left: the agents of the others will find none")
    record = read_record(site.root.name, sweep.sweep, site.host)
    workers = record.workers if record else None
    return Wanted(
        source=Source.AGENT,
        number=number,
        sweep=sweep,
        per_task=per_task(request, workers, number),
        tags=record.tags if record else (),
        limits=_limits(request, number, site),
        notes=(*unsure, *notes, *fewer_tasks(request, workers, number)),
        warnings=warnings,
    )


def _environ_beside(beside: WandbSweepId | None, host: Host) -> Mapping[str, str]:
    """The caller's environment; the place of the sweep that hpcsubmit.yaml names counts more."""
    if beside is None or beside.entity is None or beside.project is None:
        return host.environ
    return {**host.environ, "WANDB_ENTITY": beside.entity, "WANDB_PROJECT": beside.project}


def _of_created(request: Request, file: "SweepFile", site: Site, unsure: tuple[str, ...]) -> Wanted:
    """Runs of a sweep that is made from a file, or about to be."""
    from hpcsubmit.sweeps.doubts import doubts  # late: for sweep files alone

    _check_fit(request, file, site)
    warnings = doubts(request, file, site.root)
    number, whole = _number(request, file.combinations, site), file.combinations
    notes = fewer_tasks(request, file.workers, number)
    if whole is not None and number > whole:
        notes = (f"the sweep has only {whole} runs: the agents of the others will find none", *notes)
    return Wanted(
        source=Source.AGENT,
        number=number,
        sweep=request.sweep or NOT_CREATED,
        file=file,
        per_task=per_task(request, file.workers, number),
        tags=file.tags,
        limits=_limits(request, number, site),
        notes=(*unsure, *notes),
        warnings=warnings,
    )


def _check_fit(request: Request, file: "SweepFile", site: Site) -> None:
    """Raise HpcSubmitError where the file does what is the job's: starting ranks, or counting Lightning's."""
    from hpcsubmit.sweep_file.reading import check_flags  # late: for sweep files alone

    trial = replace(request, gpus=request.trial_gpus, num_nodes=request.trial_nodes)
    check_sweep(kind_of(trial), trial, file)
    if kind_of(trial) is JobKind.LIGHTNING:
        check_flags(file, (site.profile.lightning_nodes_flag, site.profile.lightning_gpus_flag))


def _check_reachable(site: Site) -> tuple[str, ...]:
    """Raise HpcSubmitError where no agent could work: no key, no network, no wandb; return notes."""
    if site.profile.wandb == "offline":
        raise HpcSubmitError(
            f"the nodes of '{site.profile.name}' do not reach wandb's server, and a sweep's agents need it",
            "run the same file without a server: hpcsubmit sweep run sweeper.yml --offline",
        )
    if not has_key(site.host):
        raise HpcSubmitError(
            "a sweep needs a wandb key, and WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold none",
            "write the key of https://wandb.ai/authorize into ~/wandb_credentials.txt, with mode 0600",
        )
    return check_wandb(site.environment, site.host.environ)


def _in_shipped_file(root: Path) -> int | None:
    """How many runs the project's sweeper.yml describes: what to propose where no server was asked."""
    from hpcsubmit.sweep_file.finding import find_sweep_file  # late: for questions alone
    from hpcsubmit.sweep_file.reading import read_sweep_file

    try:
        files = read_sweep_file(find_sweep_file(None, (root, root / HPC_FILES)))
    except HpcSubmitError:
        return None
    return files[0].combinations if len(files) == 1 else None


def _number(request: Request, left: int | None, site: Site, *, proposed: int | None = None) -> int:
    """How many runs: as asked for, what is left, or the user's answer."""
    if request.num_sweeps is None:
        number = left if request.sweep_file and left else _answer(proposed or left, site)
    elif request.num_sweeps != AUTO:
        number = request.num_sweeps
    elif left is None:
        raise HpcSubmitError(
            "--num-sweeps auto needs a grid or a run_cap, and how many runs this sweep has is not known",
            "give a number: --num-sweeps 20",
        )
    else:
        number = left
    _check_number(number, "the sweep has")
    return number


def _answer(proposed: int | None, site: Site) -> int:
    if site.ask is None:
        raise HpcSubmitError("how many runs the sweep is to have is not said", "give it: --num-sweeps 8")
    return site.ask(proposed)


def _check_number(number: int, what: str) -> None:
    if number > MOST_TRIALS:
        raise HpcSubmitError(
            f"{what} {number:,} trials, more than any cluster runs",
            f"thin out its values, or take the first of them: --num-sweeps {MOST_TRIALS // 100}",
        )


def _limits(request: Request, number: int, site: Site) -> Limits:
    return limits_of(request, number, site.profile, site.host)


def limits_of(request: Request, number: int, profile: Profile, host: Host) -> Limits:
    """Find out how many tasks fit, for so many trials of one submission; few of them ask nobody."""
    given = (*profile.sbatch_args, *request.sbatch_args)  # of two, sbatch takes the last
    qos = next((arg.value for arg in reversed(given) if arg.name == "qos" and arg.value), "normal")
    scheduler = scheduler_for(profile.scheduler, host)
    return limits_here(profile, scheduler, number, account=request.account or "", qos=qos)
