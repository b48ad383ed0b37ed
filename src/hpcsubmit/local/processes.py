"""Starting processes, and finding and ending all that descend from this one."""

import ctypes
import errno
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_HIGHEST_FILE = 1024
_PROC_STAT = Path("/proc/self/stat")
_KILL_SECONDS = 30.0  # after a KILL: a process that waits for a broken disk can't end


def start(
    argv: Sequence[str],
    environment: Mapping[str, str],
    *,
    files: Sequence[int],
    pid_variable: str = "",
    dies_with_us: bool = False,
) -> int:
    """Starts a program in a session of its own and returns its process id.

    files: what the program finds as file 0, 1, 2 and so on; everything else is closed. pid_variable: an
    environment variable that is to hold its process id. dies_with_us: KILL it when this process ends (Linux).
    A program that can't be started exits with the error's number, as under slurmstepd.
    """
    return _fork(lambda: _become(argv, environment, files, pid_variable, dies_with_us=dies_with_us))


def branch(work: Callable[[], int], *, files: Sequence[int]) -> int:
    """Starts a copy of this process that does some work and exits with what it returns; returns its id.

    It is in a session of its own, and has the files as `start` says. All signals wait until it makes a
    SignalInbox, so that none is lost.
    """
    return _fork(lambda: _work(work, files))


def _fork(child: Callable[[], NoReturn]) -> int:
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    pid = os.fork()
    if pid == 0:
        child()
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    return pid


def _work(work: Callable[[], int], files: Sequence[int]) -> NoReturn:
    code = 1
    try:
        _move_out(files)
        code = work()
    except BaseException:  # noqa: BLE001 - a copy must not go on with what its original was doing
        sys.excepthook(*sys.exc_info())
    finally:
        sys.stderr.flush()
        os._exit(code)


def _become(
    argv: Sequence[str],
    environment: Mapping[str, str],
    files: Sequence[int],
    pid_variable: str,
    *,
    dies_with_us: bool,
) -> NoReturn:
    code = 126
    try:
        _move_out(files)
        if dies_with_us:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        own = {pid_variable: str(os.getpid())} if pid_variable else {}
        signal.pthread_sigmask(signal.SIG_SETMASK, ())
        os.execvpe(argv[0], list(argv), {**environment, **own})  # noqa: S606
    except OSError as error:
        os.write(2, f"slurmstepd: error: execve(): {argv[0]}: {os.strerror(error.errno or 0)}\n".encode())
        code = error.errno or code
    finally:
        os._exit(code)


def _move_out(files: Sequence[int]) -> None:
    """Away from the parent: its signal handlers, its session and its files, all but these."""
    _forget_signals()
    os.setsid()
    for number, fd in enumerate([fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 64) for fd in files]):
        os.dup2(fd, number)
    os.closerange(len(files), _HIGHEST_FILE)


def _forget_signals() -> None:
    """A program begins with no signal caught or ignored, whatever Python or the shell did about them."""
    signal.set_wakeup_fd(-1)
    for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
        if signal.getsignal(number) is not signal.SIG_DFL:
            signal.signal(number, signal.SIG_DFL)


def reap() -> dict[int, int]:
    """The wait status of every child that has ended, by process id."""
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def send(pids: Collection[int], number: signal.Signals) -> None:
    """Sends a signal to all of them; those that are gone are no error."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):  # gone; or a setuid program, which only root may end
            continue


def children(pid: int) -> list[int]:
    """The living children of a process."""
    return [row.pid for row in _table() if row.parent == pid and row.alive]


@dataclass(frozen=True, slots=True)
class Tree:
    """All living processes that descend from this one.

    On Linux orphans become this process's children (it is their subreaper), so none gets lost by making a
    session of its own. Elsewhere process groups that were seen once stand in for lost parents.
    spare: roots of subtrees that don't belong to it, asked anew each time: a job may submit another job.
    """

    spare: Callable[[], Collection[int]]
    adopts: bool
    groups: set[int] = field(default_factory=set)

    @classmethod
    def adopt(cls, spare: Callable[[], Collection[int]]) -> "Tree":
        """Makes this process the one that orphans below it go to, where the system can do that."""
        return cls(spare, _prctl(_PR_SET_CHILD_SUBREAPER, 1))

    def left(self) -> set[int]:
        """Process ids of what is left of the tree, this process left out."""
        spared = set(self.spare())
        rows = [row for row in _table() if row.pid not in spared]
        found, front = {os.getpid()}, {os.getpid()}
        while front:
            front = {row.pid for row in rows if row.parent in front} - found
            found |= front
        members = [row for row in rows if row.pid in found]
        if not self.adopts:
            self.groups.update({row.group for row in members} - {os.getpgrp()})
            members += [row for row in rows if row.group in self.groups]
        return {row.pid for row in members if row.alive} - {os.getpid()}

    def kill(self) -> set[int]:
        """Kills until nothing is left, for they may be starting more; returns what can't be ended."""
        deadline = time.monotonic() + _KILL_SECONDS
        while (left := self.left()) and time.monotonic() < deadline:
            send(left, signal.SIGKILL)
            reap()
            time.sleep(0.005)
        return left


@dataclass(frozen=True, slots=True)
class _Row:
    """One line of the process table. alive: it is no zombie."""

    pid: int
    parent: int
    group: int
    alive: bool


def _table() -> list[_Row]:
    if _PROC_STAT.exists():
        rows = [_proc_row(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]
        return [row for row in rows if row is not None]
    return _ps_table()


def _proc_row(pid: str) -> _Row | None:
    try:
        stat = Path("/proc", pid, "stat").read_bytes()
    except OSError as error:
        if error.errno in (errno.ENOENT, errno.ESRCH):
            return None
        raise
    state, parent, group = stat.rpartition(b")")[2].split()[:3]  # the name before it may hold anything
    return _Row(int(pid), int(parent), int(group), state not in (b"Z", b"X"))


def _ps_table() -> list[_Row]:
    # One -o each: where ps follows POSIX, a header's text reaches to the end of its argument.
    argv = ("/bin/ps", "-A", "-o", "pid=", "-o", "ppid=", "-o", "pgid=", "-o", "stat=")
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as ps:
        lines = [line.split() for line in ps.communicate()[0].splitlines()]
    rows = [
        _Row(int(pid), int(parent), int(group), not stat.startswith("Z"))
        for pid, parent, group, stat in lines
    ]
    return [row for row in rows if row.pid != ps.pid]


def _prctl(option: int, value: int) -> bool:
    return sys.platform == "linux" and bool(ctypes.CDLL(None).prctl(option, value, 0, 0, 0) == 0)
