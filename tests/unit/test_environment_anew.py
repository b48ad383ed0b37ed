"""What was finished once and cannot be used is built anew, and never what can: by real uv and pip."""

import shutil
import subprocess
from pathlib import Path

import pytest

from builds import BACKEND, environments, installed, run, without_environment, without_uv
from hpcsubmit.environments.layout import is_finished
from sandbox import HPCSUBMIT, Said, Sandbox
from unit.test_environment_build import version_of


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    return without_environment(sandbox)


def env(bare: Sandbox, project: Path, *argv: str, tool: tuple[str, ...] = HPCSUBMIT) -> Said:
    done = subprocess.run(
        [*tool, "env", *argv],
        cwd=project,
        env=bare.environ | {"PWD": str(project)},
        capture_output=True,
        text=True,
        timeout=300,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def with_package(bare: Sandbox, *needs: str) -> None:
    """The project is a package that is installed as it is, and follows its files."""
    bare.write(BACKEND, bare.project / "backend.py")
    told = "\nRequires-Dist: ".join(["Version: 1", *needs]).replace("\n", "\\n")
    text = (bare.project / "backend.py").read_text()
    assert text.count("Version: 1\\n") == 1
    bare.write(text.replace("Version: 1\\n", f"{told}\\n"), bare.project / "backend.py")
    bare.write(
        f'[project]\nname = "mine"\nversion = "1"\ndependencies = {list(needs)}\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        bare.project / "pyproject.toml",
    )
    bare.write("-e .\n", bare.project / "requirements.txt")
    (bare.root / "go").touch()


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_what_the_project_itself_needs_by_now_is_installed(bare: Sandbox, builder: str) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    with_package(bare)
    assert run(bare, "env", tool=tool).code == 0
    with_package(bare, "alpha")
    said = run(bare, "env", tool=tool)
    assert said.code == 0, said.stderr
    current = (bare.project / "virtual_env").resolve()
    assert installed(current) == f"alpha-tool 1.0 {current}"


@pytest.mark.parametrize("how", ["copied", "moved"])
@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_a_copied_or_moved_project_gets_an_environment_of_its_own(
    bare: Sandbox, how: str, builder: str
) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    with_package(bare, "alpha")
    assert run(bare, "env", tool=tool).code == 0
    (path,) = environments(bare)
    before = version_of(path)
    copy = bare.project.with_name("copy")
    if how == "copied":
        shutil.copytree(bare.project, copy, symlinks=True)
    else:
        bare.project.rename(copy)
    said = env(bare, copy, tool=tool)
    own = copy / ".virtual_envs" / path.name
    assert said.code == 0, said.stderr
    assert "state        to be built anew: it was built elsewhere, or its python is gone\n" in said.stdout
    assert installed(own) == f"alpha-tool 1.0 {own}"
    (link,) = own.glob("lib/*/site-packages/mine.pth")
    assert link.read_text().strip() == str(copy), "it has its own code"
    again = env(bare, copy, tool=tool)
    assert (again.stdout.count("state        built\n"), again.stderr) == (1, "")
    if how == "copied":
        assert version_of(path) == before
        assert installed(path) == f"alpha-tool 1.0 {path}"


def test_a_project_that_is_reached_through_a_symlink_is_not_built_again(bare: Sandbox) -> None:
    (bare.root / "link").symlink_to(bare.root / "home")
    through = bare.root / "link" / "gan"
    assert env(bare, through).code == 0
    (path,) = environments(bare)
    before = version_of(path)
    assert env(bare, bare.project).stderr == ""
    assert env(bare, through).stderr == ""
    script = path.with_name(f".{path.name}.sh")
    own = script.read_text().replace(str(bare.root / "link"), str(bare.root / "home"))
    done = subprocess.run(
        ["bash", "-c", own], env=bare.environ, stdin=subprocess.DEVNULL, capture_output=True, timeout=60
    )
    assert (done.returncode, done.stdout) == (0, b""), "a job that comes by the other name finds it done too"
    assert version_of(path) == before


@pytest.mark.parametrize("python", ["nothing", "a link that leads nowhere"])
def test_an_environment_without_its_python_is_built_anew_by_the_next_submission(
    bare: Sandbox, python: str
) -> None:
    assert run(bare).code == 0
    (path,) = environments(bare)
    (path / "bin" / "python").unlink()
    if python != "nothing":
        (path / "bin" / "python").symlink_to(bare.root / "module" / "bin" / "python3")
    before = version_of(path)
    said = run(bare)
    assert said.code == 0, said.stderr
    newer = path.with_name(f"{path.name}.2")
    assert f"{newer} is finished\n" in said.stderr
    assert environments(bare) == [path, newer]
    assert installed(newer) == f"alpha-tool 1.0 {newer}"
    assert version_of(path) == before, "jobs of a machine that has its Python may be using it"
    assert "building" not in run(bare).stderr


@pytest.mark.parametrize("lost", ["an archive", "the end of one", "the list's end", "a line of the list"])
def test_what_nodes_unpack_is_packed_again_where_it_is_not_whole(bare: Sandbox, lost: str) -> None:
    assert run(bare, "env", "--env-on-node").code == 0
    (path,) = environments(bare)
    manifest, archives = path.with_name(f"{path.name}.manifest"), path.with_name(f"{path.name}.archives")
    whole, names = manifest.read_text(), sorted(each.name for each in archives.iterdir())
    if lost == "an archive":
        (archives / names[0]).unlink()
    elif lost == "the end of one":
        with (archives / names[0]).open("r+b") as file:
            file.truncate(100)
    elif lost == "the list's end":
        manifest.write_text(whole.rpartition("end")[0])
    else:
        first, _, *others = whole.splitlines(keepends=True)
        manifest.write_text("".join([first, *others]))
    before = version_of(path)
    said = run(bare, "--env-on-node")
    assert said.code == 0, said.stderr
    assert f"hpcsubmit: packing {path} for the nodes\n" in said.stderr
    assert manifest.read_text().splitlines()[-1] == f"end {len(names)}"
    sizes = {line.split()[0]: int(line.split()[1]) for line in manifest.read_text().splitlines()[1:-1]}
    assert {each.name: each.stat().st_size for each in archives.iterdir()} == sizes
    assert version_of(path) == before
    before = version_of(archives)
    script = path.with_name(f".{path.name}.sh")
    done = subprocess.run([str(script)], env=bare.environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), "another job finds it done"
    assert version_of(archives) == before
    assert is_finished(path)
