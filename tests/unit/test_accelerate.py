"""`-W accelerate` in real bash: the options that a launcher gets on each node."""

import json
import subprocess
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, context, shipped
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Launcher, Request

ACCELERATE = (
    "#!/usr/bin/python3\n"
    "import json, os, sys\n"
    "env = {key: os.environ.get(key) for key in ('ACCELERATE_USE_CPU', 'PET_NNODES', 'X')}\n"
    "print(json.dumps([sys.argv[1:], env]))\n"
)
"""Tells what it is given."""
NOTHING: Mapping[str, str] = {}
JOB = ["--main_process_ip=10.0.0.1", "--main_process_port=12345", "--gpu_ids=all"]


def started(
    tmp_path: Path, command: str, *, gpus: int = 2, nodes: int = 2, environ: Mapping[str, str] = NOTHING
) -> tuple[list[str], dict[str, str | None]]:
    """The words and some variables of the launcher on the second node."""
    (tmp_path / "bin").mkdir(exist_ok=True)
    programs = {
        "srun": '#!/bin/bash\nwhile [[ $1 == -* ]]; do shift; done\nexec "$@"\n',
        "accelerate": ACCELERATE,
    }
    for name, text in programs.items():
        (tmp_path / "bin" / name).write_text(text)
        (tmp_path / "bin" / name).chmod(0o755)
    request = Request(time=HOUR, gpus=gpus, num_nodes=nodes, launcher=Launcher.ACCELERATE)
    script = render(plan(request, shipped("generic"), replace(context(command), virtualenv=None)))
    head = 'set -euo pipefail\n_stopped="" _run_dir=$HOME\nstep() { "$@"; }\n'
    done = subprocess.run(
        ["bash", "-c", head + script[script.index('unset "${!PET_@}"') :]],
        env={
            "PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin",
            "HOME": str(tmp_path),
            "SLURM_JOB_NUM_NODES": str(nodes),
            "SLURM_NODEID": "1",
            "MASTER_ADDR": "10.0.0.1",
            "MASTER_PORT": "12345",
            "CUDA_VISIBLE_DEVICES": "0,1",
            **environ,
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    words, variables = json.loads(done.stdout)
    return words, variables


def test_several_nodes_meet_at_the_first(tmp_path: Path) -> None:
    words, _ = started(tmp_path, "python main.py --lr 1")
    assert words == [
        "launch",
        *("--num_machines=2", "--num_processes=4", "--machine_rank=1", *JOB),
        "--deepspeed_multinode_launcher=standard",
        "--multi_gpu",
        *("main.py", "--lr", "1"),
    ]


def test_one_process_is_no_multi_gpu(tmp_path: Path) -> None:
    words, _ = started(tmp_path, "python -O main.py", gpus=1, nodes=1)
    given = ["--num_machines=1", "--num_processes=1", "--machine_rank=1", *JOB, "--no_python"]
    assert words == ["launch", *given, "python", "-O", "main.py"]


def test_the_users_own_options_stand_behind_and_win(tmp_path: Path) -> None:
    words, variables = started(tmp_path, "X='a b' accelerate launch --mixed_precision bf16 main.py 'c d'")
    assert words[-5:] == ["--multi_gpu", "--mixed_precision", "bf16", "main.py", "c d"]
    assert variables["X"] == "a b"


@pytest.mark.parametrize("option", ["--use_fsdp", "--use_deepspeed", "--config_file=my.yaml", "--cpu"])
def test_a_strategy_of_the_command_is_not_overridden(tmp_path: Path, option: str) -> None:
    words, _ = started(tmp_path, f"accelerate launch {option} main.py")
    assert "--multi_gpu" not in words
    assert words[-2:] == [option, "main.py"]


CONFIGURED = {
    "FSDP": False, "'DEEPSPEED'": False, "MEGATRON_LM": False, "MULTI_GPU": True, "'NO'": True
}  # fmt: skip


@pytest.mark.parametrize("kind", CONFIGURED)
@pytest.mark.parametrize("place", [".cache/huggingface", "hf", "xdg/huggingface"])
def test_a_strategy_of_accelerate_config_is_not_overridden(tmp_path: Path, kind: str, place: str) -> None:
    folder = tmp_path / place / "accelerate"
    folder.mkdir(parents=True)
    (folder / "default_config.yaml").write_text(f"debug: false\ndistributed_type: {kind}\nnum_machines: 1\n")
    names = {"hf": {"HF_HOME": f"{tmp_path}/hf"}, "xdg/huggingface": {"XDG_CACHE_HOME": f"{tmp_path}/xdg"}}
    words, _ = started(tmp_path, "python main.py", environ=names.get(place, {}))
    assert ("--multi_gpu" in words) is CONFIGURED[kind]


@pytest.mark.parametrize(
    ("environ", "cpu"),
    [
        ({}, None),
        ({"CUDA_VISIBLE_DEVICES": ""}, "true"),
        ({"CUDA_VISIBLE_DEVICES": "", "ACCELERATE_USE_CPU": "0"}, "0"),
    ],
)
def test_without_a_gpu_the_cpu_is_used(tmp_path: Path, environ: dict[str, str], cpu: str | None) -> None:
    _, variables = started(tmp_path, "python main.py", environ=environ)
    assert variables["ACCELERATE_USE_CPU"] == cpu


def test_torchruns_variables_of_the_submitting_shell_are_not_taken(tmp_path: Path) -> None:
    _, variables = started(tmp_path, "python main.py", environ={"PET_NNODES": "7"})
    assert variables["PET_NNODES"] is None
