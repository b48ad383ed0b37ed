"""Data as they stand when they are looked at, and whether they are packed already."""

import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.staging.paths import cannot_read, find_data, shown
from hpcsubmit.staging.sample import check_tool
from hpcsubmit.staging.sets import descriptions, manifest_path, read_description
from hpcsubmit.staging.shards import Shard, cut
from hpcsubmit.staging.store import DESCRIPTION, Store, read_manifest
from hpcsubmit.staging.suffixes import LEAN, PLAIN, suffix_of
from hpcsubmit.staging.walk import (
    FILE,
    FOLDER,
    FORMAT,
    SYMLINK,
    Scan,
    join,
    scan,
    settled_scan,
    without_collector,
)

_DISK_BLOCK = 4096  # bytes that a file's last block takes on a node's disk, and a folder or symlink at most
_SHOWN = 3
_KINDS = {FILE, FOLDER, SYMLINK}
_SETTLED = {"none": PLAIN, "headers": LEAN}  # modes that no sample decides about


class ToPack(NamedTuple):
    """What is to be written at most: archives, of how many in all, and bytes before they are compressed."""

    archives: int
    of: int
    bytes: int


class Snapshot(NamedTuple):
    """Data at one time.

    paths: relative to scratch_dir, normalised; mode: how they are to be compressed, as asked for.
    manifest: the file that names the archives, once they are packed.
    files, bytes: of content; room_kib, inodes: what they take on a node's disk.
    warnings: what the user should know, a line each.
    fresh: whether they are packed, as they are now; to_pack: what has to be written otherwise.
    sizes: bytes of each archive; those before it is compressed where it is yet to be packed.
    shards: what packing needs. suffix: of the archives, None where a sample has yet to tell how to compress.
    """

    paths: tuple[str, ...]
    scratch_dir: Path
    mode: str
    compressors: tuple[str, ...]
    manifest: Path
    files: int
    bytes: int
    room_kib: int
    inodes: int
    warnings: tuple[str, ...]
    fresh: bool
    to_pack: ToPack
    sizes: tuple[int, ...]
    shards: tuple[Shard, ...] = ()
    suffix: str | None = None


def look(
    words: Iterable[str], scratch_dir: Path, *, compress: str, compressors: Sequence[str], host: Host
) -> Snapshot:
    """Look at the data that words of --data name; changes nothing, and reads no content.

    compress: what --data-compress takes; compressors: what the cluster's nodes unpack (the profile's).
    Raises HpcSubmitError for words that name no data (see find_data), for a compressor that is not here but
    needed, and for data that cannot be packed, or change.
    """
    paths = find_data(words, scratch_dir)
    snapshot = look_at(paths, scratch_dir, compress=compress, compressors=tuple(sorted(compressors)))
    if not snapshot.fresh:
        check_tool(compress, compressors, host)
    return snapshot


def look_at(
    paths: tuple[str, ...], scratch_dir: Path, *, compress: str, compressors: tuple[str, ...]
) -> Snapshot:
    """Look at the data of some paths, as find_data gives them. Raises HpcSubmitError as look does."""
    mode = f"{compress}:{','.join(compressors)}" if compress == "auto" else compress
    store = Store.of(scratch_dir)
    began = time.time_ns()
    with without_collector():
        found = scan(paths, scratch_dir)
        if packed := _packed(found, store, paths, mode, compressors):
            return packed
        return _unpacked(settled_scan(found, began), store, paths, mode, compressors)


def _packed(
    found: Scan, store: Store, paths: tuple[str, ...], mode: str, compressors: tuple[str, ...]
) -> Snapshot | None:
    """The snapshot of a set that is there and whole: all that is to tell of it is written down."""
    path = manifest_path(found, store, paths, mode)
    manifest = read_manifest(path)
    if manifest is None or not store.is_whole(manifest):
        return None
    known = read_description(path.with_suffix(DESCRIPTION))
    if known is None:
        return None
    return Snapshot(
        paths,
        found.scratch_dir,
        mode,
        compressors,
        path,
        known.files,
        known.bytes,
        manifest.room_kib,
        manifest.inodes,
        known.warnings,
        fresh=True,
        to_pack=ToPack(0, len(manifest.archives), 0),
        sizes=tuple(archive.size for archive in manifest.archives),
        suffix=known.suffix,
    )


def _unpacked(
    found: Scan, store: Store, paths: tuple[str, ...], mode: str, compressors: tuple[str, ...]
) -> Snapshot:
    every = [facts for _, rows in (*found.named, *found.folders) for _, facts in rows]
    kinds = {facts[0] & FORMAT for facts in every}
    if not kinds <= _KINDS:
        raise _not_of_a_kind(found)
    shards = cut(found)
    suffix = _known_suffix(store, paths, mode, shards)
    sizes = known_sizes(store)
    missing = [shard for shard in shards if suffix is None or not is_there(store, shard, suffix, sizes)]
    files = [facts[1] for facts in every if facts[0] & FORMAT == FILE]
    others = len(found.parents) + len(every) - len(files)
    blocks = others + sum([-(-size // _DISK_BLOCK) for size in files])
    return Snapshot(
        paths,
        found.scratch_dir,
        mode,
        compressors,
        manifest_path(found, store, paths, mode),
        len(files),
        sum(files),
        blocks * _DISK_BLOCK // 1024,
        others + len(files),
        tuple(_warnings(found, paths)) if SYMLINK in kinds else (),
        fresh=False,
        to_pack=ToPack(len(missing), len(shards), sum(shard.size for shard in missing)),
        sizes=tuple(shard.size for shard in shards),
        shards=shards,
        suffix=suffix,
    )


def _not_of_a_kind(found: Scan) -> HpcSubmitError:
    """Return the error for the first of what is neither file nor folder nor symlink."""
    folder, name = next(
        (folder, name)
        for folder, rows in (*found.named, *found.folders)
        for name, facts in rows
        if facts[0] & FORMAT not in _KINDS
    )
    path = shown(str(found.scratch_dir / join(folder, name)))
    return HpcSubmitError(
        f"{path} is neither a file nor a folder nor a symlink",
        "remove it (a socket, pipe or device), or move it out of the data",
    )


def _known_suffix(store: Store, paths: tuple[str, ...], mode: str, shards: Sequence[Shard]) -> str | None:
    """How the archives of these data were compressed the last time, where most of them are still right."""
    if mode in _SETTLED:
        return _SETTLED[mode]
    for _, known in descriptions(store):
        if (known.paths, known.mode) == (paths, mode):
            there = sum(store.size(shard.key + suffix_of(shard, known.suffix)) >= 0 for shard in shards)
            return known.suffix if 2 * there >= len(shards) else None
    return None


def known_sizes(store: Store) -> Mapping[str, int]:
    """Return what manifests say of the sizes of archives: it tells those that were cut short later."""
    return {archive.name: archive.size for _, manifest in store.manifests() for archive in manifest.archives}


def is_there(store: Store, shard: Shard, suffix: str, sizes: Mapping[str, int]) -> bool:
    """Whether an archive is there with its right size: known before, but for compressed ones."""
    own = suffix_of(shard, suffix)
    name = shard.key + own
    size = store.size(name)
    return size == (shard.size if own == PLAIN else sizes.get(name, max(size, 1)))


def _warnings(found: Scan, paths: tuple[str, ...]) -> Iterator[str]:
    """Tell of symlinks that lead to what is not among the data."""
    outside = []
    for folder, rows in found.folders:
        for name, facts in rows:
            if facts[0] & FORMAT == SYMLINK and _leads_out(found.scratch_dir, folder, name, paths):
                outside.append(join(folder, name))
    if outside:
        more = f" and {len(outside) - _SHOWN} more" if len(outside) > _SHOWN else ""
        names = ", ".join(map(repr, outside[:_SHOWN]))
        lead = "symlink leads" if len(outside) == 1 else "symlinks lead"
        yield f"{len(outside)} {lead} out of the data that every node gets: {names}{more}"


def _leads_out(scratch_dir: Path, folder: str, name: str, paths: tuple[str, ...]) -> bool:
    try:
        target = os.readlink(f"{scratch_dir}/{folder}/{name}")  # noqa: PTH115  # kept as it stands
    except OSError as error:
        raise cannot_read(str(scratch_dir / folder / name), error) from error
    reached = os.path.normpath(f"{folder}/{target}")
    return target.startswith("/") or not any(f"{reached}/".startswith(f"{path}/") for path in paths)
