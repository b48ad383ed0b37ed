"""The commands that a job finds first on its PATH: two-line sh scripts that come back here."""

import shlex
import sys
from pathlib import Path

COMMANDS = ("sacct", "sbatch", "scancel", "scontrol", "squeue", "srun")

# -I and -S: a job's PYTHONPATH, PYTHONHOME or json.py must not reach the stand-ins, and they start faster.
# Appended, not prepended: beside the package may lie anything, and the standard library wins over it.
_BOOT = (
    "import sys; package, root = sys.argv[1:3]; sys.path.append(package); "
    "from hpcsubmit.local.__main__ import run; sys.exit(run(sys.argv[3:], root))"
)


def command_line(root: Path) -> tuple[str, ...]:
    """The argv in front of a command's name, for the state folder `root`."""
    package = Path(__file__).resolve().parents[2]
    return (sys.executable, "-I", "-S", "-c", _BOOT, str(package), str(root))


def write_standins(folder: Path, root: Path) -> None:
    """Writes one small script per command into the folder."""
    folder.mkdir(mode=0o700)
    for command in COMMANDS:
        path = folder / command
        path.write_text(f'#!/bin/sh\nexec {shlex.join((*command_line(root), command))} "$@"\n', "utf-8")
        path.chmod(0o700)
