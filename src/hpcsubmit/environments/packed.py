"""The archives of an environment that nodes unpack: whether they are whole."""

from pathlib import Path

from hpcsubmit.environments.layout import archives_of, manifest_of
from hpcsubmit.staging.store import is_whole, read_manifest


def is_packed(path: Path) -> bool:
    """Whether an environment's list is whole, and every archive that it names is there with its size."""
    manifest = read_manifest(manifest_of(path))
    return manifest is not None and is_whole(archives_of(path), manifest)
