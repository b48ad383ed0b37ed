"""The keys of hpcsubmit.yaml that are options of a submission: their names, and how a value is read."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from hpcsubmit.cli.asked import COMMAND_LINE_ONLY, OPTIONS
from hpcsubmit.cli.options import Option
from hpcsubmit.errors import HpcSubmitError, did_you_mean

COMMAND = "command"
_ALSO = {"which_distributed": "launcher", "wandb_sweepid": "sweep"}
"""Plainer names of options, for the file alone."""
_LONGEST = 80


class WrongValue(Exception):
    """A value that a key cannot have; problem and cure are those of an HpcSubmitError."""

    def __init__(self, problem: str, cure: str) -> None:
        super().__init__(problem)
        self.problem, self.cure = problem, cure


def keys_of(option: Option) -> tuple[str, ...]:
    """Return the keys of an option, with `-` in them (`_` means the same); the best one comes first."""
    long = [name[2:].replace("_", "-") for name in (*option.opts, *option.also) if name.startswith("--")]
    return tuple(dict.fromkeys((*long, *([_ALSO[option.name]] if option.name in _ALSO else ()))))


KEYS = {
    key: option
    for option in OPTIONS
    if option.name not in (*COMMAND_LINE_ONLY, "cluster")
    for key in keys_of(option)
}
"""The options by each of their keys."""


def option_of(key: str, above: Iterable[str]) -> Option:
    """Return the option that a key means; above: the keys that are no options and may stand beside it.

    Raises WrongValue, with the nearest key, where there is none.
    """
    plain = key.replace("_", "-")
    if plain in KEYS:
        return KEYS[plain]
    if plain.replace("-", "_") in COMMAND_LINE_ONLY:
        raise WrongValue(f"has the key '{key}', which is for the command line alone", f"type --{plain} there")
    raise WrongValue(f"has an unknown key '{key}'", did_you_mean(key, (*above, COMMAND, *KEYS)))


def value_of(option: Option, key: str, value: object, root: Path) -> Any:
    """Read an option's value as YAML gave it; relative paths begin at root, the project's folder.

    None stays None: the key says nothing. Raises WrongValue.
    """
    if value is None:
        return None
    if option.is_flag:
        if not isinstance(value, bool):
            raise WrongValue(f"'{key}' cannot be {_shown(value)}", f"write {key}: true, or false")
        return value
    if option.multiple:
        items = value if isinstance(value, list) else [value]
        return tuple(_one(option, key, item, root) for item in items)
    if isinstance(value, list) and "," in option.type.name:
        value = ",".join(_text(option, key, item) for item in value)
    return _one(option, key, value, root)


def _one(option: Option, key: str, value: object, root: Path) -> Any:
    text = _placed(str(option.name), _text(option, key, value), root)
    try:
        return option.type.convert(text, option, None)
    except HpcSubmitError as error:
        raise WrongValue(f"'{key}' cannot be {_shown(value)}: {error.message}", error.hint) from error
    except click.UsageError as error:
        choices = getattr(option.type, "choices", ())
        hint = f"{did_you_mean(text, choices)} there are {', '.join(choices)}" if choices else error.message
        raise WrongValue(f"'{key}' cannot be {_shown(value)}", hint) from error


def _text(option: Option, key: str, value: object) -> str:
    """The text that would stand on the command line; YAML has made something else of some."""
    if isinstance(value, str):
        if any(ord(c) < 32 or 0xD800 <= ord(c) < 0xE000 for c in value):
            raise WrongValue(f"'{key}' cannot be {_shown(value)}", "write UTF-8 text on one line")
        return value
    colons = ":" in option.type.name
    if isinstance(value, int) and not isinstance(value, bool) and not colons:
        return str(value)
    if isinstance(value, float) and option.type.name.startswith("integer"):
        return str(value)  # which the option refuses in its own words
    if isinstance(value, (list, dict)):
        cure = (
            f"write a list of texts, {key}: [a, b]" if option.multiple else f"write one value, {key}: VALUE"
        )
        raise WrongValue(f"'{key}' cannot be {_shown(value)}", cure)
    if colons and option.type.name.startswith("dd-"):
        raise WrongValue(
            f"'{key}' is {_shown(value)} for YAML, which reads 1:00:00 without quotes as a number",
            f'write the time in quotes: {key}: "00-01:00:00"',
        )
    raise WrongValue(
        f"'{key}' is {_shown(value)} for YAML", f'write it in quotes if it is a text: {key}: "..."'
    )


def _placed(name: str, text: str, root: Path) -> str:
    """A path of the file's, made absolute; on the command line the current folder is its beginning."""
    if name not in ("singularity_container", "configs", "bind", "conda_env"):
        return text
    if name == "configs" and not text.strip():
        raise WrongValue(f"'{name}' cannot be {text!r}", "give the file that holds the command")
    if not text.strip() or (name == "conda_env" and "/" not in text):
        return text
    path, colon, target = text.partition(":") if name == "bind" else (text, "", "")
    try:
        return f"{root / Path(path).expanduser()}{colon}{target}" if path else text
    except RuntimeError:  # the ~ of a user who is not known here
        return text


def _shown(value: object) -> str:
    """A wrong value, cut where it is long."""
    text = repr(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}..."
