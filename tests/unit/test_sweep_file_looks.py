"""Values of a sweep file that YAML reads as something else, and parameters that the command has too."""

import json
from pathlib import Path

import pytest
import yaml

from hpcsubmit.sweep_file.looks import number_meant
from sandbox import Sandbox
from sweep_desk import SweepDesk
from sweep_files import HEAD, RANDOM, Write


@pytest.fixture
def write(tmp_path: Path) -> Write:
    return Write(tmp_path / "sweeper.yml")


def warnings(write: Write, text: str, head: str = HEAD) -> list[str]:
    """The warnings of a file, each without the name of the file before it."""
    found = write.one(text, head).warnings
    assert all(each.startswith(f"{write.path}, ") for each in found)
    return [each.removeprefix(f"{write.path}, ") for each in found]


# ---- Values


EMPTY = "is empty, and the program gets None; write a value, or null if None is meant"
N = "line 4: parameters.n"
NOTHING = "is an empty text, and the program gets nothing; write a value, or leave it out"


def a_text(place: str, given: str, number: str) -> str:
    problem = f"line 4: parameters.{place} is {given}, which YAML reads as text"
    return f"{problem}; write {number}, or '{given}' if text is meant"


def one_text(place: str, given: str, numbers: str) -> str:
    problem = f"line 4: parameters.{place} is one text, and not several numbers: {given}"
    return f"{problem}; write {numbers}, or '{given}' if one text is meant"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("lr:\n    values:\n    - 0.1\n    -", f"line 7: parameters.lr.values[1] {EMPTY}"),
        ("lr:\n  - 0.1\n  -", f"line 6: parameters.lr[1] {EMPTY}"),
        ("lr: {value: }", f"line 4: parameters.lr.value {EMPTY}"),
        ("lr: ['']", f"line 4: parameters.lr[0] {NOTHING}"),
        ("lr: ' '", f"line 4: parameters.lr {NOTHING}"),
        ("lr: {value: {a: ''}}", f"line 4: parameters.lr.value.a {NOTHING}"),
        ("lr: [0.1 0.2 .3]", one_text("lr[0]", "0.1 0.2 .3", "[0.1, 0.2, 0.3]")),
        ("lr: {value: 0.1 2}", one_text("lr.value", "0.1 2", "values: [0.1, 2]")),
        ("lr: 1e-3, 2", one_text("lr", "1e-3, 2", "[1.0e-3, 2]")),
        ("lr: [1e-3, 1e-4]", a_text("lr[0]", "1e-3", "1.0e-3")),
        ("lr: {value: {a: [1.0, 1e5]}}", a_text("lr.value.a[1]", "1e5", "1.0e+5")),
        ("g: {parameters: {lr: [1e-3]}}", a_text("g.parameters.lr[0]", "1e-3", "1.0e-3")),
        ("n: 08", a_text("n", "08", "8")),
        ("n: 10,000", a_text("n", "10,000", "10000")),
        ("n: [1, 010]", f"{N}[1] is 010, which YAML reads as 8 (base 8); write 10, or '010' for text"),
        ("n: -0_10", f"{N} is -0_10, which YAML reads as -8 (base 8); write -10, or '-0_10' for text"),
        ("n: [1:30]", f"{N}[0] is 1:30, which YAML reads as 90 (base 60); write '1:30' for text"),
    ],
)
def test_values_that_yaml_reads_otherwise_are_warned_of(text: str, expected: str, write: Write) -> None:
    assert warnings(write, f"parameters:\n  {text}") == [expected]


@pytest.mark.parametrize(
    "values",
    [
        "[adam, sgd, lr 0.1, 0.1 m, v1.0, 1.2.3, 2024-01, a:b, inf, nan]",
        "['1e-3', \"0.1 0.2\", '010', '1,2', '1:30']",
        "[null, 0.1]",
        "[~, 0.1]",
        "[00, 07]",
        "[1, 0, -1, 0.5, 0x10, 1_000, 1.0e-3, true, .inf]",
        "[[64, 64], [32, 32]]",
        "{value: {layers: [1, 2], name: x}}",
        "{value: null}",
    ],
)
def test_values_that_are_what_they_look_like_are_not_warned_of(values: str, write: Write) -> None:
    assert warnings(write, f"description: at 10:30 use 010\nparameters:\n  a: {values}") == []


@pytest.mark.parametrize(
    "text", ["1e-3", "1e5", "+1E+5", "-2e3", "1.5e3", "1.e5", ".5e3", "08", "-09", "1e308"]
)
def test_the_number_that_is_proposed_is_what_the_text_means(text: str, write: Write) -> None:
    assert dict(write.one(f"parameters: {{a: {text}}}").parameters) == {"a": {"value": text}}
    proposed = dict(write.one(f"parameters: {{a: {number_meant(text)}}}").parameters)
    assert proposed == {"a": {"value": float(text)}}


@pytest.mark.parametrize("text", ["", "adam", "inf", "nan", "1e999", "1,0", "0x", "1.2.3"])
def test_other_texts_mean_no_number(text: str) -> None:
    assert number_meant(text) == ""


def test_bounds_that_yaml_reads_otherwise_are_warned_of(write: Write) -> None:
    (found,) = warnings(write, "parameters:\n  n: {min: 1, max: 0100}", RANDOM)
    assert found.startswith("line 4: parameters.n.max is 0100, which YAML reads as 64 (base 8); write 100")


def test_each_list_is_warned_of_once(write: Write) -> None:
    found = warnings(write, "parameters:\n  a: [1e-3, 1e-4]\n  b: [1e-5, 1e-6]")
    assert [each.partition(" is ")[0] for each in found] == [
        "line 4: parameters.a[0]",
        "line 5: parameters.b[0]",
    ]


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('parameters: {a: ["x", "y\\0"]}', "line 3: parameters.a.values"),
        ('parameters: {a: {value: {b: ["\\x00"]}}}', "line 3: parameters.a.value"),
        ('parameters: {"a\\0b": 1}', "line 3: parameters.a\\0b"),
        ('parameters: {a: 1}\ncommand: [x, "y\\0"]', "line 4: command[1]"),
        ('parameters: {a: 1}\nname: "y\\0"', "line 4: name"),
        ('parameters: {a: 1}\n_tags: ["y\\0"]', "line 4: _tags"),
        ('parameters: {subtests: {"y\\0": {a: 1}}}', "line 3: parameters.subtests.y\\0"),
    ],
)
def test_a_nul_character_is_refused(text: str, place: str, write: Write) -> None:
    message, hint = write.refused(text)
    assert message == f"{place} holds a NUL character"
    assert hint == "take it out; where a backslash and a 0 are meant, put them in single quotes"


def test_the_warnings_are_shown_by_every_command_that_reads_the_file(sandbox: Sandbox) -> None:
    desk = SweepDesk(sandbox)
    path = desk.file("program: main.py\nmethod: grid\nparameters:\n  lr: [1e-3, 1e-4]\n")
    warning = f"warning: {path}, line 4: parameters.lr[0] is 1e-3, which YAML reads as text; "
    for argv in (("sweep", "create"), ("sweep", "run"), ("sweep", "run", "--offline")):
        assert desk.submits(*argv).stderr.count(warning) == 1


# ---- Parameters that the command has too


LAST = "it comes last, and most programs take the last, so that every trial runs with it"
FIRST = "the parameter comes last, and most programs take the last, so that this one does nothing"
ALONE = "every trial gets this one on its command line"
CURE = "take it out of the command, or out of the parameters"


@pytest.mark.parametrize(
    ("words", "found", "wins"),
    [
        (["python", "${program}", "${args}", "--lr", "3"], "command[3] is --lr 3", LAST),
        (["python", "${program}", "${args}", "--lr=3"], "command[3] is --lr=3", LAST),
        (["python", "${program}", "${args}", "--lr"], "command[3] is --lr", LAST),
        (["python", "${program}", "--lr", "3", "${args_no_equals}"], "command[2] is --lr 3", FIRST),
        (["python", "${program}", "--lr", "${args}"], "command[2] is --lr", FIRST),
        (["python", "train.py", "--lr", "3"], "command[2] is --lr 3", ALONE),
        (["python", "t.py", "${args_json}", "--lr", "3"], "command[3] is --lr 3", ALONE),
        (["python", "${program}", "${args_no_hyphens}", "lr=3"], "command[3] is lr=3", LAST),
        (["python", "${program}", "++lr=3", "${args_override_hydra}"], "command[2] is ++lr=3", FIRST),
    ],
)
def test_an_option_that_is_a_parameter_too_is_warned_of(
    words: list[str], found: str, wins: str, write: Write
) -> None:
    text = f"command: {json.dumps(words)}\nparameters: {{lr: [0.1, 0.2]}}"
    assert warnings(write, text) == [f"line 3: {found}, and lr is a parameter too: {wins}; {CURE}"]


@pytest.mark.parametrize(
    "words",
    [
        ["torchrun", "--lr", "3", "${program}", "${args}"],
        ["python", "${program}", "${args}", "--", "--lr", "3"],
        ["python", "${program}", "${args}", "--lr2=3", "-lr", "lr=3", "--name=--lr"],
        ["python", "${program}", "${args_no_hyphens}", "--lr=3", "lr"],
        ["--lr", "${args}"],
    ],
)
def test_other_words_are_not_warned_of(words: list[str], write: Write) -> None:
    assert warnings(write, f"command: {json.dumps(words)}\nparameters: {{lr: [0.1, 0.2]}}") == []


WRITTEN = ["1.0e16", "-.5e-8", "1.e20", "1e-3", "1E5", "08", "2.0e16", "+1e2", "1e400"]


@pytest.mark.parametrize("text", WRITTEN)
def test_the_number_that_is_proposed_is_one_for_yaml(text: str) -> None:
    proposed = number_meant(text)
    assert proposed == "" if text == "1e400" else float(yaml.safe_load(proposed)) == float(text)
    assert not isinstance(yaml.safe_load(proposed), str)
