"""Clusters whose users have a real Apptainer."""

from collections.abc import Iterator

import pytest

from cluster.apptainer import apptainer, apptainer_unavailable
from cluster.images import PYTHON_BINDS, python_images
from e2e.desk import Desk

PROFILE = """
profiles:
  {cluster}:
    container_modules: []
    container_path: {engine}
    environment: {{NCCL_SOCKET_IFNAME: eth7, OMP_PLACES: cores}}
"""


def harbour(desk: Desk) -> Iterator[Desk]:
    """The cluster with a project whose profile names the engine; skips where this machine cannot run it."""
    reason = apptainer_unavailable()
    if reason:
        pytest.skip(reason)
    desk.write("hpcsubmit.yaml", PROFILE.format(cluster=desk.cluster.name, engine=apptainer()))
    yield desk
    (desk.project / "hpcsubmit.yaml").unlink()


def python_image() -> list[str]:
    """The words for an image with Python and PyTorch."""
    binds = [word for bind in PYTHON_BINDS for word in ("--bind", bind)]
    return ["-s", str(python_images().with_runscript), *binds]
