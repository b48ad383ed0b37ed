"""sbatch: takes a script, makes its job or its array, and starts the runner that looks after it."""

import os
import pwd
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import ArraySpec
from hpcsubmit.local.directives import Request, output_path, read_request
from hpcsubmit.local.gpus import deal
from hpcsubmit.local.job import Job, JobFolder
from hpcsubmit.local.job_array import ArrayPlan, JobArray
from hpcsubmit.local.jobs import Jobs
from hpcsubmit.local.node_folders import remove_tree
from hpcsubmit.local.starting import check_folder, fill, open_log, start_runner

_TAKEN = ("-a", "--array", "-d", "--dependency", "--kill-on-invalid-dep")


def main(arguments: Sequence[str], jobs: Jobs) -> int:
    """`sbatch [--parsable] [--array=SPEC] [--dependency=...] SCRIPT [ARGUMENT...]`.

    It returns once the runner lives; the arguments are the script's own.
    """
    script, options, own, parsable = _parse(arguments)
    text = _read_script(script)
    request = read_request(text, script.name, options)
    jobs.sweep()
    folder = jobs.claim()
    try:
        job = replace(_describe(int(folder.path.name), request, script), arguments=own)
        array = _make_array(folder, job, request.array, request) if request.array else None
        said = array.records.path / "log" if array else Path(job.output)
        log = open_log(said)
    except BaseException:
        remove_tree(folder.path)
        raise
    content = text.encode("utf-8", "surrogateescape")
    start = partial(_start_array, array) if array else partial(_start, folder)
    if not start(job, content, log, jobs):
        raise HpcSubmitError(f"sbatch: error: job {job.id} did not start", f"its log says why: {said}")
    os.write(1, (f"{job.id}\n" if parsable else f"Submitted batch job {job.id}\n").encode())
    return 0


def _parse(arguments: Sequence[str]) -> tuple[Path, list[str], tuple[str, ...], bool]:
    """The script, the options that go before its own, its arguments, and whether the id is to stand alone."""
    words = list(arguments)
    options: list[str] = []
    parsable = False
    while words and words[0].partition("=")[0] in (*_TAKEN, "--parsable"):
        if words[0] == "--parsable":
            parsable = bool(words.pop(0))
            continue
        options.append(words.pop(0))
        if "=" not in options[-1] and words:
            options.append(words.pop(0))
    if not words or words[0].startswith("-"):
        raise HpcSubmitError(
            f"sbatch: error: can't take {words[0] if words else 'no script'!r}",
            f"usage: sbatch [--parsable] [{'|'.join(_TAKEN)}] SCRIPT [ARGUMENT...]; "
            "other options go into the script",
        )
    return Path(words[0]), options, tuple(words[1:]), parsable


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
        append=request.append,
        dependency=request.dependency,
        ends_with_it=request.ends_with_it,
    )


def user_name() -> str:
    """The caller's login name; the user id in a container that has no entry for it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())


def _make_array(folder: JobFolder, job: Job, spec: ArraySpec, request: Request) -> JobArray:
    plan = ArrayPlan(spec=spec, output=request.output, gpus=request.gpus)
    array = JobArray.make(folder.path, plan)
    check_folder(Path(array.job_of(spec.numbers[0], job, job.id, job.gpus).output))
    return array


def _start(folder: JobFolder, job: Job, script: bytes, log: int, jobs: Jobs) -> bool:
    fill(folder, job, script, jobs)
    return start_runner("runner", job.id, folder, log, jobs)


def _start_array(array: JobArray, job: Job, script: bytes, log: int, jobs: Jobs) -> bool:
    array.records.script.write_bytes(script)
    array.records.write_job(job)
    return start_runner("array-runner", job.id, array.records, log, jobs)
