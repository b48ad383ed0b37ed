"""The sets in a store: their names, what is known of each besides its manifest, and how fresh they are."""

import hashlib
import json
import os
from collections.abc import Iterator
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import write_atomically
from hpcsubmit.staging.shards import KEY_DIGITS, VERSION
from hpcsubmit.staging.store import DESCRIPTION, MANIFEST, Store
from hpcsubmit.staging.walk import Scan, scan


class Description(NamedTuple):
    """A set when it was packed.

    mode: how it was asked to be compressed; suffix: how its new archives were: .tar, .tar.gz, .tar.zst, or
    .lean.tar.gz, of which those with few headers are plain.
    files, bytes: of content; created: an aware time; host: where it was packed.
    warnings: what the user should know of the data, a line each.
    """

    paths: tuple[str, ...]
    mode: str
    suffix: str
    files: int
    bytes: int
    created: datetime
    host: str
    warnings: tuple[str, ...] = ()


def manifest_path(found: Scan, store: Store, paths: tuple[str, ...], mode: str) -> Path:
    """Return where the manifest of a set is: named by the data, by their stat, and by the mode."""
    names = "\0".join((str(VERSION), mode, *paths))
    key = hashlib.sha256(os.fsencode(names) + found.fingerprint).hexdigest()[:KEY_DIGITS]
    return store.sets / f"{key}{MANIFEST}"


def write_description(path: Path, description: Description) -> None:
    """Write the description of a set; raises HpcSubmitError."""
    values = description._asdict() | {"created": description.created.astimezone(UTC).isoformat()}
    write_atomically(path, json.dumps(values, indent=2) + "\n")


def read_description(path: Path) -> Description | None:
    """Read the description of a set; None where there is none, or none of ours."""
    try:
        values = json.loads(path.read_bytes())
        return Description(
            tuple(values["paths"]),
            str(values["mode"]),
            str(values["suffix"]),
            int(values["files"]),
            int(values["bytes"]),
            datetime.fromisoformat(values["created"]),
            str(values["host"]),
            tuple(values["warnings"]),
        )
    except (OSError, ValueError, KeyError, TypeError):
        return None


def descriptions(store: Store) -> Iterator[tuple[Path, Description]]:
    """All descriptions in a store, the newest first."""
    found = [
        (path, description)
        for path in store.sets.glob(f"*{DESCRIPTION}")
        if (description := read_description(path))
    ]
    yield from sorted(found, key=lambda each: (each[1].created, each[0]), reverse=True)


class State(Enum):
    """How a packed set and the data that it was made from stand to each other."""

    FRESH = "fresh"
    STALE = "stale"  # the data have changed since
    GONE = "gone"  # the data are not there any more
    DAMAGED = "damaged"  # an archive is not there, or not with its size
    UNREADABLE = "unreadable"  # the data are there and cannot be compared


class PackedSet(NamedTuple):
    """A set in the store. size: bytes of its archives, also of those that other sets name too.

    description: None where its file is lost; archives: their names.
    """

    manifest: Path
    description: Description | None
    archives: tuple[str, ...]
    size: int
    state: State

    @property
    def text(self) -> str:
        """What the set is called in lists: its paths."""
        return ", ".join(self.description.paths) if self.description else self.manifest.stem


def packed_sets(scratch_dir: Path) -> list[PackedSet]:
    """List the sets in a project's store, the newest first, each compared with its data as they are now."""
    store = Store.of(scratch_dir)
    scans: dict[tuple[str, ...], Scan | State] = {}
    found = []
    for path, manifest in store.manifests():
        known = read_description(path.with_suffix(DESCRIPTION))
        if known and known.paths not in scans:
            scans[known.paths] = _look(known.paths, scratch_dir)
        state = State.DAMAGED
        if known and store.is_whole(manifest):
            state = _state(scans[known.paths], store, path, known)
        names = tuple(archive.name for archive in manifest.archives)
        size = sum(archive.size for archive in manifest.archives)
        found.append(PackedSet(path, known, names, size, state))
    return sorted(found, key=_age)


def _age(each: PackedSet) -> tuple[float, Path]:
    return (-each.description.created.timestamp() if each.description else 0.0, each.manifest)


def _look(paths: tuple[str, ...], scratch_dir: Path) -> Scan | State:
    if not all(os.path.lexists(scratch_dir / path) for path in paths):
        return State.GONE
    try:
        return scan(paths, scratch_dir)
    except HpcSubmitError:
        return State.UNREADABLE


def _state(found: Scan | State, store: Store, path: Path, known: Description) -> State:
    if isinstance(found, State):
        return found
    return State.FRESH if manifest_path(found, store, known.paths, known.mode) == path else State.STALE
