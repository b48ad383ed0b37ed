"""A real Apptainer for the users of the test clusters, and whether this machine can run it."""

from __future__ import annotations

import functools
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

from cluster.slurm_cluster import STATE, testcluster, unavailable

# The one program of a small image, linked statically.
BUSYBOX: Final = Path("/bin/busybox")

# As a fake machine does it for its users, see open_fuse in parts/init.sh; 65534 is nobody.
_AS_NOBODY: Final = """
mount -t tmpfs none /mnt && mknod -m 666 /mnt/fuse c 10 229 && mount --bind /mnt/fuse /dev/fuse &&
: <>/dev/fuse && cd / &&
exec setpriv --reuid=65534 --regid=65534 --clear-groups env -i PATH=/usr/bin:/bin HOME=/ "$@"
"""


@functools.cache
def apptainer() -> Path:
    """The folder with ``apptainer`` and ``singularity``, which all machines see; installed if need be."""
    testcluster("apptainer")
    return STATE / "apptainer" / "bin"


@functools.cache
def apptainer_unavailable() -> str | None:
    """Why no ordinary user here can run images, or None when they can; it installs Apptainer and tries."""
    reason = unavailable()
    if reason is not None:
        return reason
    command = apptainer() / "apptainer"
    with tempfile.TemporaryDirectory(dir=STATE) as name:
        _make_root(Path(name))
        argv = ("unshare", "-m", "sh", "-c", _AS_NOBODY, "probe")
        inner = (str(command), "-s", "exec", "--contain", "--no-home", name, "true")
        done = subprocess.run((*argv, *inner), capture_output=True, text=True, timeout=300, check=False)
    if done.returncode != 0:
        return f"Apptainer needs /dev/fuse and the namespaces of ordinary users: {done.stderr.strip()}"
    return None


def _make_root(root: Path) -> None:
    """The least that a container can be: two commands and the folders that something is mounted on."""
    for folder in ("bin", "dev", "etc", "proc", "sys", "tmp", "var", "var/tmp"):
        (root / folder).mkdir()
    for program in ("sh", "true"):
        shutil.copy(BUSYBOX, root / "bin" / program)
    for path in (root, *root.rglob("*")):
        path.chmod(0o755)
