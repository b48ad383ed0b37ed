"""--conda-env: where an environment is found, what is refused, and what the job makes of it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, context, shipped
from hpcsubmit.conda import CondaEnv, find_conda_env
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Request
from sandbox import Sandbox


def make(path: Path, *, python: bool = True, root: bool = False) -> Path:
    """A folder that looks like an environment; `root`: like an installation."""
    (path / "conda-meta").mkdir(parents=True)
    (path / "bin").mkdir()
    if python:
        (path / "bin" / "python").symlink_to(sys.executable)
    if root:
        (path / "condabin").mkdir()
    return path


def find(wanted: str, tmp_path: Path, **environ: str) -> CondaEnv:
    return find_conda_env(wanted, tmp_path / "gan", {"HOME": f"{tmp_path}/home", **environ})


def refusal(wanted: str, tmp_path: Path, **environ: str) -> tuple[str, str]:
    with pytest.raises(HpcSubmitError) as raised:
        find(wanted, tmp_path, **environ)
    assert raised.value.exit_code == 1
    return raised.value.message, raised.value.hint


PLACES = {
    "home/miniforge3/envs/gan": {},
    "home/.conda/envs/gan": {},
    "home/.local/share/mamba/envs/gan": {},
    "all/envs/gan": {"CONDA_ENVS_PATH": "{}/none:{}/all/envs"},
    "dirs/gan": {"CONDA_ENVS_DIRS": "{}/dirs"},
    "opt/conda/envs/gan": {"CONDA_EXE": "{}/opt/conda/bin/conda"},
    "opt/mamba/envs/gan": {"MAMBA_ROOT_PREFIX": "{}/opt/mamba"},
    "active/gan": {"CONDA_PREFIX": "{}/active/gan"},
}


@pytest.mark.parametrize("place", PLACES)
def test_an_environment_is_found_by_its_name_where_conda_looks(tmp_path: Path, place: str) -> None:
    made = make(tmp_path / place)
    environ = {name: text.replace("{}", str(tmp_path)) for name, text in PLACES[place].items()}
    assert find("gan", tmp_path, **environ) == CondaEnv(made, "gan")


def test_an_environment_that_conda_has_listed_is_found_by_its_name(tmp_path: Path) -> None:
    made = make(tmp_path / "scratch" / "gan")
    (tmp_path / "home" / ".conda").mkdir(parents=True)
    listed = f"\n# no path\n{tmp_path}/gone\n{made}\n"
    (tmp_path / "home" / ".conda" / "environments.txt").write_text(listed)
    assert find("gan", tmp_path) == CondaEnv(made, "gan")


def test_base_is_the_installation_itself(tmp_path: Path) -> None:
    root = make(tmp_path / "home" / "miniforge3", root=True)
    assert find("base", tmp_path) == CondaEnv(root, "base")
    assert find("base", tmp_path, CONDA_EXE=f"{root}/bin/conda", CONDA_PREFIX=str(root)).path == root
    assert refusal("miniforge3", tmp_path)[1] == "did you mean base?"


def test_one_environment_by_two_ways_is_one(tmp_path: Path) -> None:
    made = make(tmp_path / "disk" / "gan")
    (tmp_path / "home" / "miniconda3" / "envs").mkdir(parents=True)
    (tmp_path / "home" / "miniconda3" / "envs" / "gan").symlink_to(made)
    assert find("gan", tmp_path, CONDA_PREFIX=str(made)).path == made


@pytest.mark.parametrize("wanted", ["./env", "../gan/env/", "{}/gan/env", "~/env"])
def test_a_text_with_a_slash_is_a_path(tmp_path: Path, wanted: str) -> None:
    made = make(tmp_path / "gan" / "env")
    assert find(wanted.format(tmp_path), tmp_path, HOME=f"{tmp_path}/gan") == CondaEnv(made, "env")


def test_a_name_that_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    for name in ("gan", "vae"):
        make(tmp_path / "home" / "miniforge3" / "envs" / name)
    assert refusal("gna", tmp_path) == (
        "there is no conda environment named 'gna'; there are gan, vae",
        "did you mean gan?",
    )


def test_without_any_environment_a_path_is_asked_for(tmp_path: Path) -> None:
    assert refusal("gan", tmp_path) == (
        "there is no conda environment named 'gan'",
        "give its path: --conda-env /path/to/envs/NAME",
    )


def test_several_of_one_name_are_named(tmp_path: Path) -> None:
    one = make(tmp_path / "home" / "miniforge3" / "envs" / "gan")
    two = make(tmp_path / "mine" / "gan")
    assert refusal("gan", tmp_path, CONDA_ENVS_PATH=str(tmp_path / "mine")) == (
        f"several conda environments are named 'gan': {two}, {one}",
        f"give the path of the one: --conda-env {two}",
    )


def test_a_path_that_is_no_environment_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gan" / "plain").mkdir(parents=True)
    without = make(tmp_path / "gan" / "r", python=False)
    assert refusal("./none", tmp_path) == (
        f"there is no conda environment {tmp_path}/gan/none",
        "conda env list shows those there are",
    )
    assert refusal("./plain", tmp_path) == (
        f"{tmp_path}/gan/plain is no conda environment: it has no folder conda-meta",
        "give the environment's own folder, such as ~/miniforge3/envs/NAME",
    )
    assert refusal("./r", tmp_path) == (
        f"the conda environment {without} has no bin/python",
        f"conda install --prefix {without} python",
    )
    assert refusal("~nobody-of-that-name/env", tmp_path)[0].startswith("there is no conda environment")


def test_an_environment_without_python_is_refused_by_name_too(tmp_path: Path) -> None:
    made = make(tmp_path / "home" / "miniforge3" / "envs" / "r", python=False)
    assert refusal("r", tmp_path)[0] == f"the conda environment {made} has no bin/python"


@pytest.mark.parametrize(
    "environ",
    [{"CONDA_EXE": "conda"}, {"CONDA_EXE": ""}, {"CONDA_ENVS_PATH": "::"}, {"CONDA_PREFIX": "/dev/null/x"}],
)
def test_odd_variables_are_no_obstacle(tmp_path: Path, environ: dict[str, str]) -> None:
    made = make(tmp_path / "home" / "miniforge3" / "envs" / "gan")
    assert find("gan", tmp_path, **environ).path == made


LOOK = """
import os, sys
from pathlib import Path
from hpcsubmit.conda import find_conda_env
from hpcsubmit.errors import HpcSubmitError
if os.geteuid() == 0:
    os.setuid(65534)
for wanted in sys.argv[1:]:
    try:
        print(find_conda_env(wanted, Path("/"), os.environ).path)
    except HpcSubmitError as error:
        print(error.message)
"""
"""Looks as somebody who is not root."""


def test_a_folder_that_may_not_be_entered_is_passed_over(tmp_path: Path) -> None:
    """Others' environments stand in a shared environments.txt too."""
    closed = make(tmp_path / "closed" / "gan")
    made = make(tmp_path / "open" / "vae", python=False)
    (made / "bin" / "python").symlink_to("/bin/sh")  # the tests' own Python may lie where only root may go
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(0o755)
    (tmp_path / "closed").chmod(0)
    done = subprocess.run(
        [sys.executable, "-c", LOOK, "vae", str(closed)],
        env={"HOME": "/nonexistent", "CONDA_PREFIX": str(closed), "CONDA_ENVS_PATH": str(made.parent)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    (tmp_path / "closed").chmod(0o755)
    assert done.stdout.splitlines() == [str(made), f"there is no conda environment {closed}"], done.stderr


def activated(path: Path, tmp_path: Path, after: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    """What the job's script makes of an environment, and bash commands behind it."""
    facts = replace(context(), virtualenv=None, conda=CondaEnv(path, path.name))
    script = render(plan(Request(time=HOUR), shipped("generic"), facts))
    part = script[script.index("# ---- The conda environment") : script.index("# ---- Where the ranks")]
    head = (
        "set -euo pipefail\ntrap 'echo \"line $LINENO failed\"' ERR\n"
        'fail() { echo "hpcsubmit: $*" >&2; exit 1; }\n'
    )
    return subprocess.run(
        ["bash", "-c", f"{head}{part}\n{after}"],
        env={"PATH": "/usr/bin:/bin", "SLURMD_NODENAME": "node1", **environ},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_the_job_does_what_conda_activate_would(tmp_path: Path) -> None:
    made = make(tmp_path / "Zoë's 50% $env")
    scripts = made / "etc" / "conda" / "activate.d"
    scripts.mkdir(parents=True)
    (scripts / "b.sh").write_text('export ORDER="$ORDER b"; false; test -n "$UNSET_BEFORE"; [ -n "$NO" ]\n')
    (scripts / "a.sh").write_text('export ORDER="${CONDA_PREFIX##*/} a"\n')
    (scripts / "a.fish").write_text("not bash(\n")
    said = activated(
        made,
        tmp_path,
        'command -v python; echo "$CONDA_PREFIX|$CONDA_DEFAULT_ENV|$CONDA_SHLVL|$ORDER|${PYTHONHOME-unset}"\n'
        "case $- in *e*u*) echo strict ;; esac; trap -p ERR",
        PYTHONHOME="/elsewhere",
    )
    assert said.stderr == ""
    assert said.stdout.splitlines() == [
        f"{made}/bin/python",
        f"{made}|{made.name}|1|{made.name} a b|unset",
        "strict",
        "trap -- 'echo \"line $LINENO failed\"' ERR",
    ]


def test_the_environments_own_variables_are_set_as_conda_keeps_them(tmp_path: Path) -> None:
    made = make(tmp_path / "env")
    packages = made / "etc" / "conda" / "env_vars.d"
    packages.mkdir(parents=True)
    (packages / "tool.json").write_text('{"TOOL": "of the package", "BOTH": "package", "NUMBER": 3}')
    state = {"MINE": "it's $HOME `id`\nnew", "BOTH": "mine", "GONE": "***unset***"}
    (made / "conda-meta" / "state").write_text(json.dumps({"version": 1, "env_vars": state}))
    said = activated(made, tmp_path, "python -c 'import json, os; print(json.dumps(dict(os.environ)))'")
    assert said.returncode == 0, said.stderr
    found = json.loads(said.stdout)
    assert {name: found.get(name) for name in ("TOOL", "BOTH", "NUMBER", "MINE", "GONE")} == {
        "TOOL": "of the package",
        "BOTH": "mine",
        "NUMBER": "3",
        "MINE": "it's $HOME `id`\nnew",
        "GONE": None,
    }


def test_what_is_wrong_with_it_on_the_node_ends_the_job(tmp_path: Path) -> None:
    gone = activated(tmp_path / "gone", tmp_path, "echo started")
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr == f"hpcsubmit: there is no {tmp_path}/gone/bin/python on node1\n"
    broken = make(tmp_path / "broken")
    (broken / "conda-meta" / "state").write_text("{")
    said = activated(broken, tmp_path, "echo started")
    assert (said.returncode, said.stdout) == (1, "")
    assert said.stderr.endswith(f"hpcsubmit: the variables of {broken} cannot be read, see above\n")


@pytest.mark.parametrize("other", ["--no-env", "--env-on-node"])
def test_other_environments_are_refused_beside_it(sandbox: Sandbox, other: str) -> None:
    said = sandbox.refuses("--conda-env", "gan", other, code=2)
    assert said.error == f"{other} and --conda-env exclude each other"
    assert said.hint == "give one of them"


def test_the_preview_and_the_script_name_it_and_no_other_is_built(sandbox: Sandbox) -> None:
    made = make(sandbox.root / "home" / "miniforge3" / "envs" / "gan-env")
    (sandbox.project / "requirements.txt").write_text("torch\n")
    said = sandbox.hpcsubmit("--conda-env", "gan-env", "--dry-run")
    assert said.code == 0, said.stderr
    (row,) = [line for line in said.stderr.splitlines() if "environment " in line]
    assert "gan-env" in row
    assert str(made) in row
    assert f"CONDA_PREFIX={made} CONDA_DEFAULT_ENV=gan-env" in said.stdout
    assert "_virtualenv" not in said.stdout


def test_a_name_that_is_not_there_is_refused_before_anything_is_made(sandbox: Sandbox) -> None:
    make(sandbox.root / "home" / "miniforge3" / "envs" / "gan-env")
    said = sandbox.refuses("--conda-env", "gan-emv")
    assert said.error == "there is no conda environment named 'gan-emv'; there are gan-env"
    assert said.hint == "did you mean gan-env?"
