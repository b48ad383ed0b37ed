"""plan() gives a Plan or an HpcSubmitError and nothing else; every plan becomes a script that bash reads."""

import os
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from hpcsubmit.context import Context
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import read_command
from hpcsubmit.node_disks import PackedData
from hpcsubmit.plan import Plan, plan
from hpcsubmit.profile import FIELDS, Profile
from hpcsubmit.render import render
from hpcsubmit.request import Launcher, Request
from hpcsubmit.slurm import Directive
from hpcsubmit.values import LARGEST_INT, Memory, Walltime
from hpcsubmit.virtualenv import Virtualenv

COUNTS = st.integers(1, 9) | st.integers(1, LARGEST_INT)
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,8}", fullmatch=True)
LINES = st.text(st.characters(min_codepoint=32, codec="utf-8"), max_size=12)
TEXTS = LINES.filter(bool)
# What script_path lets through: any name without a slash, a line end or a backslash.
FOLDERS = st.text(
    st.characters(min_codepoint=1, codec="utf-8", exclude_characters="/\n\r\\"),
    min_size=1,
    max_size=12,
).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(FOLDERS, min_size=1, max_size=3).map(lambda names: Path("/", *names))
ROOMS = st.integers(1, 10**12)
TIMES = st.integers(1, 10**6).map(lambda seconds: Walltime(seconds=seconds))
MEMORY = st.builds(Memory, amount=st.integers(1, 10**6), unit=st.sampled_from(["G", "M"]))
DIRECTIVES = st.builds(Directive, name=NAMES, value=st.none() | LINES)

REQUESTS = st.builds(
    Request,
    gpus=COUNTS,
    cpus=st.none() | COUNTS,
    num_nodes=COUNTS,
    time=TIMES,
    memory_per_gpu=st.none() | MEMORY,
    memory_per_node=st.none() | MEMORY,
    gpu_type=st.none() | NAMES,
    account=st.none() | NAMES,
    partition=st.none() | NAMES,
    exp_name=st.just("") | NAMES,
    launcher=st.none() | st.sampled_from(Launcher),
    data_transfer=st.none() | st.sampled_from(["auto", "direct", "broadcast"]),
    collect=st.lists(FOLDERS, max_size=2).map(tuple),
    collect_grace=st.integers(1, 10**6),
    sbatch_args=st.lists(DIRECTIVES, max_size=2).map(tuple),
)

FLAGS = st.from_regex(r"--[A-Za-z][A-Za-z0-9_.-]{0,8}", fullmatch=True)
PROFILE_FIELDS: dict[str, st.SearchStrategy[object]] = {
    "name": NAMES,
    "scheduler": st.sampled_from(["slurm", "local"]),
    "retired": st.just("") | TEXTS,
    "successor": st.just("") | TEXTS,
    "account": st.just("") | TEXTS,
    "accounts": st.lists(NAMES, max_size=2).map(tuple),
    "uses_accounts": st.booleans(),
    "partition": st.just("") | TEXTS,
    "gpu_type": st.just("") | TEXTS,
    "gpu_types": st.lists(NAMES, max_size=2).map(tuple),
    "typed_gpus": st.booleans(),
    "gpu_option": st.sampled_from(["gres", "gpus-per-node"]),
    "gpus_per_node": st.none() | st.integers(0, 8),
    "cpus_per_node": st.none() | COUNTS,
    "cpus_per_gpu": st.none() | COUNTS,
    "mem_per_gpu": st.none() | MEMORY,
    "memory_option": st.sampled_from(["mem-per-gpu", "mem", "none"]),
    "max_time": st.none() | TIMES,
    "environment": st.lists(st.tuples(NAMES.filter(str.isidentifier), LINES), max_size=2).map(tuple),
    "mpi": NAMES,
    "modules": st.lists(TEXTS, max_size=2).map(tuple),
    "slurm_tmpdir": st.sampled_from(["given", "made", "either"]),
    "node_local_base": PATHS.map(str),
    "node_local_size": st.none() | MEMORY,
    "data_transfer": st.sampled_from(["auto", "direct", "broadcast"]),
    "broadcast_nodes": COUNTS,
    "loopback": st.booleans(),
    "lightning_nodes_flag": FLAGS,
    "lightning_gpus_flag": FLAGS,
    "torchrun_max_restarts": st.integers(0, 9),
    "sbatch_args": st.lists(DIRECTIVES, max_size=2).map(tuple),
}
PROFILES = st.builds(Profile, **PROFILE_FIELDS)
COMMANDS = st.sampled_from(
    [
        "python main.py",
        "python",
        "./run.sh --gpus 3",
        "A='1 2' B+=$X $HOME/bin/python3 -u -O -m gan --num_nodes=3 *.txt \"it's\" -- --gpus 1",
        "python -m gan 'two\nlines' \"$exp_name\" ${X:-~}",
    ]
)


@st.composite
def contexts(draw: Callable[[st.SearchStrategy[object]], object]) -> Context:
    root, scratch, home = draw(PATHS), draw(PATHS), draw(PATHS)
    assert isinstance(root, Path)
    assert isinstance(scratch, Path)
    assert isinstance(home, Path)
    store = scratch / root.name / "hpcsubmit" / "data"
    manifest, room = store / "sets" / "k.manifest", int(str(draw(ROOMS)))
    data = PackedData(manifest, store / "archives", room, ("datasets",), ("a link",))
    return Context(
        project_root=root,
        scratch_dir=scratch / root.name,
        data=data if draw(st.booleans()) else None,
        run_id="r20260131-235959-a2b3",
        version="0.1.0",
        command_line=str(draw(LINES)),
        command=read_command(str(draw(COMMANDS)), root / "experiment_configurations.txt"),
        virtualenv=Virtualenv(path=root / "virtual_env"),
        wandb_key_file=home / "wandb_credentials.txt" if draw(st.booleans()) else None,
        wandb_without_key=bool(draw(st.booleans())),
        visible_gpus=("0", "1") if draw(st.booleans()) else (),
    )


def planned(request: Request, profile: Profile, facts: Context) -> Plan | HpcSubmitError:
    try:
        return plan(request, profile, facts)
    except HpcSubmitError as error:
        return error


def without_limits(profile: Profile) -> Profile:
    return replace(
        profile,
        gpus_per_node=None,
        cpus_per_node=None,
        max_time=None,
        node_local_size=None,
        accounts=(),
        gpu_types=(),
    )


def test_every_field_of_a_profile_is_generated_or_says_nothing_of_the_plan() -> None:
    elsewhere = {"description", "detect_environment", "detect_hosts", "detect_cluster_name", "scratch_hint"}
    elsewhere |= {"nodes", "shared_read_rate", "compressors"}  # of cleaning and packing
    elsewhere |= {"environment_built", "build_time", "build_memory", "python", "packages", "wheelhouse"}
    elsewhere |= {"max_jobs", "max_array_size", "array_throttle", "submit_pause", "wandb"}  # of arrays
    elsewhere |= {name for name in FIELDS if name.startswith("container_")}  # tested with an image
    assert {*PROFILE_FIELDS, *elsewhere} == {*FIELDS, "name"}


@settings(max_examples=300, deadline=None)
@given(REQUESTS, PROFILES, contexts())
def test_a_plan_or_an_error_and_nothing_else(request: Request, profile: Profile, facts: Context) -> None:
    made = planned(request, profile, facts)
    if isinstance(made, HpcSubmitError):
        assert made.message
        assert made.hint
        assert made.exit_code == 1
        return
    named = {d.name: d.value for d in made.directives}
    assert named["nodes"] == str(request.num_nodes)
    assert made.tasks_per_node * made.cpus_per_task >= (request.cpus or 1)
    assert made.run_dir.is_relative_to(facts.scratch_dir)
    assert made.output_dir != made.run_dir
    assert all(folder.is_relative_to(facts.scratch_dir) for folder in made.folders)
    assert "\n" not in "".join(d.line for d in made.directives)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much]
)
@given(st.lists(st.tuples(REQUESTS, PROFILES, contexts()), min_size=5, max_size=5))
def test_every_script_is_read_by_bash(cases: list[tuple[Request, Profile, Context]]) -> None:
    plans = [planned(request, without_limits(profile), facts) for request, profile, facts in cases]
    scripts = [render(made) for made in plans if isinstance(made, Plan)]
    assume(scripts)
    for script in scripts:
        lines = script.split("\n")
        directives = [line for line in lines if line.startswith("#SBATCH")]
        assert lines[0] == "#!/bin/bash"
        assert lines[1 : 1 + len(directives)] == directives, "sbatch stops at the first other line"
    done = subprocess.run(
        ["bash", "-c", 'for s; do bash -n -c "$s" || { printf "%s" "$s"; exit 1; }; done', "bash", *scripts],
        env={"PATH": os.environ["PATH"]},  # bash complains of a locale that the machine does not have
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
