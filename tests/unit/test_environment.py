"""Which environment a job has: found, named by what it is made from, or an error. Nothing is built here."""

import json
import shutil
import subprocess
import sys
import venv
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import shipped
from hpcsubmit.environments.find import find_virtualenv
from hpcsubmit.environments.interpreter import find_python
from hpcsubmit.environments.layout import STAMP
from hpcsubmit.environments.wanted import Wish
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile
from hpcsubmit.project import Project
from hpcsubmit.virtualenv import Virtualenv
from sandbox import Sandbox

GENERIC = shipped("generic")


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    """A project that lists its packages and has no environment."""
    shutil.rmtree(sandbox.project / "virtual_env")
    sandbox.write("", sandbox.project / "requirements.txt")
    return sandbox


def find(
    sandbox: Sandbox, profile: Profile = GENERIC, *, on_node: bool = False, rebuild: bool = False
) -> Virtualenv:
    host, wish = Host(environ=dict(sandbox.environ)), Wish(on_node=on_node, rebuild=rebuild)
    return find_virtualenv(Project(root=sandbox.project), host, profile, wish)


def environment_in_the_script(sandbox: Sandbox) -> Path:
    script = (sandbox.root / "submitted.sh").read_text()
    (line,) = (line for line in script.splitlines() if line.startswith("_virtualenv="))
    return Path(line.partition("=")[2])


def finish(path: Path, **stamp: object) -> Path:
    """Make an environment as a build leaves it, as far as it is looked at."""
    (path / "bin").mkdir(parents=True, exist_ok=True)
    (path / "bin" / "python").touch()
    (path / STAMP).write_text(f"{json.dumps(stamp)}\n{path}\n")
    return path


def pack(path: Path, *sizes: int) -> Path:
    """Make an environment's archives, and their list; return that."""
    folder = path.with_name(f"{path.name}.archives")
    folder.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        (folder / f"{number}.tar").write_bytes(b"x" * size)
    lines = [f"{number}.tar {size} 1\n" for number, size in enumerate(sizes)]
    manifest = path.with_name(f"{path.name}.manifest")
    manifest.write_text(f"hpcsubmit-data 1 1 1\n{''.join(lines)}end {len(sizes)}\n")
    return manifest


def test_an_environment_of_the_users_own_is_used_as_it_is(sandbox: Sandbox) -> None:
    sandbox.write("torch\n", sandbox.project / "requirements.txt")
    own = sandbox.project / "virtual_env"
    said = sandbox.hpcsubmit()
    assert said.code == 0
    assert environment_in_the_script(sandbox) == own
    assert f"note: the environment {own} is your own and used as it is\n" in said.stderr
    assert not (sandbox.project / ".virtual_envs").exists()


def test_a_link_to_an_environment_elsewhere_is_the_users_own_too(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    own.rename(sandbox.root / "elsewhere")
    own.symlink_to(sandbox.root / "elsewhere")
    assert sandbox.hpcsubmit().code == 0
    assert environment_in_the_script(sandbox) == own


def test_the_users_environment_may_have_any_python(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    shutil.rmtree(own)
    venv.create(own, with_pip=False, symlinks=False)
    assert sandbox.hpcsubmit("--dry-run").code == 0


def test_a_folder_that_is_no_environment_is_an_error(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    (own / "bin" / "python").unlink()
    said = sandbox.refuses()
    assert said.error == f"{own} has no bin/python: it is not a whole virtual environment"
    assert said.hint == "remove it, and hpcsubmit builds one from requirements.txt"


def test_the_users_own_environment_is_not_packed_for_the_nodes_nor_built_again(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    said = sandbox.refuses("--env-on-node")
    assert said.error.startswith(f"--env-on-node unpacks what hpcsubmit built, and {own} is your own: ")
    assert said.hint.startswith(f"leave out --env-on-node, or move {own} away and ")
    said = sandbox.refuses("env", "--rebuild")
    assert said.error == f"{own} is your own: hpcsubmit never changes it"
    assert said.hint.startswith(f"move {own} away, and ")


def test_neither_an_environment_nor_a_list_is_an_error(bare: Sandbox) -> None:
    (bare.project / "requirements.txt").unlink()
    said = bare.refuses()
    assert said.error == (
        "the project has neither a virtual_env of your own nor a Pipfile, requirements.txt or uv.lock: "
        f"{bare.project}"
    )
    assert said.hint == (
        f"write the packages that the program needs into {bare.project}/requirements.txt, one a line, or use "
        "the Python that the node has with --no-env"
    )


def test_with_no_env_the_script_has_no_environment(bare: Sandbox) -> None:
    said = bare.hpcsubmit("--no-env")
    assert said.code == 0
    script = (bare.root / "submitted.sh").read_text()
    assert "_virtualenv=" not in script
    assert "VIRTUAL_ENV" not in script
    assert "environment        none: the program runs with the python of the node\n" in said.stderr
    (plan,) = bare.scratch.glob("gan/hpcsubmit/runs/*/plan.json")
    assert json.loads(plan.read_text())["virtualenv"] == ""
    assert not (bare.project / ".virtual_envs").exists()


def test_no_env_and_env_on_node_exclude_each_other(bare: Sandbox) -> None:
    said = bare.refuses("--no-env", "--env-on-node", code=2)
    assert said.error == "--no-env and --env-on-node exclude each other"
    assert said.hint == "give one of them"


def test_an_environment_whose_list_is_gone_is_not_used(bare: Sandbox) -> None:
    finish(bare.project / ".virtual_envs" / "0123456789abcdef")
    (bare.project / "virtual_env").symlink_to(".virtual_envs/0123456789abcdef")
    (bare.project / "requirements.txt").unlink()
    assert bare.refuses().error.startswith("the project has neither a virtual_env of your own nor")


def test_a_dry_run_says_what_would_be_built_and_where(bare: Sandbox) -> None:
    before = bare.tree()
    said = bare.hpcsubmit("--dry-run")
    path = find(bare).path
    source = bare.project / "requirements.txt"
    assert f"{path} (to be built from {source}, here, before the job is submitted)\n" in said.stderr
    assert f"_virtualenv={path}\n" in said.stdout
    assert bare.tree() == before


def test_the_name_stands_for_the_files_the_python_the_modules_and_the_settings(bare: Sandbox) -> None:
    first = find(bare).path
    assert first.parent == bare.project / ".virtual_envs"
    others = [
        replace(GENERIC, modules=("python/3.11",)),
        replace(GENERIC, modules=("python/3.12",)),
        replace(GENERIC, modules=("python/3.11",), python="python3.11"),
        replace(GENERIC, packages="wheelhouse"),
        replace(GENERIC, packages="wheelhouse", wheelhouse=("/wheels",)),
    ]
    bare.install("python3.12", '#!/bin/sh\necho "$0"\n')
    others.append(replace(GENERIC, python="python3.12"))
    paths = {first, *(find(bare, profile).path for profile in others)}
    assert len(paths) == 1 + len(others)
    bare.write("torch\n", bare.project / "requirements.txt")
    assert find(bare).path not in paths
    bare.write("", bare.project / "requirements.txt")
    assert find(bare).path == first


def test_nothing_else_changes_the_name(bare: Sandbox) -> None:
    first = find(bare).path
    bare.write("other", bare.project / "main.py")
    bare.write("[project]\n", bare.project / "pyproject.toml")
    same = [
        replace(GENERIC, environment_built="job", partition="p", account="a", gpu_type="g"),
        replace(GENERIC, node_local_base="/x", mem_per_gpu=None, build_time=GENERIC.build_time),
    ]
    assert {find(bare, profile).path for profile in same} == {first}
    bare.environ["SOMETHING"] = "else"
    assert find(bare).path == first


@pytest.mark.parametrize("name", ["Pipfile.lock", "Pipfile"])
def test_a_lock_and_what_is_locked_are_both_in_the_name(bare: Sandbox, name: str) -> None:
    bare.write("[packages]\n", bare.project / "Pipfile")
    bare.write('{"default": {}}', bare.project / "Pipfile.lock")
    first = find(bare).path
    bare.write((bare.project / name).read_text() + "\n", bare.project / name)
    assert find(bare).path != first


def test_what_a_list_includes_is_in_the_name(bare: Sandbox) -> None:
    bare.write("-r more/base.txt\n-c limits.txt\n", bare.project / "requirements.txt")
    for name in ("more/base.txt", "limits.txt"):
        bare.write("", bare.project / name)
    paths = {find(bare).path}
    for name in ("more/base.txt", "limits.txt"):
        bare.write("six\n", bare.project / name)
        paths.add(find(bare).path)
    assert len(paths) == 3


@pytest.mark.parametrize(
    ("line", "folder"),
    [
        ("-e .", "."),
        (".[dev]", "."),
        ("./lib  # ours", "lib"),
        ("--editable=lib[a,b] ; python_version > '3'", "lib"),
        ('-e "./my lib"', "my lib"),
        ("lib @ file:./lib", "lib"),
        ("sub/lib", "sub/lib"),
    ],
)
@pytest.mark.parametrize("name", ["pyproject.toml", "setup.py", "setup.cfg"])
def test_what_a_folder_of_the_list_needs_is_in_the_name(
    bare: Sandbox, line: str, folder: str, name: str
) -> None:
    bare.write("-r more/base.txt\n", bare.project / "requirements.txt")
    bare.write(f"{line}\n", bare.project / "more" / "base.txt")
    paths = {find(bare).path}
    for content in ("", "six"):
        bare.write(content, bare.project / folder / name)
        paths.add(find(bare).path)
    assert len(paths) == 3
    bare.write("else", bare.project / folder / "module.py")
    assert find(bare).path in paths


@pytest.mark.parametrize(
    "line", ["lib", "-e git+https://x.org/lib.git", "# ./lib", "lib @ https://x.org/lib"]
)
def test_a_line_that_names_no_folder_brings_no_files_of_one(bare: Sandbox, line: str) -> None:
    bare.write(f"{line}\n", bare.project / "requirements.txt")
    first = find(bare).path
    for folder in (".", "lib", "git+https:/x.org/lib.git"):
        bare.write("[project]\n", bare.project / folder / "pyproject.toml")
    assert find(bare).path == first


def test_the_newest_finished_generation_counts(bare: Sandbox) -> None:
    first = find(bare).path
    assert find(bare).build is not None
    finish(first)
    assert find(bare) == Virtualenv(path=first)
    second = find(bare, rebuild=True)
    assert (second.path, second.build is not None) == (first.with_name(f"{first.name}.2"), True)
    second.path.mkdir()  # one that was cut short
    assert find(bare).path == first
    assert find(bare, rebuild=True).path == second.path
    finish(second.path)
    assert find(bare).path == second.path
    finish(first.with_name(f"{first.name}.10"))
    shutil.rmtree(first)
    assert find(bare).path.name == f"{first.name}.10"
    assert find(bare, rebuild=True).path.name == f"{first.name}.11"


def test_a_finished_environment_without_an_archive_is_packed_and_not_made(bare: Sandbox) -> None:
    path = finish(find(bare).path)
    found = find(bare, on_node=True)
    assert found.manifest == path.with_name(f"{path.name}.manifest")
    assert found.build is not None
    assert (found.build.makes, found.build.packs) == (False, True)
    assert pack(path, 10, 20) == found.manifest
    assert find(bare, on_node=True) == Virtualenv(path=path, manifest=found.manifest)


def cut_list(manifest: Path, archives: Path) -> None:
    manifest.write_text(manifest.read_text().rpartition("end")[0])


def miscount_list(manifest: Path, archives: Path) -> None:
    manifest.write_text(manifest.read_text().replace("end 2\n", "end 3\n"))


def cut_archive(manifest: Path, archives: Path) -> None:
    (archives / "1.tar").write_bytes(b"x" * 19)


def lose_archive(manifest: Path, archives: Path) -> None:
    (archives / "0.tar").unlink()


@pytest.mark.parametrize("damage", [cut_list, miscount_list, cut_archive, lose_archive])
def test_an_archive_that_is_not_whole_is_packed_again(
    bare: Sandbox, damage: Callable[[Path, Path], None]
) -> None:
    path = finish(find(bare).path)
    manifest = pack(path, 10, 20)
    damage(manifest, path.with_name(f"{path.name}.archives"))
    found = find(bare, on_node=True).build
    assert found
    assert (found.makes, found.packs) == (False, True)
    assert find(bare) == Virtualenv(path=path), "who does not unpack it does not pack it"


def test_what_is_made_anew_is_packed_anew(bare: Sandbox) -> None:
    path = find(bare).path
    path.mkdir(parents=True)
    pack(path, 10)
    found = find(bare, on_node=True).build
    assert found
    assert (found.makes, found.packs) == (True, True), "the build removes what was packed before"


@pytest.mark.parametrize("stamp", ["{}\n", "{}\n/elsewhere\n", "{}\n\0\n", "{}\n\n", ""])
def test_what_was_not_built_under_its_path_is_built_anew(bare: Sandbox, stamp: str) -> None:
    path = finish(find(bare).path)
    assert find(bare).build is None
    (path / STAMP).write_text(stamp)
    found = find(bare)
    assert (found.path, found.build is not None) == (path, True)


def test_a_copy_of_the_project_has_no_environment_yet(bare: Sandbox) -> None:
    path = finish(find(bare).path)
    shutil.copytree(bare.project, bare.root / "home" / "copy", symlinks=True)
    host = Host(environ=dict(bare.environ))
    found = find_virtualenv(Project(root=bare.root / "home" / "copy"), host, GENERIC, Wish())
    assert found.path == bare.root / "home" / "copy" / ".virtual_envs" / path.name
    assert found.build
    assert find(bare).build is None


def test_a_project_that_is_reached_through_a_symlink_has_the_same_environment(bare: Sandbox) -> None:
    path = finish(find(bare).path)
    (bare.root / "link").symlink_to(bare.root / "home")
    host, through = Host(environ=dict(bare.environ)), bare.root / "link" / "gan"
    found = find_virtualenv(Project(root=through), host, GENERIC, Wish())
    assert found == Virtualenv(path=through / ".virtual_envs" / path.name)
    (path / STAMP).write_text(f"{{}}\n{found.path}\n")
    assert find(bare).build is None, "and the other way round"


def test_an_environment_whose_python_is_gone_is_built_anew(bare: Sandbox) -> None:
    path = finish(find(bare).path)
    (path / "bin" / "python").unlink()
    assert find(bare).build, "purged"
    (path / "bin" / "python").symlink_to("/opt/of/a/module/that/was/replaced/bin/python3")
    found = find(bare)
    assert (found.path, found.build is not None) == (path.with_name(f"{path.name}.2"), True)
    newer = finish(found.path)
    assert find(bare) == Virtualenv(path=newer)


def test_a_job_that_builds_looks_again_at_one_whose_python_is_not_on_this_machine(bare: Sandbox) -> None:
    by_job = replace(GENERIC, environment_built="job")
    path = finish(find(bare, by_job).path)
    (path / "bin" / "python").unlink()
    assert find(bare, by_job).path == path


def test_modules_of_the_same_names_on_two_clusters_make_two_environments(bare: Sandbox) -> None:
    here = replace(GENERIC, modules=("python/3.11",))
    assert find(bare, here).path == find(bare, here).path
    assert find(bare, here).path != find(bare, replace(here, name="other")).path


def test_without_a_python_the_hint_names_the_module(bare: Sandbox) -> None:
    said = bare.refuses(PATH=str(bare.bin))
    assert said.error == "there is no python3 on the PATH"
    assert said.hint == "load the site's python module, then submit, or set python in the profile"


# ---- What a start with a current environment costs

COUNTING = """
import json, sys
processes = []

def hook(event, args):
    if event in ("os.posix_spawn", "subprocess.Popen", "os.fork", "os.forkpty", "os.exec", "os.system"):
        processes.append(str(args[0]))

sys.addaudithook(hook)
from hpcsubmit.cli.main import run
code = run([])
loaded = sorted(name for name in sys.modules if "hpcsubmit.environments" in name)
print(json.dumps([code, processes, loaded]), file=sys.stderr)
"""
SHIM = """#!/bin/sh
echo asked >>"{root}/asked"
exec /usr/bin/python3 "$@"
"""


def count(sandbox: Sandbox) -> tuple[list[str], list[str]]:
    """The processes that a submission starts, and the modules of ours about environments that it loads."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", COUNTING],
        cwd=sandbox.project,
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    code, processes, loaded = json.loads(done.stderr.splitlines()[-1])
    assert code == 0, done.stderr
    return [Path(each).name for each in processes], [name.rpartition(".")[2] for name in loaded]


def test_a_current_environment_starts_no_process_even_where_python3_is_a_script(bare: Sandbox) -> None:
    bare.install("python3", SHIM.format(root=bare.root))
    processes, _ = count(bare)
    assert processes == ["python3", "bash", "sbatch"], "the script is asked which Python it starts, once"
    processes, loaded = count(bare)
    assert processes == ["sbatch"]
    assert loaded == ["environments", "find", "interpreter", "layout", "link", "sources", "wanted"]


def test_a_script_is_asked_again_when_what_it_started_is_gone(bare: Sandbox) -> None:
    bare.install("python3", SHIM.format(root=bare.root))
    host = Host(environ=bare.environ)
    first = find_python("python3", host, {})
    assert find_python("python3", host, first) == first
    gone = {**first, "interpreter": "/opt/python-3.11.4/bin/python3.11"}
    assert find_python("python3", host, gone) == first
    assert (bare.root / "asked").read_text() == "asked\n" * 2


@pytest.mark.parametrize("where", ["home/gan/.python-version", "home/.python-version", "version"])
def test_a_script_is_asked_again_when_what_it_chooses_by_has_changed(bare: Sandbox, where: str) -> None:
    bare.install("python3", SHIM.format(root=bare.root))
    assert count(bare)[0] == ["python3", "bash", "sbatch"]
    bare.write("3.12\n", bare.root / where)
    assert count(bare)[0] == ["python3", "sbatch"], "another answer would be another environment"
    bare.environ["PYENV_VERSION"] = "3.13"
    assert count(bare)[0] == ["python3", "sbatch"]
