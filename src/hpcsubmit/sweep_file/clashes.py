"""Options in the command of a sweep file that are parameters too: the program gets both."""

from collections.abc import Collection, Iterator

from hpcsubmit.sweep_file.source import Source

_OPTIONS = frozenset(("${args}", "${args_no_equals}", "${args_no_boolean_flags}"))
"""What hands parameters on as `--lr=0.1`, or as `--lr 0.1`."""
_ASSIGNMENTS = frozenset(("${args_no_hyphens}", "${args_append_hydra}", "${args_override_hydra}"))
"""What hands them on as hydra takes them: `lr=0.1`, `+lr=0.1`, `++lr=0.1`."""


def clash_warnings(
    words: tuple[str, ...], program: str, names: Collection[str], source: Source
) -> Iterator[str]:
    """Say which words of a command give the program an option that a parameter gives it too, and which wins.

    names: of the parameters, as the program gets them. What stands before the program, and behind a bare
    `--`, is not meant for it.
    """
    begin = _behind_program(words, program)
    ours = words[begin : words.index("--", begin) if "--" in words[begin:] else None]
    filled = [index for index, word in enumerate(ours) if word in _OPTIONS | _ASSIGNMENTS]
    hydra = bool(filled) and ours[filled[-1]] in _ASSIGNMENTS
    for index, word in enumerate(ours):
        name, equals, _ = word.partition("=")
        parameter = name.lstrip("+") if hydra else name.removeprefix("--")
        if parameter not in names or not (equals if hydra else name.startswith("--")):
            continue
        behind = ours[index + 1] if index + 1 < len(ours) else ""
        value = "" if equals or not behind or behind.startswith(("-", "${")) else behind
        shown = f"{word} {value}".rstrip()
        text = f"is {shown}, and {parameter} is a parameter too: {_winner(index, filled)}"
        yield source.says(
            ("command", str(begin + index)), f"{text}; take it out of the command, or out of the parameters"
        )


def _behind_program(words: tuple[str, ...], program: str) -> int:
    """The index of the first word that is an argument of the program."""
    script = program or "${program}"
    named = [i for i, word in enumerate(words) if word in ("${program}", script) or word.endswith(".py")]
    return named[0] + 1 if named else 1


def _winner(index: int, filled: list[int]) -> str:
    if not filled:
        return "every trial gets this one on its command line"
    if index > filled[-1]:
        return "it comes last, and most programs take the last, so that every trial runs with it"
    return "the parameter comes last, and most programs take the last, so that this one does nothing"
