"""Jobs in containers: their options, and what a plan makes of them."""

from dataclasses import replace
from pathlib import Path

import pytest

from container_engine import sif
from golden.cases import HOUR, IMAGE, SANDBOX, TWO_BY_TWO, context, in_image, shipped
from hpcsubmit.conda import CondaEnv
from hpcsubmit.container import Container
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Bind, Launcher, Request
from sandbox import Sandbox

PLAIN = Request(time=HOUR)
CONDA = CondaEnv(Path("/work/envs/gan"), "gan")
ELSEWHERE = "write another folder, such as /workdir"


@pytest.mark.parametrize(
    "words",
    [
        ["--workdir", "/workdir"],
        ["--bind", "/usr"],
        ["--pass-env", "DATA"],
        ["--container-exec"],
        ["--container-on-node"],
        ["--container-in-place"],
    ],
)
def test_options_of_containers_need_an_image(sandbox: Sandbox, words: list[str]) -> None:
    said = sandbox.refuses(*words)
    option = words[0].replace("-in-place", "-on-node")
    assert said.error == f"{option} belongs to containers, and no image is given"
    assert said.hint == "add -s IMAGE.sif, or leave it out"


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["--bind", ""], "--bind cannot be ''", "write SRC, SRC:DST or SRC:DST:ro"),
        (["--bind", ":/in"], "--bind cannot be ':/in'", "write SRC, "),
        (["--bind", "/a:in"], "--bind cannot be '/a:in'", "DST begins with /"),
        (["--bind", "/a:/in:rx"], "--bind cannot be '/a:/in:rx'", "write SRC, "),
        (["--bind", "/a:/in:ro:ro"], "--bind cannot be '/a:/in:ro:ro'", "write SRC, "),
        (["--bind", "/a:"], "--bind cannot be '/a:'", "write SRC, SRC:DST"),
        (["--bind", "/a::ro"], "--bind cannot be '/a::ro'", "write SRC, SRC:DST"),
        (["--bind", "/usr:/"], "--bind cannot be '/usr:/': it would cover the whole image",
         "name a folder below /: --bind /usr:/outside"),
        (["--bind", "/usr://x/..:ro"], "--bind cannot be '/usr://x/..:ro': it would cover the whole image",
         "name a folder below /: --bind /usr:/outside"),
        (["--bind", "/"], "--bind cannot be '/': it would cover the whole image", "--bind /:/outside"),
        (["--bind", "/a:/x", "--bind", "/b:/x/:ro"],
         "--bind /a:/x and --bind /b:/x:ro share one place in the container", "give each a place of its own"),
        (["--bind", "/a", "--bind", "/b:/a"],
         "--bind /a:/a and --bind /b:/a share one place in the container", "give each a place of its own"),
        (["--bind", "/a:/x", "--bind", "/a:/x:ro"],
         "--bind /a:/x and --bind /a:/x:ro share one place in the container", "give each a place of its own"),
        (["--workdir", "/data"], "--workdir /data would cover the data of --data",
         "write another folder, such as /workdir"),
        (["--workdir", "//scratch_storage"],
         "--workdir //scratch_storage would cover the folder that stays after the job",
         "write another folder, such as /workdir"),
        (["--workdir", "/w/./x", "--bind", "/a:/w/x"],
         "--bind /a:/w/x and --workdir /w/./x share one place in the container",
         "give each a place of its own"),
        (["--bind", "/a,/b"], "--bind cannot be '/a,/b'", "neither holds a comma"),
        (["--workdir", "work"], "--workdir cannot be 'work'", "write a folder inside the container, such as"),
        (["--workdir", "/"], "--workdir cannot be '/'", "such as /workdir"),
        (["--workdir", "//x/.."], "--workdir cannot be '//x/..'", "such as /workdir"),
        (["--workdir", "/a:b"], "--workdir cannot be '/a:b'", "such as /workdir"),
        (["--workdir", "/a\nb"], "--workdir cannot be '/a\\nb'", "such as /workdir"),
        (["--pass-env", "A=b"], "--pass-env cannot be 'A=b'", "write the name of a variable"),
        (["--pass-env", "A-b"], "--pass-env cannot be 'A-b'", "write the name of a variable"),
        (["-s", "a.sif", "--env-on-node"], "--env-on-node and --singularity-container exclude each other",
         "a container has its own environment"),
    ],
)  # fmt: skip
def test_a_value_that_can_never_be_right_is_wrong_usage(
    sandbox: Sandbox, words: list[str], error: str, hint: str
) -> None:
    said = sandbox.refuses(*words, code=2)
    assert said.error == error
    assert hint in said.hint


@pytest.mark.parametrize(
    ("words", "error", "hint"),
    [
        (["-s", "gann.sif"], "there is no container image {project}/gann.sif",
         "did you mean {project}/gan.sif?"),
        (["-s", "main.py"],
         "the container image must be a .sif file or a sandbox folder, not {project}/main.py",
         "make one: apptainer build main.sif SOURCE"),
        (["-s", "empty.sif"], "{project}/empty.sif is no container image",
         "build it, or copy it here, again"),
        (["-s", "gan.sif", "--bind", "/usr/shar"], "--bind /usr/shar: there is no such folder or file",
         "did you mean /usr/share?"),
        (["-s", "gan.sif", "--bind", "/usr:/in\nside"], "the path of --bind holds a newline: '/in\\nside'",
         "rename the folder or file"),
        (["-s", "box", "--container-on-node"],
         "--container-on-node: {project}/box is a sandbox folder, which is used where it lies",
         "make one file of it: apptainer build box.sif {project}/box"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_an_image_or_a_mount_is_said_with_its_cure(
    sandbox: Sandbox, words: list[str], error: str, hint: str
) -> None:
    sif(sandbox.project / "gan.sif")
    sandbox.write("", sandbox.project / "main.py")
    sandbox.write("", sandbox.project / "empty.sif")
    (sandbox.project / "box" / "bin").mkdir(parents=True)
    said = sandbox.refuses(*words)
    assert said.error == error.format(project=sandbox.project)
    assert said.hint == hint.format(project=sandbox.project)


def test_one_mount_that_is_given_twice_is_one(sandbox: Sandbox) -> None:
    sif(sandbox.project / "gan.sif")
    words = ("--bind", "/usr:/in:ro", "--bind", "/etc", "--bind", "/usr/:/in/:ro", "--bind", "/etc:/etc:rw")
    script = sandbox.hpcsubmit("--dry-run", "-s", "gan.sif", *words).stdout
    assert [script.count(f"--bind {mount}\n") for mount in ("/usr:/in:ro", "/etc:/etc")] == [1, 1]


def test_mounts_of_the_file_and_a_workdir_that_is_typed_must_be_apart_too(sandbox: Sandbox) -> None:
    sif(sandbox.project / "gan.sif")
    file = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("container: gan.sif\nbind: /usr:/w\n", file)
    said = sandbox.refuses("--workdir", "/w")
    shared = "--bind /usr:/w and --workdir /w share one place in the container"
    assert said.error == f"{shared}, with what {file} says"
    assert said.hint == "give each a place of its own there"


@pytest.mark.parametrize(
    ("place", "what", "hint"),
    [
        ("/home/u/gan", "the project", f"leave it out to start there, or {ELSEWHERE}"),
        ("//home/u/./gan", "the project", f"leave it out to start there, or {ELSEWHERE}"),
        ("/scratch/u/gan", "the scratch folder", ELSEWHERE),
        ("/work/envs/gan", "the conda environment", ELSEWHERE),
    ],
)  # fmt: skip
def test_a_workdir_where_every_job_of_the_project_has_something_is_refused(
    place: str, what: str, hint: str
) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        in_image(replace(PLAIN, workdir=place), "generic", conda=CONDA)
    assert raised.value.message == f"--workdir {place} and {what} share one place in the container"
    assert raised.value.hint == hint


def test_a_workdir_at_the_project_is_an_error_before_anything_is_made(sandbox: Sandbox) -> None:
    sif(sandbox.project / "gan.sif")
    place = str(sandbox.project)
    said = sandbox.refuses("-s", "gan.sif", "--workdir", place)
    assert said.error == f"--workdir {place} and the project share one place in the container"
    assert said.hint == f"leave it out to start there, or {ELSEWHERE}"


@pytest.mark.parametrize(
    "place", ["/home/u/gan/work", "/home/u", "/scratch/u/gan/w", "/scratch", "/tmp", "/work/envs/gan"]
)
def test_a_workdir_elsewhere_is_where_the_program_starts(place: str) -> None:
    assert container(replace(PLAIN, workdir=place)).workdir == place
    assert container(replace(PLAIN, workdir=f"/{place}/x/..")).workdir == place


RENAME = "rename the folder: no colons, no commas, no blanks at its ends"


@pytest.mark.parametrize("name", ["a:b", "a,b", "a "])
def test_a_folder_that_every_job_mounts_must_be_one_that_the_engine_can_mount(name: str) -> None:
    facts = replace(context(), virtualenv=None, image=IMAGE)
    cases = {
        "the project": replace(facts, project_root=Path(f"/home/u/{name}")),
        "the scratch folder": replace(facts, scratch_dir=Path(f"/scratch/{name}")),
        "the conda environment": replace(facts, conda=CondaEnv(Path(f"/envs/{name}"), "gan")),
    }
    for what, each in cases.items():
        with pytest.raises(HpcSubmitError) as raised:
            plan(PLAIN, shipped("plai"), each)
        assert raised.value.message.startswith(f"the path of {what} cannot be mounted in a container: '/")
        assert raised.value.hint == RENAME
        assert plan(PLAIN, shipped("plai"), replace(each, image=None)).container is None


def container(request: Request, cluster: str = "generic", **facts: object) -> Container:
    found = in_image(request, cluster, **facts).container  # type: ignore[arg-type]
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("cluster", "engine", "other", "folder", "modules", "copied"),
    [
        ("cedar", "singularity", "apptainer", "", ("singularity/3.5",), True),
        ("plai", "singularity", "apptainer", "/opt/singularity/bin", (), True),
        ("generic", "apptainer", "singularity", "", (), False),
        ("local", "apptainer", "singularity", "", (), False),
    ],
)
def test_the_engine_is_the_profiles(
    cluster: str, engine: str, other: str, folder: str, modules: tuple[str, ...], copied: bool
) -> None:
    found = container(PLAIN, cluster)
    assert (found.engine, found.other_engine) == (engine, other)
    assert (found.engine_folder, found.copied) == (folder, copied)
    assert found.modules == modules
    assert in_image(PLAIN, cluster).modules == modules
    assert plan(PLAIN, shipped(cluster), context()).modules == ()


@pytest.mark.parametrize("name", ["/opt/apptainer/bin/apptainer", "sarus"])
def test_an_engine_of_another_name_has_no_other(name: str) -> None:
    profile = replace(shipped("generic"), container_engine=name)
    made = plan(PLAIN, profile, replace(context(), virtualenv=None, image=IMAGE))
    assert made.container is not None
    assert (made.container.engine, made.container.other_engine) == (name, "")
    assert f"\n_engine={name} " in render(made)
    assert "|| _engine=" not in render(made)


@pytest.mark.parametrize(
    ("launcher", "gpus", "nodes", "contained"),
    [
        (None, 1, 1, True),
        (Launcher.LIGHTNING, 1, 1, True),
        (Launcher.LIGHTNING, 2, 1, False),
        (Launcher.SRUN, 2, 1, False),
        (Launcher.PMI, 2, 1, False),
        (Launcher.RANKS, 2, 1, False),
        (Launcher.TORCHRUN, 2, 1, True),  # one container on the node
        (Launcher.ACCELERATE, 2, 1, True),
        (Launcher.TORCHRUN, 2, 2, False),
        (Launcher.LIGHTNING, 1, 2, False),
    ],
)
def test_only_one_container_on_one_node_is_contained(
    launcher: Launcher | None, gpus: int, nodes: int, contained: bool
) -> None:
    found = container(replace(PLAIN, launcher=launcher, gpus=gpus, num_nodes=nodes))
    assert found.contained is contained


@pytest.mark.parametrize("launcher", [None, *Launcher])
def test_torch_is_looked_for_where_the_launcher_needs_it(launcher: Launcher | None) -> None:
    needs = (Launcher.LIGHTNING, Launcher.TORCHRUN, Launcher.ACCELERATE)
    assert container(replace(PLAIN, launcher=launcher)).checks_torch is (launcher in needs)


def test_the_command_is_started_itself_where_asked_and_with_a_conda_environment() -> None:
    assert container(PLAIN).runscript
    assert not container(replace(PLAIN, container_exec=True)).runscript
    assert not container(PLAIN, conda=CONDA).runscript


def test_an_image_is_copied_as_the_profile_says_or_as_asked_and_a_sandbox_never() -> None:
    for cluster in ("plai", "generic"):
        assert container(replace(PLAIN, container_on_node=True), cluster).copied
        assert not container(replace(PLAIN, container_on_node=False), cluster).copied
        assert not container(PLAIN, cluster, image=SANDBOX).copied
    sent = {nodes: container(replace(TWO_BY_TWO, num_nodes=nodes), "cedar").transfer for nodes in (1, 3, 4)}
    assert sent == {1: "direct", 3: "direct", 4: "broadcast"}


def test_the_names_that_go_in_are_the_exported_the_known_and_the_asked_once_each() -> None:
    profile = replace(shipped("generic"), environment=(("NCCL_DEBUG", "INFO"), ("GLOO_X", "1")))
    facts = replace(context("LR=1 SEED=2 python main.py"), virtualenv=None, image=IMAGE)
    found = plan(replace(PLAIN, pass_env=("DATA", "RANK")), profile, facts).container
    assert found is not None
    assert found.names == (
        *("NCCL_DEBUG", "GLOO_X", "source_dir", "project_name", "scratch_dir", "exp_name"),
        *("SOURCE_DIR", "PROJECT_NAME", "SCRATCH_DIR", "EXP_NAME", "OUTPUT_DIR", "LR", "SEED"),
        *("PYTHONUNBUFFERED", "CUDA_VISIBLE_DEVICES", "MASTER_ADDR", "MASTER_PORT"),
        *("RANK", "LOCAL_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "SLURMD_NODENAME", "DATA"),
    )


def test_what_stays_lies_in_the_experiments_folder_and_targets_are_plain_paths() -> None:
    assert container(PLAIN).storage == Path("/scratch/u/gan")
    assert container(replace(PLAIN, exp_name="a")).storage == Path("/scratch/u/gan/a")
    request = replace(PLAIN, binds=(Bind(Path("/home/u/gan/../data"), "/home/u/gan/../data/"),))
    assert container(request).binds == (Bind(Path("/home/u/gan/../data"), "/home/u/data"),)
