"""Short jobs, one on every node, that remove what jobs which Slurm killed hard left on the nodes' own disks.

Only the nodes know what lies there: a dry run submits the same jobs, which then only list.
"""

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpcsubmit import __version__
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host, make_folder, write_atomically
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.plan import RECORDS
from hpcsubmit.profile import Profile
from hpcsubmit.queue import QUERY_TIMEOUT, queued
from hpcsubmit.scheduler import Scheduler, Unanswered
from hpcsubmit.slurm import Directive, JobId
from hpcsubmit.values import Walltime

TIME = Walltime(seconds=300)
"""How long each job may run; what is left then is found by the next one."""
MEMORY = "200M"
_NODE = r"[A-Za-z0-9][A-Za-z0-9._-]*"
_USER_TIMEOUT = 20.0


class Cleaning(NamedTuple):
    """What all of the jobs have in common, decided.

    user: whose folders. base: the folder on every node in which they lie. listing: whether the jobs only
    tell what they would remove. folder: on scratch, for the script and a log of every node.
    """

    cluster: str
    user: str
    base: str
    nodes: tuple[str, ...]
    listing: bool
    folder: Path
    directives: tuple[Directive, ...]
    version: str = __version__

    def log(self, node: str) -> Path:
        """Return the file that the job of a node writes."""
        return self.folder / f"{node}.log"

    def comment(self, node: str) -> str:
        """Return the comment by which the job of a node is known again."""
        return f"hpcsubmit clean nodes {node}" + (" --dry-run" if self.listing else "")

    def options(self, node: str) -> tuple[str, ...]:
        """Return the options of sbatch that the job of a node has for itself."""
        return (
            f"--job-name={node}-cleanup",
            f"--comment={self.comment(node)}",
            f"--nodelist={node}",
            f"--output={str(self.log(node)).replace('%', '%%')}",
        )


class Asked(NamedTuple):
    """A node whose job was submitted."""

    node: str
    job: JobId
    log: Path


class Submitted(NamedTuple):
    """What became of the jobs. refused: a node and why it has no job, for each that has none."""

    asked: tuple[Asked, ...]
    refused: tuple[tuple[str, str], ...]


def plan_cleaning(
    profile: Profile,
    nodes: Sequence[str],
    folder: Path,
    *,
    user: str,
    account: str,
    partition: str,
    listing: bool,
) -> Cleaning:
    """Decide everything about the jobs; account and partition are "" for none."""
    where = {"account": account if profile.uses_accounts else "", "partition": partition}
    memory = {} if profile.memory_option == "none" else {"mem": MEMORY}
    each = {"time": str(TIME), "nodes": "1", "ntasks": "1", "cpus-per-task": "1", **memory}
    named = {name: value for name, value in where.items() if value} | each
    named |= {"chdir": "/", "open-mode": "append"}
    return Cleaning(
        cluster=profile.name,
        user=user,
        base=profile.node_local_base,
        nodes=tuple(nodes),
        listing=listing,
        folder=folder,
        directives=(*(Directive(name=n, value=v) for n, v in named.items()), *profile.sbatch_args),
    )


def cleaning_folder(scratch: Path, name: str) -> Path:
    """Return the folder on scratch of one cleaning."""
    return scratch / RECORDS / "cleaning" / name


def require_leftovers(profile: Profile) -> None:
    """Raise HpcSubmitError for a cluster on whose nodes hpcsubmit leaves nothing behind."""
    if profile.scheduler == "local":
        raise HpcSubmitError(
            f"the nodes of '{profile.name}' are this machine, whose jobs remove their own folders",
            "there is nothing to clean; --cluster NAME means another cluster",
        )
    if profile.slurm_tmpdir == "given":
        raise HpcSubmitError(
            f"'{profile.name}' makes SLURM_TMPDIR itself and removes it after every job, however that ends",
            "there is nothing to clean; --cluster NAME means another cluster",
        )


def user_name(host: Host) -> str:
    """Return what the folders on the nodes begin with, as `id -un` says it; raises HpcSubmitError."""
    done = host.run(("id", "-un"), timeout=_USER_TIMEOUT)
    name = done.stdout.strip()
    if done.code != 0 or not name or "/" in name:
        raise HpcSubmitError(
            f"this user has no name ({done.stderr.strip() or 'id -un says nothing'}), and the folders on the "
            "nodes are known by it",
            "log in to the cluster as yourself; if id -un fails there too, tell the site",
        )
    return name


def nodes_of(profile: Profile, partition: str, scheduler: Scheduler) -> tuple[str, ...]:
    """Return the nodes: those of the partition, else the profile's, else all that sinfo lists.

    Raises HpcSubmitError where that comes to none, or to what is no node.
    """
    if profile.nodes and not partition:
        argv = ["scontrol", "show", "hostnames", profile.nodes]
    else:
        asked = partition or profile.partition
        argv = ["sinfo", "--noheader", "--Node", "--format=%N", *([f"--partition={asked}"] if asked else [])]
    done = scheduler.run(*argv, timeout=QUERY_TIMEOUT)
    nodes = tuple(dict.fromkeys(done.stdout.split()))
    if done.code != 0 or not nodes or not all(re.fullmatch(_NODE, node, re.ASCII) for node in nodes):
        said = done.stderr.strip() or done.stdout.strip() or "nothing"
        raise HpcSubmitError(
            f"the nodes of '{profile.name}' are not known: {' '.join(argv)} says {said[:200]}",
            "see sinfo for the partitions there are; or name the nodes in the profile, nodes: node[01-12]",
        )
    return nodes


def still_pending(cleaning: Cleaning, scheduler: Scheduler) -> dict[str, JobStatus]:
    """Return the nodes whose job of an earlier cleaning still waits: one that is down gets no second job."""
    waiting = {s.comment: s for s in queued(scheduler) or () if s.state is JobState.PENDING}
    return {n: waiting[cleaning.comment(n)] for n in cleaning.nodes if cleaning.comment(n) in waiting}


def submit_cleaning(cleaning: Cleaning, nodes: Sequence[str], script: str, scheduler: Scheduler) -> Submitted:
    """Write the script and submit it once for every node; raises HpcSubmitError where it cannot be written.

    A node that sbatch refuses is told and does not stop the others. Where sbatch gives no answer, the nodes
    after it are not asked.
    """
    make_folder(cleaning.folder.parent, mode=0o700)
    make_folder(cleaning.folder, mode=0o700, new=True)
    path = cleaning.folder / "script.sh"
    write_atomically(path, script, mode=0o700)
    asked: list[Asked] = []
    refused: list[tuple[str, str]] = []
    for position, node in enumerate(nodes):
        try:
            taken = scheduler.submit(path, *cleaning.options(node))
        except Unanswered as error:
            refused.append((node, error.message))
            refused += [(later, "not asked, since sbatch gives no answer") for later in nodes[position + 1 :]]
            break
        except HpcSubmitError as error:
            refused.append((node, error.message))
        else:
            asked.append(Asked(node=node, job=taken.job, log=cleaning.log(node)))
    return Submitted(asked=tuple(asked), refused=tuple(refused))


def forget(cleaning: Cleaning) -> None:
    """Remove the script and the logs of a cleaning whose nodes have all answered."""
    shutil.rmtree(cleaning.folder, ignore_errors=True)
