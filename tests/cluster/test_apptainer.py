"""The test clusters' Apptainer and images do in jobs of an ordinary user what they do at a site."""

from __future__ import annotations

import re
import shlex
import time
from typing import TYPE_CHECKING

import pytest

from cluster.apptainer import BUSYBOX, apptainer, apptainer_unavailable
from cluster.images import PYTHON_BINDS, PythonImages, SmallImages, python_images, small_images
from cluster.job_python import job_python
from cluster.slurm_cluster import unavailable, up

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator
    from pathlib import Path

    from cluster.slurm_cluster import Cluster

_REASON = unavailable()
pytestmark = [pytest.mark.slurm, pytest.mark.skipif(_REASON is not None, reason=_REASON or "")]

CLEAN = ("--cleanenv", "--contain", "--no-home", "--writable-tmpfs")
SCRATCH = "/scratch/researcher"


@pytest.fixture(scope="module", params=["cedar", "plai"])
def cluster(request: pytest.FixtureRequest) -> Iterator[Cluster]:
    """Each cluster in turn."""
    reason = apptainer_unavailable()
    if reason:
        pytest.skip(reason)
    found = up(request.param)
    found.cancel_all()
    yield found
    found.cancel_all()


@pytest.fixture(scope="module")
def small() -> SmallImages:
    return small_images()


@pytest.fixture(scope="module")
def python() -> PythonImages:
    return python_images()


def run(
    cluster: Cluster, *words: str | Path, env: dict[str, str] | None = None, tasks: tuple[str, ...] = ()
) -> subprocess.CompletedProcess[str]:
    """Apptainer with these words as a task of a job; srun's own lines are dropped."""
    command = [str(apptainer() / "apptainer"), "--silent", *map(str, words)]
    done = cluster.run(["srun", *_account(cluster), *tasks, *command], env=env)
    done.stderr = "".join(line for line in done.stderr.splitlines(True) if not line.startswith("srun: "))
    return done


def said(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout


def binds(*folders: str) -> list[str]:
    return [word for folder in folders for word in ("--bind", folder)]


def _account(cluster: Cluster) -> tuple[str, ...]:
    return ("--account=def-fwood",) if cluster.name == "cedar" else ()


def test_an_image_in_a_file_and_one_in_a_folder_run_on_a_node(cluster: Cluster, small: SmallImages) -> None:
    for image in (small.bare, small.bare_folder):
        told = said(run(cluster, "exec", image, "sh", "-c", "hostname; id -un; ls /.singularity.d/runscript"))
        node, user, script = told.split()
        assert node in cluster.nodes
        assert (user, script) == ("researcher", "/.singularity.d/runscript")


def test_singularity_is_the_same_command(cluster: Cluster, small: SmallImages) -> None:
    command = (str(apptainer() / "singularity"), "--silent", "exec", str(small.bare), "echo", "hello")
    assert cluster.run(("srun", *_account(cluster), *command)).stdout == "hello\n"


def test_a_runscript_gets_its_words_as_they_are(
    cluster: Cluster, small: SmallImages, python: PythonImages
) -> None:
    words = ("a  b", "", "$HOME", "*", 'it\'s "one"', "two\nlines", "\\")
    expected = "".join(f"[{word}]\n" for word in words)
    for image in (small.bare, small.bare_folder):
        assert said(run(cluster, "run", *CLEAN, image, "printf", "[%s]\n", *words)) == expected
    done = run(
        cluster, "run", *CLEAN, *binds(*PYTHON_BINDS), python.with_runscript, "printf", "[%s]\n", *words
    )
    assert said(done) == expected


def test_run_without_a_runscript_runs_nothing_and_fails_not(cluster: Cluster, python: PythonImages) -> None:
    done = run(cluster, "run", *binds(*PYTHON_BINDS), python.without_runscript, "false")
    assert said(done).startswith("There is no runscript defined for this container")


def test_a_clean_container_sees_only_what_it_is_given(cluster: Cluster, small: SmallImages) -> None:
    folder = f"{SCRATCH}/for the image"
    cluster.run(("mkdir", "-p", folder))
    cluster.run(("sh", "-c", 'echo inside > "$1/file"', "sh", folder))
    look = "env | grep -E '^(GIVEN|KEPT|SLURM_JOB_ID)='; ls -A $HOME /tmp; cat /given/deep/file; touch /new"
    done = run(
        cluster, "exec", *CLEAN, *binds(f"{folder}:/given/deep:ro"), small.bare, "sh", "-c", look,
        env={"APPTAINERENV_GIVEN": "a b", "KEPT": "no"},
    )  # fmt: skip
    assert done.stdout == "GIVEN=a b\n/tmp:\ninside\n"
    assert done.stderr == "ls: /home/researcher: No such file or directory\n"
    assert done.returncode == 0


def test_values_and_folders_of_any_name_reach_the_program(cluster: Cluster, small: SmallImages) -> None:
    value = "two\nlines $HOME `id` \\ 'it' \"is\" 50%, a,b "
    folder = f'{SCRATCH}/50% of Zoë\'s "g,a:n" \\'
    cluster.run(("mkdir", "-p", f"{folder}/seen"))
    source = folder.replace('"', '""')
    mount = f'type=bind,"source={source}","destination=/mnt/x y"'
    done = run(
        cluster, "exec", *CLEAN, "--mount", mount, small.bare,
        "sh", "-c", 'printf %s "$AWKWARD"; ls "/mnt/x y"',
        env={"APPTAINER_NO_EVAL": "1", "APPTAINERENV_AWKWARD": value},
    )  # fmt: skip
    assert said(done) == f"{value}seen\n"


def test_code_and_signal_of_the_program_are_the_task_s(cluster: Cluster, small: SmallImages) -> None:
    for image in (small.bare, small.bare_folder):
        assert run(cluster, "exec", *CLEAN, image, "sh", "-c", "exit 7").returncode == 7
        assert run(cluster, "exec", *CLEAN, image, "sh", "-c", "kill -SEGV $$").returncode == 139


def test_a_cancelled_job_s_program_is_told_and_still_has_its_image(
    cluster: Cluster, small: SmallImages
) -> None:
    """It writes to a file of its own: what it prints after scancel is lost with srun, image or not."""
    for image in (small.bare, small.bare_folder):
        told = cluster.shared(f"{SCRATCH}/told.txt")
        told.unlink(missing_ok=True)
        save = "echo told; sleep 0.3; wc -c < /bin/busybox; exit 3"
        program = f"exec > {SCRATCH}/told.txt; trap '{save}' TERM; echo ready; while :; do sleep 0.1; done"
        options = (*CLEAN, *binds(SCRATCH))
        words = (
            str(apptainer() / "apptainer"),
            "--silent",
            "exec",
            *options,
            str(image),
            "sh",
            "-c",
            program,
        )
        script = f"#!/bin/bash\nexec srun {shlex.join(words)}\n"
        done = cluster.run(("sbatch", "--parsable", "--output=/dev/null", *_account(cluster)), stdin=script)
        job = done.stdout.strip()
        _wait_for_text(told, "ready\n")
        cluster.run(("scancel", job))
        assert cluster.wait_for_job(job) == "CANCELLED"
        assert told.read_text() == f"ready\ntold\n{BUSYBOX.stat().st_size}\n"


def _wait_for_text(path: Path, text: str) -> None:
    end = time.monotonic() + 300
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < end, f"{path} never held {text!r}"
        time.sleep(0.1)


def test_an_image_with_python_has_torch_and_bash(cluster: Cluster, python: PythonImages) -> None:
    program = "import torch, socket; print(torch.tensor([1, 2]).sum().item(), socket.gethostname())"
    words = ("exec", *CLEAN, *binds(*PYTHON_BINDS))
    line = ("bash", "-c", f'exec python -c "{program}"')
    total, node = said(run(cluster, *words, python.with_runscript, *line, tasks=("--mem=2G",))).split()
    assert total == "3"
    assert node in cluster.nodes
    found = said(run(cluster, *words, python.without_runscript, "bash", "-c", "type -P python awk"))
    assert found == f"{job_python()}\n/usr/bin/awk\n"


def test_two_containers_of_a_node_share_memory_unless_they_are_contained(
    cluster: Cluster, small: SmallImages
) -> None:
    def seen(*options: str) -> str:
        leave = "echo hello > /dev/shm/left"
        look = "cat /dev/shm/left 2>/dev/null; rm -f /dev/shm/left"
        node = f"--nodelist={cluster.nodes[0]}"
        said(run(cluster, "exec", *options, small.bare, "sh", "-c", leave, tasks=(node,)))
        return said(run(cluster, "exec", *options, small.bare, "sh", "-c", f"{look}; true", tasks=(node,)))

    assert seen() == "hello\n"
    assert seen("--contain") == ""
    assert seen("--contain", "--bind", "/dev/shm") == ""
    assert seen("--contain", "--bind", "/dev") == "hello\n"


def test_tasks_of_two_nodes_meet_through_pmi2(cluster: Cluster, python: PythonImages) -> None:
    program = r"""
import os, socket
wire = socket.socket(fileno=int(os.environ["PMI_FD"])).makefile("rwb", buffering=0)
def ask(words):
    wire.write(b"%6d%s" % (len(words), words.encode()))
    return wire.read(int(wire.read(6))).decode()
wire.write(b"cmd=init pmi_version=2 pmi_subversion=0\n")
wire.readline()
job, rank = os.environ["PMI_JOBID"], int(os.environ["PMI_RANK"])
ask(f"cmd=fullinit;pmijobid={job};pmirank={rank};threaded=FALSE;")
ask(f"cmd=kvs-put;key=host{rank};value={socket.gethostname()};")
ask("cmd=kvs-fence;")
print(rank, ask(f"cmd=kvs-get;jobid={job};srcid=-1;key=host{1 - rank};"))
ask("cmd=finalize;")
"""
    pass_on = 'for name in ${!PMI_*}; do export "APPTAINERENV_$name=${!name}"; done; exec "$@"'
    command = (str(apptainer() / "apptainer"), "--silent", "exec", *CLEAN, *binds(*PYTHON_BINDS))
    two = ("srun", *_account(cluster), "--nodes=2", "--ntasks=2", "--mpi=pmi2", "bash", "-c", pass_on, "task")
    done = cluster.run((*two, *command, str(python.with_runscript), "python", "-c", program))
    assert done.returncode == 0, done.stderr
    found = re.findall(r"^([01]) .*;value=(\w+);", done.stdout, re.MULTILINE)
    assert sorted(rank for rank, _ in found) == ["0", "1"]
    hosts = {host for _, host in found}
    assert len(hosts) == 2
    assert hosts <= set(cluster.nodes)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        ("foreign", "the image's architecture (arm64) could not run on the host's"),
        ("foreign_folder", "image targets 'arm64', cannot run on"),
        ("truncated", "Something went wrong trying to read the squashfs image"),
    ],
)
def test_a_useless_image_fails_and_says_why(
    cluster: Cluster, small: SmallImages, image: str, message: str
) -> None:
    done = run(cluster, "exec", *CLEAN, getattr(small, image), "true")
    assert done.returncode == 255
    assert message in done.stderr


def test_a_small_image_has_neither_python_nor_bash(cluster: Cluster, small: SmallImages) -> None:
    for name in ("python", "python3", "bash"):
        done = run(cluster, "exec", *CLEAN, small.bare, name)
        assert done.returncode == 255
        assert done.stderr.endswith(f'"{name}": executable file not found in $PATH\n')


def test_where_fuse_is_closed_to_users_files_fail_and_folders_work(
    cluster: Cluster, small: SmallImages
) -> None:
    """As root of the login node, in a mount namespace of its own; the node keeps its open device."""
    hide = "mount -t tmpfs none /mnt && mknod -m 600 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse"
    user = "setpriv --reuid=researcher --regid=researcher --init-groups env HOME=/home/researcher"
    line = f'{hide} && exec {user} "$0" --silent exec "$1" echo hello'
    command = str(apptainer() / "apptainer")
    unshare = ("unshare", "-m", "bash", "-c", line, command)
    done = cluster.run((*unshare, str(small.bare)), user="root", cwd="/")
    assert done.returncode == 255
    assert "fuse: failed to open /dev/fuse: Permission denied" in done.stderr
    done = cluster.run((*unshare, str(small.bare_folder)), user="root", cwd="/")
    assert done.stdout == "hello\n"


def test_images_are_made_once(small: SmallImages, python: PythonImages) -> None:
    made = [path.stat().st_mtime_ns for path in (small.bare, python.with_runscript)]
    assert (small_images(), python_images()) == (small, python)
    assert [path.stat().st_mtime_ns for path in (small.bare, python.with_runscript)] == made
