"""What is doubtful of a sweep file where it is to run: in a folder or a container, with seeds or none."""

from pathlib import Path

from hpcsubmit.errors import UsageError
from hpcsubmit.request import Request
from hpcsubmit.sweep_file.program import check_start
from hpcsubmit.sweep_file.reading import SweepFile
from hpcsubmit.sweep_file.seed import sets_seed, unfilled_seed


def doubts(request: Request, file: SweepFile, root: Path) -> tuple[str, ...]:
    """Return the warnings of a file, and those of its program and its seed.

    root: the project's folder. Raises UsageError where a file that sets the seed is to be repeated, and
    HpcSubmitError where the program is surely not there.
    """
    if request.seeds and (named := sets_seed(file)):
        problem = f"{file.path} sets the seed itself, {named}, and --repeat or --seeds would set it too"
        hint = "leave out --repeat and --seeds, or take the seed out of the file: its command may have {seed}"
        raise UsageError(problem, hint)
    start = check_start(file, root, sure=request.container is None)
    return (*file.warnings, *start, *(() if request.seeds else unfilled_seed(file)))
