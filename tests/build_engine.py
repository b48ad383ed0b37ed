"""A stand-in for an engine that builds: it runs %post on this machine, and an image is its definition."""

import subprocess
import time
from pathlib import Path

from builds import start
from sandbox import Said, Sandbox

ENGINE = """#!/bin/bash
# Builds as apptainer 1.4.5 does: its own files go below its temporary folder, %post runs with set -ex, and a
# TERM ends it alone, without what %post has started.
if [ "$1" = --version ]; then
  echo "{version}"
  exit
fi
[ "$1" = build ] || exit 1
env >"{root}/engine.env"
echo "$0 $*" >>"{root}/engine.argv"
out=${{@: -2:1}} definition=${{!#}}
[ -r "$definition" ] || {{
  echo "FATAL:   Unable to build from $definition: no such file or directory" >&2
  exit 255
}}
bundle=$(mktemp -d "${{APPTAINER_TMPDIR:?}}/build-temp-XXXXXX") || exit 255
mkdir "$bundle/rootfs"
echo "INFO:    Starting build..." >&2
trap 'rm -rf "$bundle"; exit 1' TERM
sed -n '/^%post/,/^%[a-z]/{{/^%/!p}}' "$definition" >"$bundle/post.sh"
sh -ex "$bundle/post.sh" &
wait $! || {{
  rm -rf "$bundle"
  echo "FATAL:   While performing build: while running engine: while running %post section" >&2
  exit 255
}}
rm -rf "$bundle"
cp "$definition" "$out"
echo "INFO:    Build complete: $out" >&2
"""
APPTAINER = "apptainer version 1.4.5"


def with_engine(sandbox: Sandbox, name: str = "apptainer", version: str = APPTAINER) -> Sandbox:
    """Put an engine on the PATH, and a definition into the project."""
    sandbox.install(name, ENGINE.format(root=sandbox.root, version=version))
    sandbox.environ["TMPDIR"] = str(local_disk(sandbox))
    define(sandbox, "true")
    return sandbox


def local_disk(sandbox: Sandbox) -> Path:
    """A folder of this machine that has room."""
    path = sandbox.root / "local disk"
    path.mkdir(exist_ok=True)
    return path


def define(sandbox: Sandbox, post: str, name: str = "container.def") -> Path:
    """Write a definition with these commands in its %post."""
    path = sandbox.project / name
    sandbox.write(f"Bootstrap: localimage\nFrom: base.sif\n\n%post\n    {post}\n\n%test\n    true\n", path)
    return path


def image_of(sandbox: Sandbox) -> Path:
    return sandbox.project / "gan.sif"


def build(sandbox: Sandbox, *argv: str) -> Said:
    return sandbox.hpcsubmit("container", "build", *argv)


def started_with(sandbox: Sandbox) -> list[str]:
    """The command lines of the engine."""
    path = sandbox.root / "engine.argv"
    return path.read_text().splitlines() if path.exists() else []


def variables(sandbox: Sandbox) -> dict[str, str]:
    """The environment of the engine."""
    lines = (sandbox.root / "engine.env").read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def without(sandbox: Sandbox, *programs: str) -> None:
    """Take programs off the PATH, which this machine may have."""
    tools = sandbox.root / "tools"
    tools.mkdir()
    for path in (path for folder in ("/usr/bin", "/bin") for path in Path(folder).iterdir()):
        if path.name not in programs and not (tools / path.name).is_symlink():
            (tools / path.name).symlink_to(path)
    for program in programs:
        (sandbox.bin / program).unlink(missing_ok=True)
    sandbox.environ["PATH"] = f"{sandbox.bin}:{tools}"


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def start_build(sandbox: Sandbox, *argv: str) -> subprocess.Popen[str]:
    """Start a build whose %post goes on, as a group of its own; returns when it does."""
    begun = sandbox.root / "begun"
    define(sandbox, f"trap '' HUP; touch '{begun}'; sleep 600 & wait; touch '{sandbox.root}/went on'")
    process = start(sandbox, "container", "build", *argv, start_new_session=True)
    wait_until(begun.exists)
    return process


def wait_until(happens: object) -> None:
    """Wait for a function to be true, five minutes at most."""
    assert callable(happens)
    deadline = time.monotonic() + 300
    while not happens():
        assert time.monotonic() < deadline
        time.sleep(0.02)
