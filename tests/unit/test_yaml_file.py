"""A YAML file that is nested too deep to be read, wherever hpcsubmit reads one."""

from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.yaml_file import read_yaml, read_yaml_lines
from sandbox import Sandbox

HINT = "close every [ and {, and check the indentation"
FORMS = {"lists": ("[", "]"), "mappings": ("{a: ", "}"), "lines": ("- ", "")}


def nested(path: Path, form: str, levels: int) -> Path:
    """A file with so many levels in each other, and an end."""
    opening, closing = FORMS[form]
    path.write_text(f"# first\n{opening * levels}1{closing * levels}\n")
    return path


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("levels", [101, 5_000, 200_000])
def test_what_is_nested_too_deep_is_an_error_with_its_line(tmp_path: Path, form: str, levels: int) -> None:
    path = nested(tmp_path / "a.yaml", form, levels)
    for read in (read_yaml, read_yaml_lines):
        with pytest.raises(HpcSubmitError) as caught:
            read(path)
        assert caught.value.message == f"{path}, line 2: nests lists and mappings more than 100 deep"
        assert caught.value.hint == HINT


@pytest.mark.parametrize("form", FORMS)
def test_a_hundred_levels_are_read(tmp_path: Path, form: str) -> None:
    found, levels = read_yaml(nested(tmp_path / "a.yaml", form, 100)), 0
    while isinstance(found, (list, dict)):
        found, levels = found[0] if isinstance(found, list) else found["a"], levels + 1
    assert (found, levels) == (1, 100)


def test_lists_beside_each_other_are_not_in_each_other(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a:\n" + "- [{b: [1]}]\n" * 300)
    assert len(read_yaml(path)["a"]) == 300


PLACES = {
    "gan/hpcsubmit.yaml": (),
    "gan/sweeper.yml": ("sweep", "run", "--offline"),
    ".config/hpcsubmit/profiles/generic.yaml": (),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("levels", [5_000, 200_000])
def test_every_file_that_is_nested_too_deep_is_told_with_a_cure(
    sandbox: Sandbox, place: str, levels: int
) -> None:
    path = sandbox.root / "home" / place
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("a: " + "[" * levels)
    said = sandbox.refuses(*PLACES[place])
    assert said.error == f"{path}, line 1: nests lists and mappings more than 100 deep"
    assert said.hint == HINT
