"""The seed in a sweep file: whether the file sets it, and whether it waits for one that never comes."""

from collections.abc import Iterator
from typing import Any

from hpcsubmit.seeds import UNFILLED, has_place, names_seed, seed_in
from hpcsubmit.sweep_file.parameter import leaves
from hpcsubmit.sweep_file.reading import SweepFile


def sets_seed(file: SweepFile) -> str:
    """Say what sets the program's seed: `parameters.seed`, or `--seed 1 in its command`; "" for nothing.

    A parameter may be below a group, or a key of a value that is a mapping; a group may be called seed.
    """
    for name, definition in file.parameters:
        for keys, leaf in leaves(definition, ("parameters", name)):
            inside = [key for value in (leaf.get("value"), leaf.get("values")) for key in _keys(value)]
            if any(map(names_seed, (*keys[1::2], *inside))):
                return ".".join(key for key in keys[:1] + keys[1::2])
    given = seed_in(file.command, exact=True)
    return f"{given} in its command" if given else ""


def _keys(value: Any) -> Iterator[str]:
    """The keys of the mappings in a value."""
    if isinstance(value, dict):
        yield from value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        if isinstance(each, dict | list):
            yield from _keys(each)


def unfilled_seed(file: SweepFile) -> tuple[str, ...]:
    """Warn of {seed} in the command of a file whose trials get no seed from --repeat or --seeds."""
    found = (index for index, word in enumerate(file.command) if has_place(word))
    return tuple(file.source.says(("command", str(index)), f"has {UNFILLED}") for index in list(found)[:1])
