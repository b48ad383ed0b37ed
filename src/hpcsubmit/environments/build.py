"""Builds an environment: here, in the foreground, or in a job that the computing job waits for."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hpcsubmit import __version__
from hpcsubmit.environments import layout
from hpcsubmit.environments.job import job_at_it
from hpcsubmit.environments.layout import is_finished, job_of, log_of, script_of
from hpcsubmit.environments.lock import take_lock
from hpcsubmit.environments.packed import is_packed
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.folders import configuration_folder
from hpcsubmit.host import Host, make_folder, write_atomically
from hpcsubmit.render import render_script
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from hpcsubmit.virtualenv import Build, Virtualenv

PIP_SETTINGS = Path(__file__).with_name("pip_settings.py")


def build_script(virtualenv: Virtualenv, host: Host) -> str:
    """Return the script that does what is left to do for an environment, here or in a job."""
    return render_script(
        "environment.sbatch.j2",
        configuration_folder(host) / "templates",
        plan=virtualenv.build,
        path=virtualenv.path,
        version=__version__,
        layout=layout,
        pip_settings=PIP_SETTINGS.read_text("utf-8"),
    )


def build_virtualenv(virtualenv: Virtualenv, host: Host, scheduler: Scheduler) -> JobId | None:
    """Do what is left to do for an environment; return the job that does it, None where it is done.

    Raises HpcSubmitError where the build fails, or where its job cannot be submitted.
    """
    path, build = virtualenv.path, virtualenv.build
    if build is None:
        return None
    make_folder(path.parent)
    with _only_builder(path) as lock:
        if _is_done(virtualenv, build):
            return None  # another submission built it while this one waited
        if job := job_at_it(path, host):
            return job
        script = script_of(path)
        write_atomically(script, build_script(virtualenv, host), mode=0o700)
        secrets = dict(build.credentials)
        if build.in_job:
            return _submit(script, path, scheduler._replace(environ={**scheduler.environ, **secrets}))
        _run(script, virtualenv, build, Host(environ={**host.environ, **secrets}), lock)
    return None


def _is_done(virtualenv: Virtualenv, build: Build) -> bool:
    if build.makes and not is_finished(virtualenv.path):
        return False
    return not build.packs or is_packed(virtualenv.path)


def _run(script: Path, virtualenv: Virtualenv, build: Build, host: Host, lock: int) -> None:
    log = log_of(virtualenv.path)
    code = host.run_in_view(("bash", str(script), str(log)), folder=script.parents[1], holding=[lock])
    if code != 0:
        raise HpcSubmitError(
            f"the environment could not be built: exit code {code}; {virtualenv.path} counts for nothing",
            f"mend {build.source} as the lines above say and submit again; all of them are in {log}",
        )


def _submit(script: Path, path: Path, scheduler: Scheduler) -> JobId:
    """Submit the job, and write its id and what it builds where the next submission finds it."""
    job = scheduler.submit(script).job
    write_atomically(job_of(path), f"{job}\n{path}\n", mode=0o644)
    return job


@contextmanager
def _only_builder(path: Path) -> Iterator[int]:
    """Hold the lock that one build of an environment has on this machine; the others wait for it.

    It is given to the script too: a build whose hpcsubmit was killed keeps it until it has ended. A file
    system without locks builds without one.
    """
    descriptor = take_lock(path, fcntl.LOCK_EX)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
