"""What stands around a build and must not change it, and what lists say besides packages."""

import shutil
from pathlib import Path

import pytest

from builds import environments, installed, run, without_environment, without_uv
from sandbox import HPCSUBMIT, Sandbox
from wheels import make_wheel


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    return without_environment(sandbox)


def test_what_would_lead_pip_elsewhere_does_not(bare: Sandbox) -> None:
    elsewhere = bare.root / "elsewhere"
    bare.write("version = 'of another'\n", elsewhere / "alpha" / "__init__.py")
    bare.write("Name: alpha\nVersion: 1.0\n", elsewhere / "alpha-1.0.dist-info" / "METADATA")
    places = ("PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_ROOT")
    bare.environ.update(dict.fromkeys(places, str(elsewhere)), PIP_USER="1")
    said = run(bare, "env", tool=without_uv(bare))
    assert said.code == 0, said.stderr
    (path,) = environments(bare)
    assert installed(path) == f"alpha-tool 1.0 {path}"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_list_from_windows_is_read_as_pip_reads_it(bare: Sandbox, encoding: str) -> None:
    (bare.project / "requirements.txt").write_bytes("# für alle\r\n-r more.txt\r\n".encode(encoding))
    (bare.project / "more.txt").write_bytes("alpha==1.0\r\n".encode(encoding))
    said = run(bare, "env")
    assert said.code == 0, said.stderr
    (path,) = environments(bare)
    assert installed(path) == f"alpha-tool 1.0 {path}"


@pytest.mark.parametrize("builder", ["uv", "pip"])
@pytest.mark.parametrize("where", ["file", "setting"])
def test_prereleases_come_where_pip_takes_them(bare: Sandbox, builder: str, where: str) -> None:
    make_wheel(bare.root / "wheels", "alpha", "2.0rc1")
    if where == "file":
        bare.write("--pre\nalpha\n", bare.project / "requirements.txt")
    else:
        bare.environ["PIP_PRE"] = "1"
    assert run(bare, "env", tool=HPCSUBMIT if builder == "uv" else without_uv(bare)).code == 0
    (path,) = environments(bare)
    assert installed(path).startswith("alpha-tool 2.0rc1 ")


def test_without_them_a_finished_version_is_taken(bare: Sandbox) -> None:
    make_wheel(bare.root / "wheels", "alpha", "2.0rc1")
    assert run(bare, "env").code == 0
    (path,) = environments(bare)
    assert installed(path).startswith("alpha-tool 1.0 ")


def test_trusted_hosts_of_a_list_are_told_to_uv(bare: Sandbox) -> None:
    listed = "--trusted-host wheels.lab\n--trusted-host=other.lab:8080\nalpha\n"
    bare.write(listed, bare.project / "requirements.txt")
    script = run(bare, "env", "--dry-run").stdout
    assert 'export UV_INSECURE_HOST="${UV_INSECURE_HOST:+$UV_INSECURE_HOST }"' in script
    assert "'wheels.lab other.lab:8080' # --trusted-host\n" in script


@pytest.mark.parametrize(
    ("requires", "warned"),
    [
        ('python_version = "2.7"', "2.7"),
        ('python_full_version = "3.0.1"\npython_version = "3"', "3.0.1"),
        ('python_version = "3"', ""),
        ("python_version = 3", ""),
    ],
)
def test_a_pipfile_for_another_python_is_told(bare: Sandbox, requires: str, warned: str) -> None:
    (bare.project / "requirements.txt").unlink()
    bare.write(f'[packages]\nalpha = "*"\n[requires]\n{requires}\n', bare.project / "Pipfile")
    said = run(bare, "env")
    assert said.code == 0, said.stderr
    python = Path(shutil.which("python3", path=bare.environ["PATH"]) or "").resolve()
    expected = f"hpcsubmit: Pipfile is for Python {warned}, and {python} is 3."
    assert (expected in said.stderr) is bool(warned)
    assert said.stderr.count(": set python in the profile") == bool(warned)
