"""`hpcsubmit container build`, here: whole or not at all, and nothing is left behind."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from build_engine import (
    build,
    define,
    image_of,
    local_disk,
    names,
    start_build,
    started_with,
    variables,
    wait_until,
    with_engine,
)
from builds import start
from sandbox import Sandbox

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.fixture
def project(sandbox: Sandbox) -> Sandbox:
    return with_engine(sandbox)


def test_an_image_is_built_beside_its_definition_and_its_path_is_the_result(project: Sandbox) -> None:
    before = names(project.project)
    said = build(project)
    image = image_of(project)
    assert (said.code, said.stdout) == (0, f"{image}\n"), said.stderr
    assert image.read_text() == (project.project / "container.def").read_text()
    assert names(project.project) - before == {"gan.sif", "gan.sif.log"}
    assert names(local_disk(project)) == set()
    log = (project.project / "gan.sif.log").read_text()
    assert log.endswith(f"hpcsubmit: {image} is finished: 0 MB\n")
    assert log in said.stderr, "what was in view is in the log"
    shown = dict(line.split(None, 1) for line in said.stderr.splitlines()[:4])
    assert shown["built"] == "here"
    assert shown["log"] == f"{image}.log"


def test_a_definition_and_an_image_of_other_names_are_taken_from_the_current_folder(project: Sandbox) -> None:
    below = project.project / "images here"
    below.mkdir()
    define(project, "echo this one", name="images here/cuda.def")
    said = project.hpcsubmit("container", "build", "cuda.def", "../new folder/cuda.sif", cwd=below)
    assert (said.code, said.stdout) == (0, f"{project.project}/new folder/cuda.sif\n"), said.stderr
    assert "echo this one" in (project.project / "new folder" / "cuda.sif").read_text()
    assert project.hpcsubmit("container", "build", "cuda.def", cwd=below).stdout == f"{below}/gan.sif\n"


def test_the_build_runs_in_the_definitions_folder_so_that_its_relative_paths_are_right(
    project: Sandbox,
) -> None:
    define(project, f"pwd >'{project.root}/seen'")
    assert project.hpcsubmit("container", "build", cwd=project.project).code == 0
    assert (project.root / "seen").read_text() == f"{project.project}\n"


def test_until_it_is_whole_the_image_has_another_name(project: Sandbox) -> None:
    define(project, f"ls -A >'{project.root}/seen'")
    image_of(project).write_text("old")
    assert build(project, "--force").code == 0
    seen = (project.root / "seen").read_text().splitlines()
    assert "gan.sif" in seen, "the old one is there while the new one is built"
    (command,) = started_with(project)
    assert f"/.gan.sif.{os.uname().nodename}." in command
    assert image_of(project).read_text() != "old"


def test_an_image_that_is_there_is_replaced_on_demand_alone(project: Sandbox) -> None:
    image_of(project).write_text("old")
    said = project.refuses("container", "build")
    assert said.error == f"{image_of(project)} is there already, and jobs may be using it"
    assert said.hint == (
        "name another one behind the definition, or add --force to replace it once the new one is whole"
    )
    assert build(project, "--dry-run").code == 0
    assert image_of(project).read_text() == "old"


def test_a_build_that_fails_leaves_the_old_image_and_says_where_to_look(project: Sandbox) -> None:
    definition = define(project, "echo no such package >&2; exit 3")
    image_of(project).write_text("old")
    said = build(project, "--force")
    assert (said.code, said.stdout) == (1, "")
    assert "no such package" in said.stderr
    assert said.error == f"the image could not be built: exit code 255; {image_of(project)} was not touched"
    log = Path(f"{image_of(project)}.log")
    assert said.hint == f"mend {definition} as the lines above say and build again; all of them are in {log}"
    assert "no such package" in log.read_text()
    assert image_of(project).read_text() == "old"
    assert not [name for name in names(project.project) if name.startswith(".gan")]
    assert names(local_disk(project)) == set()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_build_that_is_interrupted_leaves_nothing_and_nobody(
    project: Sandbox, number: signal.Signals
) -> None:
    process = start_build(project)
    os.killpg(process.pid, number)
    process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else -number)
    wait_until(lambda: names(local_disk(project)) == set())
    wait_until(lambda: not at_work(project))
    assert names(project.project) - {"gan.sif.log"} == {
        "container.def",
        "experiment_configurations.txt",
        "virtual_env",
    }
    assert not (project.root / "went on").exists()


def test_a_signal_at_the_very_start_of_the_engine_ends_it_too(project: Sandbox) -> None:
    define(project, "sleep 600")
    started = "  engine_pid=$! starting=''\n"
    script = build(project, "--dry-run").stdout
    assert started in script
    slow = script.replace(started, f"  touch '{project.root}/begun'; sleep 1\n{started}")
    process = subprocess.Popen(
        ["bash", "-c", slow], cwd=project.project, env=project.environ, start_new_session=True
    )
    wait_until((project.root / "begun").exists)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(60)
    wait_until(lambda: not at_work(project))
    assert names(local_disk(project)) == set()


def at_work(project: Sandbox) -> list[str]:
    """The processes that work in the project."""
    return [str(path) for path in Path("/proc").glob("[0-9]*/cwd") if leads_to(path, project.project)]


def leads_to(link: Path, folder: Path) -> bool:
    try:
        return link.readlink() == folder
    except OSError:  # it has ended, or is another user's
        return False


def test_a_build_whose_hpcsubmit_alone_is_killed_goes_on_to_its_end(project: Sandbox) -> None:
    define(project, f"touch '{project.root}/begun'; while [ ! -e '{project.root}/go' ]; do sleep 0.02; done")
    process = start(project, "container", "build", start_new_session=True)
    wait_until((project.root / "begun").exists)
    process.kill()
    process.wait(60)
    assert not image_of(project).exists()
    (project.root / "go").touch()
    wait_until(image_of(project).exists)
    wait_until(lambda: names(local_disk(project)) == set())
    process.communicate(timeout=60)


def test_what_builds_left_whose_machine_crashed_goes_after_two_days(project: Sandbox) -> None:
    old, young, other = (
        project.project / name
        for name in (".gan.sif.n1.77.partial", ".gan.sif.n2.8.partial", ".no.sif.n1.77.partial")
    )
    for path in (old, young, other):
        path.write_text("half")
    for path in (old, other):
        os.utime(path, (0, 0))
    assert build(project).code == 0
    assert (old.exists(), young.exists(), other.exists()) == (False, True, True)


def test_root_builds_as_it_is_and_others_with_fakeroot(project: Sandbox) -> None:
    for uid, expected in (("0", "build /"), ("1001", "build --fakeroot /")):
        project.install("id", f"#!/bin/sh\necho {uid}\n")
        assert build(project, "--force").code == 0
        assert expected in started_with(project)[-1]


def test_what_was_fetched_is_kept_on_scratch_unless_the_user_says_where(project: Sandbox) -> None:
    assert build(project).code == 0
    cache = project.scratch / "hpcsubmit" / "container-cache"
    assert cache.is_dir()
    seen = variables(project)
    assert (seen["APPTAINER_CACHEDIR"], seen["SINGULARITY_CACHEDIR"]) == (str(cache), str(cache))
    project.environ["SINGULARITY_CACHEDIR"] = str(project.root / "mine")
    assert build(project, "--force").code == 0
    assert variables(project)["APPTAINER_CACHEDIR"] == str(project.root / "mine")


def test_a_dry_run_prints_the_script_and_changes_nothing(project: Sandbox) -> None:
    before = project.tree()
    said = build(project, "--dry-run")
    assert (said.code, said.error) == (0, "")
    assert said.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=container-builder\n")
    assert "definition  " in said.stderr
    assert project.tree() == before
    assert started_with(project) == []


def test_the_script_is_clean_for_shellcheck_at_level_style(project: Sandbox) -> None:
    settings = "container_modules: [apptainer/1], container_path: /opt/my tools/bin, modules: [gcc]"
    project.write(f"profiles: {{generic: {{{settings}}}}}\n", project.project / "hpcsubmit.yaml")
    script = project.root / "script.sh"
    script.write_text(build(project, "--dry-run").stdout)
    argv = [str(SHELLCHECK), "--severity=style", "--exclude=SC2016,SC1091", str(script)]
    found = subprocess.run(argv, capture_output=True, text=True, timeout=60)
    assert (found.stdout, found.returncode) == ("", 0)


@pytest.mark.parametrize(
    ("argv", "error", "hint"),
    [
        (
            ("no.def",),
            "{root}/no.def cannot be read: No such file or directory",
            "hpcsubmit container init writes a definition",
        ),
        (("container.def", "gan.img"), "the image cannot be 'gan.img'", "give it a name that ends in .sif"),
        (
            ("container.def", "folder.sif"),
            "{root}/folder.sif is a folder",
            "name the image behind the definition",
        ),
        (
            ("container.def", "a:b.sif"),
            "the path of the container image cannot be mounted in a container: '{root}/a:b.sif'",
            "rename the folder: no colons, no commas, no blanks at its ends",
        ),
        (("--in-job", "--here"), "--in-job and --here exclude each other", "leave one of them out"),
        (("--follow",), "--follow is for a build in a job", "leave it out, or add --in-job"),
        (
            ("--in-job", "--cluster", "local"),
            "the jobs of the cluster 'local' run on this machine: a job could do no more than you",
            "leave out --in-job",
        ),
    ],
)
def test_what_cannot_be_right_is_an_error_and_changes_nothing(
    project: Sandbox, argv: tuple[str, ...], error: str, hint: str
) -> None:
    (project.project / "folder.sif").mkdir()
    usage = ("gan.img" in argv, "--here" in argv, "--follow" in argv)
    said = project.refuses("container", "build", *argv, code=2 if any(usage) else 1)
    assert said.error == error.format(root=project.project)
    assert said.hint == hint
    assert started_with(project) == []


def test_container_alone_and_a_word_that_is_no_command_are_errors(project: Sandbox) -> None:
    said = project.refuses("container", code=2)
    assert said.error == "hpcsubmit container needs to know what"
    assert said.hint == "write hpcsubmit container init or build"
    said = project.refuses("container", "biuld", code=2)
    assert said.error == "hpcsubmit container does not know 'biuld'"
    assert said.hint == "did you mean build?"
    assert "build the image, here or in a job" in project.hpcsubmit("container", "--help").stdout
