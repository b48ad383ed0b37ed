"""Talks to Slurm by its commands; the embedded cluster answers the same commands."""

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.host import CommandTimedOut, Host
from hpcsubmit.running import Completed
from hpcsubmit.slurm import JobId, caller_variables, parse_submission

SUBMIT_TIMEOUT = 60.0
"""Seconds that sbatch may take; a busy controller answers within a few."""


class Unanswered(HpcSubmitError):
    """sbatch named no job and did not refuse either: whether there is a job is not known."""


@frozen
class Accepted:
    """A job that sbatch took: its id, the line that says so, and what else sbatch said."""

    job: JobId
    line: str
    remarks: str = ""


class Scheduler(NamedTuple):
    """One cluster's job queue.

    prefix: words before the name of each Slurm command; empty for a real Slurm.
    environ: the variables of the commands, without those of the caller's own job.
    submit_timeout: seconds that sbatch may take.
    """

    host: Host
    environ: Mapping[str, str]
    prefix: tuple[str, ...] = ()
    submit_timeout: float = SUBMIT_TIMEOUT

    def submit(self, script: Path, *options: str, arguments: Sequence[str] = ()) -> Accepted:
        """Submit a script, with options of sbatch that go before the script's own, and with its arguments.

        Raises Unanswered where sbatch does not say whether there is a job, HpcSubmitError with sbatch's own
        words where it refuses.
        """
        try:
            done = self.run("sbatch", *options, str(script), *arguments, timeout=self.submit_timeout)
        except CommandTimedOut as error:
            raise _unanswered(f"sbatch gave no answer within {self.submit_timeout:g} s") from error
        said = "; ".join(filter(None, map(str.strip, (done.stderr or done.stdout).splitlines())))
        # A controller that is slow to answer may have taken the job all the same.
        if done.code < 0 or (done.code and "timed out" in said):
            raise _unanswered(f"sbatch broke off (exit code {done.code}): {said or 'no word'}")
        if done.code != 0:
            raise HpcSubmitError(
                f"sbatch refused the job (exit code {done.code}): {said or 'no word'}",
                "mend what sbatch names, with an option of hpcsubmit or in the profile, and submit again",
            )
        try:
            job = parse_submission(done.stdout)
        except HpcSubmitError as error:
            raise _unanswered(error.message) from error
        lines = done.stdout.splitlines()
        line = next(ln for ln in lines if ln.startswith(f"Submitted batch job {job}"))
        others = [ln for ln in (*done.stderr.splitlines(), *lines) if ln.strip() and ln != line]
        return Accepted(job=job, line=line, remarks="\n".join(others))

    def run(self, *argv: str, timeout: float) -> Completed:
        """Run one of the scheduler's commands; raises as Host.run does."""
        return self.host.run((*self.prefix, *argv), timeout=timeout, environ=self.environ)


def _unanswered(what: str) -> Unanswered:
    return Unanswered(
        f"{what}: the job may or may not be submitted",
        "hpcsubmit runs looks for it; do not submit again before it says what became of this run",
    )


def scheduler_for(kind: str, host: Host, extra: Mapping[str, str] | None = None) -> Scheduler:
    """Return the queue of a profile's `scheduler`; `extra` variables are given to its commands.

    Raises HpcSubmitError where Slurm is meant and there is no sbatch.
    """
    dropped = set(caller_variables(host.environ))
    environ = {n: v for n, v in host.environ.items() if n not in dropped} | dict(extra or {})
    if kind == "local":
        return Scheduler(host=host, prefix=(sys.executable, "-P", "-m", "hpcsubmit.local"), environ=environ)
    return Scheduler(host=host, environ=environ)


def require_sbatch(scheduler: Scheduler, cluster: str) -> None:
    """Raise HpcSubmitError where a Slurm cluster is meant and the PATH has no sbatch."""
    if not scheduler.prefix and scheduler.host.which("sbatch") is None:
        raise HpcSubmitError(
            f"there is no sbatch on the PATH, and the cluster is '{cluster}'",
            "log in to the cluster first, or train on this machine with --cluster local",
        )
