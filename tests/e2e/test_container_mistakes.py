"""What goes wrong with an image on a node: the program does not start, and one line names node and cure."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cluster.images import python_images, small_images
from e2e.desk import USER, Desk
from e2e.harbour import PROFILE, harbour
from e2e.test_node_local_folders import clean

LAST = "hpcsubmit: the container cannot be used on every node, see above; the program is not started"


@pytest.fixture
def plai_harbour(plai: Desk) -> Iterator[Desk]:
    plai.write("say.txt", "echo the program runs\n")
    yield from harbour(plai)


def refusal(desk: Desk, job: int) -> str:
    """The one line in which the job's only node says why the program does not start."""
    assert desk.cluster.wait_for_job(job, 180) == "FAILED", desk.log(job)
    log = desk.log(job)
    assert "the program runs" not in log
    lines = [line for line in log.splitlines() if line.startswith("hpcsubmit: ")]
    assert lines[1:] == [LAST], log
    name, _, line = lines[0].removeprefix("hpcsubmit: ").partition(": ")
    assert name in desk.cluster.nodes
    assert clean(desk)
    return line


def submit(desk: Desk, image: Path | str, *words: str) -> int:
    return desk.submit("-s", str(image), "-C", "say.txt", *words)


def _vanished(image: Path) -> None:
    image.unlink()


def _changed(image: Path) -> None:
    with image.open("ab") as file:
        file.write(b"more")


def _damaged(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[100_000:-100_000] = bytes(len(content) - 200_000)
    image.write_bytes(content)


def _emptied(image: Path) -> None:
    content = bytearray(image.read_bytes())
    content[40_000:] = bytes(len(content) - 40_000)
    image.write_bytes(content)


@pytest.mark.parametrize(
    ("change", "line"),
    [
        (_vanished, "{image} cannot be read: see that this node reaches it, and submit again"),
        (
            _changed,
            "{image} has {more} bytes, and the image had {size} when the job was submitted",
        ),
        (_damaged, "{image} is damaged: build it or copy it again"),
        (_emptied, "{image} does not start; try 'singularity exec {image} true': FATAL:   container"),
    ],
)
def test_what_happens_to_an_image_while_its_job_waits(
    plai_harbour: Desk, change: Callable[[Path], None], line: str
) -> None:
    image = plai_harbour.project / "mine.sif"
    shutil.copy(small_images().bare, image)
    size = image.stat().st_size
    job = submit(plai_harbour, "mine.sif", "--sbatch-arg=--hold")
    change(image)
    plai_harbour.cluster.run(["scontrol", "release", str(job)])
    said = refusal(plai_harbour, job)
    assert said.startswith(line.format(image=f"/home/{USER}/gan/mine.sif", size=size, more=size + 4))


def test_an_image_for_another_machine(plai_harbour: Desk) -> None:
    images = small_images()
    jobs = [submit(plai_harbour, image) for image in (images.foreign, images.foreign_folder)]
    said = [refusal(plai_harbour, job) for job in jobs]
    assert said == [
        f"{images.foreign} is for aarch64, and this node is x86_64: build it on such a machine",
        f"{images.foreign_folder} is for other machines than this x86_64: build it on one",
    ]


def test_no_engine(plai_harbour: Desk) -> None:
    plai_harbour.write("hpcsubmit.yaml", PROFILE.format(cluster="plai", engine="/opt/nowhere"))
    where = "container_engine, container_modules and container_path of the profile plai say where it is"
    said = refusal(plai_harbour, submit(plai_harbour, small_images().bare))
    assert said == f"there is no singularity: {where}"


def test_an_image_that_lacks_what_the_job_needs(plai_harbour: Desk) -> None:
    images = small_images()
    plai_harbour.write("lacks.txt", "nosuch 'a b'\n")
    plai_harbour.write("train.txt", "python -m train\n")
    mine = python_images().without_runscript
    lacks = [
        submit(plai_harbour, images.bare, "--container-exec", "-C", "lacks.txt"),
        submit(plai_harbour, images.bare, "-W", "torchrun", "-C", "train.txt"),
        submit(plai_harbour, mine, "--bind", "/usr:/usr:ro"),
    ]
    said = [refusal(plai_harbour, job) for job in lacks]
    assert said[0] == f"{images.bare} has no program nosuch: install it there, or mend the command"
    no_torch = "has no torch that can be imported: install it there, or add --conda-env"
    assert said[1].startswith(f"{images.bare} {no_torch}: ")
    assert said[1].endswith("python: not found")
    assert said[2] == f"{mine} has no %runscript: submit with --container-exec"


def test_a_command_that_the_image_of_a_runscript_lacks_ends_with_127(plai_harbour: Desk) -> None:
    plai_harbour.write("lacks.txt", "nosuch 'a b'\n")
    done = plai_harbour.hpcsubmit("-s", str(small_images().bare), "-C", "lacks.txt", "--follow")
    assert done.returncode == 127
    assert "nosuch: not found" in done.stdout
    line = "may have no program nosuch: install it there, or mend the command"
    assert done.stdout.splitlines()[-1] == f"hpcsubmit: {small_images().bare} {line}"


CONDA = f"/home/{USER}/gan-env"
# Its script stops every shell but bash, which this image lacks.
MAKE_CONDA = f"""
mkdir -p {CONDA}/bin {CONDA}/conda-meta {CONDA}/etc/conda/activate.d && cd {CONDA} &&
ln -s /usr/bin/python3 bin/python && echo 'f() {{' >etc/conda/activate.d/gcc.sh
"""


def test_a_script_of_conda_that_the_images_shell_cannot_read(plai_harbour: Desk) -> None:
    assert plai_harbour.cluster.run(["sh", "-c", MAKE_CONDA]).returncode == 0
    image = small_images().bare
    try:
        said = refusal(plai_harbour, submit(plai_harbour, image, "--conda-env", CONDA))
    finally:
        plai_harbour.cluster.run(["rm", "-r", CONDA])
    cure = "has no bash, and its /bin/sh stops at a script of the conda environment: install bash there"
    assert said.startswith(f"{image} {cure}: ")
    assert f"{CONDA}/etc/conda/activate.d/gcc.sh: line " in said


def test_a_mount_that_only_the_login_node_has(plai_harbour: Desk) -> None:
    plai_harbour.cluster.run(["mkdir", "-p", "/tmp/only here"])
    job = submit(plai_harbour, small_images().bare, "--bind", "/tmp/only here:/in")
    plai_harbour.cluster.run(["rmdir", "/tmp/only here"])
    assert refusal(plai_harbour, job) == (
        "--bind /tmp/only here: it is not there: give a path that this node has too"
    )


def test_a_disk_that_is_too_small_for_the_image(plai_harbour: Desk) -> None:
    node = plai_harbour.cluster.nodes[1]
    mount = ["mount", "-t", "tmpfs", "-o", "size=900k,mode=1777", "none", "/scratch-ssd"]
    assert plai_harbour.cluster.run(mount, user="root", host=node).returncode == 0
    try:
        job = submit(plai_harbour, small_images().bare, f"--sbatch-arg=--nodelist={node}")
        said = refusal(plai_harbour, job)
    finally:
        plai_harbour.cluster.run(["umount", "/scratch-ssd"], user="root", host=node)
    assert said == "2 MB are needed on its disk, and 0 MB are free: submit with --container-in-place"


def test_a_node_without_fuse_names_the_sandbox_which_then_works(plai_harbour: Desk) -> None:
    node = plai_harbour.cluster.nodes[2]
    here = f"--sbatch-arg=--nodelist={node}"
    hide = "mknod -m 600 /run/closed-fuse c 10 229 && mount --bind /run/closed-fuse /dev/fuse"
    done = plai_harbour.cluster.run(["sh", "-c", hide], user="root", host=node)
    assert done.returncode == 0, done.stderr
    try:
        said = refusal(plai_harbour, submit(plai_harbour, small_images().bare, here))
        folder = str(small_images().bare_folder)
        works = plai_harbour.hpcsubmit("-s", folder, "-C", "say.txt", here, "--follow")
    finally:
        show = "umount /dev/fuse; rm -f /run/closed-fuse"
        plai_harbour.cluster.run(["sh", "-c", show], user="root", host=node)
    image = small_images().bare
    assert said == (
        f"{image} cannot be mounted: this node has no FUSE for users. Make a sandbox folder of it with "
        f"'singularity build --sandbox FOLDER {image}', and submit with -s FOLDER"
    )
    assert (works.returncode, works.stdout) == (0, "the program runs\n")
