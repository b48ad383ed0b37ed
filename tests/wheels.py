"""Tiny wheels: what a package index or a wheelhouse holds, made without any tool."""

import zipfile
from pathlib import Path


def make_wheel(folder: Path, name: str, version: str, *requires: str) -> Path:
    """Make a pure wheel whose module knows its version, and with a command NAME-tool that prints it."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}-{version}-py3-none-any.whl"
    info = f"{name}-{version}.dist-info"
    metadata = [f"Name: {name}", f"Version: {version}", *(f"Requires-Dist: {each}" for each in requires)]
    files = {
        f"{name}/__init__.py": f"import sys\nversion = {version!r}\n"
        f"def main():\n    print('{name}-tool', version, sys.prefix)\n",
        f"{info}/METADATA": "\n".join(["Metadata-Version: 2.1", *metadata, ""]),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: tests\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/entry_points.txt": f"[console_scripts]\n{name}-tool = {name}:main\n",
    }
    record = "".join(f"{file},,\n" for file in (*files, f"{info}/RECORD"))
    with zipfile.ZipFile(path, "w") as archive:
        for file, text in (*files.items(), (f"{info}/RECORD", record)):
            archive.writestr(file, text)
    return path
