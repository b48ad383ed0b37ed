"""What the trials of a sweep file start: whether it is there, before all of them fail on the nodes."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from hpcsubmit.errors import did_you_mean
from hpcsubmit.sweep_file.reading import SweepFile
from hpcsubmit.sweep_file.source import Keys
from hpcsubmit.trial import DEFAULT_COMMAND, python_runs

_PYTHON = r"(?s)(?:.*/)?python(?:3(?:\.[0-9]+)?)?"


class _Word(NamedTuple):
    text: str
    keys: Keys

    @property
    def is_known(self) -> bool:
        """Whether it stands for itself: nothing is filled in on the node."""
        return "${" not in self.text and "{seed}" not in self.text


class _Trouble(NamedTuple):
    word: _Word
    problem: str
    hint: str


def check_start(file: SweepFile, root: Path, *, sure: bool) -> tuple[str, ...]:
    """Raise HpcSubmitError where a file names a program that is not there; return warnings where it may be.

    root: the folder that the trials run in. sure: whether it is this very folder; a container may have other
    files there. An absolute path may be one of the nodes alone.
    """
    trouble = _trouble(_without_env(_filled(file)), file, root)
    if trouble is None:
        return ()
    if sure and not trouble.word.text.startswith("/"):
        raise file.source.mistake(trouble.word.keys, trouble.problem, trouble.hint)
    return (file.source.says(trouble.word.keys, f"{trouble.problem}; {trouble.hint}"),)


def _filled(file: SweepFile) -> list[_Word]:
    """The words of the command with the program among them."""
    known = {"${interpreter}": "python", "${program}": file.program}
    words = enumerate(file.command or DEFAULT_COMMAND)
    return [
        _Word(known.get(word, word), ("program",) if word == "${program}" else ("command", str(index)))
        for index, word in words
        if word != "${env}"
    ]


def _without_env(words: list[_Word]) -> list[_Word]:
    """Leave out a leading `env NAME=VALUE ...`; env with options of its own is left alone."""
    if words and words[0].text in ("env", "/usr/bin/env"):
        rest = words[1:]
        while rest and re.match(r"[A-Za-z_][A-Za-z0-9_]*=", rest[0].text):
            rest = rest[1:]
        return [] if rest and rest[0].text.startswith("-") else rest
    return words


def _trouble(words: list[_Word], file: SweepFile, root: Path) -> _Trouble | None:
    if not words or not words[0].is_known:
        return None
    first, *rest = words
    if re.search(r"\s", first.text) and not _is_there(root / first.text):
        return _several_words(first)
    if not re.fullmatch(_PYTHON, first.text):
        named = (word for word in words if word.keys == ("program",) and word.text.endswith(".py"))
        return _missing(next(named, None), file, root)
    return _missing(_script(rest), file, root)


def _several_words(word: _Word) -> _Trouble:
    problem = f"is '{word.text}', one word, and no program is called that"
    return _Trouble(word, problem, _word_by_word(word))


def _word_by_word(word: _Word) -> str:
    words = ", ".join(word.text.split())
    if word.keys == ("program",):
        return f"write its words into command: [{words}, '${{args}}']"
    return f"write each word by itself: [{words}, ...]"


def _script(words: Sequence[_Word]) -> _Word | None:
    """The script among the arguments of Python, None where it runs something else."""
    run = python_runs([word.text for word in words])
    return words[run.at] if run and run.kind == "script" else None


def _missing(script: _Word | None, file: SweepFile, root: Path) -> _Trouble | None:
    if script is None or not script.is_known or _is_there(root / script.text):
        return None
    return _Trouble(
        script, f"is '{script.text}', which is not there: trials run in {root}", _cure(script, file, root)
    )


def _is_there(path: Path) -> bool:
    return os.path.exists(path)  # noqa: PTH110 - a name that is too long is not there, and no error


def _cure(script: _Word, file: SweepFile, root: Path) -> str:
    if script.text.split()[1:] and (cure := _cure_of_several(script, root)):
        return cure
    beside = file.path.parent / script.text
    if _is_there(beside) and beside.resolve().is_relative_to(root.resolve()):
        return f"write it as that folder sees it: {beside.resolve().relative_to(root.resolve())}"
    folder = (root / script.text).parent
    near = sorted(path.name for path in folder.glob("*.py")) if _is_there(folder) else []
    if near:
        return did_you_mean(script.text, [str(Path(script.text).parent / name) for name in near])
    return "name a script by its path from there: program: src/train.py"


def _cure_of_several(script: _Word, root: Path) -> str:
    """What to write for several words where a script belongs, "" where it may be one name."""
    first, *rest = script.text.split()
    if re.fullmatch(_PYTHON, first):
        run = python_runs(rest)
        alone = run.text if run and run.kind == "script" else ""
        return _named_alone(alone) if alone else _word_by_word(script)
    there = [piece for piece in (first, *rest) if _is_there(root / piece)]
    return _named_alone(there[0]) if rest[-1] in there else ""


def _named_alone(script: str) -> str:
    return f"name the script alone, as it is started with python: {script}"
