"""A conda environment by reference: found by its name or path; nothing is installed or changed."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.values import script_path

_ROOTS = ("miniconda3", "anaconda3", "miniforge3", "mambaforge", "micromamba", ".local/share/mamba", ".conda")
"""Where people's installations lie in their home folders, each with its environments in `envs`."""


class CondaEnv(NamedTuple):
    """An environment of conda, mamba or micromamba. path: its prefix, absolute. name: as prompts show it."""

    path: Path
    name: str


def find_conda_env(wanted: str, folder: Path, environ: Mapping[str, str]) -> CondaEnv:
    """Find an environment by its path (a text with a slash, relative to folder) or by its name.

    Names are looked up where conda and mamba do: CONDA_ENVS_PATH, the installation that is active or that
    CONDA_EXE or MAMBA_ROOT_PREFIX names, ~/.conda/environments.txt, and the usual folders of the home.
    `base` is an installation itself. Raises HpcSubmitError where there is none of that name, or several.
    """
    if "/" in wanted:
        given = _home(environ) / wanted[2:] if wanted.startswith("~/") else folder / wanted
        path = Path(os.path.normpath(given))
        return _checked(script_path(path, "the conda environment"))
    known = {path: _name(path) for path in _environments(environ) if _is_folder(path / "conda-meta")}
    found: dict[str, Path] = {}
    for path, name in known.items():
        if name == wanted:
            found.setdefault(os.path.realpath(path), path)
    if not found:
        names = sorted(set(known.values()))
        hint = did_you_mean(wanted, names) if names else "give its path: --conda-env /path/to/envs/NAME"
        there = f"; there are {', '.join(names)}" if names else ""
        raise HpcSubmitError(f"there is no conda environment named '{wanted}'{there}", hint)
    paths = [*found.values()]
    if len(paths) > 1:
        raise HpcSubmitError(
            f"several conda environments are named '{wanted}': {', '.join(map(str, paths))}",
            f"give the path of the one: --conda-env {paths[0]}",
        )
    return _checked(script_path(paths[0], "the conda environment"))


def _checked(path: Path) -> CondaEnv:
    if not _is_folder(path):
        hint = "conda env list shows those there are"
        raise HpcSubmitError(f"there is no conda environment {path}", hint)
    if not _is_folder(path / "conda-meta"):
        raise HpcSubmitError(
            f"{path} is no conda environment: it has no folder conda-meta",
            "give the environment's own folder, such as ~/miniforge3/envs/NAME",
        )
    if not os.access(path / "bin" / "python", os.X_OK):
        raise HpcSubmitError(
            f"the conda environment {path} has no bin/python", f"conda install --prefix {path} python"
        )
    return CondaEnv(path, _name(path))


def _name(path: Path) -> str:
    """The name that conda shows; `condabin` is part of an installation alone."""
    return "base" if _is_folder(path / "condabin") else path.name


def _environments(environ: Mapping[str, str]) -> Iterator[Path]:
    """Every folder that may be an environment, the surest first."""
    home = _home(environ)
    for folder in filter(None, environ.get("CONDA_ENVS_PATH", environ.get("CONDA_ENVS_DIRS", "")).split(":")):
        yield from _below(Path(folder))
    if len(parents := Path(environ.get("CONDA_EXE", "")).parents) > 1:  # ROOT/bin/conda
        yield from _installation(parents[1])
    if root := environ.get("MAMBA_ROOT_PREFIX"):
        yield from _installation(Path(root))
    if active := environ.get("CONDA_PREFIX"):
        yield Path(active)
    try:
        listed = (home / ".conda" / "environments.txt").read_text("utf-8", errors="replace")
    except OSError:
        listed = ""
    yield from (Path(line) for line in listed.splitlines() if line.startswith("/"))
    for name in _ROOTS:
        yield from _installation(home / name)


def _home(environ: Mapping[str, str]) -> Path:
    return Path(environ.get("HOME") or "/nonexistent")


def _installation(root: Path) -> Iterator[Path]:
    yield root
    yield from _below(root / "envs")


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    """Whether there is such a folder; Path.is_dir() raises where one on the way may not be entered."""
    return os.path.isdir(path)  # noqa: PTH112
