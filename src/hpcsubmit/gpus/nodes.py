"""What is free on a cluster's nodes: one question to sinfo."""

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.gpus.sinfo_text import COLUMNS, NodeGpus, parse_nodes
from hpcsubmit.queue import QUERY_TIMEOUT
from hpcsubmit.running import Completed
from hpcsubmit.scheduler import Scheduler


def ask(scheduler: Scheduler) -> tuple[NodeGpus, ...]:
    """Ask sinfo for all nodes; those without GPUs are left out.

    Raises HpcSubmitError where sinfo is not there, or fails.
    """
    if scheduler.host.which("sinfo") is None:
        raise HpcSubmitError(
            "there is no sinfo on the PATH, which knows the cluster's nodes",
            "log in to the cluster first; hpcsubmit gpus without --cluster shows this machine's GPUs",
        )
    wanted = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
    argv = ("sinfo", "--noheader", "--Node", f"--Format={wanted}")
    done = scheduler.run(*argv, timeout=QUERY_TIMEOUT)
    _require_answer(done)
    return parse_nodes(done.stdout)


def _require_answer(done: Completed) -> None:
    said = "; ".join(filter(None, map(str.strip, (done.stderr or done.stdout).splitlines())))
    if done.code != 0:
        raise HpcSubmitError(
            f"sinfo failed (exit code {done.code}): {said or 'no word'}",
            "where the controller is busy or down, try again in a minute; else see what sinfo says by hand",
        )
    if "Invalid" in done.stderr:  # it leaves out a column that it does not know, and ends well (22.05.8)
        raise HpcSubmitError(
            f"sinfo cannot tell what is free: {said}",
            "this Slurm may be too old; sinfo -o '%N %G %T' shows which node has which GPUs",
        )
