"""A user's login on a real cluster."""

import re
import shutil
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cluster.slurm_cluster import Cluster

USER = "researcher"
PROJECT = f"/home/{USER}/gan"


@dataclass(frozen=True)
class Desk:
    """An ordinary user's login on one real cluster, with hpcsubmit installed and a project `gan`."""

    cluster: Cluster
    tool: Path

    @property
    def project(self) -> Path:
        """The project's folder, as this machine sees it."""
        return self.cluster.shared(PROJECT)

    def scratch(self, below: str = "") -> Path:
        """The project's scratch, as this machine sees it."""
        return self.cluster.shared(f"/scratch/{USER}/gan/{below}")

    def write(self, name: str, text: str) -> None:
        """Write a file of the project as its user."""
        path = self.project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        shutil.chown(path, USER, USER)

    def hpcsubmit(
        self, *argv: str, environ: Mapping[str, str] | None = None, timeout: float = 600
    ) -> subprocess.CompletedProcess[str]:
        """Run the installed hpcsubmit as the user, in the project, on the login node."""
        return self.cluster.run([str(self.tool), *argv], cwd=PROJECT, env=environ, timeout=timeout)

    def submit(self, *argv: str, environ: Mapping[str, str] | None = None) -> int:
        """Submit, and return the job's id."""
        done = self.hpcsubmit("--parsable", *argv, environ=environ)
        assert done.returncode == 0, done.stderr
        return int(done.stdout)

    def log(self, job: int) -> str:
        """What the job has written so far; a job that runs may not have a log yet."""
        paths = self.scratch("hpc_outputs").glob(f"*_{job}.out")
        paths = (path for path in paths if not re.search(r"_[0-9]+_[0-9]+\.out$", path.name))  # of arrays
        return "".join(path.read_text("utf-8", errors="replace") for path in paths)

    def clear(self) -> None:
        """End all jobs; one that Slurm killed before it had cleaned up leaves nothing to the next test."""
        self.cluster.cancel_all(timeout=180)
        self.empty_node_disks()

    def empty_node_disks(self) -> None:
        """Remove what earlier tests left on the nodes' own disks, also where others are at it, too."""
        deadline = time.monotonic() + 60
        while left := [path for node in self.cluster.nodes for path in self._on_disks(node)]:
            assert time.monotonic() < deadline, left
            for path in left:
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)

    def node_local_folders(self) -> dict[str, list[str]]:
        """The names of what lies on every node's own disks."""
        return {node: sorted(path.name for path in self._on_disks(node)) for node in self.cluster.nodes}

    def _on_disks(self, node: str) -> Iterator[Path]:
        for disk in ("/scratch-ssd", "/localscratch"):
            yield from self.cluster.node_disk(node, disk).iterdir()
