"""The runscript of an image, run with real mounts and no container."""

import os
import shutil
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcsubmit.containers.definition import Definition, default_base, definition_text

UNSHARE = (
    shutil.which("unshare") or "unshare",
    "--mount",
    *(() if os.geteuid() == 0 else ("--user", "--map-root-user")),
)
MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'


def can_mount() -> bool:
    return subprocess.run([*UNSHARE, "true"], capture_output=True, timeout=300).returncode == 0


def section(name: str, text: str) -> str:
    """The body of one section of a definition."""
    return text.split(f"\n%{name}\n", 1)[1].split("\n%", 1)[0]


@dataclass(frozen=True)
class Ended:
    code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class Image:
    """A runscript, and the folders of a host that a container sees."""

    root: Path

    @property
    def host_folder(self) -> Path:
        """What is mounted as the work folder."""
        return self.root / "node local"

    @property
    def work(self) -> Path:
        return self.root / "work folder"

    @property
    def project(self) -> Path:
        return self.root / "gan"

    def make(self) -> "Image":
        for folder in (self.host_folder, self.work, self.project):
            folder.mkdir(parents=True)
        text = definition_text(Definition(default_base(None)))
        _, _, rest = section("post", text).partition("\n    cat >/opt/hpcsubmit/in_work_folder.py <<'END'\n")
        program = self.root / "in_work_folder.py"
        program.write_text(rest.partition("\nEND\n")[0])
        runscript = section("runscript", text).replace("/opt/hpcsubmit/in_work_folder.py", f"'{program}'")
        (self.root / "runscript").write_text(f"#!/bin/sh\n{runscript}")
        (self.root / "runscript").chmod(0o755)
        return self

    def start(
        self,
        *command: str,
        mounts: Sequence[Path] | None = None,
        stdin: str = os.devnull,
        environ: Mapping[str, str] | None = None,
    ) -> subprocess.Popen[str]:
        """Start the runscript with a command; mounts: pairs of a folder and where it is mounted."""
        pairs = (self.host_folder, self.work) if mounts is None else mounts
        known = {"HOME": "/nowhere", "PATH": "/usr/bin:/bin", "source_dir": str(self.project)}
        with Path(stdin).open() as opened:
            return subprocess.Popen(
                [
                    *UNSHARE,
                    "sh",
                    "-euc",
                    MOUNT,
                    "sh",
                    *map(str, (*pairs, "--", self.root / "runscript")),
                    *command,
                ],
                env=known | {"HPCSUBMIT_WORKDIR": str(self.work)} | dict(environ or {}),
                stdin=opened,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                cwd=self.project,
                text=True,
            )

    def run(
        self,
        *command: str,
        mounts: Sequence[Path] | None = None,
        stdin: str = os.devnull,
        environ: Mapping[str, str] | None = None,
    ) -> Ended:
        return ended(self.start(*command, mounts=mounts, stdin=stdin, environ=environ))

    def left(self) -> set[str]:
        """The names in the work folder, seen from outside."""
        return {path.name for path in self.host_folder.iterdir()}


def ended(process: subprocess.Popen[str]) -> Ended:
    stdout, stderr = process.communicate(timeout=300)
    return Ended(process.returncode, stdout, stderr)


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 300
    while not path.exists():
        assert time.monotonic() < deadline, f"{path} does not appear"
        time.sleep(0.02)


def wait_for_lines(path: Path, count: int) -> None:
    wait_for(path)
    deadline = time.monotonic() + 300
    while len(path.read_text().splitlines()) < count:
        assert time.monotonic() < deadline, path.read_text()
        time.sleep(0.02)


def send(process: subprocess.Popen[str], number: signal.Signals) -> None:
    """Signal the runscript's shell alone, as apptainer does: unshare and sh have become it."""
    process.send_signal(number)


def in_work(image: Image, program: str) -> tuple[str, ...]:
    """A command that runs a program in the work folder."""
    return ("sh", "-c", f'cd "$HPCSUBMIT_WORKDIR"\n{program}')


def children(pid: int) -> set[int]:
    return {int(path.parent.name) for path in Path("/proc").glob("[0-9]*/stat") if parent(path) == pid}


def parent(stat: Path) -> int | None:
    """The parent of a process by its /proc/N/stat; None of one that has ended meanwhile."""
    try:
        return int(stat.read_bytes().rpartition(b")")[2].split()[1])
    except (FileNotFoundError, ProcessLookupError):
        return None


COUNTING = """
import os, signal, sys, time
ends = []
def note(number, frame):
    with open(sys.argv[1], "a") as file:
        file.write(signal.Signals(number).name + "\\n")
    if number in (signal.SIGTERM, signal.SIGHUP):
        ends.append(number)
for name in ("TERM", "HUP", "INT", "USR1", "USR2"):
    signal.signal(getattr(signal, "SIG" + name), note)
open("left", "w").close()
open(sys.argv[1], "w").close()
deadline = time.monotonic() + 300
while not os.path.exists(sys.argv[1] + ".go") and time.monotonic() < deadline:
    time.sleep(0.01)
sys.exit(7 if ends else 0)
"""
"""Writes down every signal it gets; ends when it may, with 7 where it was told to."""


def start_counting(image: Image) -> tuple[Path, subprocess.Popen[str]]:
    (image.root / "counting.py").write_text(COUNTING)
    heard = image.root / "heard"
    program = f"exec python3 '{image.root}/counting.py' '{heard}'"
    process = image.start(*in_work(image, program))
    wait_for(heard)
    return heard, process
