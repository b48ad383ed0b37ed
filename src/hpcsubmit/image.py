"""Looks at a container's image: whether it is one, how large, and for which machines."""

import os
from collections.abc import Sequence
from pathlib import Path

from hpcsubmit.container import Image, bindable
from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.request import Bind

_MACHINES = {
    b"01": "i686", b"02": "x86_64", b"04": "aarch64", b"05": "ppc64", b"06": "ppc64le", b"11": "s390x",
    b"12": "riscv64",
}  # fmt: skip
"""`uname -m` by the code in the header of a SIF file (sylabs/sif, pkg/sif/arch.go; no 32-bit ARM)."""
_MAGIC = slice(32, 41)
_MACHINE = slice(45, 47)
"""After the launch line of 32 bytes: SIF_MAGIC and a NUL, the version in 3, the machine in 3 (sif.go)."""

_EVERY_MACHINE_HAS_ITS_OWN = ("/tmp", "/var", "/dev", "/run", "/localscratch")  # noqa: S108


def look_at_image(wanted: Path, folder: Path) -> Image:
    """Look at an image file, or at a sandbox folder, relative to folder.

    Raises HpcSubmitError where there is none, where it cannot be read, or is no image.
    """
    path = bindable(Path(os.path.normpath(folder / wanted.expanduser())), "the container image")
    if path.is_dir():
        return _sandbox(path)
    if not path.exists():
        raise HpcSubmitError(f"there is no container image {path}", _nearest(path))
    if path.suffix != ".sif":
        raise HpcSubmitError(
            f"the container image must be a .sif file or a sandbox folder, not {path}",
            f"make one: apptainer build {path.stem}.sif SOURCE",
        )
    try:
        with path.open("rb") as file:
            header = file.read(64)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise HpcSubmitError(
            f"the container image {path} cannot be read: {error.strerror}", "check who may read it: ls -l"
        ) from error
    if header[_MAGIC] != b"SIF_MAGIC":
        raise HpcSubmitError(
            f"{path} is no container image, or only a part of one", "build it, or copy it here, again"
        )
    return Image(path=path, size=size, machine=_MACHINES.get(header[_MACHINE], ""))


def check_binds(binds: Sequence[Bind]) -> None:
    """Raise HpcSubmitError for a source that is missing where this machine can tell.

    A path whose first folder is not here, or is every machine's own, may be there on the nodes; they look.
    """
    for bind in binds:
        bindable(bind.source, "--bind")
        first = Path(*bind.source.parts[:2])
        if first.exists() and str(first) not in _EVERY_MACHINE_HAS_ITS_OWN and not bind.source.exists():
            raise HpcSubmitError(
                f"--bind {bind.source}: there is no such folder or file", _nearest(bind.source)
            )


def _sandbox(path: Path) -> Image:
    if not os.access(path, os.R_OK | os.X_OK):
        raise HpcSubmitError(f"the sandbox folder {path} cannot be read", "check who may read it: ls -ld")
    if not any((path / name).exists() for name in (".singularity.d", "bin", "usr")):
        raise HpcSubmitError(
            f"{path} is a folder, and no container: it holds neither .singularity.d nor bin nor usr",
            "give a .sif file, or a folder made by apptainer build --sandbox",
        )
    return Image(path=path, size=0)


def _nearest(path: Path) -> str:
    try:
        beside = [each.name for each in path.parent.iterdir() if not each.name.startswith(".")]
    except OSError:
        return f"there is no folder {path.parent} either"
    return did_you_mean(path.name, beside) if beside else f"{path.parent} is empty"
