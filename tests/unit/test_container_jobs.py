"""Whole jobs on this machine, in what a stand-in engine takes for containers."""

import os

import pytest

from build_engine import without
from container_engine import APPTAINER, SINGULARITY, Engine, sif
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


def profile(sandbox: Sandbox, text: str) -> None:
    sandbox.write(text, sandbox.root / "home/.config/hpcsubmit/profiles/local.yaml")


@pytest.fixture
def engine(sandbox: Sandbox) -> Engine:
    """This machine with a stand-in engine, an image file and a sandbox folder."""
    found = Engine(sandbox.root / "engine").install()
    profile(sandbox, f"container_path: {found.folder}\n")
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


@pytest.mark.parametrize(
    ("named", "there", "used"),
    [
        ("apptainer", ["singularity"], "singularity"),
        ("singularity", ["apptainer"], "apptainer"),
        ("singularity", ["apptainer", "singularity"], "singularity"),
    ],
)
def test_the_other_engine_is_taken_where_the_profiles_is_not_there(
    sandbox: Sandbox, engine: Engine, named: str, there: list[str], used: str
) -> None:
    without(sandbox, "apptainer", "singularity")
    (engine.folder / "apptainer").unlink()
    for name in there:
        engine.install(name, APPTAINER if name == "apptainer" else SINGULARITY)
    profile(sandbox, f"container_engine: {named}\n")
    path = f"{engine.folder}:{sandbox.environ['PATH']}"
    said = follow(sandbox, "-W", "srun", "-n", "2", "-s", "gan.sif", PATH=path)
    assert said.code == 0, said
    starts = engine.starts()
    assert len(starts) == 2 + 2, "a try on every node, and the tasks"
    assert {start.argv[0] for start in starts} == {f"{engine.folder}/{used}"}
    assert {start.inside["project_name"] for start in starts} == {"gan"}


NEITHER = "there is no apptainer or singularity, and the job runs on this machine"
SET = "set 'container_engine' in the profile 'local' to its path"


@pytest.mark.parametrize(
    ("text", "words", "error", "hint"),
    [
        ("{}", ["-s", "gan.sif"], NEITHER, f"put one on the PATH, or {SET}"),
        ("{container_engine: /no/apptainer}", ["-s", "my box"],
         "there is no /no/apptainer, and the job runs on this machine", SET),
        ("{}", ["-s", "other.sif"],
         "{project}/other.sif is for s390x, and this machine is {machine}",
         "build the image on a machine like this one"),
        ("{}", ["-s", "gan.sif", "--bind", "/nosuch"],
         "--bind /nosuch: there is no such folder or file", "ls /"),
        ("{}", ["-s", "gan.sif", "--bind", "/tmp/no such:/x"],
         "--bind /tmp/no such: there is no such folder or file", "/tmp"),
    ],
)  # fmt: skip
def test_what_the_nodes_would_find_missing_is_said_before_a_job_of_this_machine(
    sandbox: Sandbox, engine: Engine, text: str, words: list[str], error: str, hint: str
) -> None:
    without(sandbox, "apptainer", "singularity")
    profile(sandbox, text)
    sif(sandbox.project / "other.sif", b"11")
    said = sandbox.refuses("--cluster", "local", *words)
    assert said.error == error.format(project=sandbox.project, machine=os.uname().machine)
    assert hint in said.hint
    on_slurm = sandbox.hpcsubmit("--cluster", "generic", "--dry-run", *words)
    assert on_slurm.code == 0, "its nodes look"


@pytest.mark.parametrize("text", ["modules: [a]", "container_modules: [a]", "container_path: /no/such"])
def test_an_engine_that_the_job_may_find_elsewhere_is_left_to_it(
    sandbox: Sandbox, engine: Engine, text: str
) -> None:
    without(sandbox, "apptainer", "singularity")
    profile(sandbox, text)
    assert sandbox.hpcsubmit("--cluster", "local", "--dry-run", "-s", "gan.sif").code == 0


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


MAY_LACK = "hpcsubmit: {image} may have no program {program}: install it there, or mend the command"


@pytest.mark.parametrize(
    ("command", "program"),
    [
        ("pyhton main.py", "pyhton"),
        ("LR=1 'no such' \"$HOME\"", "no such"),
        ("$NOWHERE/tool -x", "$NOWHERE/tool"),
        ("python3 -c 'raise SystemExit(127)'", "python3"),
    ],
)
def test_a_command_that_the_image_of_a_runscript_may_lack_is_named_once_at_the_end(
    sandbox: Sandbox, engine: Engine, command: str, program: str
) -> None:
    sandbox.write(f"{command}\n")
    said = follow(sandbox, "-s", "gan.sif", NOWHERE="/no/where")
    assert said.code == 127, said
    first, last = [line for line in said.stdout.splitlines() if line.startswith("hpcsubmit: ")]
    assert first.endswith(": task 0: Exited with exit code 127; the job's exit code is 127")
    assert last == MAY_LACK.format(image=sandbox.project / "gan.sif", program=program)
    assert len(engine.starts()) == 2, "the try on the node, and the program"


def test_one_line_is_enough_for_all_tasks_of_all_nodes(sandbox: Sandbox, engine: Engine) -> None:
    sandbox.write("python3.99 main.py\n")
    said = follow(sandbox, "-W", "srun", "-g", "2", "-n", "2", "-s", "gan.sif")
    assert said.code != 0
    line = MAY_LACK.format(image=sandbox.project / "gan.sif", program="python3.99")
    assert said.stdout.splitlines().count(line) == 1, said


@pytest.mark.parametrize(("words", "code"), [(["--container-exec"], 127), ([], 126)])
def test_other_ends_and_other_ways_of_starting_blame_no_program(
    sandbox: Sandbox, engine: Engine, words: list[str], code: int
) -> None:
    sandbox.write(f"sh -c 'exit {code}'\n")
    said = follow(sandbox, "-s", "gan.sif", *words)
    assert said.code == code
    assert "may have no program" not in said.stdout


def test_the_program_of_a_sweeps_trials_is_named_as_the_sweep_gives_it(
    sandbox: Sandbox, engine: Engine
) -> None:
    text = "method: grid\nparameters: {lr: [0.1]}\ncommand: [pyhton, show.py, '${args}']\n"
    sandbox.write(text, sandbox.project / "sweeper.yml")
    environ = sandbox.environ | {"CUDA_VISIBLE_DEVICES": ""}
    words = ["sweep", "run", "sweeper.yml", "--offline", "--cluster", "local", "-s", "gan.sif", "--follow"]
    said = sandbox.hpcsubmit(*words, environ=environ)
    line = MAY_LACK.format(image=sandbox.project / "gan.sif", program="pyhton")
    assert said.stdout.splitlines().count(line) == 1, said
