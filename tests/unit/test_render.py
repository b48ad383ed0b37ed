"""Printing values into a script: quoted once, or refused."""

from pathlib import Path

import jinja2
import pytest
from markupsafe import Markup

from golden.cases import CASES
from hpcsubmit.cache import Cache
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.render import comment, quote, render, shipped_templates, words
from hpcsubmit.shellwords import Word
from hpcsubmit.slurm import Directive


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("plain", "plain"),
        ("a b", "'a b'"),
        ("it's", "'it'\"'\"'s'"),
        ("$HOME `x` \\", "'$HOME `x` \\'"),
        ("", "''"),
        ("<&>", "'<&>'"),
        (3, "3"),
        (Path("/a b"), "'/a b'"),
        (Word(raw='"$X"/*', literal=None), '"$X"/*'),
        (Directive(name="chdir", value="/a b"), '#SBATCH --chdir="/a b"'),
        (Markup("'done'"), "'done'"),
    ],
)
def test_a_value_is_printed_as_bash_reads_it(value: object, printed: str) -> None:
    assert str(quote(value)) == printed
    assert isinstance(quote(value), Markup)
    assert quote(quote(value)) == quote(value)


@pytest.mark.parametrize(
    "value", [None, True, False, 1.5, b"x", ["a"], ("a",), {}, object(), jinja2.StrictUndefined()]
)
def test_what_is_neither_text_number_nor_path_is_refused(value: object) -> None:
    with pytest.raises(TypeError, match="which is neither text, number nor path"):
        quote(value)


def test_several_values_are_words_with_a_blank_between_them() -> None:
    assert str(words(["a b", 3, Word(raw="$X", literal=None)])) == "'a b' 3 $X"
    assert str(words([])) == ""
    with pytest.raises(TypeError):
        words([None])


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        ("a\nrm -rf /\n", "a rm -rf /"),
        ("a\r\nb\x0bc\x85d\u2028e", "a b c d e"),
        ("it's <b>", "it's <b>"),
        ("caf\udce9", "caf\\udce9"),
    ],
)
def test_a_comment_stays_on_its_line(value: str, printed: str) -> None:
    assert str(comment(value)) == printed


def test_a_users_template_shadows_the_shipped_one_of_its_name(tmp_path: Path) -> None:
    made = CASES["cedar_plain"]()
    shipped = render(made)
    assert render(made, user_templates=tmp_path) == shipped
    assert render(made, user_templates=tmp_path / "not there") == shipped
    (tmp_path / "partials").mkdir()
    (tmp_path / "partials" / "directives.sh.j2").write_text("#SBATCH --mine={{ plan.job_name }}\n")
    own = render(made, user_templates=tmp_path)
    assert own.splitlines()[1] == "#SBATCH --mine=standard-gan"
    assert own.splitlines()[2:] == shipped.splitlines()[1 + len(made.directives) :]
    (tmp_path / "partials" / "directives.sh.j2").unlink()
    (tmp_path / "venv.sbatch.j2").write_text(
        "{% extends 'base.sbatch.j2' %}{% block environment %}{% endblock %}"
    )
    with pytest.raises(HpcSubmitError) as raised:
        render(made, user_templates=tmp_path)
    assert "command" in raised.value.message
    assert raised.value.hint == "mend your template, or move it away"


def test_a_script_is_the_same_with_a_cache(tmp_path: Path) -> None:
    made = CASES["plai_torchrun"]()
    cache = Cache(folder=tmp_path / "cache")
    plain = render(made)
    assert render(made, cache=cache) == plain
    assert not cache.folder.exists()
    cache.keep()
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert sorted(path.name[:2] for path in cache.folder.iterdir())
    assert render(made, cache=Cache(folder=cache.folder)) == plain


def test_the_shipped_templates_are_found() -> None:
    assert (shipped_templates() / "venv.sbatch.j2").is_file()
