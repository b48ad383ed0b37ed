"""Composite sweeps: `parameters.subtests` holds several sweeps, which share the other parameters.

In `parameters: {epochs: 15, subtests: {"base,small": {lr: [0.1, 0.3]}, adam: {_num_nodes: 2, epochs: 30}}}`
the first subtest has the tags `base` and `small`, and epochs 15; the second is for 2 workers, with epochs 30.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from hpcsubmit.errors import did_you_mean
from hpcsubmit.sweep_file.parameter import parameter_name
from hpcsubmit.sweep_file.source import Keys, Source

SUBTESTS = "subtests"
WORKERS = ("_num_nodes", "_num_agents")
"""How many workers run a sweep; the two names mean the same."""
_OF_A_PARAMETER = frozenset(("value", "values", "distribution", "min", "max", "parameters"))
_LONGEST_TAG = 64
"""Characters that wandb's server takes."""


class Part(NamedTuple):
    """One of the sweeps of a file; a plain file is one part.

    parameters: what the file says of each, with the keys that lead to it. workers: None for no number.
    """

    tags: tuple[str, ...]
    parameters: Mapping[str, tuple[Any, Keys]]
    workers: int | None


def parts_of(parameters: Mapping[Any, Any], workers: int | None, source: Source) -> Iterator[Part]:
    """Give the sweeps that the parameters of a file describe; raises HpcSubmitError.

    workers: what is said outside of the parameters.
    """
    above = ("parameters",)
    subtests = parameters.get(SUBTESTS)
    composite = SUBTESTS in parameters and not _is_parameter(subtests)
    shared = {name: each for name, each in parameters.items() if not (composite and name == SUBTESTS)}
    workers = workers_in(shared, above, source) or workers
    plain = _parameters(shared, above, source)
    if not composite:
        yield Part((), plain, workers)
        return
    if not isinstance(subtests, dict) or not subtests:
        hint = "write `tag1,tag2:` below it, and the parameters of that sweep below that"
        raise source.mistake((*above, SUBTESTS), "has no subtests", hint)
    known: dict[frozenset[str], str] = {}
    for key, own in subtests.items():
        place = (*above, SUBTESTS, str(key))
        tags = _tags(key, place, source)
        if (other := known.setdefault(frozenset(tags), str(key))) != str(key):
            hint = "give each subtest tags of its own: its runs are told apart by them"
            raise source.mistake(place, f"has the same tags as '{other}'", hint)
        yield _subtest(tags, {} if own is None else own, place, source, Part((), plain, workers))


def _is_parameter(subtests: Any) -> bool:
    """Whether a program's own parameter is called subtests."""
    if isinstance(subtests, dict):
        return bool(_OF_A_PARAMETER & set(subtests))
    return subtests is not None


def _subtest(tags: tuple[str, ...], own: Any, place: Keys, source: Source, shared: Part) -> Part:
    if not isinstance(own, dict):
        raise source.mistake(place, "has no parameters of its own", "write them below it, as NAME: VALUES")
    workers = workers_in(own, place, source) or shared.workers
    return Part(tags, {**shared.parameters, **_parameters(own, place, source)}, workers)


def _parameters(given: Mapping[Any, Any], above: Keys, source: Source) -> dict[str, tuple[Any, Keys]]:
    found = {}
    for name, each in given.items():
        text, keys = parameter_name(name, above, source), (*above, str(name))
        if text.startswith("_") and text not in WORKERS:
            problem = "is no key of hpcsubmit's, and names that begin with _ are"
            raise source.mistake(keys, problem, did_you_mean(text, WORKERS))
        if text not in WORKERS:
            found[text] = (each, keys)
    return found


def workers_in(given: Mapping[Any, Any], above: Keys, source: Source) -> int | None:
    """Return how many workers a mapping asks for, None where it does not; raises HpcSubmitError."""
    named = [key for key in WORKERS if key in given]
    numbers = [given[key].get("value") if isinstance(given[key], dict) else given[key] for key in named]
    for key, number in zip(named, numbers, strict=True):
        if type(number) is not int or number < 1:
            raise source.mistake((*above, key), f"is {given[key]}", f"write a whole number from 1: {key}: 2")
    if len(set(numbers)) > 1:
        hint = f"keep one of {' and '.join(WORKERS)}: they mean the same"
        raise source.mistake((*above, named[1]), f"is {numbers[1]}, but {named[0]} is {numbers[0]}", hint)
    return numbers[0] if numbers else None


def _tags(key: Any, place: Keys, source: Source) -> tuple[str, ...]:
    tags = tuple(tag.strip() for tag in key.split(",")) if isinstance(key, str) else ()
    if not tags or not all(tags):
        hint = "write one tag or several with commas between them: 'baseline,small:'"
        raise source.mistake(place, "has an empty tag" if tags else "is not text", hint)
    source.check_text(key, place)
    twice = next((tag for tag in tags if tags.count(tag) > 1), None)
    if twice:
        raise source.mistake(place, f"has the tag '{twice}' twice", "write it once")
    long = next((tag for tag in tags if len(tag) > _LONGEST_TAG), None)
    if long:
        problem = f"has a tag of {len(long)} characters"
        raise source.mistake(place, problem, f"wandb takes {_LONGEST_TAG} at most")
    return tags
