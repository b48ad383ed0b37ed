"""`hpcsubmit clean nodes` where it must not work, or must be asked first, and the command line of clean."""

import pytest

from sandbox import Sandbox
from small_cluster import Cluster, make_cluster, user
from unit.test_question import at_a_terminal


@pytest.fixture
def cluster(sandbox: Sandbox) -> Cluster:
    return make_cluster(sandbox)


def refused(cluster: Cluster, *argv: str, code: int = 1, path: str = "") -> tuple[str, str]:
    path = path or cluster.sandbox.environ["PATH"]
    said = cluster.sandbox.refuses("clean", "nodes", *argv, code=code, PATH=path)
    return said.error, said.hint


NOTHING = "there is nothing to clean; --cluster NAME means another cluster"


def test_clusters_on_which_nothing_is_left_are_refused(cluster: Cluster) -> None:
    assert refused(cluster, "--yes", "--cluster", "local") == (
        "the nodes of 'local' are this machine, whose jobs remove their own folders", NOTHING,
    )  # fmt: skip
    cluster.profile(slurm_tmpdir="given")
    assert refused(cluster, "--yes") == (
        "'mine' makes SLURM_TMPDIR itself and removes it after every job, however that ends", NOTHING,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo 'id: no name for user ID 1234' >&2; echo 1234; exit 1", "id: no name for user ID 1234"),
        ("echo", "id -un says nothing"),
        (":", "id -un says nothing"),
    ],
)  # fmt: skip
def test_a_user_without_a_name_is_refused(cluster: Cluster, script: str, said: str) -> None:
    cluster.sandbox.install("id", f"#!/bin/sh\n{script}\n")
    assert refused(cluster, "--yes") == (
        f"this user has no name ({said}), and the folders on the nodes are known by it",
        "log in to the cluster as yourself; if id -un fails there too, tell the site",
    )


def test_nodes_that_are_not_known_are_an_error(cluster: Cluster) -> None:
    hint = "see sinfo for the partitions there are; or name the nodes in the profile, nodes: node[01-12]"
    asked = "sinfo --noheader --Node --format=%N --partition=nope"
    assert refused(cluster, "--yes", "-p", "nope") == (
        f"the nodes of 'mine' are not known: {asked} says nothing", hint,
    )  # fmt: skip
    cluster.sandbox.install("sinfo", "#!/bin/sh\necho 'sinfo: error: no controller' >&2; exit 1\n")
    assert refused(cluster, "--yes")[0].endswith("says sinfo: error: no controller")
    cluster.sandbox.install("sinfo", "#!/bin/sh\necho 'plai]'\n")
    assert refused(cluster, "--yes")[0].endswith("says plai]")


def test_without_sbatch_or_scratch_it_is_refused(cluster: Cluster) -> None:
    assert cluster.sandbox.refuses("clean", "nodes", "--yes", SCRATCH="").error == "SCRATCH is not set"
    (cluster.sandbox.bin / "sbatch").unlink()
    error, hint = refused(cluster, "--yes", path=str(cluster.sandbox.bin))
    assert error == "there is no sbatch on the PATH, and the cluster is 'mine'"
    assert hint == "log in to the cluster first, or train on this machine with --cluster local"


def test_a_wrong_wait_is_refused(cluster: Cluster) -> None:
    for wrong in ("x", "-1", "1.5"):
        assert refused(cluster, "--wait", wrong, code=2)[1] == "write --wait 2, say"


def test_without_a_terminal_it_needs_a_yes(cluster: Cluster) -> None:
    folder = cluster.leaves("n1", "7")
    before = cluster.sandbox.tree()
    said = cluster.clean()
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "nothing is removed without a terminal to ask on"
    assert said.hint == "add --yes to remove what is listed above"
    assert f"{cluster.disk('@node')}/{user()}_JOB" in said.stderr
    assert (cluster.sandbox.tree(), cluster.submitted()) == (before, [])
    assert folder.is_dir()


@pytest.mark.parametrize(("typed", "code"), [(b"y\n", 0), (b"n\n", 1), (b"\n", 1)])
def test_on_a_terminal_it_asks(cluster: Cluster, typed: bytes, code: int) -> None:
    folder = cluster.leaves("n1", "7")
    found, shown = at_a_terminal(cluster.sandbox, "clean", "nodes", typed=typed, question=b"Remove? [y/N]")
    assert (found, folder.exists()) == (code, code == 1), shown
    if code:
        assert b"error: nothing is removed, as you answered\r\n" in shown
        assert b"hint: add --yes to remove without the question\r\n" in shown


@pytest.mark.parametrize(
    ("argv", "error", "hint"),
    [
        ([], "hpcsubmit clean needs to know what", "write hpcsubmit clean nodes or data or env"),
        (["node"], "hpcsubmit clean does not know 'node'", "did you mean nodes?"),
        (["nodes", "--dry"], "there is no option --dry", "did you mean --dry-run?"),
        (["data", "--al"], "there is no option --al", "did you mean --all?"),
    ],
)
def test_a_wrong_command_line_is_told(sandbox: Sandbox, argv: list[str], error: str, hint: str) -> None:
    said = sandbox.refuses("clean", *argv, code=2)
    assert (said.error, said.hint) == (error, hint)


def test_the_help_lists_what_can_be_cleaned(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("clean", "--help")
    assert said.code == 0
    for name in ("nodes", "data", "env"):
        assert f"\n  {name} " in said.stdout
        assert "--dry-run" in sandbox.hpcsubmit("clean", name, "--help").stdout
