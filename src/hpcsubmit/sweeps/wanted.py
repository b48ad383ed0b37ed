"""Which trials a submission is to have: of a sweep on a server, of a sweep file, or repeats."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hpcsubmit.array import Limits
from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.experiment import Command, read_command
from hpcsubmit.host import Host
from hpcsubmit.launch import JobKind, kind_of
from hpcsubmit.limits import limits_here
from hpcsubmit.profile import Profile
from hpcsubmit.request import AUTO, Request
from hpcsubmit.scheduler import scheduler_for
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
    virtualenv: Virtualenv | None
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
    from hpcsubmit.sweep_file.reading import check_offline, sets_seed  # late: for sweep files alone

    check_offline(file)
    _check_parameters(request, file, site)
    if request.seeds and sets_seed(file):
        raise _two_seeds(file.path)
    whole = (file.combinations or 0) * max(1, len(request.seeds))
    number = whole if request.num_sweeps in (None, AUTO) else min(whole, request.num_sweeps or 0)
    _check_number(number, f"{file.path} describes")
    notes = [f"{number} of the {whole} trials that {file.path.name} describes"] if number < whole else []
    return Wanted(
        source=Source.FILE,
        number=number,
        seeds=request.seeds,
        file=file,
        per_task=_per_task(request, file.workers, number),
        tags=file.tags,
        limits=_limits(request, number, site),
        notes=tuple(notes),
        warnings=file.warnings,
    )


def _of_server(request: Request, command: Command, site: Site) -> Wanted:
    """Runs of a sweep on the server, whose agents ask it for their parameters."""
    if request.seeds:
        raise HpcSubmitError(
            "a wandb sweep cannot be repeated: its server deals out the parameters",
            "add a parameter to its file: seed: {values: [1, 2, 3]}, or run it with sweep run FILE --offline",
        )
    _check_reachable(site)
    if request.sweep_file:
        return _of_created(request, request.sweep_file, site)
    from hpcsubmit.sweeps.creation import read_record  # late: for sweeps on a server alone
    from hpcsubmit.sweeps.look import runs_left

    sweep, warnings = resolve(request.sweep, command, site.host.environ)
    left, notes = runs_left(sweep, site.host, site.virtualenv)
    number = _number(request, left, site, proposed=left or _in_shipped_file(site.root))
    if left is not None and number > left:
        notes.append(f"the sweep has only {left} runs left: the agents of the others will find none")
    record = read_record(site.root.name, sweep.sweep, site.host)
    return Wanted(
        source=Source.AGENT,
        number=number,
        sweep=sweep,
        per_task=_per_task(request, record.workers if record else None, number),
        tags=record.tags if record else (),
        limits=_limits(request, number, site),
        notes=tuple(notes),
        warnings=warnings,
    )


def _of_created(request: Request, file: "SweepFile", site: Site) -> Wanted:
    """Runs of a sweep that is made from a file, or about to be."""
    _check_parameters(request, file, site)
    number, whole = _number(request, file.combinations, site), file.combinations
    too_many = f"the sweep has only {whole} runs: the agents of the others will find none"
    return Wanted(
        source=Source.AGENT,
        number=number,
        sweep=request.sweep or NOT_CREATED,
        file=file,
        per_task=_per_task(request, file.workers, number),
        tags=file.tags,
        limits=_limits(request, number, site),
        notes=(too_many,) if whole is not None and number > whole else (),
        warnings=file.warnings,
    )


def _check_parameters(request: Request, file: "SweepFile", site: Site) -> None:
    """Raise HpcSubmitError where the file sets what Lightning trials get from --trial-gpus, --trial-nodes."""
    from hpcsubmit.sweep_file.reading import check_flags  # late: for sweep files alone

    trial = replace(request, gpus=request.trial_gpus, num_nodes=request.trial_nodes)
    if kind_of(trial) is JobKind.LIGHTNING:
        check_flags(file, (site.profile.lightning_nodes_flag, site.profile.lightning_gpus_flag))


def _check_reachable(site: Site) -> None:
    """Raise HpcSubmitError where no agent could work: no key, no network, no wandb in the environment."""
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
    made = site.virtualenv.path if site.virtualenv and not site.virtualenv.build else None
    if made and made.is_dir() and not any(made.glob("lib/python3*/site-packages/wandb")):
        raise HpcSubmitError(
            f"the environment {made} has no wandb, which the agents of a sweep need",
            "add wandb to requirements.txt (or the file your environment is made from) and submit again",
        )


def _in_shipped_file(root: Path) -> int | None:
    """How many runs the project's sweeper.yml describes: what to propose where no server was asked."""
    from hpcsubmit.sweep_file.finding import find_sweep_file  # late: for questions alone
    from hpcsubmit.sweep_file.reading import read_sweep_file

    try:
        files = read_sweep_file(find_sweep_file(None, [root]))
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


def _per_task(request: Request, workers: int | None, number: int) -> int | None:
    """Trials one after another in a task: as asked for, or as the file's number of workers makes it."""
    if request.trials_per_task or workers is None:
        return request.trials_per_task
    return -(-number // workers)


def _limits(request: Request, number: int, site: Site) -> Limits:
    given = (*site.profile.sbatch_args, *request.sbatch_args)  # of two, sbatch takes the last
    qos = next((arg.value for arg in reversed(given) if arg.name == "qos" and arg.value), "normal")
    scheduler = scheduler_for(site.profile.scheduler, site.host)
    return limits_here(site.profile, scheduler, number, account=request.account or "", qos=qos)


def _two_seeds(path: Path) -> UsageError:
    return UsageError(
        f"{path} sets the seed itself, and --repeat or --seeds would set it too",
        "leave out --repeat and --seeds, or take the seed out of the file",
    )
