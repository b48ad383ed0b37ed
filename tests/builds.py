"""Building environments in a sandbox: a wheelhouse, hpcsubmit with and without uv, builds that wait."""

import os
import shutil
import site
import subprocess
import time
import venv
from pathlib import Path
from typing import Any

import hpcsubmit
from sandbox import HPCSUBMIT, Said, Sandbox
from wheels import make_wheel


def without_environment(sandbox: Sandbox) -> Sandbox:
    """A project that lists a package, a wheelhouse that pip's settings name, and no environment."""
    shutil.rmtree(sandbox.project / "virtual_env")
    sandbox.write("alpha\n", sandbox.project / "requirements.txt")
    wheels = sandbox.root / "wheels"
    make_wheel(wheels, "alpha", "1.0", "beta")
    make_wheel(wheels, "beta", "2.0")
    make_wheel(wheels, "beta", "2.1")
    sandbox.environ.update(PIP_FIND_LINKS=str(wheels), PIP_NO_INDEX="1", PIP_CONFIG_FILE=os.devnull)
    return sandbox


def without_uv(sandbox: Sandbox) -> tuple[str, ...]:
    """The command of an hpcsubmit that is installed without the extra `uv`."""
    tool = sandbox.root / "tool"
    if not tool.exists():
        venv.create(tool, with_pip=False, symlinks=True)
        (packages,) = tool.glob("lib/python3*/site-packages")
        places = [*site.getsitepackages(), str(Path(hpcsubmit.__file__).parents[1])]
        lines = "".join(f"import site; site.addsitedir({place!r})\n" for place in places)
        (packages / "all.pth").write_text(lines)
    return (str(tool / "bin" / "python"), "-P", "-m", "hpcsubmit")


def start(sandbox: Sandbox, *argv: str, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*HPCSUBMIT, *argv],
        cwd=sandbox.project,
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **kwargs,
    )


def run(sandbox: Sandbox, *argv: str, tool: tuple[str, ...] = HPCSUBMIT) -> Said:
    done = subprocess.run(
        [*tool, *argv],
        cwd=sandbox.project,
        env=sandbox.environ,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=600,
    )
    return Said(done.returncode, done.stdout, done.stderr)


def environments(sandbox: Sandbox) -> list[Path]:
    folder = sandbox.project / ".virtual_envs"
    return (
        sorted(path for path in folder.iterdir() if path.is_dir() and path.suffix != ".archives")
        if folder.exists()
        else []
    )


def installed(path: Path) -> str:
    """What the environment's own command and Python say."""
    done = subprocess.run([path / "bin" / "alpha-tool"], capture_output=True, text=True, timeout=300)
    return done.stdout.strip()


# A package whose own build takes as long as the test wants: until the file `go` is there.
BACKEND = """
import os, time, zipfile
root = os.path.dirname(os.environ["SCRATCH"])

def wheel(folder, text):
    with open(root + "/started", "a") as file:
        file.write("started\\n")
    deadline = time.monotonic() + 600
    while not os.path.exists(root + "/go") and time.monotonic() < deadline:
        time.sleep(0.02)
    info = "mine-1.dist-info"
    with zipfile.ZipFile(folder + "/mine-1-py3-none-any.whl", "w") as archive:
        archive.writestr("mine.pth", text)
        archive.writestr(info + "/METADATA", "Metadata-Version: 2.1\\nName: mine\\nVersion: 1\\n")
        archive.writestr(info + "/WHEEL", "Wheel-Version: 1.0\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
        archive.writestr(info + "/RECORD", "")
    return "mine-1-py3-none-any.whl"

def build_wheel(wheel_directory, config_settings=None, metadata_directory=None):
    return wheel(wheel_directory, "")

def build_editable(wheel_directory, config_settings=None, metadata_directory=None):
    return wheel(wheel_directory, os.getcwd() + "\\n")
"""


def with_slow_package(bare: Sandbox) -> Sandbox:
    """A list whose build goes on until the file `go` is there."""
    bare.write(BACKEND, bare.project / "mine" / "backend.py")
    bare.write(
        '[project]\nname = "mine"\nversion = "1"\n'
        '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n',
        bare.project / "mine" / "pyproject.toml",
    )
    bare.write("alpha\n./mine\n", bare.project / "requirements.txt")
    return bare


def started(sandbox: Sandbox) -> int:
    path = sandbox.root / "started"
    return len(path.read_text().splitlines()) if path.exists() else 0


def wait_until_started(sandbox: Sandbox, times: int = 1) -> None:
    deadline = time.monotonic() + 300
    while started(sandbox) < times:
        assert time.monotonic() < deadline
        time.sleep(0.02)
