"""Who is this process among those of a training, and the group that they form.

    from hpcsubmit import comm

    comm.init()  # under torchrun, srun or mpirun, or alone
    network = DistributedDataParallel(network.to(comm.device()))
    ...
    if comm.is_main():
        torch.save(network.state_dict(), "weights.pt")
    comm.finalize()

`python -m hpcsubmit.comm [METHOD [SECONDS]]`, started as the training is, says who it is and tries the group.
This file needs Python 3.8 and its standard library; torch and mpi4py are imported where they are used.

Rank 0 is met at MASTER_ADDR and MASTER_PORT where they are set; the default port is 29500. Of N ranks, rank r
begins S * r / (N - 1) seconds late, so that not all call rank 0 at once. HPCSUBMIT_STAGGER is S, in whole
seconds, 0 for none; by default it is min(12, (N - 8) / 64), and nothing up to 8 ranks.
"""

from __future__ import annotations

import itertools
import json
import os
import re
import socket
import sys
import threading
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import torch


class CommError(RuntimeError):
    """The ranks cannot meet: what is wrong or missing, and what to do."""


class Identity(NamedTuple):
    """Who a process is. A local number is None where the launcher does not tell; the ranks find it out."""

    method: str
    rank: int = 0
    world_size: int = 1
    local_rank: int | None = 0
    local_world_size: int | None = 1
    address: str = "127.0.0.1"
    port: int = 29500
    backend: str = ""

    def device(self) -> torch.device:
        """The GPU that the local rank gives this process, of those that it sees, or the CPU."""
        import torch

        gpus = _gpus()
        return torch.device("cuda", (self.local_rank or 0) % gpus) if gpus else torch.device("cpu")


class _Launcher(NamedTuple):
    """What starts processes, and the variables that tell them who they are: the first that is set counts."""

    start: str
    rank: str
    size: str
    local_rank: str
    local_size: str = ""


# A step has its own SLURM_STEP_NUM_TASKS; SLURM_NTASKS can be the whole job's. The mpirun of Intel and MPICH
# sets PMI_RANK too, and SLURM_LOCALID is a daemon's below it: its own variables go first.
_TASKS = "SLURM_STEP_NUM_TASKS SLURM_NTASKS"
_MPICH = "MPI_LOCALRANKID SLURM_LOCALID", "MPI_LOCALNRANKS"
_OMPI = ("OMPI_COMM_WORLD_" + what for what in ("RANK", "SIZE", "LOCAL_RANK", "LOCAL_SIZE"))
_LAUNCHERS = {
    "env": _Launcher("torchrun", "RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"),
    "openmpi": _Launcher("mpirun", *_OMPI),
    "slurm-pmix": _Launcher("srun --mpi=pmix", "PMIX_RANK", _TASKS, "SLURM_LOCALID"),
    "slurm-pmi": _Launcher("srun --mpi=pmi2", "PMI_RANK", f"PMI_SIZE {_TASKS}", *_MPICH),
    "slurm": _Launcher("srun", "SLURM_PROCID", _TASKS, "SLURM_LOCALID"),
}
METHODS = ("auto", *_LAUNCHERS, "mpi", "single")
_OLDER = {
    "nccl-slurm-pmi": "slurm-pmi",
    "nccl-slurm": "slurm-pmix",
    "nccl-openmpi": "openmpi",
    "dummy": "single",
}
_TORCH_ERRORS = (RuntimeError, ValueError, OSError)

_me = _NOBODY = Identity("")
_meetings = itertools.count()


def rank() -> int:
    """The number of this process among all, from 0; 0 before init()."""
    return _me.rank


def local_rank() -> int:
    """The number of this process among those on its node, from 0; 0 before init()."""
    return _me.local_rank or 0


def world_size() -> int:
    """The number of processes; 1 before init()."""
    return _me.world_size


def local_world_size() -> int:
    """The number of processes on this node; 1 before init()."""
    return _me.local_world_size or 1


def is_main() -> bool:
    """Whether this is rank 0, the one that prints and saves for all; True before init()."""
    return _me.rank == 0


def device() -> torch.device:
    """The GPU that the local rank gives this process, of those that it sees; the CPU where it sees none."""
    return _me.device()


def barrier() -> None:
    """Wait until every rank has come here; nothing before init()."""
    if _me.method:
        import torch.distributed as dist

        dist.barrier(device_ids=[device().index] if _me.backend == "nccl" else None)


def finalize() -> None:
    """Wait for every rank, then end the group: the last call of a training that went well."""
    global _me
    if _me.method:
        import torch.distributed as dist

        barrier()
        dist.destroy_process_group()
        _me = _NOBODY


def init(method: str = "auto", timeout: float = 240.0) -> None:
    """Form the group of all ranks, torch.distributed's default group; rank 0 says on stderr how it was done.

    method: one of METHODS, or nccl-slurm-pmi, nccl-slurm, nccl-openmpi, dummy, as older programs say.
    timeout: seconds that the ranks wait for each other. torch's own limit for later collectives stays.

    NCCL is used where every rank has a GPU to itself, gloo elsewhere; where there are GPUs, but not one for
    each rank, rank 0 says so. Called again, it does nothing. Raises CommError; where ranks do not come, all
    that came raise it, with the numbers of those that did not.
    """
    global _me
    name = _known(method)
    if _me.method and name in ("auto", _me.method):
        return
    if _me.method:
        raise CommError(f"The group was formed by {_me.method} already, and cannot be by {name} too.")
    if not (isinstance(timeout, (int, float)) and 0 < timeout <= 1e6):
        raise CommError(f"The timeout is {timeout!r}; it must be a number of seconds above 0, to a million.")
    _me = _join(identify(name), timeout)
    barrier()
    if is_main():
        how = f"{_me.method}, chosen by auto" if name == "auto" else _me.method
        sys.stderr.write(f"hpcsubmit.comm: {how}: {_describe(_me)}, {_me.backend}\n")


def identify(method: str = "auto", environ: Mapping[str, str] | None = None) -> Identity:
    """Return who this process is, from its environment (for `mpi` from MPI), without meeting anyone.

    Raises CommError with all that is missing, or with the number that cannot be.
    """
    env = os.environ if environ is None else environ
    name = _known(method)
    name = _pick(env) if name == "auto" else name
    port = _number(env, "MASTER_PORT", least=1, below=65536) or 29500
    if name == "single":
        return Identity(name)
    if name == "mpi":
        return _ask_mpi(env.get("MASTER_ADDR"), port)
    launcher = _LAUNCHERS[name]
    size = _number(env, launcher.size, least=1)
    rank = _number(env, launcher.rank, below=size)
    local_size = _number(env, launcher.local_size, least=1)
    local_rank = _number(env, launcher.local_rank, below=local_size)
    address = _address(env, name, one_node=size is not None and size in (1, local_size))
    if rank is None or size is None or not address:
        needed = {launcher.rank: rank, launcher.size: size, "MASTER_ADDR": address or None}
        lacking = (names.replace(" ", " or ") for names, found in needed.items() if found is None)
        raise CommError(
            f"{name} needs {', and '.join(lacking)}, not set here. Start all ranks with {launcher.start}, and"
            " hand what it sets on to containers. MASTER_ADDR is the address of rank 0's node."
        )
    return Identity(name, rank, size, local_rank, local_size, address, port)


def _known(method: str) -> str:
    name = _OLDER.get(method, method)
    if name in METHODS:
        return name
    import difflib  # late: for mistakes alone

    nearest = difflib.get_close_matches(str(method), [*METHODS, *_OLDER], n=1, cutoff=0.0)[0]
    raise CommError(f"There is no method {method!r}; did you mean {nearest}? There are {', '.join(METHODS)}.")


def _pick(env: Mapping[str, str]) -> str:
    """What auto means here: the launcher that is nearest to the process."""
    if env.get("RANK") and env.get("WORLD_SIZE") and env.get("MASTER_ADDR"):
        return "env"
    for name in ("openmpi", "slurm-pmix", "slurm-pmi"):  # mpirun sets PMIX_RANK too
        if env.get(_LAUNCHERS[name].rank):
            return name
    # A batch script has SLURM_PROCID and SLURM_NTASKS too, but it is one process, and no others will come.
    if env.get("SLURM_PROCID") and (_number(env, "SLURM_STEP_NUM_TASKS") or 1) > 1:
        return "slurm"
    return "env" if env.get("RANK") or env.get("WORLD_SIZE") else "single"


def _number(env: Mapping[str, str], names: str, least: int = 0, below: int | None = None) -> int | None:
    """The number in the first of these variables that is set, None where none is."""
    name = next((name for name in names.split() if env.get(name)), None)
    if name is None:
        return None
    if not re.fullmatch("[0-9]+", env[name]) or int(env[name]) < least:
        raise CommError(f"{name} is {env[name]!r}; it must be a whole number from {least}.")
    if below is not None and int(env[name]) >= below:
        raise CommError(f"{name} is {env[name]}; it must be below {below}.")
    return int(env[name])


def _address(env: Mapping[str, str], name: str, *, one_node: bool) -> str:
    """Where rank 0 is: MASTER_ADDR, or what the launcher lets one know; empty where it would be a guess."""
    found = env.get("MASTER_ADDR", "")
    if not found and name.startswith("slurm"):
        found = env.get("SLURM_LAUNCH_NODE_IPADDR", "")
    elif not found and name == "openmpi":
        # mpirun's own address, then that of the node's daemon, which most versions give as the loopback.
        uris = " ".join(env.get(uri, "") for uri in ("OMPI_MCA_orte_hnp_uri", "PMIX_SERVER_URI2"))
        found = next((ip for ip in re.findall("tcp4?://([0-9.]+)", uris) if one_node or ip[:4] != "127."), "")
    return found or ("127.0.0.1" if one_node else "")


def _ask_mpi(preset: str | None, port: int) -> Identity:
    """Ask MPI: rank 0 sends the name of its host, for which every node knows its own way."""
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # RuntimeError: there is no MPI library
        raise CommError(f"mpi needs mpi4py, and an MPI library that it can load: {error}") from error
    world = MPI.COMM_WORLD
    node = world.Split_type(MPI.COMM_TYPE_SHARED)
    here = preset or ("127.0.0.1" if node.size == world.size else socket.gethostname())
    return Identity("mpi", world.rank, world.size, node.rank, node.size, *world.bcast((here, port)))


def _join(me: Identity, seconds: float) -> Identity:
    """Meet all ranks, agree with them on what is not known yet, form the group and try it out."""
    try:
        import torch
        import torch.distributed as dist
    except ImportError as error:
        raise CommError(f"{sys.executable} cannot load torch: {error}. Is its environment active?") from error
    if dist.is_initialized():
        raise CommError("There is a group already: call comm.init() in place of init_process_group().")
    store = _meet(me, seconds) if me.world_size > 1 else dist.HashStore()
    # Before torch 2.4 a GPU does not tell its name: then NCCL itself refuses one that ranks share.
    first = str(getattr(torch.cuda.get_device_properties(0), "uuid", me.rank)) if _gpus() else ""
    everyone = _roll_call(store, [socket.gethostname(), _gpus(), first], me, seconds)
    hosts = [host for host, _, _ in everyone]
    # A rank has a GPU to itself where it sees enough for its node's ranks, or one that no other rank sees.
    own = [n and (n >= hosts.count(host) or everyone.count([host, n, gpu]) == 1) for host, n, gpu in everyone]
    mine, before = hosts[me.rank], hosts[: me.rank]
    me = me._replace(
        local_rank=before.count(mine) if me.local_rank is None else me.local_rank,
        local_world_size=me.local_world_size or hosts.count(mine),
        backend="nccl" if all(own) and dist.is_nccl_available() else "gloo",
    )
    if me.rank == 0 and not all(own) and any(n for _, n, _ in everyone):
        lacking = next(host for host, has in zip(hosts, own) if not has)
        sys.stderr.write(f"hpcsubmit.comm: {_shortage(everyone, lacking)}\n")
    try:
        _within(seconds, lambda: _form(me, dist.PrefixStore("group", store)))
    except _TORCH_ERRORS as error:
        raise CommError(
            f"The ranks met, but {me.backend} cannot join them ({error}). {me.backend.upper()}_SOCKET_IFNAME"
            " can name the network between the nodes. With NCCL_DEBUG=INFO, NCCL says more."
        ) from None
    if me.backend == "nccl":
        torch.cuda.set_device(me.device())
    return me


def _meet(me: Identity, seconds: float) -> Any:
    """Return the store that rank 0 opens for all; below torchrun, its agent has opened one."""
    import torch.distributed as dist

    opens = me.rank == 0 and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
    setting = _number(os.environ, "HPCSUBMIT_STAGGER")
    last = min(12.0, max(0.0, (me.world_size - 8) / 64)) if setting is None else setting
    time.sleep(last * me.rank / (me.world_size - 1))
    where = (me.address, me.port, me.world_size, opens, timedelta(seconds=seconds))
    try:
        if opens and not os.environ.get("MASTER_ADDR"):
            family = socket.AF_INET6 if ":" in me.address else socket.AF_INET
            socket.create_server((me.address, 0), family=family).close()  # is it an address of this node?
        store = _within(seconds + 10, lambda: dist.TCPStore(*where, wait_for_workers=False))
    except _TORCH_ERRORS as error:
        raise CommError(
            f"Rank {me.rank} of {me.world_size} cannot {'be met' if opens else 'meet rank 0'} at"
            f" {me.address}:{me.port} ({error}). MASTER_ADDR must be the address of rank 0's node, and"
            " MASTER_PORT a port that is free there and open to the others. Rank 0's own words say more."
        ) from None
    store.set_timeout(timedelta(seconds=seconds + 10))  # the others are to hear from rank 0 who did not come
    # The agent's store still has what was said in earlier attempts, and before finalize().
    return dist.PrefixStore(f"{os.environ.get('TORCHELASTIC_RESTART_COUNT', 0)}/{next(_meetings)}", store)


def _roll_call(store: Any, word: list[Any], me: Identity, seconds: float) -> list[Any]:
    """Say a word and return everyone's, by rank; where some do not come, all who did hear from rank 0 who."""

    def take_part() -> Any:
        store.set(f"word/{me.rank}", json.dumps(word))
        store.add(f"came/{me.rank}", 1)
        if me.rank == 0:
            absent, end = list(range(me.world_size)), time.monotonic() + seconds
            while absent and time.monotonic() < end:
                time.sleep(0.01)
                absent = [number for number in absent if not store.add(f"came/{number}", 0)]
            words = [json.loads(store.get(f"word/{n}")) for n in range(me.world_size) if not absent]
            store.set("roll", json.dumps([absent, words]))
        return json.loads(store.get("roll"))

    try:
        absent, words = _within(seconds + 10, take_part)
    except _TORCH_ERRORS as error:
        raise CommError(f"Rank 0 went away before all had met; read what it says. ({error})") from None
    if absent:
        time.sleep(2 if me.rank == 0 else 0)  # the store ends with rank 0: the others hear of it first
        names = ", ".join(map(str, absent[:20])) + ", ..." * (len(absent) > 20)
        raise CommError(
            f"Of {me.world_size} ranks, {names} did not come within {seconds:g} s. The log may say why;"
            " if they are only slow, call comm.init(timeout=SECONDS) with more."
        )
    return list(words)


def _gpus() -> int:
    """How many GPUs this process sees."""
    import torch

    return int(torch.cuda.device_count()) if torch.cuda.is_available() else 0


def _shortage(everyone: list[Any], host: str) -> str:
    """Say which GPUs the ranks of a host lack; the word of each rank is its host, its GPUs, and the first."""
    here = [word[1:] for word in everyone if word[0] == host]
    numbers = [number for number, _ in here]
    gpus = len({gpu for _, gpu in here}) if set(numbers) == {1} else min(numbers)
    cure = "by gloo, which is slow: start one rank per GPU"
    if not gpus:
        return f"{numbers.count(0)} of {len(here)} ranks on {host} have no GPU: all meet {cure}"
    many, them = ("", "it") if gpus == 1 else ("s", "them")
    return f"{len(here)} ranks on {host} see {gpus} GPU{many}: they share {them}, {cure}"


def _form(me: Identity, store: Any) -> None:
    """Form torch's default group, and check its first sum: that of the ranks' numbers."""
    import torch
    import torch.distributed as dist

    device = me.device() if me.backend == "nccl" else torch.device("cpu")
    if device.type == "cuda":
        torch.cuda.set_device(device)  # of this thread
    dist.init_process_group(me.backend, store=store, rank=me.rank, world_size=me.world_size)
    total = torch.tensor([me.rank], device=device)
    dist.all_reduce(total)
    if total.item() != me.world_size * (me.world_size - 1) // 2:
        raise RuntimeError(f"the sum of the ranks is {total.item()}")


def _within(seconds: float, action: Callable[[], Any]) -> Any:
    """Do what torch may never come back from, in a thread that is left behind if it does not."""
    outcome: list[Any] = [TimeoutError(f"no answer within {seconds:g} s")]

    def run() -> None:
        try:
            outcome[0] = action()
        except _TORCH_ERRORS as error:
            outcome[0] = error

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _describe(me: Identity) -> str:
    local = "" if me.local_rank is None else f", local rank {me.local_rank}"
    where = f", meeting at {me.address}:{me.port}" if me.world_size > 1 else ""
    return f"rank {me.rank} of {me.world_size} on {socket.gethostname()}{local}{where}"


def _main(method: str = "auto", seconds: str = "240") -> None:
    me = identify(method)
    sys.stdout.write(f"{me.method}: {_describe(me)}\n")
    sys.stdout.flush()  # a rank that is killed while it waits has said who it is
    if me.world_size > 1:
        init(method, float(seconds))
        sys.stdout.write(f"rank {rank()} of {world_size()} met all, and {_me.backend} sums right\n")
        finalize()
        sys.stdout.flush()
        if me.method == "mpi":
            from mpi4py import MPI

            MPI.Finalize()  # or mpirun says that the rank was lost
        os._exit(0)  # torch 2.13 with gloo now and then aborts while Python ends, when all is done


if __name__ == "__main__":
    try:
        _main(*sys.argv[1:3])
    except (CommError, ValueError) as error:
        raise SystemExit(f"hpcsubmit.comm: {error}") from None
