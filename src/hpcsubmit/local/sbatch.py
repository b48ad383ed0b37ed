"""sbatch: takes a script, makes its job and starts the runner that looks after it. There is no queue."""

import fcntl
import os
import pwd
import select
import time
from collections.abc import Sequence
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.directives import Request, output_path, read_request
from hpcsubmit.local.gpus import deal
from hpcsubmit.local.job import Job, JobFolder
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.node_folders import remove_tree
from hpcsubmit.local.processes import start
from hpcsubmit.local.standins import command_line, write_standins

_START_SECONDS = 30.0


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`sbatch [--parsable] SCRIPT`: returns once the job's runner is recorded as alive."""
    script, parsable = _parse(arguments)
    text = _read_script(script)
    request = read_request(text, script.name)
    jobs.sweep()
    folder = jobs.claim()
    try:
        job = _describe(folder.id, request, script)
        log = _open_log(Path(job.output), append=request.append)
    except BaseException:
        remove_tree(folder.path)
        raise
    _fill(folder, job, text, jobs)
    _start_runner(folder, log, jobs, job.output)
    os.write(1, (f"{job.id}\n" if parsable else f"Submitted batch job {job.id}\n").encode())
    return 0


def _parse(arguments: Sequence[str]) -> tuple[Path, bool]:
    words = [word for word in arguments if word != "--parsable"]
    if len(words) != 1 or words[0].startswith("-"):
        wrong = next((word for word in words if word.startswith("-")), " ".join(words) or "no script")
        raise HpcSubmitError(
            f"sbatch: error: can't take {wrong!r}",
            "usage: sbatch [--parsable] SCRIPT; options go into the script",
        )
    return Path(words[0]), len(words) < len(arguments)


def _read_script(script: Path) -> str:
    try:
        return script.read_bytes().decode("utf-8", "surrogateescape")
    except (FileNotFoundError, IsADirectoryError, PermissionError) as error:
        raise HpcSubmitError(f"sbatch: error: Unable to open file {script}", str(error.strerror)) from error


def _describe(job_id: int, request: Request, script: Path) -> Job:
    user = user_name()
    workdir = Path.cwd() / request.chdir
    if not workdir.is_dir():
        raise HpcSubmitError(f"sbatch: error: can't run in {workdir}", "it is not a folder: see --chdir")
    output = output_path(request.output, job_id=job_id, job_name=request.job_name, user=user)
    return Job(
        id=job_id,
        name=request.job_name,
        script=str(Path.cwd() / script),
        workdir=str(workdir),
        output=str(workdir / output),
        nodes=request.nodes,
        tasks_per_node=request.tasks_per_node,
        cpus_per_task=request.cpus_per_task,
        gpus=deal(os.environ, nodes=request.nodes, per_node=request.gpus),
        seconds=request.seconds,
        warning=request.warning,
        comment=request.comment,
        submitted=time.time(),
        user=user,
        uid=os.getuid(),
        host=os.uname().nodename,
    )


def user_name() -> str:
    """The caller's login name; the user id in a container that has no entry for it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _open_log(path: Path, *, append: bool) -> int:
    # Slurm would accept the job and fail it without a log; here the reason can be said.
    # O_APPEND in either mode: the tasks write to one file at the same time.
    mode = os.O_WRONLY | os.O_CREAT | os.O_APPEND | (0 if append else os.O_TRUNC)
    try:
        return os.open(path, mode, 0o666)
    except OSError as error:
        raise HpcSubmitError(
            f"sbatch: error: can't write the job's log {path}: {error.strerror}",
            f"make the folder {path.parent}",
        ) from error


def _fill(folder: JobFolder, job: Job, text: str, jobs: Jobs) -> None:
    folder.steps.mkdir(mode=0o700)
    write_standins(folder.commands, jobs.root)
    folder.script.write_bytes(text.encode("utf-8", "surrogateescape"))
    folder.script.chmod(0o700)
    folder.write_job(job)


def _start_runner(folder: JobFolder, log: int, jobs: Jobs, output: str) -> None:
    """The runner inherits the lock, so that there is no moment in which the job's lock is free."""
    lock = os.open(folder.lock, os.O_RDWR | os.O_CREAT, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX)
    jobs.mark_active(folder)
    ready, alive = os.pipe()
    nothing = os.open(os.devnull, os.O_RDONLY)
    argv = (*command_line(jobs.root), "runner", str(folder.id))
    start(argv, os.environ, files=(nothing, log, log, lock, alive))
    for fd in (nothing, log, lock, alive):
        os.close(fd)
    readable, _, _ = select.select([ready], [], [], _START_SECONDS)
    if not readable or not os.read(ready, 1):
        raise HpcSubmitError(f"sbatch: error: job {folder.id} did not start", f"its log says why: {output}")
