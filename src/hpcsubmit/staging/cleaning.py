"""Takes old sets, and the archives that only they name, out of the store.

A submission writes its record, which names a manifest, before it sees whether that is there. So what goes is
moved aside first, then the records are asked once more, and what is needed by now is moved back: whichever of
the two comes first, the submission finds its archives, or finds that it has to pack them.
"""

import os
import shutil
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import make_folder
from hpcsubmit.staging.sets import PackedSet, State, packed_sets
from hpcsubmit.staging.store import DESCRIPTION, MANIFEST, Store, read_manifest

_ASIDE = "removing-"
_LONG = 3600  # seconds without a write after which nobody is at work on a file any more
_OLD = {State.STALE, State.GONE, State.DAMAGED}
_WHY = {
    State.STALE: "the data have changed",
    State.GONE: "the data are gone",
    State.DAMAGED: "damaged",
    State.FRESH: "packed, and as the data are",
    State.UNREADABLE: "the data cannot be read",
}


class OldData(NamedTuple):
    """What may go. text: what it is; paths: its files; size: bytes that this frees; why: a few words."""

    text: str
    paths: tuple[Path, ...]
    size: int
    why: str


def old_generations(scratch_dir: Path, *, needed: Collection[Path], everything: bool) -> list[OldData]:
    """List what may go from a project's store; changes nothing.

    These are sets whose data have changed or are gone (`everything`: all sets), with the archives that no
    other set names, and what was cut short. needed: the manifests of pending and running jobs, which stay.
    """
    store = Store.of(scratch_dir)
    names = {path.name for path in needed}
    sets = packed_sets(scratch_dir)
    going = [each for each in sets if (everything or each.state in _OLD) and each.manifest.name not in names]
    kept = {name for each in sets if each not in going for name in each.archives}
    found = []
    for each in going:
        own = [store.archives / name for name in each.archives if name not in kept]
        kept.update(each.archives)  # two sets that go may name the same ones: they are counted once
        found.append(_old_set(each, own))
    named = {name for each in sets for name in each.archives}
    return found + [each for each in _cut_short(store, named) if each.text not in names]


def remove(
    old: Sequence[OldData], scratch_dir: Path, needed: Callable[[], Collection[Path]]
) -> list[OldData]:
    """Remove what old_generations listed; return what is gone.

    needed: asked once more when all is moved aside; what it names by now is moved back. Raises
    HpcSubmitError where something cannot be moved or removed.
    """
    store = Store.of(scratch_dir)
    if not old:
        return []
    aside = store.folder / f"{_ASIDE}{os.uname().nodename}.{os.getpid()}"
    paths = [path for each in old for path in each.paths]
    with store.locked(lambda: None):
        make_folder(aside, mode=0o700)
        try:
            _take(paths, store, aside, needed)
            back = {path for path in paths if path.exists()}
            shutil.rmtree(aside)
        except OSError as error:
            raise HpcSubmitError(
                f"{error.filename or aside} cannot be removed: {error.strerror}",
                f"check the permissions in {store.folder}, then clean again",
            ) from error
    return [each for each in old if not back.intersection(each.paths)]


def _take(paths: Sequence[Path], store: Store, aside: Path, needed: Callable[[], Collection[Path]]) -> None:
    """Move files aside, and back what is needed; all of them where nobody can tell what is."""
    try:
        for path in sorted(paths, key=lambda path: path.parent != store.sets):  # manifests first
            with suppress(FileNotFoundError):
                path.rename(aside / path.name)
        names = {path.name for path in needed()}
    except BaseException:
        for path in paths:
            _put(aside / path.name, path.parent)
        with suppress(OSError):
            aside.rmdir()
        raise
    earlier = [path for path in aside.iterdir() if path.name.startswith(_ASIDE)]
    for folder in (aside, *earlier):
        _move_back(folder, store, names)


def _old_set(each: PackedSet, own: list[Path]) -> OldData:
    paths = (each.manifest, each.manifest.with_suffix(DESCRIPTION), *own)
    return OldData(each.text, paths, sum(map(_size, own)), _WHY[each.state])


def _cut_short(store: Store, named: Collection[str]) -> Iterator[OldData]:
    """What packing or cleaning left when it was killed; nothing while anybody may still be at work."""
    unfinished = list(_files(store.unfinished))
    leftovers = [path for path in _files(store.folder) if path.name.startswith(_ASIDE)]
    for path in (*unfinished, *leftovers):
        if _is_left(path):
            yield OldData(path.name, (path,), _size(path), "cut short")
    if all(map(_is_left, unfinished)):
        for path in _files(store.archives):
            if path.name not in named and _is_left(path):
                yield OldData(path.name, (path,), _size(path), "no set names it")
        for path in _files(store.sets):
            if read_manifest(path.with_suffix(MANIFEST)) is None and _is_left(path):
                yield OldData(path.name, (path,), _size(path), "cut short")


def _files(folder: Path) -> Iterable[Path]:
    with suppress(OSError):
        return sorted(folder.iterdir())
    return ()


def _is_left(path: Path) -> bool:
    """Whether nobody has written to a file for long."""
    try:
        return path.stat().st_mtime < time.time() - _LONG
    except OSError:
        return False


def _size(path: Path) -> int:
    if path.is_dir():
        return sum(map(_size, _files(path)))
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _move_back(aside: Path, store: Store, needed: Collection[str]) -> None:
    """Move back the sets that are needed, and all archives that a set in the store names."""
    wanted = {archive.name for _, manifest in store.manifests() for archive in manifest.archives}
    sets = [path for path in aside.glob(f"*{MANIFEST}") if path.name in needed]
    for path in sets:
        manifest = read_manifest(path)
        wanted |= {archive.name for archive in manifest.archives} if manifest else set()
    for path in aside.iterdir():
        if path.name in wanted:
            _put(path, store.archives)
    for path in sets:  # last: a set is there once its manifest is
        _put(path.with_suffix(DESCRIPTION), store.sets)
        _put(path, store.sets)


def _put(path: Path, folder: Path) -> None:
    """Move a file back, unless it has been made anew meanwhile."""
    if path.exists() and not (folder / path.name).exists():
        path.rename(folder / path.name)
