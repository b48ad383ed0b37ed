"""Talks to Slurm by its commands; the embedded cluster answers the same commands."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import CommandTimedOut, Completed, Host
from hpcsubmit.slurm import (
    SACCT_FORMAT,
    SQUEUE_FORMAT,
    JobId,
    JobState,
    JobStatus,
    caller_variables,
    parse_sacct,
    parse_scontrol_job,
    parse_squeue,
    parse_submission,
)

SUBMIT_TIMEOUT = 60.0
"""Seconds that sbatch may take; a busy controller answers within a few."""
QUERY_TIMEOUT = 20.0
"""Seconds that squeue, scontrol, sacct or scancel may take; without a controller they give up after 9."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scheduler:
    """One cluster's job queue.

    prefix: words before the name of each Slurm command; empty for a real Slurm.
    environ: the variables of the commands, without those of the caller's own job.
    """

    host: Host
    prefix: tuple[str, ...] = ()
    environ: Mapping[str, str]

    def submit(self, script: Path) -> tuple[JobId, str]:
        """Submit a script; return the job's id and the line that sbatch printed.

        Raises CommandTimedOut where sbatch gives no answer (the job may be there), HpcSubmitError with
        sbatch's own words where it refuses.
        """
        try:
            done = self._run("sbatch", str(script), timeout=SUBMIT_TIMEOUT)
        except CommandTimedOut as error:
            raise CommandTimedOut(
                f"sbatch gave no answer within {SUBMIT_TIMEOUT:g} s: the job may or may not be submitted",
                "hpcsubmit runs looks for it; do not submit again before it says what became of this run",
            ) from error
        if done.code != 0:
            said = done.stderr.strip() or done.stdout.strip() or "nothing"
            raise HpcSubmitError(
                f"sbatch refused the job (exit code {done.code}): {said}",
                "mend what sbatch names, with an option of hpcsubmit or in the profile, and submit again",
            )
        return parse_submission(done.stdout), done.stdout.strip()

    def statuses(self, jobs: Sequence[JobId]) -> dict[JobId, JobStatus]:
        """Ask squeue, then scontrol, then sacct; a job that none of them knows is left out.

        A job that has just ended is in none of squeue's lines, and sacct lags by seconds: each is asked for
        what the one before did not tell (Slurm 22.05).
        """
        found: dict[JobId, JobStatus] = {}
        if not jobs:
            return found
        done = self._ask("squeue", "--noheader", f"--format={SQUEUE_FORMAT}", f"--jobs={_ids(jobs)}")
        found |= {s.job: s for s in parse_squeue(done.stdout) if not s.state.ended}
        if done.code == 0 or "Invalid job id" in done.stderr:
            for job in _missing(jobs, found):
                shown = self._ask("scontrol", "--oneliner", "show", "job", str(job))
                status = parse_scontrol_job(shown.stdout, job) if shown.code == 0 else None
                if status and status.state is not JobState.UNKNOWN:
                    found[job] = status
        missing = _missing(jobs, found)
        if missing and not self.prefix:
            done = self._ask(
                "sacct", "--allocations", "--parsable2", "--noheader", f"--format={SACCT_FORMAT}",
                f"--jobs={_ids(missing)}",
            )  # fmt: skip
            found |= {s.job: s for s in parse_sacct(done.stdout) if s.job in missing}
        return found

    def find_by_comment(self, comments: Sequence[str]) -> dict[str, JobId]:
        """Find jobs of this user that Slurm still knows by their comments."""
        done = self._ask("squeue", "--noheader", "--me", "--states=all", f"--format={SQUEUE_FORMAT}")
        wanted = set(comments)
        return {s.comment: s.job for s in parse_squeue(done.stdout) if s.comment in wanted}

    def cancel(self, job: JobId) -> None:
        """Ask for the end of a job; raises HpcSubmitError where Slurm refuses."""
        done = self._run("scancel", str(job), timeout=QUERY_TIMEOUT)
        if done.code != 0:
            said = done.stderr.strip() or f"exit code {done.code}"
            raise HpcSubmitError(f"job {job} could not be cancelled: {said}", f"see hpcsubmit status {job}")

    def _ask(self, *argv: str) -> Completed:
        """Run a query; a command that is missing or gives no answer is an empty answer with code -1."""
        try:
            return self._run(*argv, timeout=QUERY_TIMEOUT)
        except HpcSubmitError as error:
            return Completed(code=-1, stdout="", stderr=error.message)

    def _run(self, *argv: str, timeout: float) -> Completed:
        return self.host.run((*self.prefix, *argv), timeout=timeout, environ=self.environ)


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


def _ids(jobs: Sequence[JobId]) -> str:
    return ",".join(str(job) for job in jobs)


def _missing(jobs: Sequence[JobId], found: Mapping[JobId, JobStatus]) -> list[JobId]:
    return [job for job in jobs if job not in found]
