"""Write the parts of the documentation that the code knows best: `python docs/generate.py [--check]`.

README.md gets the table of options and docs/profiles.md the table of a profile's fields, each between two
markers; the JSON schema of hpcsubmit.yaml is a file of its own. With --check nothing is written, and the exit
code is 1 where a part is not up to date.
"""

import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import Field
from pathlib import Path
from typing import Any

import click
from application_schema import schema_text

from hpcsubmit.cli.asked import OPTIONS
from hpcsubmit.cli.options import GreedyCommand, Option
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.profile import FIELDS, parse_fields

ROOT = Path(__file__).resolve().parents[1]


def options_table() -> str:
    """Return the options of a submission as Markdown; those that are only refused are left out."""
    rows: list[tuple[str, ...]] = [("Option", "Accepted too", "Value", "Default", "What it is")]
    rows += [_option_row(option) for option in OPTIONS if not option.hidden]
    return _table(rows)


def _option_row(option: Option) -> tuple[str, ...]:
    return (
        _codes(option.opts),
        _codes(option.also),
        _value(option),
        option.shown_default,
        option.help or "",
    )


def _value(option: Option) -> str:
    """What stands behind an option: a word for it, or each of the words that it takes."""
    if option.is_flag:
        return ""
    if isinstance(option.type, click.Choice):
        return _codes(option.type.choices)
    return "`path ...`" if option.opts[-1] in GreedyCommand.greedy else f"`{option.type.name}`"


def fields_table() -> str:
    """Return the fields of a profile as Markdown."""
    rows: list[tuple[str, ...]] = [("Field", "Value", "Default", "What it is")]
    rows += [_field_row(name, field) for name, field in FIELDS.items()]
    return _table(rows)


def _field_row(name: str, field: Field[Any]) -> tuple[str, ...]:
    return f"`{name}`", _form(name), _default(field.default), field.metadata["doc"]


def _form(name: str) -> str:
    """Say which values a field takes, in the words of the error that a wrong value gets."""
    try:
        parse_fields({name: "?"}, name)
    except HpcSubmitError as error:
        return error.hint.removeprefix("write ").partition(";")[0]
    return "one line of text"


def _default(value: object) -> str:
    """Show a default as a profile file would hold it; nothing where there is none."""
    if value is None or value in ("", ()):
        return ""
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _codes(words: Sequence[str]) -> str:
    return " ".join(f"`{word}`" for word in words)


def _table(rows: Sequence[Sequence[str]]) -> str:
    lines = ["| " + " | ".join(cell.replace("|", r"\|") for cell in row) + " |" for row in rows]
    lines.insert(1, "|" + " --- |" * len(rows[0]))
    return "\n".join(lines)


PARTS: dict[str, tuple[str, Callable[[], str]]] = {
    "README.md": ("options", options_table),
    "docs/profiles.md": ("fields", fields_table),
}
"""The files that have a generated part: the name in its markers, and what writes it."""
FILES: dict[str, Callable[[], str]] = {"templates/hpcsubmit.schema.json": lambda: schema_text(_form)}
"""The files that are generated whole."""


def with_part(text: str, name: str, part: str) -> str:
    """Return the text with what stands between `<!-- name -->` and `<!-- end of name -->` replaced.

    Raises ValueError where the text does not hold the two markers exactly once.
    """
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    pattern = re.compile(f"({re.escape(begin)}\n).*?({re.escape(end)})", re.DOTALL)
    if len(pattern.findall(text)) != 1:
        raise ValueError(f"there must be one {begin} with an {end} behind it")
    return pattern.sub(lambda found: f"{found[1]}\n{part}\n\n{found[2]}", text)


def main(arguments: Sequence[str]) -> int:
    """Write every part, or with `--check` only tell which one is not up to date."""
    if list(arguments) not in ([], ["--check"]):
        sys.stderr.write("usage: python docs/generate.py [--check]\n")
        return 2
    stale = 0
    for file, wanted in _wanted():
        path = ROOT / file
        if path.is_file() and path.read_text("utf-8") == wanted:
            continue
        if arguments:
            stale = 1
            sys.stderr.write(f"{file} is not up to date: run python docs/generate.py\n")
        else:
            path.write_text(wanted, "utf-8")
    return stale


def _wanted() -> Iterator[tuple[str, str]]:
    """Every file with its text as it should be."""
    for file, (name, part) in PARTS.items():
        yield file, with_part((ROOT / file).read_text("utf-8"), name, part())
    for file, text in FILES.items():
        yield file, text()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
