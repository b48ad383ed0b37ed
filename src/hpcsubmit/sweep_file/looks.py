"""What values of a sweep file look like where YAML reads something else, or nothing: warnings."""

import math
import re
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

from hpcsubmit.sweep_file.source import Keys, Source
from hpcsubmit.trial import Definition
from hpcsubmit.yaml_file import plain_scalars

_NUMBERS = frozenset((int, float, bool))
_NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
_SEVERAL = re.compile(rf"{_NUMBER}(?:(?:\s*[,;]\s*|\s+){_NUMBER})+")
_THOUSANDS = re.compile(r"[-+]?[0-9]{1,3}(?:,[0-9]{3})+")
_OCTAL = r"[-+]?0[0-7_]+"
_BASE_60 = r"[-+]?[1-9][0-9_]*(?::[0-5]?[0-9])+(?:\.[0-9]*)?"
_READ_OTHERWISE = re.compile(r"(?<![\w.])0[0-7_]+(?![\w.])|[0-9]:[0-9]")
"""What a file holds somewhere that has such numbers; looked for first, since few files do."""


class Written:
    """How the values of a file are written, which YAML keeps to itself; looked up where a value needs it."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def plain(self) -> dict[Keys, str]:
        """What stands there without quotes."""
        return plain_scalars(self._path)

    @cached_property
    def has_odd_numbers(self) -> bool:
        """Whether the file may hold numbers that YAML reads otherwise than people."""
        try:
            return _READ_OTHERWISE.search(self._path.read_text("utf-8")) is not None
        except (OSError, ValueError):  # changed since it was read
            return False


def value_warnings(definition: Definition, keys: Keys, source: Source, written: Written) -> Iterator[str]:
    """Say which values of a parameter look otherwise than YAML reads them: the first of each list.

    Quotes say that text is meant: what stands in them is warned of only where it is empty.
    """
    for key, value in definition.items():
        below = (*keys, key)
        place = below if below in source.lines else keys  # the short form has no key of its own
        for at, each in _scalars(value, place, written):
            if text := _doubt(each, at, written):
                yield source.says(at, text)
                break


def _scalars(value: Any, place: Keys, written: Written) -> Iterator[tuple[Keys, Any]]:
    """The plain values in a value, with their keys; lists only where one of them may be doubtful."""
    if not isinstance(value, list | dict):
        yield place, value
        return
    if isinstance(value, list) and _is_plain(value, written):
        return
    for name, each in value.items() if isinstance(value, dict) else enumerate(value):
        yield from _scalars(each, (*place, str(name)), written)


def _is_plain(values: list[Any], written: Written) -> bool:
    """Whether a list surely holds what it looks like: there may be a hundred thousand values in it."""
    kinds = set(map(type, values))
    if kinds == {str}:
        return not any(map(_begins_doubt, {text[:1] for text in values}))
    return kinds <= _NUMBERS and not written.has_odd_numbers


def _begins_doubt(first: str) -> bool:
    """Whether a text with this first character may be empty, or look like a number."""
    return not first or first.isspace() or first.isdigit() or first in "+-."


def _doubt(value: Any, at: Keys, written: Written) -> str:
    if isinstance(value, str):
        return _doubt_of_text(value, at, written)
    if value is None:
        empty = written.plain.get(at) == ""
        return "is empty, and the program gets None; write a value, or null if None is meant" if empty else ""
    if type(value) in (int, float) and written.has_odd_numbers:
        return _doubt_of_number(value, written.plain.get(at, ""))
    return ""


def _doubt_of_number(value: float, text: str) -> str:
    if re.fullmatch(_OCTAL, text):
        if (meant := int(text.replace("_", ""))) == value:
            return ""
        return f"is {text}, which YAML reads as {value} (base 8); write {meant}, or '{text}' for text"
    if re.fullmatch(_BASE_60, text):
        return f"is {text}, which YAML reads as {value} (base 60); write '{text}' for text"
    return ""


def _doubt_of_text(text: str, at: Keys, written: Written) -> str:
    if not text.strip():
        return "is an empty text, and the program gets nothing; write a value, or leave it out"
    number = number_meant(text.replace(",", "") if _THOUSANDS.fullmatch(text) else text)
    if not (number or _SEVERAL.fullmatch(text)) or at not in written.plain:
        return ""
    if number:
        return f"is {text}, which YAML reads as text; write {number}, or '{text}' if text is meant"
    numbers = ", ".join(number_meant(each) or each for each in re.findall(_NUMBER, text))
    what = f"values: [{numbers}]" if at[-1] == "value" else f"[{numbers}]"
    return f"is one text, and not several numbers: {text}; write {what}, or '{text}' if one text is meant"


def number_meant(text: str) -> str:
    """Return how YAML wants the number that a text looks like; "" for a text that looks like none."""
    try:
        number = float(text)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return ""
    mantissa, e, exponent = text.lower().partition("e")
    if e and "." not in mantissa:  # PyYAML wants a dot and a sign in what it takes for a float
        return f"{mantissa}.0e{exponent}" if exponent[0] in "+-" else f"{mantissa}.0e+{exponent}"
    if re.fullmatch("[-+]?[0-9]+", text):
        return str(int(text))
    return re.sub("^([^.]+)e", r"\1.0e", repr(number))
