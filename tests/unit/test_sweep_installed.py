"""Whether the environment of a sweep's agents has wandb, before submission; what may work is not refused."""

from pathlib import Path

import pytest

from hpcsubmit.conda import CondaEnv
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweeps.installed import check_wandb
from hpcsubmit.virtualenv import Virtualenv
from sandbox import Sandbox
from sweep_desk import SweepDesk

AGENTS = ("-w", "lab/gan/abc", "--num-sweeps", "2")
PACKAGES = "lib/python3.11/site-packages"
SYSTEM = "home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.11.2\n"


@pytest.fixture
def venv(tmp_path: Path) -> Virtualenv:
    """A virtual environment without wandb."""
    path = tmp_path / "venv"
    (path / PACKAGES / "numpy").mkdir(parents=True)
    (path / "pyvenv.cfg").write_text(SYSTEM.replace("true", "false"))
    return Virtualenv(path=path)


@pytest.fixture
def conda(tmp_path: Path) -> CondaEnv:
    """A conda environment without wandb."""
    path = tmp_path / "ce"
    (path / PACKAGES).mkdir(parents=True)
    return CondaEnv(path, "ce")


def refusal(environment: Virtualenv | CondaEnv, **environ: str) -> tuple[str, str]:
    with pytest.raises(HpcSubmitError) as caught:
        check_wandb(environment, environ)
    return caught.value.message, caught.value.hint


def test_an_environment_without_wandb_is_refused(venv: Virtualenv) -> None:
    assert refusal(venv) == (
        f"the environment {venv.path} has no wandb, which the agents of a sweep need",
        "add wandb to requirements.txt (or the file your environment is made from) and submit again",
    )
    (venv.path / PACKAGES / "wandb").mkdir()
    assert check_wandb(venv, {}) == ()


def test_a_conda_environment_without_wandb_is_refused(conda: CondaEnv) -> None:
    assert refusal(conda) == (
        f"the conda environment {conda.path} has no wandb, which the agents of a sweep need",
        f"conda install --prefix {conda.path} --channel conda-forge wandb",
    )
    (conda.path / PACKAGES / "wandb").mkdir()
    assert check_wandb(conda, {}) == ()


@pytest.mark.parametrize("value", ["true", "True", "TRUE "])
def test_an_environment_that_takes_the_system_s_packages_is_not_refused(venv: Virtualenv, value: str) -> None:
    (venv.path / "pyvenv.cfg").write_text(SYSTEM.replace("true", value))
    reason = f"{venv.path} has none itself, and takes the packages of the node's own Python too"
    note = f"whether the agents of the sweep will have wandb was not looked up: {reason}"
    assert check_wandb(venv, {}) == (note,)
    (venv.path / PACKAGES / "wandb").mkdir()
    assert check_wandb(venv, {}) == ()


@pytest.mark.parametrize("text", ["", "# include-system-site-packages = true\n", None])
def test_another_pyvenv_cfg_or_none_says_nothing_of_the_system(venv: Virtualenv, text: str | None) -> None:
    (venv.path / "pyvenv.cfg").unlink()
    if text is not None:
        (venv.path / "pyvenv.cfg").write_text(text)
    assert refusal(venv)[0].startswith(f"the environment {venv.path} has no wandb")


def test_wandb_on_the_pythonpath_is_seen(venv: Virtualenv, conda: CondaEnv, tmp_path: Path) -> None:
    (tmp_path / "more" / "wandb").mkdir(parents=True)
    for environment in (venv, conda):
        assert check_wandb(environment, {"PYTHONPATH": f"/nowhere:{tmp_path}/more"}) == ()
        assert refusal(environment, PYTHONPATH="/nowhere::")


def test_the_user_s_own_packages_are_those_of_conda_too(
    venv: Virtualenv, conda: CondaEnv, tmp_path: Path
) -> None:
    (tmp_path / "home" / ".local" / PACKAGES / "wandb").mkdir(parents=True)
    assert check_wandb(conda, {"HOME": f"{tmp_path}/home"}) == ()
    assert refusal(venv, HOME=f"{tmp_path}/home")


@pytest.mark.parametrize("line", ["{}/source", "../../../../source"])
def test_wandb_in_a_folder_that_a_pth_file_names_is_seen(conda: CondaEnv, tmp_path: Path, line: str) -> None:
    (conda.path / PACKAGES / "own.pth").write_text(f"import sys\n\n{'x' * 5000}\n{line.format(tmp_path)}\n")
    assert refusal(conda)
    (tmp_path / "source" / "wandb").mkdir(parents=True)
    assert check_wandb(conda, {}) == ()


def test_an_editable_installation_is_seen(conda: CondaEnv) -> None:
    (conda.path / PACKAGES / "wandb_gql").mkdir()
    assert refusal(conda)
    (conda.path / PACKAGES / "wandb-0.30.1.dist-info").mkdir()
    assert check_wandb(conda, {}) == ()


def test_what_is_not_there_is_not_looked_at(tmp_path: Path) -> None:
    for environment in (None, Virtualenv(path=tmp_path / "no"), CondaEnv(tmp_path / "no", "no")):
        assert check_wandb(environment, {}) == ()


# --- as typed


def without_wandb(sandbox: Sandbox) -> Path:
    environment = sandbox.project / "virtual_env"
    (package,) = environment.glob("lib/python3*/site-packages/wandb")
    (package / "__init__.py").unlink()
    package.rmdir()
    return environment


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


def test_a_sweep_with_a_conda_environment_without_wandb_is_refused(desk: SweepDesk) -> None:
    made = desk.box.project / "ce"
    (made / "conda-meta").mkdir(parents=True)
    (made / PACKAGES).mkdir(parents=True)
    (made / "bin").mkdir()
    python = made / "bin" / "python"
    python.symlink_to(desk.wandb.python)
    said = desk.box.refuses(*AGENTS, "--conda-env", "./ce")
    assert said.error == f"the conda environment {made} has no wandb, which the agents of a sweep need"
    assert said.hint == f"conda install --prefix {made} --channel conda-forge wandb"
    assert desk.wandb.asked() == []


def test_the_python_of_a_conda_environment_with_wandb_is_asked(desk: SweepDesk) -> None:
    without_wandb(desk.box)
    made = desk.box.project / "ce"
    for folder in ("conda-meta", "bin", f"{PACKAGES}/wandb"):
        (made / folder).mkdir(parents=True)
    (made / PACKAGES / "wandb" / "__init__.py").touch()
    (made / "bin" / "python").symlink_to(desk.wandb.python)
    said = desk.submits("-w", "lab/gan/abc", "--num-sweeps", "auto", "--conda-env", "./ce")
    assert "not looked up" not in said.stderr
    assert "#SBATCH --array=1-8\n" in desk.script


@pytest.mark.parametrize("argv", [AGENTS, ("sweep", "run", "--dry-run")])
def test_a_sweep_in_an_environment_with_the_system_s_packages_has_a_note(
    desk: SweepDesk, argv: tuple[str, ...]
) -> None:
    desk.file()
    environment = without_wandb(desk.box)
    (environment / "pyvenv.cfg").write_text(SYSTEM)
    said = desk.submits(*argv)
    note = f"note: whether the agents of the sweep will have wandb was not looked up: {environment} has none"
    assert said.stderr.count(note) == 1
