"""Images to test with: two small ones, two that show this machine's Python, and some that must fail.

Each is made once in the test clusters' state folder, for all machines and users to see.  None holds
a system, so all together take a second: the small ones have the commands of busybox, the others
a folder ``/usr`` for the machine's own to be bound on.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.apptainer import BUSYBOX, apptainer
from cluster.job_python import job_python
from cluster.made_once import key_of, made_once
from cluster.slurm_cluster import STATE

# What the images with Python must be given, in the words of apptainer's option --bind.
PYTHON_BINDS: Final = ("/usr:/usr:ro", f"{STATE}/job-python:{STATE}/job-python:ro")

# Of an ELF file: where its machine is written, and the number of 64-bit ARM.
_ELF_MACHINE: Final = 18
_AARCH64: Final = (183).to_bytes(2, "little")

_WORD_FOR_WORD: Final = b'#!/bin/sh\nexec "$@"\n'


@dataclass(frozen=True)
class SmallImages:
    """Images with the commands of busybox, so without Python and bash, and what is wrong with some.

    The two good ones have a runscript that runs the words after the image as they are.
    """

    folder: Path

    @property
    def bare(self) -> Path:
        """An image in one file."""
        return self.folder / "bare.sif"

    @property
    def bare_folder(self) -> Path:
        """The same as a folder."""
        return self.folder / "bare"

    @property
    def foreign(self) -> Path:
        """One for another architecture, arm64."""
        return self.folder / "foreign.sif"

    @property
    def foreign_folder(self) -> Path:
        """The same as a folder: /bin/sh tells of its architecture."""
        return self.folder / "foreign"

    @property
    def truncated(self) -> Path:
        """One whose second half is missing."""
        return self.folder / "truncated.sif"


@dataclass(frozen=True)
class PythonImages:
    """Images with bash, coreutils and the jobs' Python with PyTorch, once PYTHON_BINDS are bound."""

    folder: Path

    @property
    def with_runscript(self) -> Path:
        """It runs the words after the image as they are; its PATH begins with the Python."""
        return self.folder / "python.sif"

    @property
    def without_runscript(self) -> Path:
        """The same, but ``apptainer run`` finds nothing to run."""
        return self.folder / "exec-only.sif"


def small_images() -> SmallImages:
    """The small images, and those that must fail; 7 MB in all."""

    def fill(folder: Path) -> None:
        _write_busybox(folder / "root", BUSYBOX.read_bytes())
        _write_busybox(folder / "root-foreign", _for_arm(BUSYBOX.read_bytes()))
        for name, root in (("bare", "root"), ("foreign", "root-foreign")):
            _build(folder / f"{name}.sif", folder / root)
            _build(folder / name, folder / root, "--sandbox")
            shutil.rmtree(folder / root)
        whole = (folder / "bare.sif").read_bytes()
        (folder / "truncated.sif").write_bytes(whole[: len(whole) // 2])
        _let_all_read(folder)

    return SmallImages(made_once("images", key_of([b"small", *_contents(), BUSYBOX.read_bytes()]), fill))


def python_images() -> PythonImages:
    """The images of the jobs' Python, which is installed if need be; 0.1 MB."""
    python = job_python()

    def fill(folder: Path) -> None:
        root = folder / "root"
        _write_mount_points(root)
        _write(
            root / ".singularity.d/env/90-environment.sh", f'export PATH={python.parent}:"$PATH"\n'.encode()
        )
        _build(folder / "exec-only.sif", root)
        _write(root / ".singularity.d/runscript", _WORD_FOR_WORD)
        _build(folder / "python.sif", root)
        shutil.rmtree(root)
        _let_all_read(folder)

    return PythonImages(made_once("images", key_of([b"python", *_contents(), bytes(python)]), fill))


def _write_busybox(root: Path, program: bytes) -> None:
    _write(root / ".singularity.d/runscript", _WORD_FOR_WORD)
    _write(root / "bin/busybox", program)
    for name in _output(str(BUSYBOX), "--list").split():
        if name != "busybox":
            (root / "bin" / name).symlink_to("busybox")
    _write_accounts(root)


def _write_mount_points(root: Path) -> None:
    """An empty /usr, and what of the machine's own root leads into it or is found from there."""
    (root / "usr").mkdir(parents=True)
    for name in ("bin", "sbin", "lib", "lib64"):
        (root / name).symlink_to(f"usr/{name}")
    shutil.copytree("/etc/alternatives", root / "etc/alternatives", symlinks=True)
    shutil.copy("/etc/nsswitch.conf", root / "etc")
    _write_accounts(root)


def _write_accounts(root: Path) -> None:
    """Empty files, in which Apptainer shows the user's entries; where they are missing, it warns."""
    for name in ("passwd", "group"):
        _write(root / "etc" / name, b"")


def _write(path: Path, contents: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(contents)
    path.chmod(0o755)


def _for_arm(program: bytes) -> bytes:
    return program[:_ELF_MACHINE] + _AARCH64 + program[_ELF_MACHINE + len(_AARCH64) :]


def _build(image: Path, root: Path, *options: str) -> None:
    _output(str(apptainer() / "apptainer"), "--silent", "build", *options, str(image), str(root))


def _let_all_read(folder: Path) -> None:
    _output("chmod", "-R", "a+rX", str(folder))


def _contents() -> tuple[bytes, ...]:
    """What all images depend on: how they are made, and by which Apptainer."""
    return Path(__file__).read_bytes(), _output(str(apptainer() / "apptainer"), "--version").encode()


def _output(*argv: str) -> str:
    # Not root's own home: keys and caches are written there.
    environment = {"PATH": os.environ["PATH"], "HOME": str(STATE)}
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)} failed:\n{done.stderr[-4000:]}")
    return done.stdout
