"""The archives of an environment that nodes unpack: whether they are whole."""

from pathlib import Path

from hpcsubmit.environments.layout import archives_of, manifest_of
from hpcsubmit.staging.store import read_manifest


def is_packed(path: Path) -> bool:
    """Whether an environment's list is whole, and every archive that it names is there with its size."""
    manifest = read_manifest(manifest_of(path))
    folder = archives_of(path)
    return manifest is not None and all(_size(folder / each.name) == each.size for each in manifest.archives)


def _size(path: Path) -> int:
    """The bytes of a file, and -1 where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return -1
