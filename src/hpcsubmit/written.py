"""Whether a profile's variables for jobs are read as they are written: YAML reads 0022 as the number 18."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.yaml_file import plain_scalar, read_yaml_lines

Keys = tuple[str, ...]
_FIELD = "environment"
_ODD_INTEGER = re.compile(r"(?<![\w.])0[0-7_bx]|-0|\+[0-9]|[0-9](?:_|:[0-9])")
"""What a file holds somewhere that has an integer which is not written as Python would (PyYAML 6.0.3)."""


def check_variables(values: object, path: Path, above: Keys = ()) -> None:
    """See that the `environment` of a profile is read as it stands in its file.

    values: the profile's fields, as YAML gave them. path, above: the file, and the keys that lead to them.
    Raises HpcSubmitError for a text without quotes of which YAML makes something else; jobs would get that.
    """
    for name, value in _doubtful(values, path):
        keys = (*above, _FIELD, name)
        text = plain_scalar(path, keys)
        if not text or (_is_number(value) and text == str(value)):
            continue
        lines = read_yaml_lines(path)[1]
        above_it = (keys[:end] for end in range(len(keys), 0, -1))
        line = next((lines[each] for each in above_it if each in lines), 1)  # a `<<` may bring all of it
        place = ", ".join((f"{path}", f"line {line}", *([".".join(above)] if above else [])))
        raise HpcSubmitError(
            f"{place}: field '{_FIELD}': {name} is {text}, which YAML reads as {_read_as(value)}",
            f'write it in quotes: {name}: "{text}"',
        )


def _doubtful(values: object, path: Path) -> Iterator[tuple[str, Any]]:
    """The variables that may be written otherwise; the file is looked into only for them."""
    variables = values.get(_FIELD) if isinstance(values, dict) else None
    found = [
        (name, value)
        for name, value in (variables.items() if isinstance(variables, dict) else ())
        if isinstance(name, str) and not isinstance(value, str | list | dict | None)
        if name != "WANDB_API_KEY"  # refused as a whole, and shown nowhere
    ]
    odd = {type(value) for _, value in found} != {int} or _has_odd_integers(path)
    yield from found if odd else ()


def _has_odd_integers(path: Path) -> bool:
    try:
        return _ODD_INTEGER.search(path.read_text("utf-8")) is not None
    except (OSError, ValueError):  # changed since it was read
        return False


def _read_as(value: object) -> str:
    if _is_number(value):
        return str(value)
    return "a truth value" if isinstance(value, bool) else "a date"


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
