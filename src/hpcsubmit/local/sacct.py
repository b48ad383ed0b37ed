"""sacct: how jobs stand or ended, from their records, which outlive them by 30 days."""

import sys
from collections.abc import Sequence

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.job import Entry
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.lookup import asked

# One line a job and nothing around it is all that is printed here, so these are taken and change nothing.
_IMPLIED = ("--allocations", "--parsable2", "--noheader", "-X", "-P", "-n")


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`sacct -X -P -n --format=FIELDS --jobs=IDS`; unknown ids are left out, as Slurm does.

    An array's tasks that wait, or that never began, share a line; it comes last.

    Raises HpcSubmitError for another option or an unknown field.
    """
    fields, ids = ["JobID", "State", "ExitCode"], ""
    for word in arguments:
        name, _, value = word.partition("=")
        if name == "--format":
            fields = value.split(",")
        elif name == "--jobs":
            ids = value
        elif word not in _IMPLIED:
            raise HpcSubmitError(f"sacct: unrecognized option '{word}'", f"taken: {' '.join(_IMPLIED)}")
    for job_id in filter(None, ids.split(",")):
        for entry in sorted(asked(jobs, job_id) or [], key=_is_together):
            sys.stdout.write("|".join(_field(name, entry) for name in fields) + "\n")
    return 0


def _is_together(entry: Entry) -> bool:
    return entry.job.array is not None and entry.job.array.task is None


def _field(name: str, entry: Entry) -> str:
    job, standing = entry
    match name.lower():
        case "jobid":
            return job.label
        case "jobidraw":
            return str(job.id)
        case "state":
            return str(standing.state)
        case "exitcode":
            return f"{standing.exit_code}:{standing.signal}"
        case _:
            known = "JobID, JobIDRaw, State, ExitCode"
            raise HpcSubmitError(f'sacct: fatal: Invalid field requested: "{name}"', known)
