"""sacct: how jobs stand or ended, from their records, which outlive them by 30 days."""

import sys
from collections.abc import Sequence

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.job import Standing
from hpcsubmit.local.jobs import Jobs

# One line a job and nothing around it is all that is printed here, so these are taken and change nothing.
_IMPLIED = ("--allocations", "--parsable2", "--noheader", "-X", "-P", "-n")


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`sacct -X -P -n --format=FIELDS --jobs=IDS`; unknown ids are left out, as Slurm does.

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
        folder = jobs.find(job_id)
        if folder is not None:
            standing = folder.standing()
            sys.stdout.write("|".join(_field(name, job_id, standing) for name in fields) + "\n")
    return 0


def _field(name: str, job_id: str, standing: Standing) -> str:
    match name.lower():
        case "jobid":
            return job_id
        case "state":
            return str(standing.state)
        case "exitcode":
            return f"{standing.exit_code}:{standing.signal}"
        case _:
            raise HpcSubmitError(f'sacct: fatal: Invalid field requested: "{name}"', "JobID, State, ExitCode")
