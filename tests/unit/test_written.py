"""Variables in a profile that YAML reads otherwise than they are written: refused, never exported."""

import re
from pathlib import Path

import pytest

from hpcsubmit.yaml_file import plain_scalar
from sandbox import Sandbox

ODD = {
    "0022": "18",
    "010": "8",
    "0x1F": "31",
    "0b11": "3",
    "1:30": "90",
    "1_000": "1000",
    "20_": "20",
    "+5": "5",
    "-0": "0",
    "-010": "-8",
    "1.50": "1.5",
    "1.": "1.0",
    ".5": "0.5",
    "1:30.5": "90.5",
    "1.0e+3": "1000.0",
    ".inf": "inf",
    "yes": "a truth value",
    "Off": "a truth value",
    "true": "a truth value",
    "True": "a truth value",
    "2026-01-31": "a date",
}


def user_profile(sandbox: Sandbox, text: str) -> Path:
    path = sandbox.root / "home" / ".config" / "hpcsubmit" / "profiles" / "generic.yaml"
    sandbox.write(text, path)
    return path


@pytest.mark.parametrize("text", ODD)
def test_what_yaml_reads_as_something_else_is_refused_with_its_line(sandbox: Sandbox, text: str) -> None:
    path = user_profile(sandbox, f"partition: p\nenvironment:\n  LEVEL: 3\n  UMASK: {text}\n")
    said = sandbox.refuses()
    what = f"UMASK is {text}, which YAML reads as {ODD[text]}"
    assert said.error == f"{path}, line 4: field 'environment': {what}"
    assert said.hint == f'write it in quotes: UMASK: "{text}"'


def test_the_cure_is_one(sandbox: Sandbox) -> None:
    quoted = "".join(f'  A{number}: "{text}"\n' for number, text in enumerate(ODD))
    user_profile(sandbox, f"environment:\n{quoted}  LAST: 1\n")
    script = sandbox.hpcsubmit("--dry-run").stdout
    assert re.findall(r"\bexport A[0-9]+=(\S+)$", script, re.MULTILINE) == [*ODD]


@pytest.mark.parametrize("odd_elsewhere", ["", "# 0022"])
def test_what_is_read_as_it_is_written_needs_no_quotes(sandbox: Sandbox, odd_elsewhere: str) -> None:
    even = ["8", "0", "-1", "1000", "0.5", "-1.25", "08", "1e3", "a_1", "1:99", "10.0.0.1"]
    plain = "".join(f"  A{number}: {text}\n" for number, text in enumerate(even))
    user_profile(sandbox, f"environment:\n{plain}{odd_elsewhere}\n")
    script = sandbox.hpcsubmit("--dry-run").stdout
    assert re.findall(r"\bexport A[0-9]+=(\S+)$", script, re.MULTILINE) == even


def test_the_projects_profiles_are_told_by_name_and_another_one_stops_no_job(sandbox: Sandbox) -> None:
    file = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("profiles:\n  mine: {environment: {A: 1,\n    B: 0022}}\n  other: {partition: p}\n", file)
    for _ in range(2):  # what was read is remembered by the first
        assert sandbox.hpcsubmit("--cluster", "other").code == 0
        said = sandbox.hpcsubmit("--cluster", "mine")
        assert said.code == 1
        what = "field 'environment': B is 0022, which YAML reads as 18"
        assert said.error == f"{file}, line 3, profiles.mine: {what}"
        assert said.hint == 'write it in quotes: B: "0022"'


SHARED = [
    "profiles:\n  base: {environment: &all {A: 1:30}}\n  mine:\n    environment: *all\n",
    "profiles:\n  base: {environment: &all {A: 1:30}}\n  mine:\n    environment: {<<: *all, B: 1}\n",
    "profiles:\n  base: {environment: &all {A: 1:30}}\n  mine:\n    environment: {<<: [{C: 2}, *all]}\n",
    "profiles:\n  base: {environment: &all {A: 1:30}}\n  mine: &mine\n    <<: {environment: *all}\n",
    "profiles:\n  base: {environment: {B: &one 1:30}}\n  mine:\n    environment: {A: *one}\n",
    "profiles:\n  mine:\n    environment:\n      <<: {A: 1:30}\n      <<: {B: 3}\n",
    "profiles:\n  mine:\n    environment:\n      !!merge x: {A: 1:30}\n",
    "profiles:\n  mine:\n    environment: &own\n      <<: [*own, {A: 1:30}]\n",
    "# A merge at the top:\n\n<<: {profiles: {mine: {environment: {A: 1:30}}}}\n",
]


@pytest.mark.parametrize("text", SHARED)
def test_what_stands_elsewhere_in_the_file_is_found_there(sandbox: Sandbox, text: str) -> None:
    file = sandbox.project / "hpcsubmit.yaml"
    sandbox.write(text, file)
    said = sandbox.refuses("--cluster", "mine")
    assert re.fullmatch(
        rf"{re.escape(str(file))}, line [1345], profiles\.mine: field 'environment': "
        "A is 1:30, which YAML reads as 90",
        said.error,
    )
    assert said.hint == 'write it in quotes: A: "1:30"'


def test_a_key_of_wandb_that_looks_like_a_number_is_shown_nowhere(sandbox: Sandbox) -> None:
    user_profile(sandbox, "environment: {WANDB_API_KEY: 01234567}\n")
    said = sandbox.refuses()
    assert said.error.endswith("every script would show WANDB_API_KEY")
    assert "1234567" not in said.stderr


def test_a_scalar_is_found_by_its_keys_alone(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: {b: 010, c: '010', d: [1], e: , <<: {b: 1, f: 2}}\n")
    keys = {key: plain_scalar(path, ("a", key)) for key in "bcdefg"}
    assert keys == {"b": "010", "c": None, "d": None, "e": "", "f": "2", "g": None}
    assert plain_scalar(path, ("a", "b", "c")) is None
    assert plain_scalar(tmp_path / "gone.yaml", ("a",)) is None
