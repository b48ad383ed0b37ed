"""Reads a small YAML file and remembers what it read: importing PyYAML takes longer than making a plan."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError


def read_yaml(path: Path, cache: Cache | None = None) -> Any:
    """Return what a YAML file holds; raises HpcSubmitError with the line of a mistake.

    cache: keeps what was read, for as long as the file's path, size and time of change stay the same.
    """
    try:
        stat = path.stat()
    except OSError as error:
        raise _unreadable(path, error) from error
    name = f"{path.stem}-{stat.st_ino}.json"
    key = [str(path), stat.st_size, stat.st_mtime_ns]
    with suppress(ValueError, TypeError, KeyError):
        kept = json.loads(cache.read(name)) if cache else {}
        if kept["key"] == key:
            return kept["values"]
    values = _parse(path)
    if cache:
        _keep(cache, name, {"key": key, "values": values})
    return values


def _parse(path: Path) -> Any:
    import yaml  # late: a remembered file does not need it

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, loader)  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise _unreadable(path, error) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise HpcSubmitError(
            f"{path}{where} is not YAML: {problem}", "check its indentation, quotes and colons"
        ) from error


def _keep(cache: Cache, name: str, entry: dict[str, Any]) -> None:
    """Keep what was read, unless JSON would change it (a date, a number as a key)."""
    with suppress(TypeError, ValueError):
        text = json.dumps(entry)
        if json.loads(text) == entry:
            cache.add(name, text.encode())


def _unreadable(path: Path, error: OSError) -> HpcSubmitError:
    return HpcSubmitError(f"{path} cannot be read: {error.strerror}", "check that it is a readable file")
