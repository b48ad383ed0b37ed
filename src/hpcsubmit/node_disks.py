"""What comes to the nodes' own disks before the program and leaves them after it: decided, pure."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.profile import Profile
from hpcsubmit.request import Request
from hpcsubmit.values import OURS

SIGNAL_SLACK = 60
"""Seconds that Slurm may send the signal of --signal too early (sbatch's manual, 22.05)."""

_ROUND = 256 << 20  # bytes of archives that a broadcast sends together, at least: stage_in.sh.j2 has it too


class Load(NamedTuple):
    """What archives need on a node's own disk.

    room: KiB that they take once they are unpacked, 0 where that is not known yet. sizes: the bytes of each
    archive; those before it is compressed where it is yet to be packed.
    """

    room: int = 0
    sizes: tuple[int, ...] = ()

    @property
    def inbox(self) -> int:
        """KiB that a broadcast needs besides: for two rounds of archives, or for all of them."""
        a_round = max(self.room * 128, _ROUND, *self.sizes, 0)
        return -(-min(2 * a_round, sum(self.sizes)) // 1024)

    @property
    def is_one_archive(self) -> bool:
        """Whether one archive is much of it: a single large file, for which a broadcast has no rounds."""
        largest = max(self.sizes, default=0)
        return largest > _ROUND and 4 * largest > self.room * 1024


class PackedData(NamedTuple):
    """The data of a job as they are, or will be, packed on scratch.

    manifest: the list of archives, which lie in the folder `archives`. room, sizes: as in Load.
    paths: what they are, below SLURM_TMPDIR. warnings: what the user should know of them, a line each.
    """

    manifest: Path
    archives: Path
    room: int
    paths: tuple[str, ...]
    warnings: tuple[str, ...] = ()
    sizes: tuple[int, ...] = ()

    @property
    def load(self) -> Load:
        """What they need on a node."""
        return Load(self.room, self.sizes)


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
    at 400 MB/s, 2026: 1.0 against 1.5 s for 160 MB). A single large file is one archive, and so one round
    of a broadcast: it would be there twice. So every node reads it itself where nobody has said that there
    is a broadcast to be, or how large the nodes' disks are. Raises HpcSubmitError for what does not fit.
    """
    if data is None:
        return None
    taken = next((path for path in data.paths if path.split("/")[0] in OURS), None)
    if taken is not None:
        raise HpcSubmitError(
            f"--data {taken}: hpcsubmit itself puts things there, below $SLURM_TMPDIR", "rename the folder"
        )
    free_choice = (request.data_transfer or profile.data_transfer) == "auto"
    if free_choice and not profile.node_local_size and data.load.is_one_archive:
        request = replace(request, data_transfer="direct")
    chosen = _fitting(
        "the data need",
        data.load,
        request,
        profile,
        cure="name fewer paths with --data, or read the large files from $scratch_dir",
    )
    return StageIn(manifest=data.manifest, archives=data.archives, transfer=chosen)


def environment_transfer(load: Load, data: PackedData | None, request: Request, profile: Profile) -> str:
    """Choose how the archives of --env-on-node come to the nodes, after the data; as _fitting does."""
    what = "the data and the environment need" if data else "the environment needs"
    beside = data.room if data else 0
    return _fitting(what, load, request, profile, beside=beside, cure="leave out --env-on-node")


def _fitting(what: str, load: Load, request: Request, profile: Profile, *, beside: int = 0, cure: str) -> str:
    """Choose `direct` or `broadcast` for archives, as a node's disk has room for them.

    what: names them and what is there beside them, with a verb; cure: where that is too much. beside: KiB
    that are taken by then.
    Raises HpcSubmitError for what does not fit, and for a broadcast that is not possible.
    """
    chosen = transfer(request, profile)
    if not profile.node_local_size:
        return chosen
    there, needed = profile.node_local_size.megabytes * 1024, beside + load.room
    if needed > there:
        raise HpcSubmitError(
            f"{what} {_megabytes(needed)}, {_disk(profile)}",
            cure,
        )
    if chosen == "direct" or needed + load.inbox <= there:
        return chosen
    if (request.data_transfer or profile.data_transfer) == "auto":
        return "direct"
    raise HpcSubmitError(
        f"{what} {_megabytes(needed + load.inbox)} during a broadcast, {_disk(profile)}",
        f"write --data-transfer direct, which needs {_megabytes(needed)}",
    )


def _megabytes(kib: int) -> str:
    return f"{-(-kib // 1024)}M"


def _disk(profile: Profile) -> str:
    return f"and a node's own disk has {profile.node_local_size} in the profile '{profile.name}'"


def transfer(request: Request, profile: Profile) -> str:
    """Choose `direct` or `broadcast` by the number of nodes; HpcSubmitError where it is not possible."""
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
