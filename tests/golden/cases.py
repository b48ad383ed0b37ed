"""The golden scripts: one plan each, for a user u with the project /home/u/gan and the scratch /scratch/u."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hpcsubmit.array import Limits
from hpcsubmit.clusters import Clusters
from hpcsubmit.conda import CondaEnv
from hpcsubmit.container import Image
from hpcsubmit.context import Context
from hpcsubmit.experiment import read_command
from hpcsubmit.node_disks import PackedData
from hpcsubmit.plan import Plan, plan
from hpcsubmit.profile import Profile
from hpcsubmit.render import render
from hpcsubmit.request import Bind, Launcher, Request
from hpcsubmit.slurm import Directive
from hpcsubmit.trials import Source, Wanted
from hpcsubmit.values import Memory, Walltime
from hpcsubmit.virtualenv import Virtualenv
from hpcsubmit.wandb_sweep import WandbSweepId

RUN_ID = "r20260131-235959-a2b3"
HOUR = Walltime.parse("00-01:00:00")
TWO_BY_TWO = Request(gpus=2, cpus=2, num_nodes=2, time=HOUR, exp_name="testing")


def shipped(name: str) -> Profile:
    return Clusters(user_folder=Path("/nonexistent"), project=None).get(name).profile


def context(command: str = "python main.py --train --batch_size 6", root: str = "/home/u/gan") -> Context:
    project = Path(root)
    return Context(
        project_root=project,
        scratch_dir=Path("/scratch/u") / project.name,
        run_id=RUN_ID,
        version="0.1.0",
        command_line="hpcsubmit",
        command=read_command(command, project / "experiment_configurations.txt"),
        virtualenv=Virtualenv(path=project / "virtual_env"),
    )


def torchrun(request: Request) -> Request:
    return replace(request, launcher=Launcher.TORCHRUN)


def awkward() -> Plan:
    """Names with blanks, quotes, % and non-ASCII; assignments, modules, memory per node, sbatch options."""
    profile = replace(shipped("generic"), modules=("python/3.11", "cuda/12.6"), gpu_option="gpus-per-node")
    request = replace(
        TWO_BY_TWO,
        account="def-fwood",
        gpu_type="h100",
        partition="gpu",
        memory_per_node=Memory.parse("64000M"),
        sbatch_args=(Directive(name="mail-user", value="a b@c.ca"), Directive(name="requeue")),
    )
    command = """LR='1e-3' NOTE="it's $exp_name" python main.py --name "hello world" --lrs 0.1,0.2 \\
        --data_dir=${SLURM_TMPDIR}/datasets --num_nodes 7 --gpus=8 --glob *.txt"""
    facts = context(command, "/home/u/50% of Zoë's gan")
    return plan(request, profile, replace(facts, wandb_key_file=Path("/home/u/wandb_credentials.txt")))


def own_interpreter() -> Plan:
    """A Python by its path, with options, under torchrun on one node."""
    request = torchrun(replace(TWO_BY_TWO, num_nodes=1, cpus=8))
    return plan(request, shipped("generic"), context("$HOME/miniconda/bin/python3 -u -O -m gan.train"))


def unpacked_environment() -> Plan:
    """An environment that hpcsubmit built, on every node's own disk."""
    path = Path("/home/u/gan/.virtual_envs/0123456789abcdef")
    environment = Virtualenv(path=path, manifest=path.with_name(f"{path.name}.manifest"))
    return plan(TWO_BY_TWO, shipped("plai"), replace(context(), virtualenv=environment))


def packed(context: Context) -> Context:
    """The same with 20,000 files of data, packed."""
    store = context.scratch_dir / "hpcsubmit" / "data"
    data = PackedData(
        manifest=store / "sets" / "0123456789abcdef01234567.manifest",
        archives=store / "archives",
        room=90_000,
        paths=("datasets/d1", "datasets/d2"),
    )
    return replace(context, data=data)


def results(request: Request) -> Request:
    return replace(request, collect=("results", "logs/it's mine"))


IMAGE = Image(path=Path("/home/u/gan/gan.sif"), size=3_456_789_012, machine="x86_64")
SANDBOX = Image(path=Path("/home/u/sandbox torch"), size=0)


def in_image(
    request: Request, cluster: str, image: Image = IMAGE, conda: CondaEnv | None = None, command: str = ""
) -> Plan:
    facts = context(command) if command else context()
    return plan(request, shipped(cluster), replace(facts, virtualenv=None, image=image, conda=conda))


def horeka() -> Plan:
    """One container per GPU, started by srun with PMI, as on HoreKa, in a sandbox folder."""
    binds = (Bind(Path("/data/train"), "/data/train", read_only=True), Bind(Path("/it's mine"), "/in"))
    profile = replace(
        shipped("generic"),
        environment=(("NCCL_SOCKET_IFNAME", "ib0"), ("NCCL_IB_TIMEOUT", "30")),
        modules=("devel/cuda",),
    )
    request = replace(
        TWO_BY_TWO, launcher=Launcher.PMI, container_exec=True, binds=binds, pass_env=("DATA_DIR",)
    )
    return plan(request, profile, replace(context(), virtualenv=None, image=SANDBOX))


def arcworld(cluster: str) -> Plan:
    """The command once per GPU, with its rank filled in."""
    request = replace(TWO_BY_TWO, num_nodes=1, gpus=4, cpus=8, launcher=Launcher.RANKS)
    return plan(
        request, shipped(cluster), context("python distributed.py rank={rank} world_size={world_size}")
    )


SWEEP = WandbSweepId.parse("u/gan/abc123")
MANY = Limits(max_array_size=1001)


def of_trials(
    request: Request, cluster: str, wanted: Wanted, command: str = "", image: Image | None = None
) -> Plan:
    facts = context(command) if command else context()
    facts = replace(facts, image=image, virtualenv=None) if image else facts
    return plan(request, shipped(cluster), replace(facts, trials=wanted))


def agents(number: int) -> Wanted:
    """Runs of a sweep on a wandb server."""
    return Wanted(source=Source.AGENT, number=number, sweep=SWEEP, limits=MANY, tags=("base line", "lr"))


def combinations(number: int, per_task: int | None = None) -> Wanted:
    """Combinations of a sweep's file."""
    return Wanted(source=Source.FILE, number=number, limits=MANY, per_task=per_task)


def repeats(*seeds: int) -> Wanted:
    return Wanted(source=Source.REPEATS, number=len(seeds), seeds=seeds, limits=MANY)


SEEDED = 'python main.py --name "run {seed}" --seed {seed}'

CASES: dict[str, Callable[[], Plan]] = {
    "cedar_plain": lambda: plan(Request(time=HOUR), shipped("cedar"), context()),
    "cedar_lightning": lambda: plan(TWO_BY_TWO, shipped("cedar"), context()),
    "cedar_torchrun": lambda: plan(torchrun(TWO_BY_TWO), shipped("cedar"), context()),
    "plai_plain": lambda: plan(Request(time=HOUR), shipped("plai"), context()),
    "plai_lightning": lambda: plan(TWO_BY_TWO, shipped("plai"), context()),
    "plai_torchrun": lambda: plan(torchrun(TWO_BY_TWO), shipped("plai"), context()),
    "generic_plain": lambda: plan(Request(time=HOUR), shipped("generic"), context()),
    "local_torchrun": lambda: plan(torchrun(TWO_BY_TWO), shipped("local"), context()),
    "plai_data_and_results": lambda: plan(results(TWO_BY_TWO), shipped("plai"), packed(context())),
    "cedar_data_and_results": lambda: plan(
        results(torchrun(replace(TWO_BY_TWO, num_nodes=3, data_transfer="broadcast"))),
        shipped("cedar"),
        packed(context()),
    ),
    "generic_results": lambda: plan(results(Request(time=HOUR)), shipped("generic"), context()),
    "awkward_lightning": awkward,
    "own_interpreter_torchrun": own_interpreter,
    "plai_environment_on_node": unpacked_environment,
    "plai_container": lambda: in_image(Request(time=HOUR, workdir="/workdir"), "plai"),
    "cedar_container_lightning": lambda: in_image(TWO_BY_TWO, "cedar"),
    "cedar_container_torchrun": lambda: in_image(
        torchrun(replace(TWO_BY_TWO, num_nodes=3, data_transfer="broadcast")), "cedar"
    ),
    "plai_container_conda": lambda: in_image(
        replace(TWO_BY_TWO, container_on_node=False), "plai", conda=CondaEnv(Path("/work/u/envs/gan"), "gan")
    ),
    "horeka_pmi": horeka,
    "local_ranks": lambda: arcworld("local"),
    "plai_accelerate": lambda: plan(
        replace(TWO_BY_TWO, launcher=Launcher.ACCELERATE), shipped("plai"), context()
    ),
    "cedar_srun": lambda: plan(replace(TWO_BY_TWO, launcher=Launcher.SRUN), shipped("cedar"), context()),
    "generic_conda": lambda: plan(
        Request(time=HOUR),
        shipped("generic"),
        replace(context(), virtualenv=None, conda=CondaEnv(Path("/work/u/envs/gan"), "gan")),
    ),
    "plai_no_environment": lambda: plan(
        Request(time=HOUR, no_env=True), shipped("plai"), replace(context(), virtualenv=None)
    ),
    "cedar_sweep": lambda: of_trials(Request(time=HOUR, gpus=4, num_nodes=3), "cedar", agents(8)),
    "plai_sweep_of_torchrun": lambda: of_trials(
        torchrun(Request(time=HOUR, trial_gpus=2, trial_nodes=2)), "plai", agents(1500)
    ),
    "plai_sweep_in_container": lambda: of_trials(Request(time=HOUR), "plai", agents(8), image=IMAGE),
    "cedar_sweep_without_server": lambda: of_trials(
        Request(time=HOUR, trial_gpus=2, trial_nodes=2), "cedar", combinations(9, per_task=2)
    ),
    "plai_repeats": lambda: of_trials(Request(time=HOUR), "plai", repeats(1, 2, 3), SEEDED),
    "local_repeats_of_ranks": lambda: of_trials(
        replace(TWO_BY_TWO, num_nodes=1, launcher=Launcher.RANKS), "local", repeats(7, 1, 2), SEEDED
    ),
}


def script(name: str) -> str:
    return render(CASES[name]())
