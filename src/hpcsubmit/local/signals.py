"""Signals as data: they wait to be asked for and interrupt nothing."""

import os
import select
import signal
from collections.abc import Collection
from types import FrameType

CANCEL = signal.SIGTERM  # to a job's runner: end the job
FORWARDED = (  # by srun, to all of its tasks
    signal.SIGTERM,
    signal.SIGINT,
    signal.SIGQUIT,
    signal.SIGHUP,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
)


class SignalInbox:
    """Collects the named signals, and SIGCHLD, from now until the process ends. One per process."""

    def __init__(self, signals: Collection[signal.Signals]) -> None:
        self._reader, writer = os.pipe()
        os.set_blocking(self._reader, False)
        os.set_blocking(writer, False)
        signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
        for number in {*signals, signal.SIGCHLD}:
            signal.signal(number, _noted)
        signal.pthread_sigmask(signal.SIG_SETMASK, ())  # those that a copy of a runner was begun without

    def wait(
        self, seconds: float | None, files: Collection[int] = ()
    ) -> tuple[list[signal.Signals], list[int]]:
        """Waits until a signal arrives, a file can be read or the time is over (None: for ever).

        Returns the signals, SIGCHLD left out, and those of the files that can be read.
        """
        readable, _, _ = select.select([self._reader, *files], [], [], seconds)
        arrived = []
        if self._reader in readable:
            readable.remove(self._reader)
            arrived = [signal.Signals(number) for number in os.read(self._reader, 4096)]
        return [number for number in arrived if number is not signal.SIGCHLD], readable


def _noted(number: int, frame: FrameType | None) -> None:
    """Does nothing: Python itself has written the number to the wakeup file."""
