"""Which engine builds images, whether it may do so here, and in which folder it works."""

import os
from pathlib import Path

import pytest

from build_engine import build, image_of, local_disk, started_with, variables, with_engine, without
from hpcsubmit.containers.engine import (
    Engine,
    EngineSettings,
    User,
    current_user,
    engine_settings,
    find_engine,
    require_rights,
)
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile
from sandbox import Sandbox

ADA = User(1001, "ada")
ELSEWHERE = (
    "hpcsubmit container build --in-job tries it on a compute node; or build it on a machine where you are "
    "root, such as your laptop, with apptainer build, and copy the .sif here"
)
APPTAINER = Engine("/usr/bin/apptainer", "apptainer", (1, 4))


@pytest.fixture
def project(sandbox: Sandbox) -> Sandbox:
    return with_engine(sandbox)


@pytest.mark.parametrize(
    ("said", "name", "version"),
    [
        ("apptainer version 1.4.5", "apptainer", (1, 4)),
        ("apptainer version 1.1.0-1.el8", "apptainer", (1, 1)),
        ("singularity version 3.5.3", "singularity", (3, 5)),
        ("singularity-ce version 4.1.0", "singularity", (4, 1)),
        ("who knows", "singularity", ()),
    ],
)
def test_an_engine_says_what_it_is(sandbox: Sandbox, said: str, name: str, version: tuple[int, ...]) -> None:
    with_engine(sandbox, "singularity", said)
    found = find_engine(Host(sandbox.environ), EngineSettings())
    assert found == Engine(str(sandbox.bin / "singularity"), name, version)


def test_the_profile_says_what_the_engine_is_called_where_it_is_and_what_it_needs() -> None:
    generic = Profile(name="x")
    assert engine_settings(generic) == EngineSettings(("apptainer", "singularity"), "", ())
    site = Profile(
        name="x",
        container_engine="singularity",
        container_path="/opt/singularity/bin",
        container_modules=("singularity/3.5",),
        modules=("gcc",),
    )
    known = EngineSettings(("singularity", "apptainer"), "/opt/singularity/bin", ("gcc", "singularity/3.5"))
    assert engine_settings(site) == known
    assert engine_settings(Profile(name="x", modules=("python/3.11",))).modules == ()


def test_without_an_engine_it_says_where_one_may_be(sandbox: Sandbox) -> None:
    with_engine(sandbox)
    without(sandbox, "apptainer", "singularity")
    said = sandbox.refuses("container", "build")
    assert said.error == "there is no apptainer or singularity on the PATH"
    assert said.hint == f"load its module, such as: module load apptainer; {ELSEWHERE}"


def test_a_folder_of_the_profile_comes_before_the_path(project: Sandbox) -> None:
    place = project.root / "opt bin"
    place.mkdir()
    (project.bin / "apptainer").rename(place / "singularity")
    settings = f'{{container_engine: singularity, container_path: "{place}"}}'
    project.write(f"profiles: {{generic: {settings}}}\n", project.project / "hpcsubmit.yaml")
    said = build(project)
    assert said.code == 0, said.stderr
    assert started_with(project)[0].startswith(f"{place}/singularity build ")


def test_modules_are_loaded_first_and_may_bring_the_engine(project: Sandbox) -> None:
    place = project.root / "modules"
    place.mkdir()
    (project.bin / "apptainer").rename(place / "apptainer")
    without(project, "apptainer", "singularity")
    shell = f'module() {{ echo "$*" >>"{project.root}/modules.seen"; PATH="{place}:$PATH"; }}\n'
    project.write(shell, project.root / "bash.env")
    project.environ["BASH_ENV"] = str(project.root / "bash.env")
    settings = "{container_modules: [apptainer/1], modules: [gcc]}"
    project.write(f"profiles: {{generic: {settings}}}\n", project.project / "hpcsubmit.yaml")
    said = build(project)
    assert said.code == 0, said.stderr
    assert (project.root / "modules.seen").read_text() == "load gcc\nload apptainer/1\n"


def subuid(folder: Path, text: str) -> Path:
    path = folder / "subuid"
    path.write_text(text)
    return path


def host(folder: Path, *, namespaces: bool) -> Host:
    """A machine where everybody may make user namespaces, or nobody."""
    unshare = folder / "unshare"
    unshare.write_text(f"#!/bin/sh\necho unshare: failed >&2\nexit {0 if namespaces else 1}\n")
    unshare.chmod(0o755)
    return Host({"PATH": f"{folder}:/usr/bin:/bin"})


@pytest.mark.parametrize(
    ("user", "lines", "engine", "namespaces"),
    [
        (User(0, "root"), "", Engine("", "singularity", (2, 6)), False),
        (ADA, "bob:1:9\nada:100000:65536\n", Engine("", "singularity", (3, 5)), False),
        (ADA, "1001:100000:65536\n", APPTAINER, False),
        (ADA, "adam:100000:65536\n", APPTAINER, True),
    ],
)
def test_root_builds_and_whoever_fakeroot_works_for(
    tmp_path: Path, user: User, lines: str, engine: Engine, *, namespaces: bool
) -> None:
    require_rights(engine, user, host(tmp_path, namespaces=namespaces), subuid(tmp_path, lines))


@pytest.mark.parametrize(
    ("engine", "namespaces", "lacks"),
    [
        (APPTAINER, False, "user namespaces are closed"),
        (Engine("", "apptainer", (1, 0)), True, "apptainer 1.0 needs that"),
        (Engine("", "singularity", (3, 5)), True, "singularity 3.5 needs that"),
        (Engine("", "singularity", ()), True, "singularity of no known version needs that"),
    ],
)
def test_who_may_not_build_is_told_what_lacks_and_where_to_build(
    tmp_path: Path, engine: Engine, lacks: str, *, namespaces: bool
) -> None:
    lines = subuid(tmp_path, "adam:100000:65536\n")
    for path in (lines, tmp_path / "missing"):
        with pytest.raises(HpcSubmitError) as caught:
            require_rights(engine, ADA, host(tmp_path, namespaces=namespaces), path)
        told = f"ada cannot build images on this machine: {path} has no line for ada, and {lacks}"
        assert (caught.value.message, caught.value.hint) == (told, ELSEWHERE)


def test_a_machine_without_unshare_leaves_it_to_the_engine(tmp_path: Path) -> None:
    require_rights(APPTAINER, ADA, Host({"PATH": str(tmp_path)}), tmp_path / "missing")


def test_the_user_of_this_process_has_a_name() -> None:
    assert current_user().uid == os.geteuid()
    assert current_user().name


# Both print what files say of a folder, by its name; whatever is not there has room, on a disk.
DF = """#!/bin/sh
for last; do :; done
echo Avail
cat "{root}/free.$(basename "$last")" 2>/dev/null || echo 99000000
"""
STAT = """#!/bin/sh
for last; do :; done
cat "{root}/kind.$(basename "$last")" 2>/dev/null || echo ext2/ext3
"""


@pytest.fixture
def disks(project: Sandbox) -> Sandbox:
    """A project on a machine whose disks are as files say."""
    project.install("df", DF.format(root=project.root))
    project.install("stat", STAT.format(root=project.root))
    project.write(
        "profiles: {generic: {node_local_base: /no/such/disk}}\n", project.project / "hpcsubmit.yaml"
    )
    return project


def worked_in(project: Sandbox) -> Path:
    return Path(variables(project)["APPTAINER_TMPDIR"]).parent


def test_it_works_in_a_folder_of_its_own_on_the_first_disk_that_has_room(disks: Sandbox) -> None:
    node = disks.root / "node"
    node.mkdir()
    disks.environ["SLURM_TMPDIR"] = str(node)
    assert build(disks).code == 0
    assert worked_in(disks) == node
    seen = variables(disks)
    assert seen["TMPDIR"] == seen["APPTAINER_TMPDIR"] == seen["SINGULARITY_TMPDIR"]
    (disks.root / "free.node").write_text("2999999\n")
    assert build(disks, "--force").code == 0
    assert worked_in(disks) == local_disk(disks)
    (disks.root / "kind.local disk").write_text("tmpfs\n")
    disks.environ["SLURM_TMPDIR"] = "/no/such/folder"
    assert build(disks, "--force").code == 0
    assert worked_in(disks) in (Path("/var/tmp"), disks.scratch)


def test_an_image_with_torch_needs_more_room(disks: Sandbox) -> None:
    (disks.root / "free.local disk").write_text("14999999\n")
    assert build(disks).code == 0
    assert worked_in(disks) == local_disk(disks)
    with (disks.project / "container.def").open("a") as file:
        file.write("    python -c 'import torch'\n")
    assert build(disks, "--force").code == 0
    assert worked_in(disks) != local_disk(disks)


def test_without_room_anywhere_it_says_how_much_there_is_and_builds_nothing(disks: Sandbox) -> None:
    for name in ("local disk", "tmp", "scratch"):
        (disks.root / f"free.{name}").write_text("1234567\n")
    said = build(disks)
    assert (said.code, said.stdout) == (1, "")
    told = (
        f"hpcsubmit: an image may take 3000 MB while it is made, {local_disk(disks)} has 1234, "
        f"/var/tmp has 1234, {disks.scratch} has 1234; set APPTAINER_TMPDIR to a folder with more\n"
    )
    assert told in said.stderr
    assert not image_of(disks).exists()
    disks.environ["APPTAINER_TMPDIR"] = str(disks.scratch)
    assert build(disks).code == 0, "who names a folder knows best"
    assert worked_in(disks) == disks.scratch


def test_a_folder_that_is_named_and_not_there_is_an_error(disks: Sandbox) -> None:
    disks.environ["APPTAINER_TMPDIR"] = "/no/such/folder"
    said = build(disks)
    assert said.code == 1
    assert "hpcsubmit: APPTAINER_TMPDIR is /no/such/folder, which is no folder to write to\n" in said.stderr
