"""Looks at a container's image: whether it is one, how large, and for which machines."""

import os
import re
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

from hpcsubmit.container import Image, bindable, engine_names
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.profile import Profile
from hpcsubmit.request import Bind
from hpcsubmit.values import nearest_path

_MACHINES = {
    b"02": "x86_64", b"04": "aarch64", b"05": "ppc64", b"06": "ppc64le", b"11": "s390x",
    b"12": "riscv64",
}  # fmt: skip
"""`uname -m` by the code in the header of a SIF file (sylabs/sif, pkg/sif/arch.go): without those of 32 bits,
which other machines can run."""
_HEADER = 128
_MAGIC, _MACHINE, _DATA = slice(32, 41), slice(45, 47), (112, 120)
"""Of the header: SIF_MAGIC, the machine, and where its data begin and how long they are (sif.go)."""

_EVERY_MACHINE_HAS_ITS_OWN = ("/tmp", "/var", "/dev", "/run", "/localscratch")  # noqa: S108


def look_at_image(wanted: Path, folder: Path) -> Image:
    """Look at an image file, or at a sandbox folder, relative to folder.

    Raises HpcSubmitError where there is none, where it cannot be read, or is no image.
    """
    if source := re.match(r"(docker|oras|library|shub|https?):/+", str(wanted)):
        where = f"{source[1]}://{str(wanted)[source.end() :]}"
        name = wanted.name.partition(":")[0].removesuffix(".sif")
        raise HpcSubmitError(
            f"the container image must lie on the cluster, and {where} does not",
            f"fetch it once: apptainer pull {name}.sif {where}",
        )
    expanded = os.path.expanduser(wanted)  # noqa: PTH111 - Path's raises where there is no such user
    path = bindable(Path(os.path.normpath(folder / expanded)), "the container image")
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError) as error:
        raise HpcSubmitError(f"there is no container image {path}", _nearest(path)) from error
    except OSError as error:
        raise _unreadable(path, error) from error
    if stat.S_ISDIR(found.st_mode):
        return _sandbox(path)
    if path.suffix != ".sif" or not stat.S_ISREG(found.st_mode):
        raise HpcSubmitError(
            f"the container image must be a .sif file or a sandbox folder, not {path}",
            f"make one: apptainer build {path.stem}.sif SOURCE",
        )
    return _sif(path)


def check_binds(binds: Sequence[Bind], profile: Profile) -> None:
    """Raise HpcSubmitError for what cannot be mounted, and for a source that is known here to be missing.

    A path whose first folder is not here, or is every machine's own, may be there on the nodes; they look.
    So may one below the profile's node_local_base. Where the job runs here, all are to be here.
    """
    own = (*_EVERY_MACHINE_HAS_ITS_OWN, profile.node_local_base)
    for bind in binds:
        bindable(bind.source, "--bind")
        bindable(Path(bind.target), "--bind")
        elsewhere = any(map(bind.source.is_relative_to, own)) or not Path(*bind.source.parts[:2]).exists()
        if elsewhere and profile.scheduler != "local":
            continue
        try:
            bind.source.stat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise HpcSubmitError(
                f"--bind {bind.source}: there is no such folder or file", _nearest(bind.source)
            ) from error
        except OSError as error:
            raise _unreadable(bind.source, error, "--bind") from error


def check_this_machine(image: Image, profile: Profile, which: Callable[[str], str | None]) -> None:
    """Raise HpcSubmitError where a job of this machine itself cannot start an image.

    which: finds a program on the PATH. Modules and a folder of the profile's may bring the engine later.
    """
    here = os.uname().machine
    if image.machine not in ("", here):
        raise HpcSubmitError(
            f"{image.path} is for {image.machine}, and this machine is {here}",
            "build the image on a machine like this one",
        )
    names = engine_names(profile)
    if not (profile.modules or profile.container_modules or profile.container_path or any(map(which, names))):
        raise HpcSubmitError(
            f"there is no {' or '.join(names)}, and the job runs on this machine",
            f"put one on the PATH, or set 'container_engine' in the profile '{profile.name}' to its path",
        )


def _sif(path: Path) -> Image:
    try:
        with path.open("rb") as file:
            header = file.read(_HEADER)
            size = os.fstat(file.fileno()).st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if len(header) < _HEADER or header[_MAGIC] != b"SIF_MAGIC":
        raise HpcSubmitError(f"{path} is no container image", "build it, or copy it here, again")
    whole = sum(int.from_bytes(header[at : at + 8], "little", signed=True) for at in _DATA)
    if size < whole:
        raise HpcSubmitError(
            f"{path} is only a part of an image: {size} of {whole} bytes", "build it, or copy it here, again"
        )
    return Image(path=path, size=size, machine=_MACHINES.get(header[_MACHINE], ""))


def _sandbox(path: Path) -> Image:
    if not os.access(path, os.R_OK | os.X_OK):
        raise HpcSubmitError(f"the sandbox folder {path} cannot be read", f"check who may: ls -ld {path}")
    if not any((path / name).exists() for name in (".singularity.d", "bin", "usr")):
        raise HpcSubmitError(
            f"{path} is a folder, and no container: it holds neither .singularity.d nor bin nor usr",
            "give a .sif file, or a folder made by apptainer build --sandbox",
        )
    return Image(path=path, size=0)


def _unreadable(path: Path, error: OSError, what: str = "the container image") -> HpcSubmitError:
    return HpcSubmitError(f"{what} {path} cannot be read: {error.strerror}", f"check who may: ls -ld {path}")


def _nearest(path: Path) -> str:
    near = nearest_path(path)
    return f"did you mean {near}?" if near else f"see what there is: ls {path.parent}"
