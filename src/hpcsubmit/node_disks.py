"""What comes to the nodes' own disks before the program and leaves them after it: decided, pure."""

from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request

SIGNAL_SLACK = 60
"""Seconds that Slurm may send the signal of --signal too early (sbatch's manual, 22.05)."""


OURS = ("virtual_env", ".hpcsubmit-inbox", ".hpcsubmit-container")
"""What the scripts put below SLURM_TMPDIR themselves."""


class PackedData(NamedTuple):
    """The data of a job as they are, or will be, packed on scratch.

    manifest: the list of archives, which lie in the folder `archives`. room: KiB that the unpacked data take.
    paths: what they are, below SLURM_TMPDIR. warnings: what the user should know of them, a line each.
    """

    manifest: Path
    archives: Path
    room: int
    paths: tuple[str, ...]
    warnings: tuple[str, ...] = ()


@frozen
class StageIn:
    """How the data come to the nodes. transfer: `direct` or `broadcast`."""

    manifest: Path
    archives: Path
    transfer: str


@frozen
class Collect:
    """What is copied back from every node's disk.

    paths: below SLURM_TMPDIR. folder: each job gets one of its own in it. grace: how many seconds before the
    time limit the program is told to end.
    """

    paths: tuple[str, ...]
    folder: Path
    grace: int


def stage_in(request: Request, profile: Profile, data: PackedData | None) -> StageIn | None:
    """Choose how the data come to the nodes.

    Where every node reads them itself from a shared file system that is the bottleneck, N nodes take N times
    as long as one; a broadcast takes as long as its tree is deep. From 4 nodes on the broadcast wins (a model
    at 400 MB/s, 2026: 1.0 against 1.5 s for 160 MB). Raises HpcSubmitError for what does not fit.
    """
    if data is None:
        return None
    taken = next((path for path in data.paths if path.split("/")[0] in OURS), None)
    if taken is not None:
        raise HpcSubmitError(
            f"--data {taken}: hpcsubmit itself puts things there, below $SLURM_TMPDIR", "rename the folder"
        )
    chosen = transfer(request, profile)
    if profile.node_local_size and data.room > profile.node_local_size.megabytes * 1024:
        raise HpcSubmitError(
            f"the data need {data.room // 1024}M, and a node's own disk has {profile.node_local_size} in the "
            f"profile '{profile.name}'",
            "name fewer paths with --data, or read the large files from $scratch_dir",
        )
    return StageIn(manifest=data.manifest, archives=data.archives, transfer=chosen)


def transfer(request: Request, profile: Profile) -> str:
    """Choose `direct` or `broadcast` for what comes to the nodes; HpcSubmitError where it is not possible."""
    asked = request.data_transfer or profile.data_transfer
    if asked == "broadcast" and profile.scheduler == "local":
        raise HpcSubmitError(
            "--data-transfer broadcast is not possible on this machine: its nodes share one disk",
            "leave it out, or write --data-transfer direct",
        )
    free_choice = asked == "auto" and profile.scheduler != "local"
    broadcast = asked == "broadcast" or (free_choice and request.num_nodes >= profile.broadcast_nodes)
    return "broadcast" if broadcast and request.num_nodes > 1 else "direct"


def collect(request: Request, profile: Profile, experiment_dir: Path) -> Collect | None:
    """Decide where results go; raises HpcSubmitError where the grace leaves the program no time."""
    if not request.collect:
        return None
    early = 0 if profile.scheduler == "local" else SIGNAL_SLACK
    least = request.collect_grace + early
    if request.time.seconds <= least:
        raise HpcSubmitError(
            f"--time {request.time} leaves the program no time: it is told to end {request.collect_grace} s "
            f"before the limit" + (f", and Slurm may be {early} s early" if early else ""),
            f"ask for more than {least} s, or for a smaller --collect-grace",
        )
    return Collect(paths=request.collect, folder=experiment_dir / "collected", grace=request.collect_grace)
