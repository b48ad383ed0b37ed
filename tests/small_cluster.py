"""A cluster of three nodes, pretended by small programs on the PATH of a sandbox."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

from sandbox import Said, Sandbox

# Stand-ins for Slurm: a job is a file that holds its line of squeue. sbatch runs the script at once, on a
# disk of the node's own, unless the node is named in `down` (the job waits) or in `refused`.
SBATCH = """#!/bin/bash
root={root}
echo "$*" >>"$root/sbatch.argv"
for word; do case $word in
  --nodelist=*) node=${{word#*=}} ;;
  --output=*) log=${{word#*=}} ;;
  --comment=*) comment=${{word#*=}} ;;
esac; script=$word; done
log=${{log//%%/%}}
if grep -qsx "$node" "$root/refused"; then echo 'sbatch: error: invalid account' >&2; exit 1; fi
job=$((100 + $(wc -l <"$root/sbatch.argv")))
state=COMPLETED reason=None
if grep -qsx "$node" "$root/down"; then state=PENDING reason='ReqNodeNotAvail, UnavailableNodes:n3'; fi
echo "Submitted batch job $job"
if [ $state = COMPLETED ]; then
  sed "s#@node#$node#" "$script" >"$root/running.sh"
  SLURM_JOB_ID=$job SLURMD_NODENAME=$node bash "$root/running.sh" >"$log" 2>&1 </dev/null || state=FAILED
fi
echo "$job|$state|$reason|$node|$comment" >"$root/jobs/$job"
"""
SQUEUE = """#!/bin/bash
root={root} jobs=all
for word; do case $word in --jobs=*) jobs=${{word#--jobs=}} ;; --format=%T) field=2 ;; esac; done
cd "$root/jobs" || exit 1
if [ "$jobs" = all ]; then set -- *; else IFS=, read -ra list <<<"$jobs"; set -- "${{list[@]}}"; fi
for job; do
  [ -e "$job" ] || continue
  if [ -n "$field" ]; then cut -d'|' -f2 "$job"; else grep -E '\\|(PENDING|RUNNING)\\|' "$job"; fi
done
exit 0
"""
SCONTROL = """#!/bin/bash
root={root}
case "$1 $2" in
  "show hostnames") [ "$3" = 'n[1-2]' ] && printf 'n1\\nn2\\n' ;;
  *) for last; do :; done
     IFS='|' read -r job state _ <"$root/jobs/$last" && echo "JobId=$job JobState=$state ExitCode=0:0" ;;
esac
"""
SINFO = """#!/bin/sh
echo "$*" >>{root}/sinfo.argv
case "$*" in *partition=nope*) ;; *) printf 'n1\\nn1\\nn2\\nn3\\nn3\\n' ;; esac
"""


@dataclass(frozen=True)
class Cluster:
    """A sandbox whose cluster `mine` has the nodes n1, n2 and n3, each with a disk of its own."""

    sandbox: Sandbox

    def disk(self, node: str) -> Path:
        return self.sandbox.root / "disks" / node

    def leaves(self, node: str, name: str, size: int = 0) -> Path:
        folder = self.disk(node) / f"{user()}_{name}"
        folder.mkdir(mode=0o700, parents=True)
        (folder / "data").write_bytes(b"x" * size)
        return folder

    def profile(self, **fields: str) -> None:
        base = self.sandbox.root / "disks" / "@node"
        known = {"slurm_tmpdir": "made", "node_local_base": str(base)}
        text = "".join(f"{name}: {value}\n" for name, value in (known | fields).items())
        self.sandbox.write(text, self.sandbox.root / "home/.config/hpcsubmit/profiles/mine.yaml")

    def mark(self, name: str, *nodes: str) -> None:
        (self.sandbox.root / name).write_text("".join(f"{node}\n" for node in nodes))

    def clean(self, *argv: str, **environ: str) -> Said:
        return self.sandbox.hpcsubmit("clean", "nodes", *argv, environ=self.sandbox.environ | environ)

    def submitted(self) -> list[list[str]]:
        """The words of each call of sbatch."""
        path = self.sandbox.root / "sbatch.argv"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def kept_logs(self) -> list[Path]:
        return sorted((self.sandbox.scratch / "hpcsubmit" / "cleaning").glob("*/*"))


def user() -> str:
    return subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()


def make_cluster(sandbox: Sandbox) -> Cluster:
    """Make it the cluster of a sandbox, by a profile of its own."""
    made = Cluster(sandbox)
    for node in ("n1", "n2", "n3"):
        made.disk(node).mkdir(parents=True)
    (sandbox.root / "jobs").mkdir()
    for name, script in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scontrol", SCONTROL), ("sinfo", SINFO)):
        sandbox.install(name, script.format(root=sandbox.root))
    sandbox.install("sacct", "#!/bin/sh\n")
    made.profile()
    sandbox.environ.update(HPCSUBMIT_CLUSTER="mine")
    return made
