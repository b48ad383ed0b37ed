"""The program that builds and runs images, and whether it may build here."""

import os
import pwd
import re
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.container import ENGINES
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.profile import Profile

ROOTLESS = (1, 1)
"""The Apptainer from which on --fakeroot needs no line in /etc/subuid (its release notes of 1.1.0)."""
SUBUID = Path("/etc/subuid")
QUICK = 30.0
"""Seconds that a program may take to say what it is."""
ELSEWHERE = (
    "hpcsubmit container build --in-job tries it on a compute node; or build it on a machine where you are "
    "root, such as your laptop, with apptainer build, and copy the .sif here"
)


class EngineSettings(NamedTuple):
    """Where a cluster has its engine: what it may be called, a folder for the PATH, modules to load first."""

    names: tuple[str, ...] = ENGINES
    path: str = ""
    modules: tuple[str, ...] = ()


class Engine(NamedTuple):
    """An engine that is there. version: () where it does not say."""

    path: str
    name: str
    version: tuple[int, ...]


class User(NamedTuple):
    """Who builds."""

    uid: int
    name: str


def engine_settings(profile: Profile) -> EngineSettings:
    """Return where the cluster of a profile has its engine; either of the two builds images for both."""
    names = tuple(dict.fromkeys((profile.container_engine, *ENGINES)))
    modules = (*profile.modules, *profile.container_modules) if profile.container_modules else ()
    return EngineSettings(names, profile.container_path, modules)


def find_engine(host: Host, settings: EngineSettings) -> Engine:
    """Find the engine of this machine; raises HpcSubmitError where there is none."""
    if settings.path:
        host = Host({**host.environ, "PATH": f"{settings.path}:{host.environ.get('PATH', '')}"})
    path = next(filter(None, map(host.which, settings.names)), None)
    if path is None:
        raise HpcSubmitError(
            f"there is no {' or '.join(settings.names)} on the PATH",
            f"load its module, such as: module load apptainer; {ELSEWHERE}",
        )
    said = host.run((path, "--version"), timeout=QUICK).stdout
    found = re.search(r"(\w+)(?:-\w+)? version (\d+)\.(\d+)", said)
    if not found:
        return Engine(path, Path(path).name, ())
    return Engine(path, found[1], (int(found[2]), int(found[3])))


def current_user() -> User:
    """Return the user of this process; a number is the name of one that the machine does not know."""
    uid = os.geteuid()
    try:
        return User(uid, pwd.getpwuid(uid).pw_name)
    except KeyError:
        return User(uid, str(uid))


def require_rights(engine: Engine, user: User, host: Host, subuid: Path = SUBUID) -> None:
    """Raise HpcSubmitError where this user cannot build images on this machine.

    Root can; others can with --fakeroot, which needs a range of user ids in /etc/subuid or, with a newer
    Apptainer, user namespaces that everybody may make.
    """
    if user.uid == 0 or _has_range(user, subuid):
        return
    rootless = engine.name == "apptainer" and engine.version >= ROOTLESS
    if rootless and _can_make_namespaces(host):
        return
    version = ".".join(map(str, engine.version)) or "of no known version"
    lacks = "user namespaces are closed" if rootless else f"{engine.name} {version} needs that"
    raise HpcSubmitError(
        f"{user.name} cannot build images on this machine: {subuid} has no line for {user.name}, and {lacks}",
        ELSEWHERE,
    )


def _has_range(user: User, subuid: Path) -> bool:
    try:
        lines = subuid.read_text(errors="replace").splitlines()
    except OSError:
        return False
    return any(line.partition(":")[0] in (user.name, str(user.uid)) for line in lines)


def _can_make_namespaces(host: Host) -> bool:
    """Try it: sysctl, AppArmor and containers each have a switch of their own."""
    try:
        return host.run(("unshare", "--user", "--map-root-user", "true"), timeout=QUICK).code == 0
    except HpcSubmitError:  # there is no unshare: apptainer itself will say
        return True
