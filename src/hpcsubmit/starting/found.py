"""What a project's folder holds that its hpcsubmit.yaml can speak of."""

import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.environments.sources import find_source
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import read_command_file
from hpcsubmit.project import CONFIGURATION_FILE, EXPERIMENT_FILE, find_in

LARGEST_FILE = 1_000_000
"""Bytes; what is larger is no source and no list of parameters."""
PROGRAMS = ("train.py", "main.py")
"""Names that programs have, the likeliest first."""
_MAIN = r"(?m)^if __name__ == "
_LAUNCHERS = {
    "lightning": r"(?m)^\s*(?:import|from)\s+(?:pytorch_lightning|lightning)\b",
    "accelerate": r"(?m)^\s*(?:import|from)\s+accelerate\b",
    "torchrun": r"\b(?:torch\.distributed|init_process_group|DistributedDataParallel|import comm)\b",
}
"""What starts programs in whose source a pattern is found, in this order."""
_TAKES_NODES = r"--num_nodes\b"


class Found(NamedTuple):
    """What was found.

    experiment: the experiment file. program: the Python file that is likely the program, as the project's
    folder sees it. launcher: what starts it on several GPUs. takes_nodes: whether it reads --num_nodes, which
    Lightning programs get. packages: the file that lists them. environment: whether a virtual_env is there.
    images, definitions, sweeps: names of files. wandb: whether the project mentions it.
    Texts are empty for what is not there.
    """

    experiment: Path | None = None
    program: str = ""
    launcher: str = ""
    takes_nodes: bool = False
    packages: str = ""
    environment: bool = False
    images: tuple[str, ...] = ()
    definitions: tuple[str, ...] = ()
    sweeps: tuple[str, ...] = ()
    wandb: bool = False


def look(root: Path) -> Found:
    """Look at a project's folder, and not below it. Raises HpcSubmitError for a file that cannot be read."""
    experiment = find_in(root, EXPERIMENT_FILE)
    sources = {path.name: _text(path) for path in map(root.joinpath, _names(root, "*.py"))}
    program, is_python = _of_experiment(experiment) if experiment else (_program(sources), True)
    own = sources.get(program, "") or _text(root / program)
    source = find_source(root)
    listed = b"".join(text for _, text in source.files).decode(errors="replace") if source else ""
    return Found(
        experiment=experiment,
        program=program,
        launcher=(_launcher(own) or _launcher("\n".join(sources.values()))) if is_python else "",
        takes_nodes=re.search(_TAKES_NODES, own) is not None,
        packages=source.path.name if source else "",
        environment=(root / "virtual_env").exists(),
        images=_names(root, "*.sif"),
        definitions=_names(root, "*.def"),
        sweeps=tuple(
            name for name in (*_names(root, "*.yml"), *_names(root, "*.yaml")) if _is_sweep(root / name)
        ),
        wandb=any("wandb" in text for text in (listed, *sources.values())),
    )


def _of_experiment(path: Path) -> tuple[str, bool]:
    """The Python file that an experiment file starts, and whether it starts Python at all."""
    try:
        command = read_command_file(path)
    except HpcSubmitError:  # which the submission explains
        return "", False
    words = (word.literal for word in command.words[1:])
    program = next((word for word in words if word and word.endswith(".py")), "")
    return program, command.python_word and not command.starts_wandb_agent


def _program(sources: dict[str, str]) -> str:
    """The likeliest program: by its name, else the only file that says what it does when it is started."""
    for name in PROGRAMS:
        if name in sources:
            return name
    started = [name for name, text in sources.items() if re.search(_MAIN, text)]
    return started[0] if len(started) == 1 else ""


def _launcher(text: str) -> str:
    return next((name for name, pattern in _LAUNCHERS.items() if re.search(pattern, text)), "")


def _is_sweep(path: Path) -> bool:
    text = _text(path) if path.name != CONFIGURATION_FILE else ""
    return bool(re.search(r"(?m)^method:", text) and re.search(r"(?m)^parameters:", text))


def _names(root: Path, pattern: str) -> tuple[str, ...]:
    """The files of a folder whose names can stand on one line of a text."""
    return tuple(sorted(path.name for path in root.glob(pattern) if path.name.isprintable()))


def _text(path: Path) -> str:
    """A file's text; "" for one that is no file, is too large, or may not be read: nothing depends on it."""
    with suppress(OSError, ValueError):
        if path.is_file() and path.stat().st_size <= LARGEST_FILE:
            return path.read_text("utf-8", errors="replace")
    return ""
