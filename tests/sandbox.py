"""A user's home, scratch, project and PATH in one temporary folder, to run the real command in."""

import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

HPCSUBMIT = (sys.executable, "-P", "-m", "hpcsubmit")


@dataclass(frozen=True)
class Said:
    """What one run of hpcsubmit printed and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def error(self) -> str:
        """The text behind `error: `; "" without one."""
        return next((ln[7:] for ln in self.stderr.splitlines() if ln.startswith("error: ")), "")

    @property
    def hint(self) -> str:
        """The text behind `hint: `; "" without one."""
        return next((ln[6:] for ln in self.stderr.splitlines() if ln.startswith("hint: ")), "")


@dataclass(frozen=True)
class Sandbox:
    """A user's home, scratch, project and PATH below one temporary folder."""

    root: Path
    environ: dict[str, str] = field(default_factory=dict)

    @property
    def project(self) -> Path:
        return self.root / "home" / "gan"

    @property
    def scratch(self) -> Path:
        return self.root / "scratch"

    @property
    def bin(self) -> Path:
        return self.root / "bin"

    @property
    def experiment(self) -> Path:
        return self.project / "experiment_configurations.txt"

    def write(self, text: str, path: Path | None = None) -> None:
        """Write the experiment file, or another file."""
        (path or self.experiment).parent.mkdir(parents=True, exist_ok=True)
        (path or self.experiment).write_text(text, "utf-8")

    def install(self, name: str, script: str) -> None:
        """Put a program on the PATH."""
        path = self.bin / name
        path.write_text(script)
        path.chmod(0o755)

    def hpcsubmit(
        self,
        *argv: str,
        cwd: Path | None = None,
        environ: Mapping[str, str] | None = None,
        timeout: float = 300,
        **kwargs: str,
    ) -> Said:
        """Run the real command, by default in the project and without a terminal."""
        done = subprocess.run(
            [*HPCSUBMIT, *argv],
            cwd=cwd or self.project,
            env=self.environ if environ is None else environ,
            input=kwargs.get("stdin", ""),
            capture_output=True,
            text=True,
            timeout=timeout,
        )
        return Said(done.returncode, done.stdout, done.stderr)

    def refuses(self, *argv: str, code: int = 1, cwd: Path | None = None, **environ: str) -> Said:
        """See that it ends with two lines and this code, and that nothing was made or submitted."""
        before = self.tree()
        said = self.hpcsubmit(*argv, cwd=cwd, environ=self.environ | environ)
        assert (said.code, said.stdout) == (code, ""), said
        assert [line.partition(": ")[0] for line in said.stderr.splitlines()] == ["error", "hint"], said
        assert self.tree() == before
        assert not (self.root / "sbatch.argv").exists()
        return said

    def tree(self) -> set[str]:
        """Every path below home and scratch: what a command that must change nothing leaves as it was."""
        return {
            str(p.relative_to(self.root)) for top in ("home", "scratch") for p in (self.root / top).rglob("*")
        }


SBATCH = """#!/bin/sh
# Stands in for sbatch: keeps the script and the environment, and names a job as sbatch does.
for last; do :; done
cp "$last" "{root}/submitted.sh"
env >"{root}/sbatch.env"
echo "$*" >>"{root}/sbatch.argv"
echo "Submitted batch job 4242"
"""
