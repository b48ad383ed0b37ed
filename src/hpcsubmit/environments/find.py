"""Which environment a submission uses, and whether anything is left to do for it; changes nothing."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsubmit.environments.interpreter import find_python
from hpcsubmit.environments.layout import (
    BUILT,
    LINK,
    generations,
    is_finished,
    is_users_own,
    manifest_of,
    read_stamp,
)
from hpcsubmit.environments.sources import REQUIREMENTS, find_source
from hpcsubmit.environments.wanted import Ingredients, Wish, digest
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile
from hpcsubmit.project import Project
from hpcsubmit.virtualenv import Virtualenv


def find_virtualenv(project: Project, host: Host, profile: Profile, wish: Wish) -> Virtualenv:
    """Find the environment of a project's jobs; raises HpcSubmitError where none is there nor can be made.

    A `virtual_env` that hpcsubmit did not make is the user's own. Otherwise it is the newest finished
    generation of .virtual_envs/HASH, HASH being that of the files, the Python and the profile's settings.
    """
    link = project.root / LINK
    if is_users_own(link):
        return _users_own(link, wish)
    source = find_source(project.root)
    if source is None:
        raise _nothing_to_make_it_from(project.root)
    python = _python(profile, host, read_stamp(link) or {})
    made_from = Ingredients(source=source, python=python, files=digest(source))
    return _newest(made_from, project, host, profile, wish)


def _newest(made_from: Ingredients, project: Project, host: Host, profile: Profile, wish: Wish) -> Virtualenv:
    key = made_from.key(profile)
    there = generations(project.root / BUILT, key)
    finished = [path for _, path in there if is_finished(path)]
    makes = wish.rebuild or not finished
    path = _next(there, key, project, profile, wish) if makes else finished[-1]
    manifest = manifest_of(path) if wish.on_node else None
    packs = manifest is not None and (makes or not _is_packed(path))
    if not makes and not packs:
        return Virtualenv(path=path, manifest=manifest)
    from hpcsubmit.environments.prepare_build import prepare_build  # late: for builds alone

    build = prepare_build(path, made_from, host, profile, wish, makes=makes, packs=packs)
    return Virtualenv(path=path, build=build, manifest=manifest, note=build.note)


def _next(there: list[tuple[int, Path]], key: str, project: Project, profile: Profile, wish: Wish) -> Path:
    """Where to build. One that was finished here is never built over: jobs may be using it.

    A job that builds may see a Python that is not there on this machine: it looks at the newest one again.
    """
    stamped = [number for number, path in there if read_stamp(path) is not None]
    if stamped and profile.environment_built == "job" and not wish.rebuild:
        return there[-1][1]
    return project.root / BUILT / (f"{key}.{stamped[-1] + 1}" if stamped else key)


def _is_packed(path: Path) -> bool:
    from hpcsubmit.environments.packed import is_packed  # late: for --env-on-node alone

    return is_packed(path)


def _users_own(link: Path, wish: Wish) -> Virtualenv:
    if not (link / "bin" / "python").is_file():
        raise HpcSubmitError(
            f"{link} has no bin/python: it is not a whole virtual environment",
            f"remove it, and hpcsubmit builds one from {REQUIREMENTS}",
        )
    if wish.rebuild:
        hint = f"move {link} away, and list its packages in {REQUIREMENTS}"
        raise HpcSubmitError(f"{link} is your own: hpcsubmit never changes it", hint)
    if wish.on_node:
        raise HpcSubmitError(
            f"--env-on-node unpacks what hpcsubmit built, and {link} is your own: it may change at any time",
            f"leave out --env-on-node, or move {link} away and list its packages in {REQUIREMENTS}",
        )
    return Virtualenv(path=link, note=f"the environment {link} is your own and used as it is")


def _nothing_to_make_it_from(root: Path) -> HpcSubmitError:
    return HpcSubmitError(
        f"the project has neither a {LINK} of your own nor a Pipfile, {REQUIREMENTS} or uv.lock: {root}",
        f"write the packages that the program needs into {root / REQUIREMENTS}, one a line, "
        "or use the Python that the node has with --no-env",
    )


def _python(profile: Profile, host: Host, stamp: Mapping[str, Any]) -> dict[str, str]:
    """The interpreter; {} where it comes from modules, which are loaded when the environment is built."""
    if profile.modules:
        return {}
    known = stamp.get("python")
    return find_python(profile.python, host, known if isinstance(known, dict) else {})
