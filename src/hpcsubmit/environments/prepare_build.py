"""What is left to do for an environment that is not there yet: read, checked and decided; changes nothing."""

import json
import shlex
import sys
from pathlib import Path

from hpcsubmit.environments.interpreter import find_uv
from hpcsubmit.environments.job import job_at_it
from hpcsubmit.environments.layout import log_of
from hpcsubmit.environments.packages import hide_credentials, packages_of
from hpcsubmit.environments.wanted import Ingredients, Wish
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile
from hpcsubmit.resources import where
from hpcsubmit.slurm import Directive
from hpcsubmit.virtualenv import Build

JOB_NAME = "virtualenv-creator"
BUILD_CPUS = 2


def prepare_build(
    path: Path,
    made_from: Ingredients,
    host: Host,
    profile: Profile,
    wish: Wish,
    *,
    makes: bool,
    packs: bool,
) -> Build:
    """Read the packages and decide where and how the environment is built.

    Raises HpcSubmitError for files that cannot be read, and where a job is building it that a job of this
    cluster cannot wait for.
    """
    root, source = path.parents[1], made_from.source
    uv = find_uv(host, Path(sys.prefix))
    no_index = profile.packages == "wheelhouse"
    packages = packages_of(source, root, host, uv=uv, wheelhouse=no_index)
    hidden = hide_credentials(packages, tuple(_find_links(place) for place in profile.wheelhouse))
    at_it = job_at_it(path, host)
    if at_it and profile.scheduler == "local":
        raise HpcSubmitError(
            f"job {at_it} of the cluster is building {path}, and a job on this machine cannot wait for it",
            f"submit again when it has ended, or end it: hpcsubmit cancel {at_it}",
        )
    return Build(
        source=source.path,
        makes=makes,
        packs=packs,
        in_job=profile.environment_built == "job" and profile.scheduler != "local",
        job=at_it,
        python=made_from.python.get("interpreter", profile.python),
        uv=uv,
        for_python=packages.python,
        modules=profile.modules,
        requirements=hidden.requirements,
        constraints=hidden.constraints,
        no_index=no_index,
        wheelhouse=hidden.wheelhouse,
        stamp=_stamp(made_from),
        directives=_directives(path, profile, wish),
        credentials=hidden.credentials,
        note=packages.note,
    )


def _find_links(place: str) -> str:
    return f"--find-links {shlex.quote(place)}"


def _stamp(made_from: Ingredients) -> str:
    """What the stamp tells of the environment, as one line."""
    return json.dumps(
        {
            "source": made_from.source.path.name,
            "files": made_from.files,
            "python": dict(made_from.python),
        }
    )


def _directives(path: Path, profile: Profile, wish: Wish) -> tuple[Directive, ...]:
    """The options of the job that builds; singleton: one user's builds run one after the other."""
    memory = (
        [Directive(name="mem", value=str(profile.build_memory))] if profile.memory_option != "none" else []
    )
    return (
        Directive(name="job-name", value=JOB_NAME),
        Directive(name="comment", value=path.name),
        *where(wish.account, wish.partition, profile),
        Directive(name="time", value=str(profile.build_time)),
        Directive(name="nodes", value="1"),
        Directive(name="ntasks", value="1"),
        Directive(name="cpus-per-task", value=str(BUILD_CPUS)),
        *memory,
        Directive(name="chdir", value=str(path.parents[1])),
        Directive(name="output", value=str(log_of(path)).replace("%", "%%")),
        Directive(name="open-mode", value="truncate"),
        Directive(name="dependency", value="singleton"),
        *profile.sbatch_args,
    )
