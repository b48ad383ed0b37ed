"""Images are made by a real Apptainer, here and in jobs, and do in jobs what their definition says."""

import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from cluster.apptainer import apptainer
from cluster.python_base import python_base
from e2e.desk import PROJECT, USER, Desk
from e2e.harbour import harbour

pytestmark = pytest.mark.slurm
IMAGE = f"{PROJECT}/gan.sif"
WORDS = ("a b", "", "*", "it's", '"', "$HOME", "`id`", "\\", "new\nline", "-x", "é")
SAY = ("python", "-c", "import sys; print(ascii(sys.argv[1:]))")
LIMITED = {"APPTAINER_DROP_CAPS": "CAP_SYS_RESOURCE"}
"""What a root needs that has not all rights itself, such as that of a machine which is a container."""


@pytest.fixture(scope="module")
def desk(plai_desk: Desk) -> Iterator[Desk]:
    """A project without packages, and with a definition that starts from this machine's Python."""
    for here in harbour(plai_desk):
        done = here.hpcsubmit("container", "init", "--force", "--base", str(python_base()))
        assert (done.returncode, done.stdout) == (0, f"{PROJECT}/container.def\n"), done.stderr
        yield here
    plai_desk.clear()
    for path in (*plai_desk.project.glob("*.def"), *plai_desk.project.glob("*.sif*")):
        path.unlink()


@pytest.fixture(scope="module")
def image(desk: Desk) -> Desk:
    """The same, with the image."""
    done = desk.hpcsubmit("container", "build")
    assert (done.returncode, done.stdout) == (0, f"{IMAGE}\n"), done.stderr
    return desk


def run_in(desk: Desk, *words: str, work: bool = True, **environ: str) -> subprocess.CompletedProcess[str]:
    return desk.cluster.run(
        contained(*words, work=work), cwd=f"/home/{USER}", env=inside(environ, work=work), timeout=180
    )


def contained(*words: str, work: bool = True) -> list[str]:
    """A container as a job starts it, with the folder `local` of the user's home as its work folder."""
    options = ["--cleanenv", "--no-home", "--contain", "--writable-tmpfs", "--bind", PROJECT]
    options += ["--bind", f"/home/{USER}/local:/workdir", "--pwd", "/workdir"] if work else ["--pwd", PROJECT]
    return [str(apptainer() / "apptainer"), "--silent", "run", *options, IMAGE, *words]


def inside(environ: dict[str, str], *, work: bool) -> dict[str, str]:
    given = {"source_dir": PROJECT} | ({"HPCSUBMIT_WORKDIR": "/workdir"} if work else {}) | environ
    return {"APPTAINER_NO_EVAL": "1"} | {f"APPTAINERENV_{name}": value for name, value in given.items()}


@pytest.fixture
def local(image: Desk) -> Path:
    """The work folder, as this machine sees it; something is in it already."""
    path = image.cluster.shared(f"/home/{USER}/local")
    shutil.rmtree(path, ignore_errors=True)
    (path / "old").mkdir(parents=True)
    subprocess.run(["chown", "-R", f"{USER}:", str(path)], check=True, timeout=60)
    return path


def left_by(desk: Desk) -> list[str]:
    """What a build has left beside the image, and in the folders where it works."""
    machine = desk.cluster.login
    disks = [desk.cluster.node_disk(machine, name) for name in ("/tmp", "/var/tmp")]
    found = [path.name for disk in disks for path in disk.glob("hpcsubmit-build*")]
    return found + [path.name for path in desk.project.glob(".*.sif*")]


def test_the_image_of_an_ordinary_user_does_what_its_definition_says(image: Desk, local: Path) -> None:
    assert left_by(image) == []
    assert (image.project / "gan.sif").stat().st_mode & 0o777 == 0o755
    log = (image.project / "gan.sif.log").read_text()
    assert "INFO:    Running testscript\nPython 3." in log
    for work in (False, True):
        done = run_in(image, *SAY, *WORDS, work=work)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"{list(WORDS)!a}\n", "")
    told = run_in(image, "sh", "-c", 'echo "$PYTHONUNBUFFERED $LC_ALL $PYTHONNOUSERSITE $PWD"')
    assert told.stdout == "1 C.UTF-8 1 /workdir\n"
    library = "import os, sysconfig; print(os.listdir(sysconfig.get_path('stdlib') + '/__pycache__')[:1])"
    assert ".pyc" in run_in(image, "python", "-c", library, work=False).stdout, "compiled when it was built"


def test_what_a_run_leaves_is_removed_however_it_ends_and_nothing_else(image: Desk, local: Path) -> None:
    image.write("kept", "mine")
    program = (
        "mkdir -p a/b .c old/d; touch a/f 'x y'; ln -s $source_dir link; chmod 0 a/b; touch $source_dir/new"
    )
    for end in ("exit 7", "kill -9 $$"):
        done = run_in(image, "sh", "-c", f"{program}; {end}")
        assert (done.returncode, done.stderr) == (7 if end == "exit 7" else 137, "")
        assert [path.name for path in local.iterdir()] == ["old"]
    assert (local / "old" / "d").is_dir(), "it was there before"
    assert (image.project / "kept").read_text() == "mine"
    assert (image.project / "new").exists()


def test_a_term_reaches_the_program_whose_code_and_cleaning_it_does_not_cost(
    image: Desk, local: Path
) -> None:
    program = "trap 'echo told; exit 5' TERM; touch started; while :; do sleep 0.1; done"
    argv = ["sh", "-c", 'echo $$ >engine; exec "$@"', "sh", *contained("sh", "-c", program)]
    process = image.cluster.popen(argv, cwd=f"/home/{USER}", env=inside({}, work=True))
    wait_for(local / "started")
    engine = (local.parent / "engine").read_text().strip()
    assert image.cluster.run(["kill", "-TERM", engine]).returncode == 0
    stdout, stderr = process.communicate(timeout=180)
    assert (process.returncode, stdout, stderr) == (5, "told\n", "")
    assert [path.name for path in local.iterdir()] == ["old"]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 180
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.05)


def test_a_job_builds_an_image_and_a_job_runs_in_it(desk: Desk) -> None:
    target = f"{PROJECT}/job.sif"
    built = desk.hpcsubmit(
        "container", "build", "container.def", "job.sif", "--in-job", "--follow", timeout=600
    )
    assert (built.returncode, built.stdout) == (0, f"{target}\n"), built.stderr
    assert re.search(r"^Submitted batch job \d+$", built.stderr, re.MULTILINE)
    assert "INFO:    Build complete: " in built.stderr
    assert f"hpcsubmit: {target} is finished: " in (desk.project / "job.sif.log").read_text()
    assert left_by(desk) == []
    desk.write(
        "probe.py", "import os, sys\nprint(sys.argv[1:], os.getcwd())\nopen('left', 'w')\nsys.exit(7)\n"
    )
    desk.write("probe.txt", f"python {PROJECT}/probe.py 'a  b' '$x' *\n")
    done = desk.hpcsubmit(
        "-s", "job.sif", "--workdir", "/workdir", "-C", "probe.txt", "--follow", timeout=600
    )
    assert done.returncode == 7, done.stdout + done.stderr
    assert "['a  b', '$x', '" in done.stdout
    assert "] /workdir\n" in done.stdout
    assert not (desk.project / "left").exists()


def test_a_build_that_fails_in_a_job_is_told_and_leaves_nothing(desk: Desk) -> None:
    words = broken(desk, "echo no such package >&2; exit 3")
    done = desk.hpcsubmit("container", "build", *words, "--in-job", "--follow", timeout=600)
    assert (done.returncode, done.stdout) == (1, "")
    assert "no such package" in done.stderr
    told = (
        rf"error: the image could not be built by job \d+ \(FAILED\); {PROJECT}/broken.sif was not touched\n"
    )
    assert re.search(told, done.stderr)
    assert left_by(desk) == []
    assert not (desk.project / "broken.sif").exists()


def test_a_ctrl_c_ends_a_build_with_all_that_it_has_started(desk: Desk) -> None:
    begun = desk.cluster.node_disk(
        desk.cluster.login, "/tmp/begun"
    )  # the machine's own /tmp is in %post, too
    begun.unlink(missing_ok=True)
    words = broken(desk, "touch /tmp/begun; sleep 61")
    process = desk.cluster.popen([str(desk.tool), "container", "build", *words], cwd=PROJECT)
    wait_for(begun)
    os.killpg(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=180)
    assert process.returncode == 130, stderr
    deadline = time.monotonic() + 180
    while left_by(desk) or sleepers():
        assert time.monotonic() < deadline, (left_by(desk), sleepers())
        time.sleep(0.1)
    assert not (desk.project / "broken.sif").exists()


def sleepers() -> list[Path]:
    """What %post was waiting for."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            found += [path] if path.read_bytes() == b"sleep\x0061\0" else []
    return found


def broken(desk: Desk, commands: str) -> tuple[str, str]:
    """A definition whose %post begins with these commands, and its image."""
    text = (desk.project / "container.def").read_text()
    desk.write("broken.def", text.replace("\n%post\n", f"\n%post\n    {commands}\n"))
    return "broken.def", "broken.sif"


def test_root_builds_without_fakeroot(desk: Desk) -> None:
    argv = [str(desk.tool), "container", "build", "container.def", "/tmp/root.sif"]
    environ = LIMITED | {"SCRATCH": f"/scratch/{USER}", "HOME": "/tmp"}
    done = desk.cluster.run(argv, user="root", cwd=PROJECT, env=environ, timeout=600)
    assert (done.returncode, done.stdout) == (0, "/tmp/root.sif\n"), done.stderr
    path = desk.cluster.node_disk(desk.cluster.login, "/tmp/root.sif")
    assert path.stat().st_uid == 0
    path.unlink()
