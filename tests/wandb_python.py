"""A program that stands in for a Python with wandb: it notes what it is asked, and answers as it is told."""

import hashlib
import json
import sys
from typing import Any, NamedTuple

from sandbox import Sandbox

_PROGRAM = """#!{python}
import hashlib, json, os, sys
from pathlib import Path

root = Path({root!r})
text = sys.stdin.read()
key = os.environ.get("WANDB_API_KEY")
asked = {{
    "argv": Path("/proc/self/cmdline").read_text().split("\\0")[:-1],
    "request": json.loads(text),
    "key": key and hashlib.sha256(key.encode()).hexdigest(),
}}
with (root / "asked").open("a") as file:
    file.write(json.dumps(asked) + "\\n")
answer = json.loads((root / "answers").read_text())[asked["request"]["action"]]
if isinstance(answer, str):
    sys.exit(answer)
print("wandb says something of its own\\n" + json.dumps(answer))
"""


class Asked(NamedTuple):
    """One question. argv: of the program. key: the SHA-256 of the key in its environment, None for none."""

    argv: list[str]
    request: dict[str, Any]
    key: str | None


class WandbPython:
    """The environment of a sandbox's project, whose Python seems to have wandb."""

    def __init__(self, sandbox: Sandbox) -> None:
        self._root = sandbox.root
        environment = sandbox.project / "virtual_env"
        package = environment / "lib" / "python3.11" / "site-packages" / "wandb"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").touch()
        self.python = environment / "bin" / "python"
        self.python.unlink()
        self.python.write_text(_PROGRAM.format(python=sys.executable, root=str(self._root)))
        self.python.chmod(0o755)
        self.answers()

    def answers(self, **answers: dict[str, Any] | str) -> None:
        """What it answers to each action; a text is written to stderr, and it fails."""
        partial = self._root / "answers.new"  # a program that runs meanwhile reads the old ones or these
        partial.write_text(json.dumps(answers))
        partial.replace(self._root / "answers")

    def asked(self) -> list[Asked]:
        """The questions so far."""
        path = self._root / "asked"
        lines = path.read_text().splitlines() if path.exists() else []
        return [Asked(**json.loads(line)) for line in lines]


def fingerprint(key: str) -> str:
    """What `Asked.key` is for a key."""
    return hashlib.sha256(key.encode()).hexdigest()
