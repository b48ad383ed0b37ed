"""A batch script's `#SBATCH` lines, read as sbatch reads them."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import NO_TASK, ArraySpec, parse_array
from hpcsubmit.local.dependency import parse_dependency
from hpcsubmit.local.nodelist import node_name

_LONG = {
    "J": "job-name",
    "o": "output",
    "N": "nodes",
    "n": "ntasks",
    "c": "cpus-per-task",
    "t": "time",
    "a": "array",
    "d": "dependency",
}
# Leaving these out would run another job than the one asked for; everything else that is not honoured
# (account, partition, memory ...) only chooses among resources, and one machine has no choice.
_REFUSED = ("wrap", "hold")
_NO_LIMIT = ("unlimited", "infinite")
_QUOTED = re.compile(r'"(?:\\.|[^"\\])*"|\'(?:\\.|[^\'\\])*\'')
_WORD = re.compile(rf"\s*((?:{_QUOTED.pattern}|[^\s\"'])+)")
_ESCAPED = re.compile(r"\\(.)")
_PLACE = re.compile(r"%(\d*)([A-Za-z%])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a batch script asks for.

    chdir: the folder to run in, "" for sbatch's own. seconds: the time limit, None for none. gpus: per node.
    warning: how many seconds before the limit the script gets USR1, None for never. array: None for a single
    job. dependency: what must happen first, "" for nothing; ends_with_it: whether the job is cancelled once
    that can't happen any more.
    """

    job_name: str
    chdir: str
    output: str
    append: bool
    nodes: int
    tasks_per_node: int
    cpus_per_task: int
    gpus: int
    seconds: int | None
    comment: str
    warning: int | None
    array: ArraySpec | None
    dependency: str
    ends_with_it: bool


def read_request(text: str, script_name: str, words: Sequence[str] = ()) -> Request:
    """Reads the directives of a script; script_name is the job's name where it sets none.

    words: sbatch's own options, which win over the script's. Raises HpcSubmitError for a script, a value or a
    directive that this cluster can't take.
    """
    _check_script(text)
    options = dict([*_options(text), *_pairs(words)])
    for name in _REFUSED:
        if name in options:
            raise HpcSubmitError(
                f"sbatch: error: the cluster `local` has no --{name}",
                "submit to a Slurm cluster, or leave it out",
            )
    nodes = _count(options, "nodes", 1)
    share = math.ceil(_count(options, "ntasks", nodes) / nodes)
    return Request(
        job_name=options.get("job-name", script_name),
        chdir=options.get("chdir", ""),
        output=options.get("output", "slurm-%j.out"),
        append=options.get("open-mode", "truncate").startswith("a"),
        nodes=nodes,
        tasks_per_node=_count(options, "ntasks-per-node", share),
        cpus_per_task=_count(options, "cpus-per-task", 1),
        gpus=gpu_count(options.get("gres", f"gpu:{options.get('gpus-per-node', '0')}")),
        seconds=parse_time(options.get("time", "0")),
        comment=options.get("comment", ""),
        warning=_warning(options.get("signal", "")),
        array=parse_array(options["array"]) if options.get("array") else None,
        dependency=_dependency(options.get("dependency", "")),
        ends_with_it=options.get("kill-on-invalid-dep", "no") == "yes",
    )


def _dependency(text: str) -> str:
    parse_dependency(text)
    return text


def _check_script(text: str) -> None:
    if not text.startswith("#!"):
        raise HpcSubmitError(
            "sbatch: error: This does not look like a batch script.",
            "its first line must be #! and the path to an interpreter, for instance #!/bin/bash",
        )
    if "\r\n" in text:
        raise HpcSubmitError(
            "sbatch: error: Batch script contains DOS line breaks (\\r\\n)", "write it with \\n line breaks"
        )


def _options(text: str) -> Iterator[tuple[str, str]]:
    for line in text.splitlines():
        if line.strip() and not line.startswith("#"):
            return
        if line.startswith("#SBATCH") and line[7:8].isspace():
            yield from _pairs(_words(line[7:]))


def _pairs(words: Sequence[str]) -> Iterator[tuple[str, str]]:
    position = 0
    while position < len(words):
        name, equals, value = words[position].partition("=")
        position += 1
        following = words[position] if position < len(words) else "-"
        if not equals and not following.startswith("-"):
            value = following
            position += 1
        yield _LONG.get(name[1:], name.lstrip("-")), value


def _words(line: str) -> list[str]:
    """Splits at blanks; quotes group, and a backslash within them takes the next character as it is."""
    words: list[str] = []
    position = 0
    while match := _WORD.match(line, position):
        position = match.end()
        if match[1].startswith("#"):
            return words
        words.append(_QUOTED.sub(lambda quoted: _ESCAPED.sub(r"\1", quoted[0][1:-1]), match[1]))
    if line[position:].strip():
        raise HpcSubmitError(f"sbatch: error: Unmatched quote in [{line.strip()}]", "close the quote")
    return words


def _count(options: Mapping[str, str], name: str, default: int) -> int:
    text = options.get(name, str(default))
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise HpcSubmitError(
        f"sbatch: error: Invalid numeric value {text!r} for --{name}.", "give a whole number above 0"
    )


def _warning(text: str) -> int | None:
    """Reads `B:USR1@SECONDS`; Slurm knows more forms, which nobody here sends."""
    if not text:
        return None
    match = re.fullmatch(r"B:USR1@([0-9]{1,5})", text)
    if match is None:
        raise HpcSubmitError(
            f"sbatch: error: Invalid --signal specification {text!r}", "write B:USR1@SECONDS"
        )
    return int(match[1])


def gpu_count(gres: str) -> int:
    """GPUs in a list of gres: `gpu`, `gpu:2`, `gpu:v100l:2`; what is no GPU counts nothing."""
    kinds = [entry.removeprefix("gres/").split(":") for entry in gres.split(",")]
    return sum(int(kind[-1]) if kind[-1].isdigit() else 1 for kind in kinds if kind[0] == "gpu")


def parse_time(text: str) -> int | None:
    """Seconds in M, M:S, H:M:S, D-H, D-H:M or D-H:M:S; None for no limit (0, UNLIMITED, INFINITE)."""
    if text.lower() in _NO_LIMIT:
        return None
    days, dash, clock = text.rpartition("-")
    parts = clock.split(":")
    if (
        not all(part.isascii() and part.isdigit() for part in [*parts, days if dash else "0"])
        or len(parts) > 3
    ):
        raise HpcSubmitError(f"sbatch: error: Invalid --time specification {text!r}", "write D-HH:MM:SS")
    fields = [*parts, "0", "0"] if dash or len(parts) == 3 else ["0", *parts, "0"]
    hours, minutes, seconds = (int(field) for field in fields[:3])
    return ((int(days or "0") * 24 + hours) * 60 + minutes) * 60 + seconds or None


def output_path(
    pattern: str, *, job_id: int, job_name: str, user: str, array: tuple[int, int] | None = None
) -> str:
    """The log's path: %j and its like replaced, padded with zeros to the width in `%4j`; %% is one %.

    array: the id of the job's array, and its own number in it.
    """
    array_id, number = array or (job_id, NO_TASK)
    values = {
        **dict.fromkeys("jJ", str(job_id)),
        **dict.fromkeys("nt", "0"),
        "A": str(array_id),
        "a": str(number),
        "x": job_name,
        "N": node_name(0),
        "s": "batch",
        "u": user,
        "%": "%",
    }
    return _PLACE.sub(lambda place: values.get(place[2], place[0]).zfill(int(place[1] or "0")), pattern)
