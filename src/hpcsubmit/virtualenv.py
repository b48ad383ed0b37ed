"""The Python environment of a job, and what must be done before it is there: decided, pure."""

import re
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.frozen import frozen
from hpcsubmit.slurm import Directive, JobId


@frozen
class Build:
    """What is left to do for an environment; `environment.sbatch.j2` prints it as one script.

    source: the file that names the packages. makes, packs: whether the environment is to be made, and
    whether its archive for the nodes is.
    in_job: whether a job of its own does it; job: the one that is at it already, None for none.
    python: the interpreter, a path or (from modules) a name. uv: its path, "" for venv and pip.
    for_python: the version that the project is for, "" where it does not say.
    requirements: the lines of requirement files that are installed one after the other. constraints: lines of
    a constraints file. wheelhouse: --find-links. no_index: whether packages come from these alone.
    stamp: the text that says that the environment is finished. directives: of the job.
    credentials: environment variables that the lines name in place of user names and passwords.
    note: what to tell the user of the packages, "" for nothing.
    """

    source: Path
    makes: bool
    packs: bool
    in_job: bool
    python: str
    job: JobId | None = None
    uv: str = ""
    for_python: str = ""
    modules: tuple[str, ...] = ()
    requirements: tuple[tuple[str, ...], ...] = ()
    constraints: tuple[str, ...] = ()
    no_index: bool = False
    wheelhouse: tuple[str, ...] = ()
    stamp: str = ""
    directives: tuple[Directive, ...] = ()
    credentials: tuple[tuple[str, str], ...] = ()
    note: str = ""

    @property
    def prereleases(self) -> bool:
        """Whether a file says --pre, which uv does not read there."""
        return any("--pre" in lines for lines in self.requirements)

    @property
    def trusted_hosts(self) -> tuple[str, ...]:
        """What the files name as --trusted-host, which uv does not read there."""
        lines = [re.split(r"[= ]+", line) for lines in self.requirements for line in lines]
        return tuple(words[1] for words in lines if words[0] == "--trusted-host" and len(words) > 1)


class Virtualenv(NamedTuple):
    """The environment of a job, which never changes once it is finished.

    path: the folder that the script activates; it was built under this path.
    build: what is left to do before the job can use it; None where it is ready.
    manifest: the list of the archives that every node unpacks; None where it is used where it lies.
    transfer: how those archives come to the nodes, `direct` or `broadcast`.
    room, sizes: KiB that it takes on a node's disk, and bytes of each archive; 0 and () until it is packed.
    note: what to tell the user of it, "" for nothing.
    """

    path: Path
    build: Build | None = None
    manifest: Path | None = None
    transfer: str = "direct"
    note: str = ""
    room: int = 0
    sizes: tuple[int, ...] = ()
