"""The options of a submission, settled: what is typed, else what hpcsubmit.yaml says, else the default."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import click
from click.core import ParameterSource

from hpcsubmit.application import OWN_KEYS
from hpcsubmit.cli.application_keys import COMMAND, WrongValue, option_of, value_of
from hpcsubmit.cli.asked import request_of
from hpcsubmit.errors import HpcSubmitError, UsageError, did_you_mean
from hpcsubmit.experiment import Command, read_command
from hpcsubmit.place import Place
from hpcsubmit.project import check_one_command
from hpcsubmit.request import Request
from hpcsubmit.yaml_file import read_yaml_lines

IMAGE = "singularity_container"
SWEEP = "wandb_sweepid"
EXCLUDING = (
    ("mem", "mem_per_gpu"),
    ("no_env", "env_on_node", "conda_env"),
    ("no_env", IMAGE),
    ("env_on_node", IMAGE),
    (COMMAND, "configs"),
    ("repeat", "seeds", SWEEP),
)
"""Options of which one at most holds: one of the command line puts aside the others of the file."""
BELONGING = {
    IMAGE: ("bind", "workdir", "pass_env", "container_exec", "container_on_node"),
    SWEEP: ("num_sweeps", "trial_gpus", "trial_nodes", "trials_per_task"),
}
"""Options that mean nothing without another one: they go where that one, in the file, is put aside."""


class _Part(NamedTuple):
    """A part of the file: the whole of it, or what stands below `keys`."""

    project: Path
    path: Path
    keys: tuple[str, ...] = ()

    def wrong(self, key: str, problem: str, cure: str) -> HpcSubmitError:
        line = self.line(key)
        place = (str(self.path), f"line {line}" if line else "", ".".join(self.keys))
        colon = "" if problem.startswith("has ") else ":"
        return HpcSubmitError(f"{', '.join(filter(None, place))}{colon} {problem}", cure)

    def line(self, key: str) -> int:
        """The line of a key, 0 where it cannot be told; only mistakes ask for it."""
        return read_yaml_lines(self.path)[1].get((*self.keys, key), 0)


def settled_request(options: dict[str, Any], place: Place, context: click.Context) -> Request:
    """Return what the command line and hpcsubmit.yaml ask for together; raises as `settled` does."""
    together = settled(options, place, context)
    try:
        return request_of(together)
    except UsageError as error:  # the command line alone is right: it was looked at before
        raise HpcSubmitError(
            f"{error.message}, with what {place.project.configuration} says", error.hint
        ) from error


def settled(options: dict[str, Any], place: Place, context: click.Context) -> dict[str, Any]:
    """Return a command's options with the values of hpcsubmit.yaml for those that were not typed.

    `command` is among them, a Command, where the file's is the one to run, and so are `for_sweeps` and
    `sweep_beside`, as a Request has them. options, context: of the command.
    Raises HpcSubmitError, with the file and the key, for whatever is wrong in any part of the file.
    """
    given = {name for name in options if context.get_parameter_source(name) is ParameterSource.COMMANDLINE}
    typed = {name: options[name] for name in given}
    whole, chosen = _of_file(place)
    values = _beside(whole, chosen) | chosen
    values = _beside({name: value for name, value in values.items() if name not in given}, typed)
    for name, belonging in BELONGING.items():
        if name in {*whole, *chosen} and not _holds((values | typed).get(name)):
            values = {n: value for n, value in values.items() if n not in belonging}
    if values.get(COMMAND) is not None:
        check_one_command(place.project)
    settable = {*options, COMMAND}
    return options | {
        **{n: value for n, value in values.items() if value is not None and n in settable},
        "for_sweeps": frozenset(BELONGING[SWEEP]).intersection(values),
        "sweep_beside": (whole | chosen).get(SWEEP) if SWEEP in given else None,
    }


def _of_file(place: Place) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the file says for all clusters and for the chosen one, by the options' names.

    None takes back what is said for all. Every part is read, so that its mistakes are found at home.
    """
    project, application = place.project, place.project.application
    path = project.configuration or project.root
    _check_names(place, path)
    parts = {
        name: _read(values, _Part(project.root, path, ("clusters", name)))
        for name, values in application.clusters.items()
    }
    return _read(application.options, _Part(project.root, path)), parts.get(place.choice.name, {})


def _check_names(place: Place, path: Path) -> None:
    project, parts = place.project, place.project.application.clusters
    known = place.clusters.names() if parts else ()
    for name in parts:
        if name not in known:
            raise _Part(project.root, path, ("clusters",)).wrong(
                name,
                f"there is no cluster profile '{name}'",
                f"{did_you_mean(name, known)} hpcsubmit clusters lists them",
            )


def _read(values: Mapping[str, Any], part: _Part) -> dict[str, Any]:
    """Read the keys of a part: the options' values, by the options' names."""
    found: dict[str, Any] = {}
    keys: dict[str, str] = {}
    for key, value in values.items():
        try:
            name, read = _read_key(key, value, part)
        except WrongValue as wrong:
            raise part.wrong(key, wrong.problem, wrong.cure) from wrong
        if name in found:
            raise part.wrong(
                key, f"'{key}' and '{keys[name]}' are one key in two spellings", "keep one of them"
            )
        found[name], keys[name] = read, key
    _check_exclusive(found, keys, part)
    return found


def _read_key(key: str, value: object, part: _Part) -> tuple[str, Any]:
    if key != COMMAND:
        option = option_of(key, () if part.keys else OWN_KEYS)
        return str(option.name), value_of(option, key, value, part.project)
    if value is not None and not isinstance(value, str):
        raise WrongValue(f"'command' cannot be {value!r:.80}", "write command: python main.py --lr 0.1, say")
    return key, None if value is None else _command(value, part)


def _command(text: str, part: _Part) -> Command:
    """Read a command; the lines of its mistakes are those of the file."""
    try:
        return read_command(text, part.path)
    except HpcSubmitError:
        line = part.line(COMMAND)
        there = part.path.read_text("utf-8").splitlines()[line - 1 : line]
        below = bool(there and re.search(r":\s*[|>]", there[0]))
        return read_command("\n" * (line - 1 + below) + text, part.path)


def _check_exclusive(found: Mapping[str, Any], keys: Mapping[str, str], part: _Part) -> None:
    for group in EXCLUDING:
        there = [keys[name] for name in group if _holds(found.get(name))]
        if len(there) > 1:
            raise part.wrong(
                there[1], f"'{there[0]}' and '{there[1]}' exclude each other", "keep one of them"
            )


def _beside(values: Mapping[str, Any], stronger: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what cannot stand beside stronger values."""
    holding = {name for name, value in stronger.items() if _holds(value)}
    aside = {name for group in EXCLUDING if holding & {*group} for name in group} - holding
    return {name: value for name, value in values.items() if name not in aside}


def _holds(value: object) -> bool:
    return value is not None and value is not False and value != ()
