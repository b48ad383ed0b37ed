"""Where in a sweep file something stands, so that every mistake names the file, the line and the key."""

from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.yaml_file import Lines

Keys = tuple[str, ...]
"""The keys that lead to a place in the file; items of lists have their numbers, from 0."""


class Source(NamedTuple):
    """A file, and the lines of its keys."""

    path: Path
    lines: Lines

    def mistake(self, keys: Keys, problem: str, hint: str) -> HpcSubmitError:
        """Return the error for what stands behind these keys; problem goes on from them: `has no values`."""
        return HpcSubmitError(self.says(keys, problem), hint)

    def check_text(self, text: str, keys: Keys) -> None:
        """Raise HpcSubmitError for a NUL character: no word of a command, and no variable, can hold one."""
        if "\0" in text:
            hint = "take it out; where a backslash and a 0 are meant, put them in single quotes"
            raise self.mistake(tuple(key.replace("\0", "\\0") for key in keys), "holds a NUL character", hint)

    def says(self, keys: Keys, text: str) -> str:
        """Return the text with the place before it: `sweeper.yml, line 7: parameters.lr has no values`.

        A key without a line of its own, as one that is missing, has that of the nearest key above it.
        """
        known = (self.lines.get(keys[:length]) for length in range(len(keys), 0, -1))
        line = next((line for line in known if line), None)
        where = f"{self.path}, line {line}" if line else str(self.path)
        name = "".join(f"[{key}]" if key.isdigit() else f".{key}" for key in keys).removeprefix(".")
        return f"{where}: {name} {text}"
