"""The rows of environments: the finished one, building it anew, and bringing it to a node."""

import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from bench import calls
from bench.data_sets import come_to_rest
from bench.measure import ENVIRONMENTS, Count, Row, timed
from bench.nodes import nodes, staging_part
from bench.staging_rows import Bench, compared

REQUIREMENTS = (
    "numpy==2.3.5", "pandas==2.3.3", "requests==2.32.5", "tqdm==4.67.1", "rich==14.2.0", "pyyaml==6.0.3",
    "click==8.3.1", "jinja2==3.1.6",
)  # fmt: skip
MOST_SECONDS = 0.005
"""For finding a finished environment."""

_PROFILE = """profiles:
  generic:
    packages: wheelhouse
    wheelhouse: ["{wheels}"]
    python: "{python}"
"""


class Environments(NamedTuple):
    """Two projects with the same packages: of one the environment is built again and again."""

    bench: Bench
    finished: Path
    rebuilt: Path
    wheels: Path

    @classmethod
    def prepared(cls, bench: Bench) -> "Environments":
        """Fetch the wheels, build both environments, which fills uv's cache, and pack one of them."""
        wheels = wheelhouse("bench-data", REQUIREMENTS)
        bench.environ["UV_CACHE_DIR"] = str(bench.folder / "uv-cache")
        projects = bench.project("finished"), bench.project("rebuilt")
        for project in projects:  # anew: another state of this checkout may have packed it otherwise
            shutil.rmtree(project)
            bench.project(project.name)
            (project / "hpcsubmit.yaml").write_text(_PROFILE.format(wheels=wheels, python=interpreter()))
            (project / "requirements.txt").write_text("\n".join(REQUIREMENTS) + "\n")
        made = cls(bench, *projects, wheels)
        made.build(projects[0], "--env-on-node")
        made.build(projects[1])
        return made

    def build(self, project: Path, *options: str) -> float:
        """Run `hpcsubmit env` in a project and return its seconds."""
        argv = (str(self.bench.binaries / "hpcsubmit"), "env", "--cluster", "generic", *options)
        return timed(argv, self.bench.environ, project)

    def sections(self) -> Iterator[tuple[str, str, list[Row]]]:
        """Yield the tables about environments."""
        found = Row(
            name="hpcsubmit: environment current",
            run=lambda: self.bench.inside("environment", self.finished),
            limit=MOST_SECONDS,
        )
        yield "Is the environment current?", "ms", [found]
        yield "Building an environment, uv's cache warm", "s", self._build_rows()
        yield "The environment to a node's own disk", "s", self._node_rows()

    def counts(self) -> Iterator[Count]:
        """Count what finding a finished environment takes."""
        seen = self.bench.calls_inside("environment", self.finished)
        for name, form, aim in (
            ("processes started", calls.STARTED, 0),
            ("files opened", calls.OPENED, None),
            ("stats", calls.STATTED, None),
        ):
            yield Count(
                name=f"environment current: {name}", value=calls.matching(seen, form), unit="", aim=aim
            )

    def _build_rows(self) -> list[Row]:
        where = f"--no-index --find-links {self.wheels} -r {self.finished / 'requirements.txt'}"
        new = self.bench.folder / "new"
        uv = f"{self.bench.binaries / 'uv'}"
        install = f"{uv} venv -q --python {interpreter()} {new} && {uv} pip install -q --python {new} {where}"
        alone = self._building("uv venv, uv pip install --compile-bytecode", f"{install} --compile-bytecode")
        pip = f"{interpreter()} -m venv {new} && {new}/bin/python -m pip install -q {where}"
        rows = [
            alone,
            self._building("uv without bytecode", install),
            self._building("python -m venv, pip install", pip),
            Row(name="hpcsubmit env --rebuild", run=self._rebuild),
        ]
        return compared(alone, rows, 1.2)

    def _building(self, name: str, line: str) -> Row:
        new = self.bench.folder / "new"

        def run() -> float:
            come_to_rest(self.wheels)
            try:
                return timed(("sh", "-c", line), self.bench.environ)
            finally:
                shutil.rmtree(new, ignore_errors=True)

        return Row(name=name, run=run)

    def _rebuild(self) -> float:
        come_to_rest(self.wheels)
        try:
            return self.build(self.rebuilt, "--rebuild")
        finally:
            built = self.rebuilt / ".virtual_envs"
            current = (self.rebuilt / "virtual_env").resolve().name
            for path in built.iterdir():  # a finished one stays, so that the next is the next generation
                if not path.name.removeprefix(".").startswith(current):
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _node_rows(self) -> list[Row]:
        built, archive = (self.finished / "virtual_env").resolve(), self.bench.folder / "environment.tar"
        subprocess.run(("tar", "-cf", str(archive), "-C", str(built), "."), check=True)
        environ = self.bench.environ | {"SCRATCH": str(self.bench.folder)}
        command = self.bench.binaries / "hpcsubmit"
        script = staging_part(command, self.finished, environ, ("--env-on-node",))

        def tar() -> float:
            come_to_rest(archive)
            with nodes(1) as made:
                return timed(("tar", "-xf", str(archive), "-C", str(made.disks[0])), self.bench.environ)

        def unpack() -> float:
            come_to_rest(built.parent)
            with nodes(1) as made:
                took = made.run(script)
                python = str(made.disks[0] / "virtual_env" / "bin" / "python")
                subprocess.run((python, "-c", "import pandas"), check=True, capture_output=True)
                return took

        whole = Row(name="tar -xf", run=tar)
        return compared(whole, [whole, Row(name="hpcsubmit: --env-on-node", run=unpack)], 1.2)


def interpreter() -> str:
    """Return the Python under all virtual environments here."""
    return str(Path(sys.executable).resolve())


def wheelhouse(name: str, requirements: Sequence[str]) -> Path:
    """Return a folder with the wheels of some packages and all that they need; fetched once."""
    folder = ENVIRONMENTS / f"wheels-{name}"
    stamp = folder / "made-for.txt"
    wanted = f"{' '.join(requirements)} on Python {sys.version}\n"
    if not stamp.is_file() or stamp.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        pip = (str(ENVIRONMENTS / "hpcsubmit-uv" / "bin" / "python"), "-m", "pip", "wheel", "-q", "-w")
        subprocess.run((*pip, str(folder), *requirements), check=True)
        stamp.write_text(wanted)
    return folder
