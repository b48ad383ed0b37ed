"""Asks nvidia-smi of this machine's GPUs."""

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.gpus.devices import NO_GPU_CODES, UNKNOWN, Gpu, Listed, Process, Seen, join
from hpcsubmit.gpus.smi_text import (
    FORMAT,
    GPU_FIELDS,
    MIG_FIELD,
    PROCESS_FIELDS,
    parse_gpus,
    parse_processes,
    parse_slices,
    remarks,
)
from hpcsubmit.host import CommandTimedOut, Host
from hpcsubmit.running import Completed

TIMEOUT = 60.0
"""Seconds that nvidia-smi may take: without its persistence daemon it starts every GPU first."""


def look(host: Host, timeout: float = TIMEOUT) -> Seen:
    """Ask for the GPUs, then for their processes; no GPU is an answer, too.

    Raises HpcSubmitError where nvidia-smi fails otherwise, or says nothing for `timeout` seconds.
    """
    done = _ask(host, timeout, f"--query-gpu={GPU_FIELDS},{MIG_FIELD}")
    if done.code and MIG_FIELD in done.stdout + done.stderr:
        done = _ask(host, timeout, f"--query-gpu={GPU_FIELDS}")
    rows, said = parse_gpus(done.stdout), remarks(f"{done.stderr}\n{done.stdout}")
    if rows:
        gpus = tuple(gpu for gpu, _ in rows)
        listed, note = _processes(host, gpus, timeout)
        cut = any(mig for _, mig in rows) or {uuid for uuid, _ in listed} - {gpu.uuid for gpu in gpus}
        slices = parse_slices(_ask(host, timeout, "-L").stdout) if cut else {}
        return Seen(join(gpus, slices, listed), said or note)
    if done.code == 0 or done.code in NO_GPU_CODES:
        return Seen((), f"nvidia-smi says: {said}" if said else "nvidia-smi lists none")
    raise HpcSubmitError(
        f"nvidia-smi failed (exit code {done.code}): {said or 'no word'}",
        "the driver or a GPU is out of order: tell those who run this machine",
    )


def _processes(host: Host, gpus: tuple[Gpu, ...], timeout: float) -> tuple[list[Listed], str]:
    """The processes, and a note; where nvidia-smi cannot tell them, each GPU has an unknown one."""
    done = _ask(host, timeout, f"--query-compute-apps={PROCESS_FIELDS}")
    listed = list(parse_processes(done.stdout))
    if done.code == 0 or listed:
        return listed, ""
    said = remarks(f"{done.stderr}\n{done.stdout}")
    unseen = [(gpu.uuid, Process(pid=None, name=UNKNOWN, memory=gpu.used)) for gpu in gpus]
    return unseen, f"nvidia-smi cannot tell the processes: {said or f'exit code {done.code}'}"


def _ask(host: Host, timeout: float, *question: str) -> Completed:
    argv = ("nvidia-smi", *question, *([] if question == ("-L",) else [FORMAT]))
    try:
        return host.run(argv, timeout=timeout)
    except CommandTimedOut as error:
        hint = "the driver or a GPU hangs: tell those who run this machine"
        raise HpcSubmitError(error.message, hint) from error
