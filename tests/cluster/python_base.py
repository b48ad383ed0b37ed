"""What the images of a project start from in tests: this machine's own Python and busybox, in a folder."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Final

from cluster.apptainer import BUSYBOX
from cluster.made_once import key_of, made_once

PYTHON: Final = Path("/usr/bin/python3")
_SPARE: Final = shutil.ignore_patterns("test", "__pycache__", "config-*", "idlelib", "*.a", "dist-packages")


def python_base() -> Path:
    """A folder that a definition's ``Bootstrap: localimage`` takes; 40 MB, without pip and bytecode."""
    return made_once("images", key_of([b"base", Path(__file__).read_bytes(), _said(PYTHON, "-VV")]), _fill)


def _fill(folder: Path) -> None:
    for name in ("bin", "dev", "etc", "proc", "root", "sys", "tmp", "usr/local/bin", "var/tmp"):
        (folder / name).mkdir(parents=True)
    shutil.copy(BUSYBOX, folder / "bin/busybox")
    for name in sorted({*_said(BUSYBOX, "--list").decode().split()} - {"busybox"}):
        (folder / "bin" / name).symlink_to("busybox")
    for name, line in (("passwd", "root:x:0:0:root:/root:/bin/sh"), ("group", "root:x:0:")):
        (folder / "etc" / name).write_text(f"{line}\n")
    _copy_python(folder)
    subprocess.run(["chmod", "-R", "a+rX", str(folder)], check=True, timeout=300)


def _copy_python(folder: Path) -> None:
    library = Path(
        _said(PYTHON, "-c", "import sysconfig; print(sysconfig.get_path('stdlib'))").decode().strip()
    )
    _copy(PYTHON, folder)
    shutil.copytree(library, folder / library.relative_to("/"), symlinks=True, ignore=_SPARE)
    for name in ("lib", "lib64"):  # links on most systems
        if Path(f"/{name}").is_symlink():
            target = Path(f"/{name}").readlink()
            (folder / target).mkdir(parents=True, exist_ok=True)
            (folder / name).symlink_to(target)
    programs = [PYTHON, *library.rglob("lib-dynload/*.so")]
    for path in sorted({found for program in programs for found in _libraries(program)}):
        _copy(path, folder)


def _libraries(program: Path) -> set[Path]:
    done = subprocess.run(["ldd", str(program)], capture_output=True, text=True, timeout=300, check=False)
    return {Path(path) for path in re.findall(r"(/\S+) \(0x", done.stdout)}


def _copy(path: Path, folder: Path) -> None:
    target = folder / path.relative_to("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    if not target.exists():
        shutil.copy(path, target)


def _said(*argv: object) -> bytes:
    return subprocess.run([str(word) for word in argv], capture_output=True, timeout=300, check=True).stdout
