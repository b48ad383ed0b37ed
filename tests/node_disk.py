"""One node's disk, and the script that cleans it, run by a real bash with a stand-in for squeue."""

import os
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from golden.cases import shipped
from hpcsubmit.node_cleaning import plan_cleaning
from hpcsubmit.render import render_script

SQUEUE = """#!/bin/bash
# Stands in for squeue: a file for each job holds what is said of it, and its first line the exit code.
root={root}
echo "$*" >>"$root/squeue.argv"
env | grep -E '^(SQUEUE|SLURM_CLUSTERS)' >>"$root/squeue.env"
for word; do case $word in --jobs=*) job=${{word#--jobs=}} ;; esac; done
[ -e "$root/jobs/$job" ] || {{ echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1; }}
{{ read -r code; cat >&"$(((code > 0) + 1))"; }} <"$root/jobs/$job"
exit "$code"
"""
ID = "#!/bin/sh\necho am\n"
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file to another user")


@dataclass(frozen=True)
class Node:
    """A node's disk, what squeue says of jobs, and the programs that stand in for those of a node."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def base(self) -> Path:
        return self.root / "scratch ssd"

    def leaves(self, name: str, size: int = 0) -> Path:
        """Make a folder as a job would leave it, with something inside."""
        folder = self.base / name
        (folder / "sub" / "sub").mkdir(parents=True)
        (folder / "sub" / "data").write_bytes(b"x" * size)
        folder.chmod(0o700)
        return folder

    def squeue_says(self, job: str, *lines: str, code: int = 0) -> None:
        (self.root / "jobs").mkdir(exist_ok=True)
        (self.root / "jobs" / job).write_text("\n".join([str(code), *lines, ""]))

    def install(self, name: str, script: str) -> None:
        path = self.root / "bin" / name
        path.write_text(script)
        path.chmod(0o755)

    def names(self) -> set[str]:
        return {path.name for path in self.base.iterdir()}

    def cleans(self, *, listing: bool = False, code: int = 0, **environ: str) -> list[str]:
        """Run the script; return the lines of its log."""
        done = self.run(listing=listing, **environ)
        assert (done.returncode, done.stderr if code == 0 else "") == (code, ""), done
        return (done.stdout + done.stderr).splitlines()

    def run(self, *before: str, listing: bool = False, **environ: str) -> subprocess.CompletedProcess[str]:
        """Run the script, behind the words of another program if there are any."""
        script = self.root / "script.sh"
        script.write_text(rendered(self.base, listing=listing))
        return subprocess.run(
            [*before, "bash", str(script)],
            env=self.environ | environ,
            capture_output=True,
            text=True,
            timeout=300,
        )

    def run_as_a_user(self) -> subprocess.CompletedProcess[str]:
        """Run the script without root's rights: root may remove and list everything."""
        for path in (self.root, self.root.parent, self.root.parent.parent):
            path.chmod(path.stat().st_mode | 0o711)
        for path in (self.root, self.root / "jobs"):
            path.chmod(0o777)
        to_user = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        return self.run(*(to_user if os.geteuid() == 0 else ()))

    @staticmethod
    def give_to_user(*paths: Path) -> None:
        """Give files to the user that run_as_a_user becomes."""
        for path in paths:
            if os.geteuid() == 0:
                os.chown(path, 65534, 65534)


def rendered(base: Path, *, listing: bool = False) -> str:
    cleaning = plan_cleaning(
        shipped("plai"), ["n1"], Path("/scratch/am"), user="am", account="", partition="", listing=listing
    )
    return render_script("clean_nodes.sbatch.j2", None, cleaning=cleaning._replace(base=str(base)))


def make_node(root: Path) -> Node:
    """A node of user `am`, on which job 500 cleans; squeue has forgotten every job."""
    made = Node(root)
    for folder in ("bin", "jobs", "scratch ssd"):
        (root / folder).mkdir()
    made.install("squeue", SQUEUE.format(root=root))
    made.install("id", ID)
    made.environ.update(PATH=f"{root}/bin:/usr/bin:/bin", SLURM_JOB_ID="500", SLURMD_NODENAME="n1")
    return made
