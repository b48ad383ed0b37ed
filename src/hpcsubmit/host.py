"""Where commands and files live: this machine. Whatever a submission starts is started here."""

import os
import shutil
import signal
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.running import Completed, Running


class CommandTimedOut(HpcSubmitError):
    """A command that gave no answer in time: whether it did its work is not known."""


class Host(NamedTuple):
    """A machine with its environment variables; every effect of a submission passes through here."""

    environ: Mapping[str, str]

    def folder(self) -> Path:
        """Return the current folder, as the user reached it: $PWD keeps the symlinks that getcwd resolves.

        Raises HpcSubmitError where it is gone or may not be read.
        """
        try:
            here = Path.cwd()
            shown = Path(self.environ.get("PWD", ""))
            return shown if shown.is_absolute() and shown.is_dir() and shown.samefile(here) else here
        except OSError as error:
            hint = "cd to your project and try again"
            raise HpcSubmitError(f"the current folder cannot be used: {error.strerror}", hint) from None

    def which(self, program: str) -> str | None:
        """Return the path of a program, or None where the PATH has none."""
        return shutil.which(program, path=self.environ.get("PATH"))

    def run(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        environ: Mapping[str, str] | None = None,
        text: str = "",
    ) -> Completed:
        """Run a command to its end, without a terminal's input, for at most `timeout` seconds.

        text: what it reads instead. It has a process group of its own: a Ctrl-C at the terminal ends
        hpcsubmit, never a half-done sbatch.
        Raises CommandTimedOut, and HpcSubmitError where the program cannot be started.
        """
        source = _unnamed_file(text) if text else None
        try:
            running = Running.start(argv, self.environ if environ is None else environ, source)
        except OSError as error:
            raise self._cannot_start(argv, error) from error
        finally:
            if source is not None:
                os.close(source)
        if not running.wait(timeout):
            raise CommandTimedOut(
                f"{argv[0]} gave no answer within {timeout:g} s",
                "the cluster may be busy or down: try again in a minute",
            )
        return running.completed()

    def run_in_view(self, argv: Sequence[str], *, folder: Path, holding: Sequence[int] = ()) -> int:
        """Run a command in a folder, its output on this process's stderr; return its exit code.

        It shares the terminal, so that Ctrl-C ends it too. holding: open files (locks) that it keeps open for
        as long as it lives. Raises HpcSubmitError where it cannot start.
        """
        import subprocess  # late: for builds alone

        try:
            done = subprocess.run(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=2,
                env=self.environ,
                cwd=folder,
                pass_fds=holding,
                check=False,
            )
        except OSError as error:
            raise self._cannot_start(argv, error) from error
        return done.returncode

    @staticmethod
    def _cannot_start(argv: Sequence[str], error: OSError) -> HpcSubmitError:
        reason = error.strerror or str(error)
        return HpcSubmitError(
            f"{argv[0]} could not be started: {reason}", f"see whether 'command -v {argv[0]}' finds it"
        )


def _unnamed_file(text: str) -> int:
    """Open a file without a name that holds a text: unlike a pipe it takes any length at once."""
    import tempfile  # late: for the few commands that read

    with tempfile.TemporaryFile() as file:
        file.write(text.encode())
        file.seek(0)
        return os.dup(file.fileno())


@contextmanager
def hangups_interrupt() -> Iterator[None]:
    """Let a TERM, and the HUP of a connection that breaks, end a block as Ctrl-C does: it cleans up."""
    signals = (signal.SIGHUP, signal.SIGTERM)
    before = [signal.signal(number, signal.default_int_handler) for number in signals]
    try:
        yield
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def make_folder(path: Path, *, mode: int = 0o777, new: bool = False) -> None:
    """Make a folder and those above it where they are not there yet; raises HpcSubmitError.

    new: whether a folder that is there already is an error.
    """
    try:
        path.mkdir(mode=mode, parents=True, exist_ok=not new)
    except OSError as error:
        raise cannot_write(path, error) from error


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Write a file whole or not at all: under another name first, then renamed. Raises HpcSubmitError."""
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)  # closing it sends it to the server of a network file system
        unfinished.replace(path)
    except OSError as error:
        unfinished.unlink(missing_ok=True)
        raise cannot_write(path, error) from error


def cannot_write(path: Path, error: OSError) -> HpcSubmitError:
    """Turn what the system said of a write into an error with its cure."""
    return HpcSubmitError(
        f"{path} could not be written: {error.strerror or error}",
        "check the space left, your quota and the permissions there, then submit again",
    )
