"""Reads a small YAML file and remembers what it read: importing PyYAML takes longer than making a plan."""

import json
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError

Lines = dict[tuple[str, ...], int]
"""The line of each key of a file, by the keys that lead to it; items of lists have their numbers, from 0."""
_NUMBERED_ITEMS = 1000
_DEEPEST = 100
"""Levels of lists and mappings in each other. PyYAML 6.0.3 calls itself for each: 5,000 of them are a
RecursionError, and 100,000 end the process."""


def read_yaml(path: Path, cache: Cache | None = None) -> Any:
    """Return what a YAML file holds; raises HpcSubmitError with the line of a mistake.

    A key that one mapping has twice is one: PyYAML would take the last and say nothing.
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
    values = _parse(path, {})
    if cache:
        _keep(cache, name, {"key": key, "values": values})
    return values


def read_yaml_lines(path: Path) -> tuple[Any, Lines]:
    """Return what a YAML file holds, and where in it; raises HpcSubmitError as read_yaml does."""
    lines: Lines = {}
    return _parse(path, lines), lines


def plain_scalars(path: Path) -> dict[tuple[str, ...], str]:
    """Return what stands in a YAML file without quotes, by its keys as in Lines; "" for an empty place.

    An alias stands at its first place alone. A file that cannot be read any more has none.
    """
    found: dict[tuple[str, ...], str] = {}
    _find_plain(_root(path), (), found, set())
    return found


def plain_scalar(path: Path, keys: tuple[str, ...]) -> str | None:
    """Return what stands in a YAML file without quotes behind keys of mappings, None where nothing does.

    Aliases and `<<` are followed, as they were when the file was read.
    """
    node = _root(path)
    for key in keys:
        node = _behind(node, key)
    return str(node.value) if getattr(node, "id", "") == "scalar" and not node.style else None


def _behind(node: Any, key: str, above: tuple[Any, ...] = ()) -> Any:
    """The node behind a key of a mapping, or of the mappings that `<<` merges into it."""
    if getattr(node, "id", "") == "sequence":  # of merged mappings: the first that has it counts
        return next(filter(None, (_behind(each, key, above) for each in node.value)), None)
    if getattr(node, "id", "") != "mapping" or node in above:
        return None
    for name, value in reversed(node.value):
        if name.value == key and not name.tag.endswith(":merge"):
            return value
    merged = [value for name, value in reversed(node.value) if name.tag.endswith(":merge")]
    return next(filter(None, (_behind(each, key, (*above, node)) for each in merged)), None)


def _root(path: Path) -> Any:
    """The tree of a file, None where it cannot be read any more."""
    import yaml  # late: few files need it

    with suppress(OSError, yaml.YAMLError, ValueError), path.open(encoding="utf-8") as file:
        return getattr(yaml, "CSafeLoader", yaml.SafeLoader)(file).get_single_node()
    return None


def _find_plain(node: Any, above: tuple[str, ...], found: dict[tuple[str, ...], str], seen: set[int]) -> None:
    if id(node) in seen or node is None:
        return
    seen.add(id(node))
    if node.id == "scalar":
        if not node.style:
            found[above] = node.value
    elif node.id == "sequence":
        for index, each in enumerate(node.value):
            _find_plain(each, (*above, str(index)), found, seen)
    else:
        for key, value in node.value:
            _find_plain(value, (*above, str(key.value)), found, seen)


def _parse(path: Path, lines: Lines) -> Any:
    import yaml  # late: a remembered file does not need it

    try:
        with path.open(encoding="utf-8") as file:
            text = file.read()
            kind = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
            _check_depth(kind(text), path)
            loader = kind(text)
            node = loader.get_single_node()
            _number(node, (), _Numbering(path, lines, set()))
            return None if node is None else loader.construct_document(node)
    except OSError as error:
        raise _unreadable(path, error) from error
    except (yaml.YAMLError, ValueError) as error:  # ValueError: not UTF-8, or a date that cannot be
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise HpcSubmitError(
            f"{path}{where} is not YAML: {problem}", "check its indentation, quotes and colons"
        ) from error


def _check_depth(loader: Any, path: Path) -> None:
    """Raise HpcSubmitError for what is nested too deep to be read: its events come one after another."""
    import yaml

    depth = 0
    while loader.check_event():
        event = loader.get_event()
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            problem = f"nests lists and mappings more than {_DEEPEST} deep"
            hint = "close every [ and {, and check the indentation"
            raise HpcSubmitError(f"{path}, line {event.start_mark.line + 1}: {problem}", hint)


class _Numbering(NamedTuple):
    """A file whose lines are numbered; seen: the nodes that were, since aliases can make a circle of them."""

    path: Path
    lines: Lines
    seen: set[int]


def _number(node: Any, above: tuple[str, ...], numbering: _Numbering) -> None:
    """Note the lines of a node's keys, and of the first items of lists."""
    kind = getattr(node, "id", "scalar")
    if kind == "scalar" or id(node) in numbering.seen:
        return
    numbering.seen.add(id(node))
    if kind == "sequence":
        items = [(str(index), each, each) for index, each in enumerate(node.value[:_NUMBERED_ITEMS])]
    else:
        items = [(str(key.value), key, value) for key, value in node.value]
    there: dict[str, int] = {}
    for name, key, value in items:
        line = key.start_mark.line + 1
        if name in there and kind == "mapping" and name != "<<":
            raise HpcSubmitError(
                f"{numbering.path}, line {line}: the key '{name}' is in line {there[name]} already",
                "keep one of the two",
            )
        there[name] = line
        numbering.lines[*above, name] = line
        _number(value, (*above, name), numbering)


def _keep(cache: Cache, name: str, entry: dict[str, Any]) -> None:
    """Keep what was read, unless JSON would change it (a date, a number as a key)."""
    with suppress(TypeError, ValueError):
        text = json.dumps(entry)
        if json.loads(text) == entry:
            cache.add(name, text.encode())


def _unreadable(path: Path, error: OSError) -> HpcSubmitError:
    return HpcSubmitError(f"{path} cannot be read: {error.strerror}", "check that it is a readable file")
