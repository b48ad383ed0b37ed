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
    Raises HpcSubmitError where there is none of that name, or several.
    """
    if "/" in wanted:
        path = Path(os.path.normpath(folder / Path(wanted).expanduser()))
        return _checked(CondaEnv(script_path(path, "the conda environment"), path.name))
    known = {path: None for path in _environments(environ) if _is_environment(path)}
    found = [path for path in known if path.name == wanted]
    if not found:
        names = sorted({path.name for path in known})
        hint = did_you_mean(wanted, names) if names else "give its path: --conda-env /path/to/envs/NAME"
        there = f"; there are {', '.join(names)}" if names else ""
        raise HpcSubmitError(f"there is no conda environment named '{wanted}'{there}", hint)
    if len({path.resolve() for path in found}) > 1:
        raise HpcSubmitError(
            f"several conda environments are named '{wanted}': {', '.join(map(str, found))}",
            f"give the path of the one: --conda-env {found[0]}",
        )
    return CondaEnv(script_path(found[0], "the conda environment"), wanted)


def _checked(env: CondaEnv) -> CondaEnv:
    if not env.path.is_dir():
        raise HpcSubmitError(
            f"there is no conda environment {env.path}", "conda env list shows those there are"
        )
    if not _is_environment(env.path):
        raise HpcSubmitError(
            f"{env.path} is no conda environment: it has no conda-meta and bin/python",
            "give the environment's own folder, such as ~/miniforge3/envs/NAME",
        )
    return env


def _is_environment(path: Path) -> bool:
    return (path / "conda-meta").is_dir() and (path / "bin" / "python").exists()


def _environments(environ: Mapping[str, str]) -> Iterator[Path]:
    """Every folder that may be an environment, the surest first."""
    home = Path(environ.get("HOME") or "/nonexistent")
    for folder in filter(None, environ.get("CONDA_ENVS_PATH", environ.get("CONDA_ENVS_DIRS", "")).split(":")):
        yield from _below(Path(folder))
    if executable := environ.get("CONDA_EXE"):
        yield from _below(Path(executable).parents[1] / "envs")
    if root := environ.get("MAMBA_ROOT_PREFIX"):
        yield from _below(Path(root) / "envs")
    if active := environ.get("CONDA_PREFIX"):
        yield Path(active)
    try:
        listed = (home / ".conda" / "environments.txt").read_text("utf-8", errors="replace")
    except OSError:
        listed = ""
    yield from (Path(line) for line in listed.splitlines() if line.startswith("/"))
    for root in _ROOTS:
        yield from _below(home / root / "envs")


def _below(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except OSError:
        return []
