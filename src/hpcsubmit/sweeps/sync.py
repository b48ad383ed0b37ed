"""Uploads what trials logged with wandb offline: by `wandb sync`, a folder at a time, several at once."""

import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.host import CommandTimedOut, Host, cannot_write
from hpcsubmit.sweeps.asking import ask, environ_with_key, python_with_wandb
from hpcsubmit.sweeps.offline_runs import Done, OfflineRun

AT_ONCE = 4
"""Uploads side by side: each waits for the server most of its time."""
PATIENCE = 2 * 3600.0
"""Seconds for one folder, which may hold large files."""
_RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "8",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "15",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "40",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "15",
}
"""About 2 minutes until a run's upload gives up before it begins, and 10 once it has begun."""
_SHOWN = 300
"""Characters of what wandb says that are shown."""


class Outcome(StrEnum):
    """What became of an upload."""

    UPLOADED = "uploaded"
    DAMAGED = "damaged"
    FAILED = "failed"


class Upload(NamedTuple):
    """The end of one upload. note: what is to be said of it, "" for nothing."""

    run: OfflineRun
    outcome: Outcome
    note: str = ""


@frozen
class Uploader:
    """How folders are uploaded.

    version: wandb's. entity, project: where to; "" for where each run says itself. patience: seconds for
    each.
    """

    host: Host
    python: Path
    version: str = ""
    entity: str = ""
    project: str = ""
    patience: float = PATIENCE

    @classmethod
    def checked(cls, host: Host, environment: Path | None, *, entity: str, project: str) -> "Uploader":
        """Find a Python with wandb, and see that the server takes the key; raises HpcSubmitError.

        environment: whose Python is taken where hpcsubmit's own has no wandb.
        """
        python = python_with_wandb(environment)
        who = ask({"action": "who"}, host, environment)  # `wandb sync` ends with 0 whatever goes wrong
        version = str(who.get("version", ""))
        return cls(host=host, python=python, version=version, entity=entity, project=project)

    @property
    def joins_parts(self) -> bool:
        """Whether this wandb counts the steps of a run's next part on; 0.30 begins with 0 once more."""
        numbers = re.match(r"(\d+)\.(\d+)", self.version)
        return numbers is None or (int(numbers[1]), int(numbers[2])) >= (0, 31)

    def upload_all(self, runs: Sequence[OfflineRun], tell: Callable[[str], None]) -> Iterator[Upload]:
        """Upload folders, AT_ONCE at a time, and yield the end of each as it comes.

        Those of one run id go one after another, by time, which makes them parts of one run. tell: is told
        what to wait for after a Ctrl-C, which begins no further upload.
        """
        waiting: SimpleQueue[list[OfflineRun]] = SimpleQueue()
        for group in _by_id(runs):
            waiting.put(group)
        ended: SimpleQueue[Upload | Exception] = SimpleQueue()
        stop = threading.Event()
        with TemporaryDirectory(prefix="hpcsubmit-wandb-") as logs:
            environ = self._environ(logs)
            work = (waiting, ended, stop, environ)
            threads = [threading.Thread(target=self._work, args=work, daemon=True) for _ in range(AT_ONCE)]
            for thread in threads:
                thread.start()
            try:
                for _ in runs:
                    yield _checked(ended.get())
            except KeyboardInterrupt:
                tell("no further upload begins; those that have begun are waited for")
                raise
            finally:
                stop.set()
                for thread in threads:
                    thread.join()

    def _environ(self, logs: str) -> dict[str, str]:
        own = ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_SWEEP_ID", "WANDB_SILENT", "WANDB_QUIET")
        kept = {name: value for name, value in environ_with_key(self.host).items() if name not in own}
        ours = {"WANDB_MODE": "online", "WANDB_DIR": logs, "WANDB_ERROR_REPORTING": "false"}
        return {**_RETRIES, **kept, **ours}

    def _work(
        self,
        waiting: SimpleQueue[list[OfflineRun]],
        ended: SimpleQueue[Upload | Exception],
        stop: threading.Event,
        environ: dict[str, str],
    ) -> None:
        """Upload one group after another, until none is left."""
        try:
            while not stop.is_set():
                for upload in self._upload_parts(waiting.get_nowait(), stop, environ):
                    ended.put(upload)
        except Empty:
            pass
        except Exception as error:  # noqa: BLE001 - raised where the ends are taken
            ended.put(error)

    def _upload_parts(
        self, parts: Sequence[OfflineRun], stop: threading.Event, environ: dict[str, str]
    ) -> Iterator[Upload]:
        """Upload the parts of a run in their order; one that is missing keeps back those behind it."""
        failed = False
        for part in parts:
            if stop.is_set():
                return
            if failed:
                yield Upload(part, Outcome.FAILED, "an earlier part of the same run must be there before it")
                continue
            upload = self._upload(part, environ)
            failed = upload.outcome is Outcome.FAILED
            yield upload

    def _upload(self, run: OfflineRun, environ: dict[str, str]) -> Upload:
        to = ["--entity", self.entity] if self.entity else []
        to += ["--project", self.project] if self.project else []
        try:
            size = run.log.stat().st_size  # before: what is appended meanwhile may not have been read
            run.mark(Done.BEGUN, size)
            argv = (str(self.python), "-m", "wandb", "sync", *to, str(run.folder))
            done = self.host.run(argv, timeout=self.patience, environ=environ)
            upload, state = _judged(run, done.stderr + done.stdout)
            if upload.outcome is Outcome.FAILED:
                run.synced.unlink(missing_ok=True)  # or the next one would take it for uploaded
            run.mark(state, size)
        except CommandTimedOut:
            return Upload(run, Outcome.FAILED, f"wandb was not done within {self.patience:g} s")
        except OSError as error:
            return Upload(run, Outcome.FAILED, cannot_write(run.folder, error).message)
        except HpcSubmitError as error:
            return Upload(run, Outcome.FAILED, error.message)
        return upload


def _judged(run: OfflineRun, said: str) -> tuple[Upload, Done]:
    """What wandb has done: its exit code is always 0, and it leaves its file also where data got lost."""
    errors = re.findall(r"(?m)^wandb: ERROR (.*)", said)
    if run.synced.exists() and not errors:
        return Upload(run, Outcome.UPLOADED), Done.WHOLE
    told = str(errors[0] if errors else (said.strip() or "nothing").splitlines()[-1])[:_SHOWN]
    if "incomplete record" in told:
        note = "its end is missing, as of a program that was killed; all that there is was uploaded"
        return Upload(run, Outcome.UPLOADED, note), Done.PART
    if "transactionlog" in told and "Failed to read" not in told:
        note = f"what stands before the damage was uploaded. wandb says: {told}"
        return Upload(run, Outcome.DAMAGED, note), Done.DAMAGED
    outcome = Outcome.DAMAGED if "transactionlog" in told else Outcome.FAILED
    return Upload(run, outcome, f"wandb says: {told}"), Done.BEGUN


def _by_id(runs: Sequence[OfflineRun]) -> list[list[OfflineRun]]:
    groups: dict[str, list[OfflineRun]] = {}
    for run in sorted(runs, key=lambda run: run.began):
        groups.setdefault(run.run, []).append(run)
    return sorted(groups.values(), key=lambda group: group[0].trial)


def _checked(ended: Upload | Exception) -> Upload:
    if isinstance(ended, Exception):
        raise ended
    return ended


@contextmanager
def only_one(folder: Path) -> Iterator[None]:
    """Let one process at a time upload the runs of a submission; raises HpcSubmitError for another.

    folder: of its record. A file system without locks does without.
    """
    lock = folder / "sync.lock"
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        # An upload goes on where hpcsubmit itself is killed, and holds the lock for as long.
        os.set_inheritable(descriptor, True)  # noqa: FBT003
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        raise HpcSubmitError(
            f"the runs of {folder.name} are being uploaded by another hpcsubmit sweep sync",
            "wait for it to end; pgrep -af 'wandb sync' shows whether it is on this machine",
        ) from None
    except OSError:
        pass
    try:
        yield
    finally:
        os.close(descriptor)
