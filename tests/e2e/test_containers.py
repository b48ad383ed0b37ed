"""Jobs inside a real Apptainer on the real clusters: trainings, what a container sees, and what goes wrong."""

import re

import pytest

from cluster.apptainer import apptainer, apptainer_unavailable
from cluster.images import PYTHON_BINDS, python_images, small_images
from e2e.desk import Desk
from e2e.test_training import PROBE

BINDS = [word for bind in PYTHON_BINDS for word in ("--bind", bind)]


@pytest.fixture
def harbour(desk: Desk) -> Desk:
    """Each cluster, with its profile naming the engine that the test cluster has."""
    reason = apptainer_unavailable()
    if reason:
        pytest.skip(reason)
    profile = f"container_modules: []\ncontainer_path: {apptainer()}\n"
    place = desk.cluster.shared(f"/home/researcher/.config/hpcsubmit/profiles/{desk.cluster.name}.yaml")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(profile)
    desk.write("probe.py", PROBE)
    desk.write("probe.txt", "python probe.py --name 'two  words' $SLURM_TMPDIR\n")
    return desk


def test_two_nodes_train_with_torchrun_inside_an_image(harbour: Desk) -> None:
    words = ["-s", str(python_images().with_runscript), *BINDS, "-W", "torchrun", "-g", "2", "-n", "2", "-c", "4"]
    done = harbour.hpcsubmit(*words, "-C", "examples/digits/torchrun.txt", "--follow", timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    print(done.stdout)
    (accuracy,) = re.findall(r"^accuracy: (0\.\d+)", done.stdout, re.MULTILINE)
    assert float(accuracy) > 0.9
    assert harbour.node_local_folders() == {node: [] for node in harbour.cluster.nodes}
