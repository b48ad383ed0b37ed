"""Uploads what trials logged with wandb offline: by `wandb sync`, a folder at a time, several at once."""

import json
import re
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.host import CommandTimedOut, Host, cannot_write
from hpcsubmit.sweeps.asking import ask, environ_with_key, python_with_wandb
from hpcsubmit.sweeps.offline_runs import Done, OfflineRun
from hpcsubmit.sweeps.sync_outcome import Outcome, Upload, judged

CLIENT = Path(__file__).with_name("sync_client.py")
AT_ONCE = 4
"""Uploads side by side: each waits for the server most of its time."""
LARGEST_BATCH = 16
"""Folders that one process uploads one after another: to load wandb takes as long as two of them."""
PATIENCE = 2 * 3600.0
"""Seconds for one folder, which may hold large files."""
_RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "8",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "15",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "40",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "15",
}
"""About 2 minutes until a run's upload gives up before it begins, and 10 once it has begun."""


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
        for batch in _batches(runs):
            waiting.put(batch)
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
                stop.set()  # before it is said
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
        """Upload one batch after another, until none is left."""
        try:
            while not stop.is_set():
                for upload in self._upload_batch(waiting.get_nowait(), stop, environ):
                    ended.put(upload)
        except Empty:
            pass
        except Exception as error:  # noqa: BLE001 - raised where the ends are taken
            ended.put(error)

    def _upload_batch(
        self, batch: Sequence[OfflineRun], stop: threading.Event, environ: dict[str, str]
    ) -> Iterator[Upload]:
        """Upload runs in one process, or the parts of one run in their order.

        A part that is missing keeps back those behind it.
        """
        if len({run.run for run in batch}) == len(batch):
            yield from self._upload(batch, environ)
            return
        failed = False
        for part in batch:
            if stop.is_set():
                return
            if failed:
                yield Upload(part, Outcome.FAILED, "an earlier part of the same run must be there before it")
                continue
            (upload,) = self._upload([part], environ)
            failed = upload.outcome is Outcome.FAILED
            yield upload

    def _upload(self, runs: Sequence[OfflineRun], environ: dict[str, str]) -> Iterator[Upload]:
        """Upload runs one after another, and write down of each how far that came."""
        sizes: dict[OfflineRun, int] = {}
        for run in runs:
            try:
                size = run.log.stat().st_size  # before: what is appended meanwhile may not have been read
                run.mark(Done.BEGUN, size)
                sizes[run] = size
            except (OSError, HpcSubmitError) as error:
                yield _failed(run, error)
        try:
            said = self._said_of_all(list(sizes), environ)
        except HpcSubmitError as error:
            yield from (Upload(run, Outcome.FAILED, error.message) for run in sizes)
            return
        for run, size in sizes.items():
            try:
                yield _marked(judged(run, said[run]), size)
            except (OSError, HpcSubmitError) as error:
                yield _failed(run, error)

    def _said_of_all(self, runs: Sequence[OfflineRun], environ: dict[str, str]) -> dict[OfflineRun, str]:
        """Run `wandb sync` for some folders; return what it said of each.

        A folder that makes wandb itself crash does not keep back those behind it.
        """
        said: dict[OfflineRun, str] = {}
        while left := [run for run in runs if run not in said]:
            answers, crash = self._said(left, environ)
            said |= {run: answers[str(run.folder)] for run in left if str(run.folder) in answers}
            if left[0] not in said:
                said[left[0]] = crash
        return said

    def _said(self, runs: Sequence[OfflineRun], environ: dict[str, str]) -> tuple[dict[str, str], str]:
        """Run `wandb sync` in one process; return what it said by folder, and how the process ended."""
        options = ["--entity", self.entity] if self.entity else []
        options += ["--project", self.project] if self.project else []
        request = {"folders": [str(run.folder) for run in runs], "options": options}
        timeout = self.patience * len(runs)
        try:
            done = self.host.run(
                (str(self.python), str(CLIENT)), timeout=timeout, environ=environ, text=json.dumps(request)
            )
        except CommandTimedOut as error:
            raise HpcSubmitError(f"wandb was not done within {timeout:g} s", error.hint) from None
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"folder"')]
        return {line["folder"]: line["said"] for line in lines}, done.stderr or f"exit code {done.code}"


def _marked(upload: Upload, size: int) -> Upload:
    if upload.outcome is Outcome.FAILED:
        upload.run.synced.unlink(missing_ok=True)  # or the next one would take it for uploaded
    upload.run.mark(upload.done, size)
    return upload


def _failed(run: OfflineRun, error: OSError | HpcSubmitError) -> Upload:
    known = cannot_write(run.folder, error) if isinstance(error, OSError) else error
    return Upload(run, Outcome.FAILED, known.message)


def _batches(runs: Sequence[OfflineRun]) -> list[list[OfflineRun]]:
    """What is uploaded by one process each: the parts of one run by time, or several runs of one part."""
    groups: dict[str, list[OfflineRun]] = {}
    for run in sorted(runs, key=lambda run: (run.began, run.trial)):
        groups.setdefault(run.run, []).append(run)
    parts = [group for group in groups.values() if len(group) > 1]
    single = [group[0] for group in groups.values() if len(group) == 1]
    size = max(1, min(LARGEST_BATCH, len(single) // (2 * AT_ONCE)))
    return parts + [single[first : first + size] for first in range(0, len(single), size)]


def _checked(ended: Upload | Exception) -> Upload:
    if isinstance(ended, Exception):
        raise ended
    return ended
