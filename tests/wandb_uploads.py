"""A program that stands in for a Python with wandb as `sweep sync` uses it: it does what each log says.

A log is wandb's header and one word: see `_PROGRAM`. What it was asked to upload is written down.
"""

import hashlib
import json
import sys
from pathlib import Path
from typing import NamedTuple

from sandbox import Sandbox
from trial_records import TrialRecords

HEADER = b":W&B\xe1\xbe\x00"

_PROGRAM = """#!{python}
import hashlib, json, os, sys, time
from pathlib import Path

root = Path({root!r})
request = json.load(sys.stdin)
if sys.argv[1].endswith("/client.py"):  # a question to the server
    assert request == {{"action": "who"}}, request
    deadline = time.monotonic() + 600
    (root / "who.asked").touch()
    while (root / "who.waits").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    print((root / "who").read_text())
    sys.exit()
assert sys.argv[1].endswith("/sync_client.py"), sys.argv

def note(what, folder):
    key = os.environ.get("WANDB_API_KEY", "")
    digest = hashlib.sha256(key.encode()).hexdigest()
    line = json.dumps([what, folder.name, os.getpid(), request["options"], digest, dict(os.environ)])
    descriptor = os.open(root / "uploads", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.write(descriptor, (line + "\\n").encode())
    os.close(descriptor)

def upload(folder):
    log = next(folder.glob("*.wandb"))
    word = log.read_bytes()[7:].decode().split()[0]
    synced = log.with_suffix(".wandb.synced")
    if word == "cut":
        return f'ERROR Failed to sync all data from "{{folder}}": the file ends with an incomplete record. If'
    if word == "damaged":
        return "ERROR Internal error: transactionlog: error getting next record: checksum mismatch"
    if word == "unreadable":
        return f'ERROR Failed to read "{{folder}}": transactionlog: error getting next record: EOF'
    if word == "refused":
        return "ERROR Failed to upsert run: returned error 403: permission denied"
    if word == "crash":
        sys.exit("Segmentation fault")
    deadline = time.monotonic() + 600
    while word == "slow" and not (root / "go").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    if word == "grows":
        with log.open("ab") as file:
            file.write(b"more")
    synced.touch()
    if word == "lost":
        return "ERROR [lab/gan/r] Fatal error while uploading data. Some run data will not be synced"
    return f"Finished syncing {{folder}}"

print("wandb says something of its own")
for folder in map(Path, request["folders"]):
    note("begin", folder)
    said = "wandb: Syncing\\nwandb: " + upload(folder)
    print(json.dumps({{"folder": str(folder), "said": said}}), flush=True)
    note("end", folder)
"""


class Asked(NamedTuple):
    """One upload. folder: its name. process: which did it. key: the SHA-256 of the one in its environment."""

    folder: str
    process: int
    options: list[str]
    key: str
    environ: dict[str, str]


class WandbUploads:
    """The environment of a sandbox's project, whose Python seems to have wandb."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._root = sandbox.root
        environment = sandbox.project / "virtual_env"
        package = environment / "lib" / "python3.11" / "site-packages" / "wandb"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        python = environment / "bin" / "python"
        python.unlink()
        python.write_text(_PROGRAM.format(python=sys.executable, root=str(self._root)))
        python.chmod(0o755)
        self.server_says(entity="lab", version="0.31.0")

    def server_says(self, **answer: str) -> None:
        """What the server answers to who we are."""
        (self._root / "who").write_text(json.dumps(answer))

    def waits(self) -> None:
        """Let the server take its time until `go`."""
        (self._root / "who.waits").touch()

    @property
    def was_asked(self) -> bool:
        """Whether the server was asked who we are."""
        return (self._root / "who.asked").exists()

    def go(self) -> None:
        """Let the slow uploads end, and the server answer."""
        (self._root / "who.waits").unlink(missing_ok=True)
        (self._root / "go").touch()

    def _lines(self, what: str) -> list[Asked]:
        path = self._root / "uploads"
        whole = path.read_text().rpartition("\n")[0] if path.exists() else ""
        lines = [json.loads(line) for line in whole.splitlines()]
        return [Asked(*line[1:]) for line in lines if line[0] == what]

    def asked(self) -> list[Asked]:
        """The uploads so far, in the order in which they began."""
        return self._lines("begin")

    def folders(self) -> list[str]:
        """The names of the folders that were uploaded, in the order in which that began."""
        return [asked.folder for asked in self.asked()]

    def most_at_once(self) -> int:
        """How many uploads there were side by side at most."""
        now = most = 0
        path = self._root / "uploads"
        for line in path.read_text().splitlines():
            now += 1 if json.loads(line)[0] == "begin" else -1
            most = max(most, now)
        return most


def logged(records: TrialRecords, trial: int, says: str = "ok", *, at: str = "000001", run: str = "") -> Path:
    """The folder that a trial logged into offline. says: what becomes of its upload."""
    name = run or f"r1-{trial}"
    folder = records.outputs / str(trial) / "wandb" / f"offline-run-20260201_{at}-{name}"
    folder.mkdir(parents=True)
    (folder / f"run-{name}.wandb").write_bytes(HEADER + says.encode())
    return folder


def fingerprint(key: str) -> str:
    """What `Asked.key` is for a key."""
    return hashlib.sha256(key.encode()).hexdigest()
