"""A user's login on a real cluster."""

import shutil
import subprocess
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
        self, *argv: str, environ: Mapping[str, str] | None = None, timeout: float = 180
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
        return "".join(path.read_text("utf-8", errors="replace") for path in paths)

    def empty_node_disks(self) -> None:
        """Remove what earlier tests left on the nodes' own disks."""
        for path in [path for node in self.cluster.nodes for path in self._on_disks(node)]:
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def node_local_folders(self) -> dict[str, list[str]]:
        """The names of what lies on every node's own disks."""
        return {node: sorted(path.name for path in self._on_disks(node)) for node in self.cluster.nodes}

    def _on_disks(self, node: str) -> Iterator[Path]:
        for disk in ("/scratch-ssd", "/localscratch"):
            yield from self.cluster.node_disk(node, disk).iterdir()
