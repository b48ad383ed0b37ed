"""Whole jobs on this machine, in what a stand-in engine takes for containers."""

import os

import pytest

from container_engine import Engine, sif
from sandbox import Said, Sandbox

HERE = {"x86_64": b"02", "aarch64": b"04"}.get(os.uname().machine, b"00")
"""This machine, as the header of an image names it."""
SHOW = """import os, sys
from hpcsubmit import comm
tmp = os.environ["SLURM_TMPDIR"]
words = ["rank", os.environ["SLURM_PROCID"], "args", ascii(sys.argv[1:]), "comm", comm.__name__, "tmp", tmp]
sys.stdout.write(" ".join(words) + "\\n")  # in one write: the ranks share the log
sys.exit(int(os.environ.get("CODE", "0")))
"""


@pytest.fixture
def engine(sandbox: Sandbox) -> Engine:
    """This machine with a stand-in engine, an image file and a sandbox folder."""
    found = Engine(sandbox.root / "engine").install()
    sandbox.write(
        f"container_path: {found.folder}\n", sandbox.root / "home/.config/hpcsubmit/profiles/local.yaml"
    )
    sandbox.environ.update(XDG_STATE_HOME=str(sandbox.root / "state"), TMPDIR=str(sandbox.root / "tmp"))
    (sandbox.root / "tmp").mkdir()
    sif(sandbox.project / "gan.sif", HERE)
    (sandbox.project / "my box" / "bin").mkdir(parents=True)
    sandbox.write("python3 show.py 'a  b' \"$SLURM_TMPDIR/*\"\n")
    sandbox.write(SHOW, sandbox.project / "show.py")
    return found


def follow(sandbox: Sandbox, *words: str, **environ: str) -> Said:
    environ = sandbox.environ | {"CUDA_VISIBLE_DEVICES": ""} | environ
    return sandbox.hpcsubmit("--cluster", "local", "--follow", *words, environ=environ)


def test_every_task_of_every_node_starts_in_the_nodes_own_copy(sandbox: Sandbox, engine: Engine) -> None:
    words = (
        "-W",
        "srun",
        "-g",
        "2",
        "-n",
        "2",
        "-s",
        "gan.sif",
        "--container-on-node",
        "--bind",
        "/usr:/in:ro",
    )
    said = follow(sandbox, *words)
    assert said.code == 0, said
    lines = sorted(line for line in said.stdout.splitlines() if line.startswith("rank "))
    assert [line.split()[1] for line in lines] == ["0", "1", "2", "3"]
    assert all("comm hpcsubmit.comm" in line for line in lines)
    starts = engine.starts()
    assert len(starts) == 2 + 4, "a try on every node, and the tasks"
    nodes = {start.inside["SLURM_TMPDIR"] for start in starts}
    assert len(nodes) == 2
    for start in starts:
        tmpdir = start.inside["SLURM_TMPDIR"]
        assert start.image == f"{tmpdir}/.hpcsubmit-container/image.sif"
        assert start.mounted["/tmp"] == f"{tmpdir}/.hpcsubmit-container/tmp"
        assert start.mounted[tmpdir] == tmpdir
        assert start.binds[0] == ["/usr", "/in", "ro"]
    assert said.stdout.count("hpcsubmit: container: copied to each node and tried: ") == 1
    assert not list((sandbox.root / "tmp").rglob("image.sif")), "the nodes' folders are gone"


def test_a_program_s_code_is_the_job_s(sandbox: Sandbox, engine: Engine) -> None:
    said = follow(sandbox, "-s", "my box", "--pass-env", "CODE", CODE="7")
    assert said.code == 7
    line, _, last = said.stdout.splitlines()
    assert line.startswith("rank 0 args ['a  b', '/")
    assert last.endswith(": task 0: Exited with exit code 7; the job's exit code is 7")


WHERE = "container_engine, container_modules and container_path of the profile local say where it is"
NO_RUNSCRIPT = "{image} has no %runscript: submit with --container-exec"


@pytest.mark.parametrize(
    ("damage", "line"),
    [
        (
            "rm -f engine/apptainer",
            f"there is no apptainer: {WHERE}",
        ),
        (
            "rm -f home/gan/gan.sif",
            "{image} cannot be read: see that this node reaches it, and submit again",
        ),
        (
            "printf x >home/gan/gan.sif",
            "{image} has 1 bytes, and the image had 628 when the job was submitted: submit again",
        ),
        ("echo 'echo There is no runscript' >engine/runscript", NO_RUNSCRIPT),
        ("chmod -x engine/runscript", NO_RUNSCRIPT),
    ],
)
def test_what_is_missing_on_the_node_is_said_there_and_the_program_does_not_start(
    sandbox: Sandbox, engine: Engine, damage: str, line: str
) -> None:
    # What comes between the submission and the start: the first thing that the batch script does.
    sandbox.write(f"cd {sandbox.root} && {damage}\n", sandbox.root / "between")
    said = follow(sandbox, "-s", "gan.sif", BASH_ENV=str(sandbox.root / "between"))
    assert said.code == 1
    lines = [each for each in said.stdout.splitlines() if each.startswith("hpcsubmit: ")]
    assert lines == [
        f"hpcsubmit: local1: {line.format(image=sandbox.project / 'gan.sif')}",
        "hpcsubmit: the container cannot be used on every node, see above; the program is not started",
    ]
    assert "rank" not in said.stdout
