"""The one door for developers: make test runs lint, types, tests, wheel and slurm; demo and bench beside."""

import os
from pathlib import Path

import nox

nox.needs_version = ">=2025.2.9"
nox.options.default_venv_backend = "venv"
nox.options.reuse_venv = "yes"
nox.options.stop_on_first_error = False
nox.options.sessions = ["lint", "types", "tests", "wheel", "slurm"]

GROUPS = nox.project.load_toml("pyproject.toml")["dependency-groups"]
CONSTRAINTS = Path("examples/constraints.txt").resolve()
SHELL_SCRIPTS = ["tests/install_venv.sh", ".ci/run", "tests/cluster"]
SHELLCHECK = ("shellcheck", "--severity=style", "--external-sources", "--exclude=SC1091")


def install_group(session: nox.Session, name: str) -> None:
    """Install one dependency group of pyproject.toml."""
    session.install(*nox.project.dependency_groups({"dependency-groups": GROUPS}, name))


def torch_environment() -> dict[str, str]:
    """What pip must know to install torch for the demo and the tests: the CPU build, of one version."""
    found = {"PIP_CONSTRAINT": str(CONSTRAINTS)}
    if os.environ.get("TORCH_INDEX"):
        found["PIP_EXTRA_INDEX_URL"] = os.environ["TORCH_INDEX"]
        found["HPCSUBMIT_TORCH_INDEX"] = os.environ["TORCH_INDEX"]
    return found


@nox.session
def lint(session: nox.Session) -> None:
    """Style, mistakes and formatting of Python and shell."""
    install_group(session, "lint")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")
    scripts = [p for place in map(Path, SHELL_SCRIPTS) for p in _shell_scripts(place)]
    session.run(*SHELLCHECK, *map(str, scripts))


def _shell_scripts(place: Path) -> list[Path]:
    """The shell scripts at a path: itself, or the files below it that begin as one."""
    if place.is_file():
        return [place]
    files = sorted(p for p in place.rglob("*") if p.is_file() and "__pycache__" not in p.parts)
    return [path for path in files if path.suffix == ".sh" or _is_shell_script(path)]


def _is_shell_script(path: Path) -> bool:
    with path.open("rb") as file:
        return file.readline(80).strip().endswith((b"bash", b"/sh"))


@nox.session
def types(session: nox.Session) -> None:
    """Types, strictly."""
    install_group(session, "types")
    session.install("--editable", ".")
    session.run("mypy")


@nox.session
def tests(session: nox.Session) -> None:
    """Everything that needs no Slurm: unit, property and golden tests."""
    install_group(session, "test")
    session.install("--editable", ".")
    session.run(
        "pytest", *(session.posargs or ["tests/unit", "tests/property", "tests/golden", "tests/local"])
    )


@nox.session
def wheel(session: nox.Session) -> None:
    """The wheel made from the sdist renders the golden scripts byte for byte."""
    session.install("build", "pytest")
    dist = Path(session.create_tmp()) / "dist"
    session.run("python", "-m", "build", "--quiet", "--outdir", str(dist))
    newest = max(dist.glob("*.whl"), key=lambda path: path.stat().st_mtime)
    session.install("--force-reinstall", str(newest))
    session.run("pytest", "tests/golden/test_wheel.py", *session.posargs)


@nox.session
def slurm(session: nox.Session) -> None:
    """End to end: on the real multi-node Slurm of tests/cluster, and on the embedded cluster."""
    install_group(session, "test")
    session.install("--editable", ".")
    session.run("pytest", "tests/cluster", "tests/e2e", *session.posargs, env=torch_environment())


@nox.session
def demo(session: nox.Session) -> None:
    """Train the digits on 2 GPUs (or CPUs) of 2 nodes of the embedded cluster, and show the accuracy."""
    session.install("--editable", ".")
    session.run(
        "hpcsubmit", "--cluster", "local", "--gpus", "2", "--num-nodes", "2", "--yes", "--follow",
        env=torch_environment(),
    )  # fmt: skip


@nox.session
def bench_cli(session: nox.Session) -> None:
    """How long the command takes, beside its peers, in one interleaved run."""
    session.run("python", "-m", "bench.cli", *session.posargs)


@nox.session
def bench_data(session: nox.Session) -> None:
    """How long data and environments take to the nodes, beside tar, cp, rsync and uv."""
    session.run("python", "-m", "bench.data", *session.posargs)


@nox.session
def bench_first_step(session: nox.Session) -> None:
    """From pressing return to the first line of the program on every node, on the real Slurm."""
    session.run("python", "-m", "bench.first_step", *session.posargs, env={"PYTHONPATH": "tests"})


@nox.session
def bench_sweeps(session: nox.Session) -> None:
    """How long it takes to submit a sweep, beside one job, submitit and a loop over sbatch."""
    session.run("python", "-m", "bench.sweeps", *session.posargs)
