"""What `--data` names: paths below scratch_dir, checked before anything is read or made."""

import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.values import nearest_path

OWN = "hpcsubmit"
"""The folder below scratch_dir with the records and the archives."""
_OTHER_THAN_SEEN = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENXIO,
    errno.ESTALE,
}
"""What the system says where something else has taken a file's or a folder's place."""

_INSIDE = {"\n": "a newline", "\r": "a line end", "\\": "a backslash", "\x00": "a NUL"}


def find_data(words: Iterable[str], scratch_dir: Path) -> tuple[str, ...]:
    """Return the paths that words name, relative to scratch_dir: in order, each once, none inside another.

    A word with blanks is one path where there is such a path, and a list of paths otherwise. A named path may
    be a symlink, or lie behind one: what it leads to appears at the path that was named.
    Raises UsageError for a word that can never be right and HpcSubmitError for what is not there, leads out
    of scratch_dir, cannot be read, or is hpcsubmit's own.
    """
    found = sorted({path for word in words for path in _paths_of(word, scratch_dir)})
    for path in found:
        _check_place(path, scratch_dir)
        _check_readable(scratch_dir / path)
    kept: list[str] = []
    for path in found:
        outer = next((other for other in kept if path.startswith(f"{other}/")), None)
        if outer is None:
            kept.append(path)
        else:
            _check_reached(path, outer, scratch_dir)
    return tuple(kept)


def _paths_of(word: str, scratch_dir: Path) -> Iterator[str]:
    """The normalised paths of one word of the command line."""
    inside = next((_INSIDE[letter] for letter in word if letter in _INSIDE), None)
    if not inside and any("\ud800" <= letter <= "\udfff" for letter in word):
        inside = "bytes that are not UTF-8"
    if inside:
        raise UsageError(f"--data {word!r} holds {inside}", "rename the folder or file, then name it anew")
    blanks = len(word.split()) != 1
    one = not blanks or (bool(word.strip()) and os.path.lexists(scratch_dir / word))
    for path in (word,) if one else word.split():
        yield _normal(path, scratch_dir)
    if not word.strip():
        raise UsageError("--data names no path", f"name folders or files in {scratch_dir}")


def _normal(path: str, scratch_dir: Path) -> str:
    if path.startswith("/"):
        inside = os.path.relpath(path, scratch_dir)
        cure = f"write {inside}" if not inside.startswith("..") else f"move or copy the data to {scratch_dir}"
        raise UsageError(
            f"--data {path!r} is an absolute path", f"--data takes paths relative to {scratch_dir}: {cure}"
        )
    normal = os.path.normpath(path)
    if normal == ".." or normal.startswith("../"):
        raise UsageError(
            f"--data {path!r} leads out of {scratch_dir}",
            f"move or copy the data to {scratch_dir} and name them by their path in it",
        )
    if normal == ".":
        raise UsageError(
            f"--data {path!r} is all of {scratch_dir}, with hpcsubmit's own records",
            "name the folders and files in it that the job reads",
        )
    return normal


def _check_place(path: str, scratch_dir: Path) -> None:
    """See that a path is there, in scratch_dir after all symlinks, and apart from what is ours."""
    scratch = os.path.realpath(scratch_dir)
    try:
        real = os.path.realpath(scratch_dir / path, strict=True)
    except OSError as error:
        missing = isinstance(error, FileNotFoundError | NotADirectoryError)
        reason = "does not exist" if missing else f"cannot be read ({error.strerror})"
        near = nearest_path(scratch_dir / path) if missing else None
        meant = f"did you mean {near.relative_to(scratch_dir)}? Otherwise " if near else ""
        raise HpcSubmitError(
            f"--data {path!r} {reason} in {scratch_dir}",
            f"{meant}move or copy the data to {scratch_dir / path}",
        ) from None
    own = os.path.join(scratch, OWN)  # noqa: PTH118  # texts are compared here
    if _holds(own, real) or _holds(real, own) or _holds(OWN, path):
        raise HpcSubmitError(
            f"--data {path!r} holds hpcsubmit's own records and archives",
            f"name the folders and files in {scratch_dir} that the job reads",
        )
    if not _holds(scratch, real):
        raise HpcSubmitError(
            f"--data {path!r} leads out of {scratch_dir}, to {real}",
            f"move or copy the data to {scratch_dir / path}",
        )


def _holds(outer: str, inner: str) -> bool:
    return inner == outer or inner.startswith(f"{outer}/")


def _check_readable(path: Path) -> None:
    wanted = os.R_OK | (os.X_OK if path.is_dir() else 0)
    if not os.access(path, wanted):
        raise unreadable(str(path), os.strerror(errno.EACCES))


def _check_reached(path: str, outer: str, scratch_dir: Path) -> None:
    """See that a path inside another named one is there without a symlink: those inside stay symlinks."""
    behind = os.path.realpath(scratch_dir / path)
    if behind != os.path.realpath(scratch_dir / outer) + path[len(outer) :]:
        raise HpcSubmitError(
            f"--data {path!r} lies behind a symlink inside {outer!r}, and symlinks inside stay symlinks",
            f"name what it leads to instead: {os.path.relpath(behind, os.path.realpath(scratch_dir))}",
        )


def cannot_read(path: str, error: OSError) -> HpcSubmitError:
    """Turn what the system said of data that a scan saw, or is about to see, into an error with its cure."""
    return (
        changes(path) if error.errno in _OTHER_THAN_SEEN else unreadable(path, error.strerror or str(error))
    )


def unreadable(path: str, reason: str) -> HpcSubmitError:
    """Return the error for data that this user may not read."""
    return HpcSubmitError(
        f"{shown(path)} cannot be read: {reason}", "chmod u+rX what is yours, or move it out of the data"
    )


def changes(path: str) -> HpcSubmitError:
    """Return the error for data that are written while they are read."""
    return HpcSubmitError(
        f"{shown(path)} changes while it is read", "wait until what writes it has ended, then submit again"
    )


def shown(path: str) -> str:
    """Return a path as a message shows it, in one line: files in the data may have any name."""
    return path if path.isprintable() else repr(path)
