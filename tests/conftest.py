"""What all tests share: their options, the skip rule, and a project to submit from."""

import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

HPCSUBMIT = (sys.executable, "-P", "-m", "hpcsubmit")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden scripts anew")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where HPCSUBMIT_NO_SKIPS is set, as in CI, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("HPCSUBMIT_NO_SKIPS") and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


@dataclass(frozen=True)
class Said:
    """What one run of hpcsubmit printed and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The text behind `error: `; "" without one."""
        return next((ln[7:] for ln in self.stderr.splitlines() if ln.startswith("error: ")), "")

    @property
    def hint(self) -> str:
        """The text behind `hint: `; "" without one."""
        return next((ln[6:] for ln in self.stderr.splitlines() if ln.startswith("hint: ")), "")


@dataclass(frozen=True)
class Sandbox:
    """A user's home, scratch, project and PATH below one temporary folder."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.root / "home" / "gan"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def experiment(self) -> Path:
        return self.project / "experiment_configurations.txt"

    def write(self, text: str, path: Path | None = None) -> None:
        """Write the experiment file, or another file."""
        (path or self.experiment).parent.mkdir(parents=True, exist_ok=True)
        (path or self.experiment).write_text(text, "utf-8")

    def install(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)

    def hpcsubmit(
        self,
        *argv: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        timeout: float = 60,
        **kwargs: str,
    ) -> Said:
        """Run the real command, by default in the project and without a terminal."""
        done = subprocess.run(
            [*HPCSUBMIT, *argv],
            cwd=cwd or self.project,
            env=self.environ if environ is None else environ,
            input=kwargs.get("stdin", ""),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def tree(self) -> set[str]:
        """Every path below home and scratch: what a command that must change nothing leaves as it was."""
        return {str(p.relative_to(self.root)) for top in ("home", "scratch") for p in (self.root / top).rglob("*")}


SBATCH = """#!/bin/sh
# Stands in for sbatch: keeps the script and the environment, and names a job as sbatch does.
for last; do :; done
cp "$last" "{root}/submitted.sh"
env >"{root}/sbatch.env"
echo "$*" >>"{root}/sbatch.argv"
echo "Submitted batch job 4242"
"""


@pytest.fixture
def sandbox(tmp_path: Path) -> Iterator[Sandbox]:
    """A project with a ready environment and `python main.py`, and an sbatch that accepts everything."""
    box = Sandbox(tmp_path)
    for folder in (box.project, box.scratch, box.bin):
        folder.mkdir(parents=True)
    box.write("python main.py\n")
    venv.create(box.project / "virtual_env", with_pip=False, symlinks=True)
    box.install("sbatch", SBATCH.format(root=tmp_path))
    box.environ.update(
        PATH=f"{box.bin}:/usr/bin:/bin",
        HOME=str(tmp_path / "home"),
        SCRATCH=str(box.scratch),
        HPCSUBMIT_CLUSTER="generic",
        LANG="C.UTF-8",
    )
    yield box
    shutil.rmtree(tmp_path, ignore_errors=True)
