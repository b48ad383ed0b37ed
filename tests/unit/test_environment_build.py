"""Environments are built whole, from each kind of list, by the real uv, venv and pip from tiny wheels."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from builds import BACKEND, environments, installed, run, without_environment, without_uv
from e2e.rank_programs import SAY
from hpcsubmit.environments.layout import STAMP, read_stamp
from sandbox import HPCSUBMIT, Sandbox
from wheels import make_wheel


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    return without_environment(sandbox)


def version_of(path: Path) -> tuple[int, int]:
    """What changes when a file is written anew, or a folder gets other files; reading it changes nothing."""
    seen = path.stat()
    return seen.st_ino, seen.st_ctime_ns


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_an_environment_is_built_once_from_the_wheelhouse_of_pips_settings(
    bare: Sandbox, builder: str
) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    said = run(bare, tool=tool)
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n"), said.stderr
    (path,) = environments(bare)
    assert f"hpcsubmit: building {path} on " in said.stderr
    assert "/bin/uv\n" in said.stderr if builder == "uv" else " and pip\n" in said.stderr
    assert installed(path) == f"alpha-tool 1.0 {path}"
    assert (bare.project / "virtual_env").readlink() == Path(".virtual_envs") / path.name
    assert f"\n_virtualenv={path}\n" in (bare.root / "submitted.sh").read_text()
    assert list(path.glob("lib/python3*/site-packages/alpha/__pycache__/__init__.*.pyc")), "compiled"
    log = path.with_name(f"{path.name}.log").read_text()
    assert log
    assert log in said.stderr, "what was in view is in the log"
    stamp = path / STAMP
    before = version_of(stamp)
    again = run(bare, tool=tool)
    assert (again.code, again.stderr.count("building")) == (0, 0)
    assert version_of(stamp) == before


def test_an_environment_is_built_from_each_kind_of_source(bare: Sandbox) -> None:
    listed = bare.project / "requirements.txt"
    listed.unlink()
    bare.write('[packages]\nalpha = "*"\nbeta = "==2.0"\n', bare.project / "Pipfile")
    assert run(bare).code == 0
    lock = {"default": {"alpha": {"version": "==1.0"}, "beta": {"version": "==2.1"}}}
    bare.write(json.dumps(lock), bare.project / "Pipfile.lock")
    assert run(bare).code == 0
    (bare.project / "Pipfile").unlink()
    bare.write(
        '[project]\nname = "mine"\nversion = "1"\ndependencies = ["alpha"]\nrequires-python = ">=3.8"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        bare.project / "pyproject.toml",
    )
    bare.write(BACKEND, bare.project / "backend.py")
    uv = Path(sys.executable).with_name("uv")
    options = ["--quiet", "--no-index", "--find-links", str(bare.root / "wheels")]
    subprocess.run([uv, "lock", *options], cwd=bare.project, env=bare.environ, check=True, timeout=60)
    (bare.root / "go").touch()
    said = run(bare)
    assert said.code == 0, said.stderr
    stamps = [read_stamp(path) or {} for path in environments(bare)]
    assert sorted(stamp["source"] for stamp in stamps) == ["Pipfile", "Pipfile", "uv.lock"]
    betas = {next(path.glob("lib/*/site-packages/beta-*")).name for path in environments(bare)}
    assert betas == {"beta-2.0.dist-info", "beta-2.1.dist-info"}
    current = (bare.project / "virtual_env").resolve()
    (link,) = current.glob("lib/*/site-packages/mine.pth")
    assert link.read_text().strip() == str(bare.project), "the project itself is installed editable"


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_constraints_of_pips_settings_and_of_the_list_count(bare: Sandbox, builder: str) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    bare.write("alpha\n-c limits.txt\n", bare.project / "requirements.txt")
    bare.write("beta>=2\n", bare.project / "limits.txt")
    constraint = bare.root / "constraint.txt"
    constraint.write_text("beta<2.1\n")
    bare.environ["PIP_CONSTRAINT"] = str(constraint)
    said = run(bare, tool=tool)
    assert said.code == 0, said.stderr
    (path,) = environments(bare)
    assert list(path.glob("lib/*/site-packages/beta-2.0.dist-info"))
    bare.write("beta>2.1\n", bare.project / "limits.txt")
    assert run(bare, tool=tool).code == 1


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_a_wheelhouse_of_the_profile_needs_no_settings_and_takes_no_index(
    bare: Sandbox, builder: str
) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    wheels = bare.root / "more wheels"
    make_wheel(wheels, "alpha", "1.0+computecanada")
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX"):
        del bare.environ[name]
    settings = f'profiles: {{generic: {{packages: wheelhouse, wheelhouse: ["{wheels}"]}}}}\n'
    bare.write(settings, bare.project / "hpcsubmit.yaml")
    bare.write("alpha==1.0 --hash=sha256:00\n", bare.project / "requirements.txt")
    said = run(bare, tool=tool)
    assert said.code == 0, said.stderr
    (path,) = environments(bare)
    assert installed(path) == f"alpha-tool 1.0+computecanada {path}"


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_a_broken_list_is_an_error_that_shows_the_log_and_after_mending_it_works(
    bare: Sandbox, builder: str
) -> None:
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    listed = bare.project / "requirements.txt"
    bare.write("alpha\nno-such-package\n", listed)
    said = run(bare, tool=tool)
    assert (said.code, said.stdout) == (1, "")
    (path,) = environments(bare)
    log = path.with_name(f"{path.name}.log")
    assert said.stderr.splitlines()[-2:] == [
        f"error: the environment could not be built: exit code 1; {path} counts for nothing",
        f"hint: mend {listed} as the lines above say and submit again; all of them are in {log}",
    ]
    assert "no-such-package" in log.read_text()
    assert log.read_text() in said.stderr
    assert not (bare.project / "virtual_env").is_symlink()
    assert not (bare.root / "sbatch.argv").exists()
    assert bare.hpcsubmit("runs").stdout == "no runs yet\n"
    make_wheel(bare.root / "wheels", "no_such_package", "1.0")
    assert run(bare, tool=tool).code == 0
    assert environments(bare) == [path]
    bare.write("alpha\n", listed)
    assert run(bare, tool=tool).code == 0
    assert len(environments(bare)) == 2


def test_a_changed_list_is_another_environment_and_the_first_stays_as_it_was(bare: Sandbox) -> None:
    assert run(bare).code == 0
    (first,) = environments(bare)
    before = {path: path.lstat().st_mtime_ns for path in first.rglob("*")}
    bare.write("beta==2.0\n", bare.project / "requirements.txt")
    assert run(bare).code == 0
    assert (bare.project / "virtual_env").resolve() != first
    assert {path: path.lstat().st_mtime_ns for path in first.rglob("*")} == before
    bare.write("alpha\n", bare.project / "requirements.txt")
    said = run(bare)
    assert "building" not in said.stderr
    assert (bare.project / "virtual_env").resolve() == first


def test_a_rebuild_is_the_next_generation(bare: Sandbox) -> None:
    assert run(bare).code == 0
    (first,) = environments(bare)
    make_wheel(bare.root / "wheels", "alpha", "1.5")
    assert run(bare, "env", "--rebuild").code == 0
    second = first.with_name(f"{first.name}.2")
    assert environments(bare) == [first, second]
    assert (installed(first), installed(second)) == (f"alpha-tool 1.0 {first}", f"alpha-tool 1.5 {second}")
    assert run(bare).code == 0
    assert f"\n_virtualenv={second}\n" in (bare.root / "submitted.sh").read_text()


def test_a_folder_with_blanks_and_quotes_is_a_place_to_build_in(bare: Sandbox) -> None:
    project = bare.root / "it's 50% of $HOME"
    bare.project.rename(project)
    done = subprocess.run(
        HPCSUBMIT, cwd=project, env=bare.environ, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    (path,) = (each for each in (project / ".virtual_envs").iterdir() if each.is_dir())
    assert installed(path) == f"alpha-tool 1.0 {path}"


def test_the_archive_for_the_nodes_is_packed_once_and_its_list_is_right(bare: Sandbox) -> None:
    assert run(bare).code == 0
    said = run(bare, "--env-on-node")
    (path,) = environments(bare)
    assert f"{path} (to be packed for the nodes, here" in said.stderr
    archives, manifest = path.with_name(f"{path.name}.archives"), path.with_name(f"{path.name}.manifest")
    first, *lines, last = manifest.read_text().splitlines()
    listed = [line.split() for line in lines]
    assert sorted(name for name, _, _ in listed) == sorted(each.name for each in archives.iterdir())
    for archive, size, count in listed:
        argv = ["tar", "-tf", str(archives / archive)]
        members = subprocess.run(argv, capture_output=True, text=True, timeout=60).stdout
        assert (archives / archive).stat().st_size == int(size)
        assert members.count("\n") == int(count)
    assert last == f"end {len(listed)}"
    name, version, room, inodes = first.split()
    assert (name, version) == ("hpcsubmit-data", "1")
    entries = subprocess.run(["find", "."], cwd=path, capture_output=True, text=True, timeout=60).stdout
    files = subprocess.run(
        ["find", ".", "!", "-type", "d"], cwd=path, capture_output=True, text=True, timeout=60
    )
    folders = entries.count("\n") - files.stdout.count("\n")
    assert int(inodes) == sum(int(count) for _, _, count in listed)
    assert int(inodes) == files.stdout.count("\n") + 5 * folders, "each archive makes its own folders"
    used = subprocess.run(["du", "-sk", path], capture_output=True, text=True, timeout=60).stdout
    assert int(used.split()[0]) <= int(room)
    script = (bare.root / "submitted.sh").read_text()
    assert f"stage_in environment {manifest} {archives} virtual_env direct\n" in script
    before = version_of(archives)
    assert run(bare, "--env-on-node").code == 0
    assert version_of(archives) == before
    bare.write("profiles: {generic: {node_local_size: 1M}}\n", bare.project / "hpcsubmit.yaml")
    with (bare.scratch / "gan" / "data").open("wb") as file:
        file.truncate(1020 << 10)  # fits by itself
    assert run(bare, "--data", "data").code == 0
    said = run(bare, "--data", "data", "--env-on-node")
    needed = -(-(1020 + int(room)) // 1024)
    assert said.error == (
        f"the data and the environment need {needed}M, and a node's own disk has 1M in the profile 'generic'"
    )
    assert said.hint == "leave out --env-on-node"


@pytest.mark.parametrize("builder", ["uv", "pip"])
def test_on_the_node_commands_name_the_place_there(bare: Sandbox, builder: str) -> None:
    """The real job, on the embedded cluster: two nodes, each with a disk of its own."""
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    bare.write(
        f"{SAY}import alpha, subprocess\n"
        "said = subprocess.check_output(['alpha-tool'], text=True).split()\n"
        "there = os.environ['VIRTUAL_ENV']\n"
        "files = [sys.prefix, said[2], os.path.dirname(os.path.dirname(sys.executable)), alpha.__file__]\n"
        "assert all(f.startswith(there) for f in files), (there, files)\n"
        "assert there.startswith(os.environ['TMPDIR']), there\n"
        "texts = [open(there + '/bin/' + n, errors='replace').read() for n in os.listdir(there + '/bin')]\n"
        "assert not any('.virtual_envs' in text for text in texts)\n"
        "say('well', os.path.isdir(os.environ['SLURM_TMPDIR'] + '/virtual_env'))\n",
        bare.project / "main.py",
    )
    bare.environ["TMPDIR"] = str(bare.root / "tmp")
    (bare.root / "tmp").mkdir()
    said = run(bare, "--cluster", "local", "-n", "2", "--env-on-node", "--follow", tool=tool)
    assert said.code == 0, said.stdout + said.stderr
    assert said.stdout.splitlines().count("well True") == 2
