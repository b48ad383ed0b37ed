"""Whose processes are whose."""

import os
import pwd
from collections.abc import Iterable
from functools import cache

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host

TIMEOUT = 10.0


def user_names(pids: Iterable[int], host: Host) -> dict[int, str]:
    """Return the users of processes; one that has ended, or is another container's, is left out."""
    asked = set(pids)
    found = {pid: uid for pid in asked if (uid := _owner(pid)) is not None}
    return {pid: _name(uid) for pid, uid in (found | _ask_ps(asked - set(found), host)).items()}


def _owner(pid: int) -> int | None:
    try:
        return os.stat(f"/proc/{pid}").st_uid  # noqa: PTH116 - a number, not a path of ours
    except OSError:
        return None


def _ask_ps(pids: set[int], host: Host) -> dict[int, int]:
    """The users' numbers by ps, which knows processes where there is no /proc."""
    if not pids or host.which("ps") is None:
        return {}
    try:
        argv = ("ps", "-o", "pid=", "-o", "uid=", "-p", ",".join(map(str, sorted(pids))))
        done = host.run(argv, timeout=TIMEOUT)
    except HpcSubmitError:
        return {}
    rows = (line.split() for line in done.stdout.splitlines())
    return {int(row[0]): int(row[1]) for row in rows if len(row) == 2 and all(map(str.isdecimal, row))}


@cache
def _name(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # a number that no name was given to
        return str(uid)
