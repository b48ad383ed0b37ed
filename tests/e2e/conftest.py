"""Projects on the real clusters, to submit from as an ordinary user."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.job_python import install_tool, job_python
from cluster.slurm_cluster import unavailable, up
from e2e.desk import USER, Desk

CHECKOUT = Path(__file__).parents[2]


def _desk(name: str) -> Desk:
    reason = unavailable()
    if reason:
        pytest.skip(reason)
    cluster = up(name)
    cluster.cancel_all(timeout=180)
    desk = Desk(cluster, install_tool(CHECKOUT))
    for folder in (desk.project, desk.scratch()):
        shutil.rmtree(folder, ignore_errors=True)
    desk.empty_node_disks()
    desk.project.mkdir()
    (desk.project / "virtual_env").symlink_to(job_python().parents[1])
    shutil.copytree(CHECKOUT / "examples", desk.project / "examples")
    shutil.copy(CHECKOUT / "experiment_configurations.txt", desk.project)
    subprocess.run(["chown", "-hR", f"{USER}:", str(desk.project)], check=True, timeout=60)
    return desk


@pytest.fixture(scope="session")
def cedar_desk() -> Desk:
    return _desk("cedar")


@pytest.fixture(scope="session")
def plai_desk() -> Desk:
    return _desk("plai")


@pytest.fixture(params=["cedar", "plai"])
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Each cluster in turn."""
    found: Desk = request.getfixturevalue(f"{request.param}_desk")
    yield found
    found.clear()


@pytest.fixture
def plai(plai_desk: Desk) -> Iterator[Desk]:
    yield plai_desk
    plai_desk.clear()
