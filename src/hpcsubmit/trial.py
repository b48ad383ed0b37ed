"""Which parameters a trial of a sweep has, and the command that it runs.

    python trial.py take SPEC TRIAL FILE  write the launch file of a trial, by its number
    python trial.py ask WORDS...          in place of `python` below wandb's agent: have them launched, wait

SPEC is the sweep.json of a submission; trials are numbered from 1. A launch file holds items that each end
with a NUL: how many variables, NAME=VALUE for each, how many words of a launcher, these, then the program's.

`ask` writes the launch file into the folder HPCSUBMIT_ASKS and its name into the FIFO `asks` there, and ends
with the code in NAME.code once there is one. NAME.stop says that the agent wants the run to end. A NAME that
ends with -run says that the agent itself started it (HPCSUBMIT_AGENT is its process): it is all of the run.

This file needs Python 3.8 and its standard library. Commands are those of wandb's agent (0.30), and values
are drawn as by wandb's package `sweeps` (0.3).
"""

from __future__ import annotations

import json
import math
import os
import re
import signal
import sys
import time
from bisect import bisect
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, Callable, Dict, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

Definition = Dict[str, Any]
"""What a sweep file says of a parameter, without short forms: `{"values": [1, 2]}`."""
Spec = Dict[str, Any]
_Draw = Callable[[Definition, float], Any]

DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""What wandb's agent starts where the sweep file has no command."""
_VARIABLE = re.compile(r"\$\{envvar:([A-Z0-9_]*)\}")
_SEED = re.compile(r"(?<!\$)\{seed\}")  # ${seed} is a shell's own
_ASSIGNMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]*=.*", re.DOTALL)
_PYTHON = re.compile(r"(?s)(?:.*/)?python(?:3(?:\.[0-9]+)?)?")
_NEGATIVE_NUMBER = re.compile(r"-(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WANDB = re.compile(r"WANDB_(?!.*(?:API_KEY|TOKEN))")
_MODULES = {"torchrun": "torch.distributed.run", "accelerate": "accelerate.commands.launch"}
# What may stand behind -m (torch 1.9 to 2.13, accelerate 1.14), and the programs of the same packages.
_LAUNCHERS = (*_MODULES.values(), "torch.distributed.launch", "torchrun", "accelerate-launch")
_WITH_LAUNCH = ("accelerate", "accelerate.commands.accelerate_cli")
"""Those that start processes where their first argument is `launch`."""
_OPTION = re.compile(r"(?s)-(?=.)([^-cmWX]*)([-cmWX]?)(.*)")
"""A word of Python's options: flags, then one that takes the rest of it, which behind a `-` is its name."""
_WITH_A_VALUE = ("c", "m", "W", "X", "-check-hash-based-pycs")


class TrialError(Exception):
    """What is wrong with a trial."""


def _between(given: Definition, at: float) -> float:
    return float(given["min"] + at * (given["max"] - given["min"]))


def _log_between(given: Definition, at: float) -> float:
    low, high = math.log(given["min"]), math.log(given["max"])
    return math.exp(low + at * (high - low))


def _normal(given: Definition, at: float) -> float:
    from statistics import NormalDist  # late, as random is: a submission reads commands with this file

    deviations = NormalDist().inv_cdf(max(at, 2.0**-54))
    return float(given.get("mu", 0) + given.get("sigma", 1) * deviations)


def _weighted(given: Definition, at: float) -> Any:
    sums = list(accumulate(given["probabilities"]))
    return given["values"][bisect(sums, at * sums[-1])]


def _stepped(draw: _Draw, given: Definition, at: float) -> Any:
    step = given.get("q", 1)
    return round(draw(given, at) / step) * step


_CONTINUOUS: dict[str, _Draw] = {
    "uniform": _between,
    "log_uniform": lambda given, at: math.exp(_between(given, at)),
    "log_uniform_values": _log_between,
    "inv_log_uniform": lambda given, at: math.exp(-_between(given, 1 - at)),
    "inv_log_uniform_values": _log_between,
    "normal": _normal,
    "log_normal": lambda given, at: math.exp(_normal(given, at)),
}
DISTRIBUTIONS: dict[str, _Draw] = {
    "constant": lambda given, _: given["value"],
    "categorical": lambda given, at: given["values"][int(at * len(given["values"]))],
    "categorical_w_probabilities": _weighted,
    "int_uniform": lambda given, at: given["min"] + int(at * (given["max"] - given["min"] + 1)),
    **_CONTINUOUS,
    **{f"q_{name}": partial(_stepped, draw) for name, draw in _CONTINUOUS.items() if name[:4] != "inv_"},
}
"""How a value is drawn, by wandb's names, for a number from 0 to below 1; wandb has beta and q_beta too."""


def distribution_name(definition: Definition) -> str:
    """Return the name of a definition's distribution; where it names none, what wandb takes it for."""
    if "distribution" in definition:
        return str(definition["distribution"])
    if "values" in definition:
        return "categorical_w_probabilities" if "probabilities" in definition else "categorical"
    if "value" in definition:
        return "constant"
    bounds = definition.get("min"), definition.get("max")
    return "uniform" if float in map(type, bounds) else "int_uniform"


def choices(definition: Definition) -> int | None:
    """Return how many values a grid has of a parameter or a group; None where a grid cannot have it."""
    if "parameters" in definition:
        return product(definition["parameters"].items())
    name = distribution_name(definition)
    if name in ("constant", "categorical"):
        return 1 if name == "constant" else len(definition["values"])
    if name not in ("int_uniform", "q_uniform"):
        return None
    span = definition["max"] - definition["min"]
    # wandb takes numpy.arange for q_uniform, which leaves the upper end out.
    return int(span + 1) if name == "int_uniform" else math.ceil(span / definition.get("q", 1))


def product(pairs: Iterable[Any]) -> int | None:
    """Return how many combinations (name, definition) pairs have, without expanding; None as of `choices`."""
    numbers = [choices(definition) for _, definition in pairs]
    return None if None in numbers else math.prod(number or 0 for number in numbers)


def combinations(spec: Spec) -> int:
    """Return how many combinations of parameters a grid has, or how many are drawn."""
    if spec["method"] == "grid":
        return product(spec["parameters"]) or 0
    return int(spec["trials"]) // max(1, len(spec["seeds"]))


def seed_of(spec: Spec, trial: int) -> int | None:
    """Return the seed of a trial, None where its submission gives none."""
    seeds = spec["seeds"]
    return int(seeds[(trial - 1) % len(seeds)]) if seeds else None


def parameters(spec: Spec, trial: int) -> dict[str, Any]:
    """Return a trial's parameters in the order of the file; a group is a dict. Nothing is expanded.

    Of a grid the last parameter changes fastest. What is drawn depends on the sweep's random seed, on the
    combination's number and on the parameter's own name alone. TrialError for a number that cannot be.
    """
    if not 1 <= trial <= spec["trials"]:
        raise TrialError(f"there is no trial {trial}: they are numbered from 1 to {spec['trials']}")
    index = (trial - 1) // max(1, len(spec["seeds"]))
    leaves = list(_leaves(spec["parameters"]))
    if spec["method"] == "grid":
        values = _grid(leaves, index)
    else:
        values = [_drawn(each, f"{spec['random_seed']} {index} {'/'.join(path)}") for path, each in leaves]
    found: dict[str, Any] = {}
    for (path, _), value in zip(leaves, values):
        inside = found
        for group in path[:-1]:
            inside = inside.setdefault(group, {})
        inside[path[-1]] = value
    return found


def _leaves(
    pairs: Iterable[Any], above: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], Definition]]:
    for name, definition in pairs:
        if "parameters" in definition:
            yield from _leaves(definition["parameters"].items(), (*above, name))
        else:
            yield (*above, name), definition


def _grid(leaves: list[Any], index: int) -> list[Any]:
    """The values of a combination, counted from 0: the digits of its number, each parameter a base."""
    values = []
    for _, given in reversed(leaves):
        index, digit = divmod(index, choices(given) or 1)
        if "min" in given:
            values.append(_rounded(given["min"] + digit * given.get("q", 1)))
        else:
            values.append(given["values"][digit] if "values" in given else given["value"])
    if index:
        raise TrialError("the grid has fewer combinations than there are trials")
    return values[::-1]


def _drawn(definition: Definition, seed: str) -> Any:
    import random

    # random() alone is promised to stay the same for a seed from one Python to the next.
    at = random.Random(seed).random()  # noqa: S311
    value = DISTRIBUTIONS[distribution_name(definition)](definition, at)
    return value if "value" in definition or "values" in definition else _rounded(value)


def _rounded(number: float) -> float:
    """Leave out the last digits, in which machines differ: a trial is to be the same on all of them."""
    return float(f"{number:.12g}") if isinstance(number, float) else number


def words(spec: Spec, trial: int, environ: Mapping[str, str], json_file: str = "") -> list[str]:
    """Return the command of a trial as wandb's agent builds it; `{seed}` is replaced where there are seeds.

    json_file: the path that ${args_json_file} stands for.
    """
    filled = {**_arguments(parameters(spec, trial)), "env": ["/usr/bin/env"], "interpreter": ["python"]}
    filled.update(program=[spec["program"]], args_json_file=[json_file])
    found: list[str] = []
    for word in map(str, spec["command"] or (DEFAULT_COMMAND if spec["program"] else ())):
        text = _VARIABLE.sub(lambda match: environ.get(match[1], match[1]), word)
        # wandb drops a word that is one unknown ${...}, and keeps a longer one that holds it.
        found += filled.get(text[2:-1], []) if text.startswith("${") and text.endswith("}") else [text]
    seed = seed_of(spec, trial)
    return found if seed is None else [_SEED.sub(str(seed), word) for word in found]


def _arguments(values: dict[str, Any]) -> dict[str, list[str]]:
    """The forms in which wandb hands parameters to a program, by the names of their macros."""
    flags = [f"{name}={value}" for name, value in values.items()]
    set_ones = [(name, flag) for flag, (name, value) in zip(flags, values.items()) if value is not False]
    return {
        "args": [f"--{flag}" for flag in flags],
        "args_no_hyphens": flags,
        "args_no_boolean_flags": [f"--{name if values[name] is True else flag}" for name, flag in set_ones],
        "args_no_equals": [word for name, value in values.items() for word in (f"--{name}", str(value))],
        "args_append_hydra": [f"+{flag}" for flag in flags],
        "args_override_hydra": [f"++{flag}" for flag in flags],
        "args_json": [json.dumps(values)],
    }


def without_env(command: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Split a command into what a leading `env NAME=VALUE ...` sets, and the rest; env with options stays."""
    variables: dict[str, str] = {}
    rest = list(command)
    if rest[:1] not in (["env"], ["/usr/bin/env"]) or (rest[1:2] and rest[1].startswith("-")):
        return variables, rest
    del rest[0]
    while rest and _ASSIGNMENT.fullmatch(rest[0]):
        name, _, value = rest.pop(0).partition("=")
        variables[name] = value
    return variables, rest


def fit(command: Sequence[str], launch: Mapping[str, Any]) -> tuple[list[str], list[str]]:
    """Return the launcher's words, and those of what it starts, for spec["launch"]; a leading env goes.

    TrialError where every rank is to start Python, and the command does not, or would start all ranks again.
    """
    _, rest = without_env(command)
    kind = launch["kind"]
    if not rest:
        raise TrialError("the command of the sweep has no words")
    if kind != "plain" and not _PYTHON.fullmatch(rest[0]):
        raise TrialError(f"{kind} starts Python on every rank, but the sweep's command starts '{rest[0]}'")
    several = launch["gpus"] > 1 or (kind in _MODULES and launch["nodes"] > 1)
    inner, _ = launcher_in(rest)
    if kind != "plain" and several and inner:
        raise TrialError(
            f"{kind} starts every rank itself, but the sweep's command starts {inner}: leave it out"
        )
    if kind == "lightning":
        flags = (launch["nodes_flag"], launch["gpus_flag"])
        counts = [flags[0], str(launch["nodes"]), flags[1], str(launch["gpus"])]
        return [], [rest[0], *_without_flags(rest[1:], flags), *counts]
    return _launched(rest[0], rest[1:], _MODULES[kind]) if kind in _MODULES else ([], rest)


class Run(NamedTuple):
    """What Python runs: a "script", a "module" or a "command" by its kind.

    text: its path, name or code. at: which argument holds it; those behind it are the program's.
    """

    kind: str
    text: str
    at: int


def python_runs(arguments: Sequence[str]) -> Run | None:
    """Return what `python ARGUMENTS` runs; None where it reads its input, or only shows something.

    It takes words as CPython does (3.8 to 3.13, Python/getopt.c); an unknown letter is a newer one's flag.
    """
    index = 0
    while index < len(arguments) and (found := _OPTION.fullmatch(arguments[index])):
        flags, option, value = found.groups()
        index += 1
        if option == "-":
            option, value = f"-{value}", ""
        if option == "-":  # the word `--`: what follows is no option
            break
        if re.search("[hV?]", flags) or option.startswith(("-help", "-version")):
            return None
        index += option in _WITH_A_VALUE and not value
        if option in ("c", "m"):
            kind, at = "module" if option == "m" else "command", index - 1
            return Run(kind, value or arguments[at], at) if at < len(arguments) else None
    return Run("script", arguments[index], index) if arguments[index:] and arguments[index] != "-" else None


def launcher_in(command: Sequence[str]) -> tuple[str, list[str]]:
    """Return the launcher that a command starts, such as `accelerate launch`, and its words; "" for none."""
    rest = list(command)
    if rest and _PYTHON.fullmatch(rest[0]):
        run = python_runs(rest[1:])
        rest = [run.text, *rest[run.at + 2 :]] if run and run.kind != "command" else []
    name = rest[0].rpartition("/")[2] if rest else ""
    if name in _WITH_LAUNCH and rest[1:2] == ["launch"]:
        return f"{name} launch", rest[2:]
    return (name, rest[1:]) if name in _LAUNCHERS else ("", [])


def _without_flags(arguments: list[str], flags: tuple[str, ...]) -> list[str]:
    """Leave out `--x V` and `--x=V` before a bare `--`; a flag's value is no option, but may be a number."""
    kept: list[str] = []
    rest = list(arguments)
    while rest:
        word = rest.pop(0)
        if word == "--":
            return [*kept, word, *rest]
        if word in flags:
            if rest and (not rest[0].startswith("-") or _NEGATIVE_NUMBER.fullmatch(rest[0])):
                del rest[0]
        elif not word.startswith(tuple(f"{flag}=" for flag in flags)):
            kept.append(word)
    return kept


def _launched(python: str, arguments: list[str], module: str) -> tuple[list[str], list[str]]:
    while arguments[:1] == ["-u"]:  # both launchers start every worker with -u
        arguments = arguments[1:]
    if not arguments:
        raise TrialError(f"the sweep's command gives {python} nothing to run")
    if arguments[0].startswith("-") and arguments[0] != "-m":
        return [python, "-m", module, "--no-python"], [python, *arguments]
    return [python, "-m", module], arguments


def take(spec_file: str, trial: str, file: str) -> int:
    """Write the launch file of a trial, and beside it what wandb.init() fills its config from."""
    spec, number, place = json.loads(Path(spec_file).read_text("utf-8")), int(trial), Path(file).absolute()
    values, json_file = parameters(spec, number), place.with_name(f"{place.name}.json")
    variables, program = without_env(words(spec, number, os.environ, str(json_file)))
    launcher, program = fit(program, spec["launch"])
    if "${args_json_file}" in spec["command"]:
        _write(json_file, json.dumps(values))
    config = place.with_name(f"{place.name}.yaml")
    _write(config, _yaml({"wandb_version": 1, **{name: {"value": each} for name, each in values.items()}}))
    exports = {**_identity(spec, number), "WANDB_SWEEP_PARAM_PATH": str(config), **variables}
    _write(place, _launch_file(exports, launcher, program))
    return 0


def _identity(spec: Spec, trial: int) -> dict[str, str]:
    """The trial's seed, what makes it one run of wandb's, also after a requeue, and where that belongs."""
    # Each once: the user's own may be among the sweep's.
    tags = dict.fromkeys([*os.environ.get("WANDB_TAGS", "").split(","), *spec["tags"]])
    found = {"WANDB_RUN_ID": f"{spec['run']}-{trial}", "WANDB_RESUME": "allow"}
    found.update(WANDB_RUN_GROUP=spec["name"] or spec["run"], WANDB_TAGS=",".join(filter(None, tags)))
    found.update(WANDB_ENTITY=spec.get("entity", ""), WANDB_PROJECT=spec.get("project", ""))
    found.update({"SEED": str(seed_of(spec, trial))} if spec["seeds"] else {})
    return {name: value for name, value in found.items() if value}


def _yaml(value: Any) -> str:
    """A value as PyYAML reads it back: JSON but for numbers, since it takes 1e-05 for text."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{_yaml(name)}: {_yaml(each)}" for name, each in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_yaml, value)) + "]"
    if not isinstance(value, float):
        return json.dumps(value)
    text = re.sub("^([^.]+)e", r"\1.0e", repr(value))
    return text if math.isfinite(value) else text.replace("inf", ".inf").replace("nan", ".nan")


def ask(*arguments: str) -> int:
    """Have the batch script launch `python ARGUMENTS`; returns the exit code that it answers."""
    folder = Path(os.environ["HPCSUBMIT_ASKS"])
    spec = json.loads(Path(os.environ["HPCSUBMIT_SPEC"]).read_text("utf-8"))
    own = os.environ.get("HPCSUBMIT_AGENT") == str(os.getppid())
    name = f"{os.getpid()}-{time.time_ns()}{'-run' if own else ''}"
    code, stop = folder / f"{name}.code", folder / f"{name}.stop"
    try:
        launcher, program = fit(["python", *arguments], spec["launch"])
    except TrialError:
        _write(code, "2\n")
        raise
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, lambda *_: stop.touch())
    wandb = {key: value for key, value in os.environ.items() if _WANDB.match(key)}
    _write(folder / name, _launch_file(wandb, launcher, program))
    with _watcher(stop) as watcher:
        asks = os.open(folder / "asks", os.O_WRONLY | os.O_NONBLOCK)  # fails where nobody reads
        os.write(asks, f"{name}\n".encode())
        answer = _answer(code)
        watcher.write(b"ended\n")
    return answer


def _watcher(stop: Path) -> Any:
    """Start what makes the file when this process ends without a word to it: a KILL cannot be caught."""
    import subprocess  # late: for `ask` alone

    script = 'exec >/dev/null 2>&1; trap "" TERM INT HUP QUIT; read -r ended || : >"$0"'
    command = ["/bin/sh", "-c", script, str(stop)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)
    return process.stdin


def _answer(file: Path) -> int:
    """Wait for the exit code in a file; its folder goes away where the job has ended without one."""
    while not file.exists():
        if not file.parent.is_dir():
            raise TrialError("the job ended before it told how the run went")
        time.sleep(0.1)
    return int(file.read_text("ascii"))


def _launch_file(variables: Mapping[str, str], launcher: Sequence[str], program: Sequence[str]) -> str:
    exports = [f"{name}={value}" for name, value in variables.items()]
    items = [str(len(exports)), *exports, str(len(launcher)), *launcher, *program]
    if any("\0" in item for item in items):
        raise TrialError("a command cannot hold a NUL")
    return "".join(f"{item}\0" for item in items)


def _write(file: Path, text: str) -> None:
    """Write a file that is there wholly or not at all."""
    new = file.with_name(f"{file.name}.{os.getpid()}.new")
    new.write_bytes(text.encode("utf-8", "surrogateescape"))
    new.replace(file)


def _main(action: str = "", *arguments: str) -> int:
    """Do what the batch script asks for; returns the exit code."""
    problem = "trial.py take SPEC TRIAL FILE, or trial.py ask WORDS..."
    try:
        if action == "ask" or (action == "take" and len(arguments) == 3):
            return ask(*arguments) if action == "ask" else take(*arguments)
    except (TrialError, OSError) as error:
        problem = str(error)
    except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError) as error:
        problem = f"the record of the sweep is damaged: {type(error).__name__}: {error}"
    sys.stderr.write(f"hpcsubmit: {' '.join(problem.split())}\n")
    return 2


if __name__ == "__main__":
    raise SystemExit(_main(*sys.argv[1:]))
