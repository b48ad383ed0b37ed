"""A user's login beside a stand-in wandb server that the nodes of the cluster reach."""

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.job_python import job_python_with_wandb
from cluster.made_once import key_of, made_once
from e2e.desk import USER, Desk

KEY = "0123456789secret" * 3
"""A key of the client's form, that a search finds wherever it leaked to."""
TESTS = Path(__file__).parents[1]


@dataclass(frozen=True)
class WandbDesk:
    """A desk whose jobs have the wandb client, and a server for them."""

    desk: Desk
    url: str
    server: subprocess.Popen[str]

    @property
    def environ(self) -> dict[str, str]:
        """What the user sets: never the key, which lies in a file of his."""
        return {"WANDB_BASE_URL": self.url, "WANDB_ENTITY": "lab", "WANDB_PROJECT": "gan"}

    def hpcsubmit(self, *argv: str) -> subprocess.CompletedProcess[str]:
        return self.desk.hpcsubmit(*argv, environ=self.environ, timeout=600)

    def create(self, text: str) -> list[str]:
        """Make the sweeps of a file; returns ENTITY/PROJECT/ID of each."""
        self.desk.write("sweeper.yml", text)
        done = self.hpcsubmit("sweep", "create")
        assert done.returncode == 0, done.stderr
        return done.stdout.split()

    def submit(self, *argv: str) -> int:
        """Submit, and return the array's job."""
        done = self.hpcsubmit("--parsable", "-m", "700M", *argv)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def kill_server(self) -> None:
        """End the server at once, as when its machine loses power."""
        os.killpg(self.server.pid, signal.SIGKILL)
        self.server.wait(timeout=60)

    def submit_offline(self) -> int:
        """Submit sweeper.yml without a server, and return the array's job."""
        done = self.hpcsubmit("sweep", "run", "--offline", "--parsable", "-m", "700M")
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def state(self) -> dict[str, Any]:
        """All that the server holds; asked for where it runs."""
        argv = [
            "python3",
            "-c",
            f"import urllib.request as r; print(r.urlopen('{self.url}/_state').read().decode())",
        ]
        found: dict[str, Any] = json.loads(self.desk.cluster.run(argv, timeout=180).stdout)
        return found


def files_with(text: str, *places: Path) -> list[Path]:
    """The files below some folders that hold a text; what goes away meanwhile holds none."""
    walked = (step for place in places for step in os.walk(place))
    found = [path for folder, _, names in walked for path in (Path(folder, name) for name in names)]
    assert found, places
    return [path for path in found if path.is_file() and text.encode() in contents(path)]


def contents(path: Path) -> bytes:
    """What a file holds; none where it has gone, as a file in /proc does with its process."""
    try:
        return path.read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return b""


def _installed() -> Path:
    """The server where the cluster's machines see it: a checkout may lie on a disk of their own."""
    parts = sorted((TESTS / "wandb_service").glob("*.py"))
    sources = [TESTS / "wandb_server.py", *parts]

    def fill(folder: Path) -> None:
        for source in sources:
            target = folder / source.relative_to(TESTS)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)

    return made_once("wandb-server", key_of(path.read_bytes() for path in sources), fill) / "wandb_server.py"


@contextmanager
def wandb_desk(desk: Desk) -> Iterator[WandbDesk]:
    """Serve on the login machine while the block lasts, with the key in the user's credentials file."""
    link = desk.project / "virtual_env"
    before = link.readlink()
    link.unlink()
    link.symlink_to(job_python_with_wandb().parents[1])
    credentials = desk.cluster.shared(f"/home/{USER}/wandb_credentials.txt")
    credentials.write_text(KEY + "\n")
    credentials.chmod(0o600)
    shutil.chown(credentials, USER, USER)
    address = desk.cluster.run(["hostname", "-I"]).stdout.split()[0]
    server = desk.cluster.popen(
        [str(job_python_with_wandb()), str(_installed()), "--address", address, "--key", KEY], user="root"
    )
    try:
        assert server.stdout is not None
        line = server.stdout.readline()
        assert line.startswith("ready "), line
        yield WandbDesk(desk, line.split()[1], server)
    finally:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGINT)
        server.communicate(timeout=60)
        credentials.unlink()
        link.unlink()
        link.symlink_to(before)
