"""A sweep file, in wandb's format and with the short forms of composite sweeps: read and checked."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import field
from pathlib import Path
from typing import Any

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.frozen import frozen
from hpcsubmit.sweep_file.clashes import clash_warnings
from hpcsubmit.sweep_file.command import check_program, command_warnings, command_words
from hpcsubmit.sweep_file.composite import Part, parts_of, workers_in
from hpcsubmit.sweep_file.keys import OWN, check_keys
from hpcsubmit.sweep_file.looks import Written, value_warnings
from hpcsubmit.sweep_file.parameter import check_in_grid, exponents_warning, leaves, written_out
from hpcsubmit.sweep_file.source import Keys, Source
from hpcsubmit.trial import DISTRIBUTIONS, Definition, distribution_name, product
from hpcsubmit.yaml_file import read_yaml_lines

MOST_COMBINATIONS = 1_000_000_000


@frozen
class SweepFile:
    """A sweep as its file describes it; `read_sweep_file` makes them.

    name: the tags for a subtest, "" for none. method: grid, random or bayes. command: empty for wandb's own.
    metric: with name and goal, None where none is named. parameters: pairs of a name and its definition.
    run_cap: the most trials. workers: how many are to run it. random_seed: of what is drawn without a server.
    entity, project: where it belongs on the server; "" for what is not said. config: what the server is told.
    warnings: what wandb would not do as it looks; a line each.
    """

    path: Path
    name: str
    method: str
    program: str
    command: tuple[str, ...]
    metric: Mapping[str, Any] | None
    parameters: tuple[tuple[str, Definition], ...]
    run_cap: int | None
    tags: tuple[str, ...]
    workers: int | None
    random_seed: int
    entity: str
    project: str
    config: dict[str, Any]
    warnings: tuple[str, ...]
    source: Source = field(repr=False, compare=False)
    places: Mapping[str, Keys] = field(repr=False, compare=False)

    @property
    def combinations(self) -> int | None:
        """How many trials there are: a grid's combinations, at most run_cap; None for no end of them."""
        grid = product(self.parameters) if self.method == "grid" else None
        return min((number for number in (grid, self.run_cap) if number is not None), default=None)

    @property
    def shown_command(self) -> str:
        """What the trials start, on one line, for people."""
        known = {"${env}": "", "${interpreter}": "python", "${program}": self.program}
        words = self.command or ("${interpreter}", "${program}", "${args}")
        return " ".join(filter(None, (known.get(word, word) for word in words)))

    def as_spec(self) -> dict[str, Any]:
        """Return what sweep.json says of the file."""
        return {
            "name": self.name,
            "method": self.method,
            "parameters": [list(pair) for pair in self.parameters],
            "random_seed": self.random_seed,
            "program": self.program,
            "command": list(self.command),
            "metric": self.metric,
            "tags": list(self.tags),
            "entity": self.entity,
            "project": self.project,
            "file": str(self.path),
        }

    @property
    def names(self) -> Iterator[Keys]:
        """The names of all parameters; one in a group has those of its groups before it."""
        for name, definition in self.parameters:
            for keys, _ in leaves(definition, (name,)):
                yield tuple(key for key in keys[:1] + keys[2::2])


def read_sweep_file(path: Path) -> tuple[SweepFile, ...]:
    """Read a sweep file: one sweep, or one for each of its subtests, in their order.

    Raises HpcSubmitError for what wandb would refuse or quietly take otherwise, with the file, line and key.
    """
    try:
        values, lines = read_yaml_lines(path)
    except HpcSubmitError as error:
        raise HpcSubmitError(error.message, _glued_dash(path) or error.hint) from error
    source = Source(path, lines)
    if not isinstance(values, dict):
        problem = "is empty" if values is None else "is no sweep file: it holds no `key: value` lines"
        raise HpcSubmitError(f"{path} {problem}", "begin with program:, method: and parameters:")
    check_keys(values, source)
    parameters = values.get("parameters")
    if not isinstance(parameters, dict) or not parameters:
        problem = "are empty" if "parameters" in values else "are missing"
        raise source.mistake(
            ("parameters",), problem, "write `NAME: [VALUE, VALUE]` for each, below parameters:"
        )
    workers = workers_in(values, (), source)
    return tuple(_sweep(values, part, source) for part in parts_of(parameters, workers, source))


def _glued_dash(path: Path) -> str:
    """The hint where a file that is no YAML has `-0.1` for an item of a list; "" where it has not."""
    lines = path.read_text("utf-8", errors="replace").splitlines() if path.is_file() else []
    glued = ((number, re.fullmatch(r"\s*-([^\s-].*)", line)) for number, line in enumerate(lines, 1))
    found = next(((number, match[1]) for number, match in glued if match), None)
    return f"put a blank behind the dash in line {found[0]}: - {found[1]}" if found else ""


def _sweep(values: Mapping[str, Any], part: Part, source: Source) -> SweepFile:
    written = {name: written_out(given, keys, source) for name, (given, keys) in part.parameters.items()}
    if not written:
        raise source.mistake(("parameters",), "are empty", "write `NAME: [VALUE, VALUE]` for each")
    if values["method"] == "grid":
        _check_grid(written, part, source)
    words = command_words(values.get("command"), source)
    program = values.get("program", "")
    check_program(program, words, source)
    name = "-".join(filter(None, [values.get("name", ""), ",".join(part.tags)]))
    metric = values.get("metric")
    return SweepFile(
        path=source.path,
        name=name,
        method=values["method"],
        program=program,
        command=words,
        metric={"goal": "minimize", **metric} if metric else None,
        parameters=tuple(written.items()),
        run_cap=values.get("run_cap"),
        tags=(*_tags(values.get("_tags"), source), *part.tags),
        workers=part.workers,
        random_seed=values.get("_seed", 0),
        entity=values.get("entity", ""),
        project=values.get("project", ""),
        config=_config(values, written, name),
        warnings=(
            *command_warnings(words, source),
            *clash_warnings(words, program, written, source),
            *_parameter_warnings(written, part, source),
        ),
        source=source,
        places={name: keys for name, (_, keys) in part.parameters.items()},
    )


def _check_grid(written: Mapping[str, Definition], part: Part, source: Source) -> None:
    for name, (_, keys) in part.parameters.items():
        check_in_grid(written[name], keys, source)
    number = product(written.items()) or 0
    if number > MOST_COMBINATIONS:
        hint = "thin out the values, or draw some of the combinations: method: random and run_cap: 200"
        raise source.mistake(("parameters",), f"have {number:,} combinations", hint)


def _config(values: Mapping[str, Any], written: Mapping[str, Definition], name: str) -> dict[str, Any]:
    """What wandb's server is told: the file without short forms and hpcsubmit's own keys."""
    kept = {key: value for key, value in values.items() if key not in OWN}
    return {**kept, **({"name": name} if name else {}), "parameters": dict(written)}


def _tags(given: Any, source: Source) -> tuple[str, ...]:
    tags = given.split(",") if isinstance(given, str) else [] if given is None else given
    if not isinstance(tags, list) or not all(isinstance(tag, str) and tag.strip() for tag in tags):
        raise source.mistake(("_tags",), "is no list of tags", "write _tags: [baseline, small]")
    source.check_text("".join(tags), ("_tags",))
    return tuple(tag.strip() for tag in tags)


def _parameter_warnings(written: Mapping[str, Definition], part: Part, source: Source) -> Iterator[str]:
    looks = Written(source.path)
    for name, (_, keys) in part.parameters.items():
        if not re.fullmatch("[A-Za-z_][A-Za-z0-9_.-]*", name):
            yield source.says(keys, "is a name that wandb warns of: it wants letters, digits, _ . and -")
        for place, leaf in leaves(written[name], keys):
            if text := exponents_warning(leaf):
                yield source.says(place, text)
            yield from value_warnings(leaf, place, source, looks)


def check_offline(file: SweepFile, *, number: int | None = None, cut_off: str = "") -> None:
    """Raise HpcSubmitError for a sweep that nothing but a server can deal out.

    number: how many trials are asked for, None where nothing is said. cut_off: the cluster whose nodes do not
    reach wandb's server, "" where a sweep might also run with it.
    """
    source = file.source
    server = ", or leave out --offline"
    if cut_off:
        server = f": the nodes of '{cut_off}' do not reach wandb's server (wandb: offline in its profile)"
    if file.method == "bayes":
        problem = "is bayes, which chooses each trial by the results of others: it needs a wandb server"
        raise source.mistake(("method",), problem, f"use grid or random{server}")
    if "early_terminate" in file.config:
        hint = f"take it out of the file{server}"
        raise source.mistake(("early_terminate",), "is done by a wandb server", hint)
    if file.combinations is None and not number:
        problem = "is random, which has no end without a server"
        raise source.mistake(("method",), problem, "say how many trials: run_cap: 20, or --num-sweeps 20")
    for name, definition in file.parameters:
        for keys, leaf in leaves(definition, file.places[name]):
            if distribution_name(leaf) not in DISTRIBUTIONS:
                problem = f"has the distribution {distribution_name(leaf)}, which a wandb server alone draws"
                raise source.mistake(keys, problem, f"use uniform or normal{server}")


def check_flags(file: SweepFile, flags: Sequence[str]) -> None:
    """Raise HpcSubmitError for a parameter that the job itself sets with one of its flags (`--num_nodes`)."""
    for name, _ in file.parameters:
        flag = next((flag for flag in flags if flag.lstrip("-") == name), None)
        if flag:
            hint = "take it out of the file; --trial-gpus and --trial-nodes say how much each trial gets"
            raise file.source.mistake(file.places[name], f"clashes with {flag}, which the job sets", hint)
