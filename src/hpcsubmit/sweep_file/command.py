"""The command of a sweep file: its words as wandb's agent takes them, and what it would not fill in."""

import re
from typing import Any

from hpcsubmit.errors import HpcSubmitError, did_you_mean
from hpcsubmit.sweep_file.source import Source

MACROS = (
    "env", "interpreter", "program", "args", "args_no_boolean_flags", "args_no_equals", "args_no_hyphens",
    "args_append_hydra", "args_override_hydra", "args_json", "args_json_file",
)  # fmt: skip
"""What wandb's agent (0.30) fills in where it is a whole word: `${args}`."""
VARIABLES = ("SOURCE_DIR", "PROJECT_NAME", "SCRATCH_DIR", "EXP_NAME", "SLURM_TMPDIR", "OUTPUT_DIR")
"""Variables of every job whose names wandb fills in."""
_ENVVAR = r"\$\{envvar:([^}]*)\}"
_NAME = r"\$(?:\{([A-Za-z_][A-Za-z0-9_]*)\}|([A-Za-z_][A-Za-z0-9_]*))"


def command_words(given: Any, source: Source) -> tuple[str, ...]:
    """Return the words of `command`, none where the file has none; raises HpcSubmitError."""
    if given is None and ("command",) not in source.lines:
        return ()
    if not isinstance(given, list) or not given:
        problem = "is empty" if given in (None, []) else "is not a list, and wandb would leave it out"
        raise source.mistake(("command",), problem, "write one word of it in a line each, behind `- `")
    for index, word in enumerate(given):
        if not isinstance(word, str | int | float):
            raise source.mistake(
                ("command", str(index)), f"is no word: {word}", f"put it in quotes: '{_source_of(word)}'"
            )
        source.check_text(str(word), ("command", str(index)))
        _check_variables(str(word), index, source)
    return tuple(map(str, given))


def _source_of(word: Any) -> str:
    return (
        ", ".join(f"{key}: {value}" for key, value in word.items()) if isinstance(word, dict) else str(word)
    )


def _check_variables(word: str, index: int, source: Source) -> None:
    for name in re.findall(_ENVVAR, word):
        if not re.fullmatch("[A-Z0-9_]+", name):
            upper = re.sub("[^A-Z0-9_]", "_", name.upper())
            known = "" if upper in VARIABLES else "a variable that the job has in capitals, such as "
            raise source.mistake(
                ("command", str(index)),
                f"has ${{envvar:{name}}}, but wandb fills in names of A-Z, 0-9 and _ alone",
                f"write {known}${{envvar:{upper if not known else VARIABLES[0]}}}",
            )


def command_warnings(words: tuple[str, ...], source: Source) -> tuple[str, ...]:
    """Say which words wandb leaves out, or hands on as they are although they look like its macros."""
    found = (_warning(word) for word in words)
    return tuple(source.says(("command", str(index)), text) for index, text in enumerate(found) if text)


def _warning(word: str) -> str:
    whole = re.fullmatch(r"\$\{([^}:]*)\}", word)
    if whole and whole[1] in MACROS:
        return ""
    if whole:
        hint = (
            f"write ${{envvar:{whole[1].upper()}}}"
            if _is_variable(whole[1])
            else did_you_mean(whole[1], MACROS)
        )
        return f"is {word}, which wandb does not know and leaves out; {hint}"
    match = re.search(_NAME, word)
    name = (match[1] or match[2]) if match else ""
    if not match:
        return ""
    if match[1] in MACROS:
        return (
            f"has {match[0]} inside a longer word, where wandb does not fill it in; make it a word of its own"
        )
    upper = name.upper() if _is_variable(name) else "NAME"
    return f"has {match[0]}, which reaches the program as it is; wandb fills in ${{envvar:{upper}}}"


def _is_variable(name: str) -> bool:
    return name.upper() in VARIABLES


def check_program(program: str, words: tuple[str, ...], source: Source) -> None:
    """Raise HpcSubmitError where the command needs a program, and the file names none."""
    if program or (words and "${program}" not in words):
        return
    raise _no_program(source, words)


def _no_program(source: Source, words: tuple[str, ...]) -> HpcSubmitError:
    named = next((word for word in words if word.endswith(".py")), "train.py")
    return source.mistake(("program",), "is missing", f"name the script that a trial runs: program: {named}")
