"""`python -P -m hpcsubmit.local COMMAND ...`: the embedded cluster's commands and their error boundary."""

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.jobs import Jobs


def run(argv: Sequence[str], root: str = "") -> int:
    """Runs one command and returns its exit code; root: the state folder, else XDG_STATE_HOME says which."""
    command, *arguments = argv or ("",)
    try:
        jobs = Jobs(Path(root)) if root else Jobs.of(os.environ)
        return _run_command(command, arguments, jobs)
    except HpcSubmitError as error:
        sys.stderr.write(f"{error.message}\n" + (f"hint: {error.hint}\n" if error.hint else ""))
        return error.exit_code
    except OSError as error:
        sys.stderr.write(f"{command}: error: {error}\n")
        return 1


def _run_command(command: str, arguments: Sequence[str], jobs: Jobs) -> int:
    # Imported where needed: every srun and scontrol of a job is a process of its own.
    match command:
        case "sacct":
            from hpcsubmit.local.sacct import main
        case "sbatch":
            from hpcsubmit.local.sbatch import main
        case "scancel":
            from hpcsubmit.local.scancel import main
        case "scontrol":
            from hpcsubmit.local.scontrol import main
        case "squeue":
            from hpcsubmit.local.squeue import main
        case "srun":
            from hpcsubmit.local.srun import main
        case "runner":
            from hpcsubmit.local.runner import main
        case "array-runner":
            from hpcsubmit.local.array_runner import main
        case _:
            raise HpcSubmitError(
                f"error: no command {command!r}",
                "one of sacct, sbatch, scancel, scontrol, squeue, srun",
                exit_code=2,
            )
    return main(arguments, jobs)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
