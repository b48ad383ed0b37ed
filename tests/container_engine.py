"""A stand-in for Apptainer and Singularity: it writes down how it was started, and starts the words here.

And files that look like its images.
"""

import json
import re
import shutil
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from golden.cases import HOUR, context, shipped
from hpcsubmit.container import Image
from hpcsubmit.experiment import read_command
from hpcsubmit.plan import Plan, plan
from hpcsubmit.render import render
from hpcsubmit.request import Request

APPTAINER = "apptainer version 1.4.5"
SINGULARITY = "singularity-ce version 3.11.0"
PLAIN = Request(time=HOUR)

PROGRAM = """#!{python} -I
# Takes the options that the scripts use, as the real ones do, and refuses all others. The words see this
# machine, an environment of their own, and a runscript that starts them as they are.
import json, os, sys

here, version = os.path.dirname(os.path.abspath(__file__)), {version!r}
words = sys.argv[1:]
if words == ["--version"]:
    sys.exit(print(version))

def fatal(text):
    sys.exit(print("FATAL:   " + text, file=sys.stderr) or 255)

if words[:2] != ["--quiet", "exec"]:
    fatal("unknown command: " + " ".join(words[:2]))
del words[:2]
binds, folder = [], "/"
while words[0].startswith("--"):
    option = words.pop(0)
    if option == "--bind":
        given = words.pop(0)
        source, target, mode, *more = given.split(":") + [given, "rw"][given.count(":"):]
        if more or mode not in ("ro", "rw") or "," in given:
            fatal("while parsing bind path: " + given)
        if not os.path.exists(source):
            fatal("mount source " + source + " doesn't exist")
        binds.append([source, target, mode])
    elif option == "--pwd":
        folder = words.pop(0)
    elif option not in ("--nv", "--cleanenv", "--no-home", "--contain", "--writable-tmpfs"):
        fatal("unknown flag: " + option)
image, prefix = words.pop(0), "APPTAINERENV_" if version.startswith("apptainer") else "SINGULARITYENV_"
inside = {{name[len(prefix):]: value for name, value in os.environ.items() if name.startswith(prefix)}}
os.makedirs(here + "/starts", exist_ok=True)
with open(here + "/starts/" + str(os.getpid()), "w") as file:
    json.dump([sys.argv, dict(os.environ), binds, folder, image, words, inside], file)
os.chdir(next((source for source, target, mode in binds if target == folder), folder))
words = [here + "/runscript" if word == "/.singularity.d/runscript" else word for word in words]
path = here + "/offered" if os.path.isdir(here + "/offered") else "/usr/bin:/bin"
os.execvpe(words[0], words, dict(PATH=path, HOME=os.environ["HOME"]) | inside)
"""

BEGIN = """set -euo pipefail
_job=7
fail() { echo "$*" >&2; exit 1; }
"""
"""What the functions of a script need of the batch shell."""


class Start(NamedTuple):
    """One start of the engine. binds: source, target and mode of each. inside: the variables of the words."""

    argv: list[str]
    environ: dict[str, str]
    binds: list[list[str]]
    pwd: str
    image: str
    words: list[str]
    inside: dict[str, str]

    @property
    def mounted(self) -> dict[str, str]:
        """What is seen at each mount point: the first of its mounts."""
        return {target: source for source, target, _ in reversed(self.binds)}


class Engine(NamedTuple):
    """The engine in a folder of its own."""

    folder: Path

    def install(self, name: str = "apptainer", version: str = APPTAINER) -> "Engine":
        """Put it into its folder, with a runscript that starts the words as they are."""
        self.folder.mkdir(parents=True, exist_ok=True)
        self._write(name, PROGRAM.format(python=sys.executable, version=version))
        self._write("runscript", '#!/bin/sh\nexec "$@"\n')
        return self

    def offer(self, *names: str) -> None:
        """Show the words inside no programs but these of this machine, and /bin/sh by its path."""
        (self.folder / "offered").mkdir()
        for name in names:
            (self.folder / "offered" / name).symlink_to(shutil.which(name, path="/usr/bin:/bin") or name)

    def starts(self) -> list[Start]:
        """How it was started since this was asked last, in no order."""
        found = list((self.folder / "starts").glob("*"))
        read = [Start(*json.loads(path.read_text())) for path in found]
        for path in found:
            path.unlink()
        return read

    def run(self, plan: Plan, tmpdir: Path, environ: Mapping[str, str]) -> tuple[Start, str]:
        """Run the program of a plan as a task would, without Slurm; return its start and its output."""
        parts = _sections(render(plan), "What the program finds", "The container", "The program of")
        script = "\n".join((BEGIN, *parts, "program"))
        _make_folders(plan, tmpdir)
        known = {
            "PATH": f"{self.folder}:/usr/bin:/bin",
            "HOME": f"{self.folder}",
            "SLURM_TMPDIR": f"{tmpdir}",
        }
        done = subprocess.run(
            ["bash", "-c", script],
            env=known | dict(environ),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        (start,) = self.starts()
        return start, done.stdout

    def complaint(self, plan: Plan, tmpdir: Path | str, function: str) -> str:
        """What a node complains of in a function of the container's, without Slurm; "" for nothing."""
        script = render(plan)
        (head,) = _sections(script, "The container")
        rest = "|".join(("prepare_container", "try_container", "explain"))
        functions = re.findall(rf"^(?:{rest})\(\) \{{.*?^\}}$", script, re.MULTILINE | re.DOTALL)
        tell = 'complain() { echo "$*"; exit; }'
        known = {"PATH": f"{self.folder}:/usr/bin:/bin", "HOME": f"{self.folder}"}
        image = f"_library={plan.library}\n_image='{plan.container.image.path if plan.container else ''}'"
        _make_folders(plan, Path(tmpdir))
        done = subprocess.run(
            ["bash", "-euc", "\n".join((BEGIN, head, *functions, tell, image, function))],
            env=known | {"SLURM_TMPDIR": f"{tmpdir}"},
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert (done.returncode, done.stderr) == (0, ""), done
        self.starts()
        return done.stdout.removesuffix("\n")

    def _write(self, name: str, text: str) -> None:
        path = self.folder / name
        path.write_text(text)
        path.chmod(0o755)


def _make_folders(plan: Plan, tmpdir: Path) -> None:
    """What a node has before anything starts in the image."""
    for folder in ("data", *(f".hpcsubmit-container/{name}" for name in ("home", "tmp", "db", "work"))):
        (tmpdir / folder).mkdir(parents=True, exist_ok=True)
    plan.library.mkdir(parents=True, exist_ok=True)


def _sections(script: str, *headings: str) -> list[str]:
    """Those parts of a script; of the container, what the tasks of a job need."""
    parts = re.split(r"(?m)^(?=# ---- )", script)
    found = [part for part in parts if part.startswith(tuple(f"# ---- {heading}" for heading in headings))]
    assert len(found) == len(headings)
    return [re.split(r"(?m)^_(?:image|of_tasks)=", part)[0] for part in found]


class Harbour:
    """A project, a scratch folder, an image and an engine in one folder; each may have an awkward name."""

    def __init__(self, root: Path, name: str = "gan") -> None:
        self.project, self.scratch, self.tmpdir = root / "home" / name, root / "scratch" / name, root / "tmp"
        self.image = root / f"{name} box"
        for folder in (self.project, self.scratch, self.image / "bin"):
            folder.mkdir(parents=True)
        self.engine = Engine(root / "engine").install()

    def plan(self, command: str, request: Request = PLAIN, profile: str = "generic") -> Plan:
        facts = replace(
            context(root=str(self.project)),
            scratch_dir=self.scratch,
            command=read_command(command, self.project / "experiment_configurations.txt"),
            virtualenv=None,
            image=Image(self.image, size=0),
        )
        return plan(request, shipped(profile), facts)

    def start(self, command: str, request: Request = PLAIN, **environ: str) -> Start:
        return self.engine.run(self.plan(command, request), self.tmpdir, environ)[0]

    def output(self, command: str, request: Request = PLAIN, **environ: str) -> str:
        return self.engine.run(self.plan(command, request), self.tmpdir, environ)[1]


BODY = 500
WHOLE = 128 + BODY


def sif(path: Path, machine: bytes = b"02", length: int = WHOLE) -> Path:
    """A file with the header of a SIF whose data are BODY bytes; the file holds the first `length` of all."""
    launch = b"#!/usr/bin/env run-singularity\n".ljust(32, b"\0")
    header = launch + b"SIF_MAGIC\0" + b"01\0" + machine + b"\0" + bytes(16)
    numbers = struct.pack("<8q", 1, 1, 0, 1, 128, 0, 128, BODY)
    path.write_bytes((header + numbers + bytes(BODY))[:length])
    return path
