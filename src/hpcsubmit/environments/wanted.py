"""What is asked for of an environment, and what it is made from, which names it."""

import hashlib
import json
from collections.abc import Mapping

from hpcsubmit.environments.sources import Source
from hpcsubmit.frozen import frozen
from hpcsubmit.profile import Profile

FORMAT = "2"
"""Part of every key: another way to build makes another environment."""


@frozen
class Wish:
    """What is asked for of an environment.

    on_node: whether every node unpacks it. rebuild: whether a new generation is made of one that is finished.
    account, partition: for the job that builds it; None stands for "as the profile says".
    """

    on_node: bool = False
    rebuild: bool = False
    account: str | None = None
    partition: str | None = None


@frozen
class Ingredients:
    """What an environment is made from. python: as `find_python` says; with modules its name alone."""

    source: Source
    python: Mapping[str, str]
    files: str

    def key(self, profile: Profile) -> str:
        """Name the environment: HASH."""
        python = self.python.get("interpreter", "")
        packages = (profile.packages, profile.wheelhouse)
        parts = [FORMAT, self.source.path.name, self.files, python, profile.modules, *packages]
        if profile.modules:  # names alone, which mean other things on other clusters
            parts += [profile.name, profile.python]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def digest(source: Source) -> str:
    """Stand for what is written in a project's files: a stamp keeps it."""
    found = hashlib.sha256()
    for name, content in source.files:
        found.update(f"{name}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()
