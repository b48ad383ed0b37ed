"""A project with a key, a sweep file and a Python that answers for wandb; and an sbatch that names arrays."""

import json
from pathlib import Path
from typing import Any

from sandbox import Said, Sandbox
from wandb_python import WandbPython

KEY = "0123456789abcdef0123456789abcdef01234567"
URL = "https://wandb.ai/lab/gan/sweeps/abc"
CREATED = {"entity": "lab", "project": "gan", "sweep": "abc", "url": URL}
GRID = "program: main.py\nmethod: grid\nparameters:\n  lr: [0.1, 0.2]\n  n: [1, 2, 3]\n"
LOOK: dict[str, Any] = {
    "state": "RUNNING",
    "name": "",
    "url": URL,
    "method": "grid",
    "config": {},
    "runs": {"finished": 3, "running": 1},
    "expected": 12,
    "best": None,
}
# Names the jobs 101, 102, ...; notes when it is called, and what it gets before the script and behind it.
SBATCH = """#!/bin/bash
root={root}
echo call >>"$root/calls"
number=$(grep -c call "$root/calls")
echo "${{*/#*script.sh/SCRIPT}}" >>"$root/sbatch.argv"
date +%s%N >>"$root/sbatch.times"
for word; do case $word in *script.sh) cp "$word" "$root/submitted-$number.sh" ;; esac; done
if [ "$number" = "$(cat "$root/refuses" 2>/dev/null)" ]; then
  echo 'sbatch: error: QOSMaxSubmitJob' >&2
  exit 1
fi
echo "Submitted batch job $((100 + number))"
"""


def directives(script: str) -> dict[str, str]:
    """The options of sbatch in a script, by their names."""
    lines = (line.removeprefix("#SBATCH --") for line in script.splitlines() if line.startswith("#SBATCH"))
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


class SweepDesk:
    """Types commands there, and tells what sbatch and scancel got."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.box = sandbox
        self.wandb = WandbPython(sandbox)
        self.wandb.answers(look=LOOK, create=CREATED)
        sandbox.environ["WANDB_API_KEY"] = KEY
        sandbox.install("sbatch", SBATCH.format(root=sandbox.root))
        sandbox.install("scancel", f'#!/bin/sh\necho "$*" >>{sandbox.root}/cancelled\n')
        sandbox.install("squeue", "#!/bin/sh\n")
        sandbox.write("print()\n", sandbox.project / "main.py")

    def __call__(self, *argv: str, stdin: str = "") -> Said:
        return self.box.hpcsubmit(*argv, stdin=stdin)

    def submits(self, *argv: str, stdin: str = "") -> Said:
        """Type a command, and see that it ends well."""
        said = self(*argv, stdin=stdin)
        assert said.code == 0, said
        return said

    def file(self, text: str = GRID, name: str = "sweeper.yml") -> Path:
        """Write a sweep file into the project."""
        self.box.write(text, self.box.project / name)
        return self.box.project / name

    def profile(self, **fields: object) -> None:
        """Set fields of the profile of the cluster here."""
        text = "".join(f"{name}: {json.dumps(value)}\n" for name, value in fields.items())
        self.box.write(text, self.box.root / "home/.config/hpcsubmit/profiles/generic.yaml")

    def sweep_is(self, **look: object) -> None:
        """Say what the server knows of the sweep."""
        self.wandb.answers(look=LOOK | look, create=CREATED)

    def refused_call(self, number: int) -> None:
        """Let sbatch refuse one of its calls."""
        (self.box.root / "refuses").write_text(f"{number}\n")

    @property
    def calls(self) -> list[str]:
        """The words that sbatch got, a line for each call; its script is SCRIPT."""
        path = self.box.root / "sbatch.argv"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def cancelled(self) -> list[str]:
        path = self.box.root / "cancelled"
        return path.read_text().splitlines() if path.exists() else []

    @property
    def script(self) -> str:
        """The script that sbatch got first."""
        return (self.box.root / "submitted-1.sh").read_text()

    @property
    def records(self) -> list[Path]:
        runs = self.box.scratch / "gan" / "hpcsubmit" / "runs"
        return sorted(runs.iterdir()) if runs.is_dir() else []

    def record(self, name: str = "result.json") -> dict[str, Any]:
        """A file of the only record."""
        (folder,) = self.records
        found: dict[str, Any] = json.loads((folder / name).read_text())
        return found
