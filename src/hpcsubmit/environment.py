"""The virtual environment of a job: found ready, or built in the foreground before the job is submitted."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host, cannot_write, make_folder, write_atomically
from hpcsubmit.plan import Virtualenv
from hpcsubmit.project import Project
from hpcsubmit.values import script_path

LINK = "virtual_env"
BUILT = ".virtual_envs"
STAMP = ".hpcsubmit-finished"
"""Written last: an environment without it was cut short and counts for nothing."""
REQUIREMENTS = "requirements.txt"


def find_virtualenv(project: Project, host: Host) -> Virtualenv:
    """Say which environment the project's jobs use, and whether it must be built; changes nothing.

    A `virtual_env` that hpcsubmit did not make is the user's own. Otherwise the environment is kept at
    .virtual_envs/HASH, HASH being that of requirements.txt and of the Python, and `virtual_env` is a link
    to it. Raises HpcSubmitError where there is neither an environment nor a requirements.txt.
    """
    link = project.root / LINK
    requirements = project.root / REQUIREMENTS
    if _is_users_own(link):
        if not (link / "bin" / "python").is_file():
            raise HpcSubmitError(
                f"{link} has no bin/python: it is not a whole virtual environment",
                f"remove it, and hpcsubmit builds one from {REQUIREMENTS}",
            )
        return Virtualenv(path=link, note=f"the environment {link} is your own and used as it is")
    if requirements.is_file():
        path = project.root / BUILT / _key(requirements, _python(host))
        return Virtualenv(path=path, requirements=None if (path / STAMP).is_file() else requirements)
    if (link / STAMP).is_file():
        return Virtualenv(path=script_path(link.resolve(), "the virtual environment"))
    raise HpcSubmitError(
        f"the project has neither a {LINK} folder nor a {REQUIREMENTS}: {project.root}",
        f"write the packages that the program needs into {project.root / REQUIREMENTS}, one a line",
    )


def build_virtualenv(virtualenv: Virtualenv, project: Project, host: Host) -> None:
    """Build an environment with venv and pip, their output in view, and link virtual_env to it.

    An environment that was cut short is built anew; its path stays the same, since a virtual environment
    cannot be moved. Raises HpcSubmitError where venv or pip fail.
    """
    if virtualenv.requirements is not None:
        _build(virtualenv.path, virtualenv.requirements, project.root, host)
    if virtualenv.path.parent == project.root / BUILT:
        _link(project.root / LINK, virtualenv.path)


def _build(path: Path, requirements: Path, folder: Path, host: Host) -> None:
    make_folder(path.parent)
    with _only_builder(path) as lock:
        if (path / STAMP).is_file():
            return  # another submission built it while this one waited
        python = path / "bin" / "python"
        for argv in (
            (str(_python(host)), "-m", "venv", "--clear", str(path)),
            (str(python), "-m", "pip", "install", "--requirement", str(requirements)),
        ):
            code = host.run_in_view(argv, folder=folder, holding=[lock])
            if code != 0:
                raise HpcSubmitError(
                    f"the environment could not be built: {' '.join(argv[1:4])} ended with exit code {code}",
                    f"mend {requirements} as the lines above say and submit again; {path} counts for nothing",
                )
        write_atomically(path / STAMP, "", mode=0o644)


@contextmanager
def _only_builder(path: Path) -> Iterator[int]:
    """Hold the lock that one build of an environment has on this machine; the others wait for it.

    It is given to venv and pip too: a build whose hpcsubmit was killed keeps it until pip has ended. A file
    system without locks builds without one.
    """
    import fcntl  # late: for builds alone

    lock = path.with_name(f".{path.name}.lock")
    try:
        descriptor = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise cannot_write(lock, error) from error
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield descriptor
    finally:
        os.close(descriptor)


def _link(link: Path, target: Path) -> None:
    """Make the link point to the target, in one step."""
    relative = Path(BUILT) / target.name
    if link.is_symlink() and link.readlink() == relative:
        return
    new = link.with_name(f".{link.name}.{os.getpid()}")
    try:
        new.unlink(missing_ok=True)
        new.symlink_to(relative)
        new.replace(link)
    except OSError as error:
        raise cannot_write(link, error) from error


def _is_users_own(link: Path) -> bool:
    """Whether virtual_env is there and is not a link of ours."""
    if link.is_symlink():
        return link.readlink().parent != Path(BUILT)
    return link.exists()


def _python(host: Host) -> Path:
    """The interpreter that environments are built with: the first python3 of the PATH, links followed.

    A script in its place (pyenv's, say) is asked which interpreter it starts.
    """
    found = host.which("python3")
    if found is None:
        raise HpcSubmitError("there is no python3 on the PATH", "load the site's python module, then submit")
    if _is_script(Path(found)):
        said = host.run((found, "-I", "-c", "import sys; print(sys.executable)"), timeout=20)
        found = said.stdout.strip() or found
    return Path(found).resolve()


def _is_script(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(2) == b"#!"
    except OSError:
        return False


def _key(requirements: Path, python: Path) -> str:
    """Name an environment by what it is made from: the requirements and the interpreter."""
    try:
        content = requirements.read_bytes()
    except OSError as error:
        raise HpcSubmitError(
            f"{requirements} cannot be read: {error.strerror}", "check its permissions"
        ) from error
    return hashlib.sha256(content + b"\0" + str(python).encode()).hexdigest()[:16]
