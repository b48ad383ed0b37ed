"""What all tests share: their options, the skip rule, and a project to submit from."""

import os
import shutil
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from sandbox import SBATCH, Sandbox


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden scripts anew")


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    """Where HPCSUBMIT_NO_SKIPS is set, as in CI, a skipped test is a failure."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    skipped = reporter.stats.get("skipped", []) if reporter else []
    if os.environ.get("HPCSUBMIT_NO_SKIPS") and skipped and exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


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
