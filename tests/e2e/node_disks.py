"""What lies below a folder, in a form that two folders can be compared in; and data that are hard to copy."""

import hashlib
import os
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from e2e.desk import USER, Desk


class Entry(NamedTuple):
    """One entry: its type and mode, its time in nanoseconds, and its content or target."""

    mode: int
    mtime_ns: int
    content: bytes


def tree(folder: Path) -> dict[str, Entry]:
    """Every entry below a folder, by its path; bytes that are not UTF-8 are surrogates."""
    found = {}
    for path in folder.rglob("*"):
        facts = path.lstat()
        found[str(path.relative_to(folder))] = Entry(facts.st_mode, facts.st_mtime_ns, _content(path, facts))
    return found


def _content(path: Path, facts: os.stat_result) -> bytes:
    if stat.S_ISLNK(facts.st_mode):
        return os.fsencode(path.readlink())
    if stat.S_ISDIR(facts.st_mode):
        return b""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


def write_data(desk: Desk, name: str, files: int = 40) -> Path:
    """A data set with every kind of entry that is legal, owned by the user."""
    top = desk.scratch(name)
    (top / "many").mkdir(parents=True)
    for number in range(files):
        (top / "many" / f"{number:04}.bin").write_bytes(os.urandom(3000 + number))
    (top / "empty folder").mkdir()
    (top / "read only").mkdir()
    awkward = ("two words", "line\nbreak", "-rf", "'quoted' \"twice\"", "$HOME", "*", "ünïcode", "a" * 200)
    for word in awkward:
        (top / "read only" / word).write_text(word)
    (top / os.fsdecode(b"not \xff\xfe UTF-8")).write_text("x")
    (top / "link").symlink_to("many/0001.bin")
    (top / "dangling").symlink_to("nowhere at all")
    (top / "program").write_text("#!/bin/sh\n")
    (top / "empty").touch()
    os.utime(top / "empty", ns=(1, 123456789_987654321))
    (top / "big").write_bytes(os.urandom(1 << 20) * 3)
    _own(desk.scratch())
    (top / "program").chmod(0o750)
    (top / "read only" / "*").chmod(0o400)
    (top / "read only").chmod(0o555)
    (top / "many").chmod(0o2770)
    return top


def _own(folder: Path) -> None:
    subprocess.run(["chown", "-hR", f"{USER}:", str(folder)], check=True, timeout=60)
