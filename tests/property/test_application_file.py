"""Whatever stands in hpcsubmit.yaml is settled or refused; and what is settled, the schema does not mark."""

import json
from pathlib import Path
from typing import Any

import jsonschema
from hypothesis import given, settings
from hypothesis import strategies as st

from application_values import EVERY_VALUE
from hpcsubmit.application import application_of
from hpcsubmit.cli.application_keys import KEYS
from hpcsubmit.cli.settled import settled
from hpcsubmit.cli.submit import command
from hpcsubmit.clusters import Choice, Clusters
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.place import Place
from hpcsubmit.project import Project
from hpcsubmit.render import shipped_templates

SCHEMA = json.loads((shipped_templates() / "hpcsubmit.schema.json").read_text("utf-8"))
VALIDATOR = jsonschema.Draft202012Validator(SCHEMA)
ROOT = Path("/nowhere/gan")

TEXTS = (
    "a.sif ~/x ~nobody/x /a:/b:ro a:/b 1-00 2:00:00 90 10G 07 auto 1,2 --x=y torchrun gzip direct abc "
    "me/gan/abc results/ . a,b é $HOME/x"
)
WORDS = st.sampled_from([*TEXTS.split(), "python a.py", "a | b", "", " "])
SCALARS = st.none() | st.booleans() | st.integers(-1, 2_000_000) | st.floats() | WORDS | st.text(max_size=5)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.dictionaries(st.text(max_size=2), SCALARS, max_size=1)
SPELLED = [*KEYS, *(key.replace("-", "_") for key in KEYS), "command", "gpu", "yes"]
LIKELY = st.sampled_from([(key, value) for key, (value, _) in EVERY_VALUE.items()])
PARTS = st.lists(st.tuples(st.sampled_from(SPELLED), VALUES) | LIKELY, max_size=4).map(dict)
FILES = st.builds(
    lambda part, clusters: {**part, **({"clusters": clusters} if clusters is not None else {})},
    PARTS,
    st.none() | st.dictionaries(st.sampled_from(["plai", "generic", "pla"]), st.none() | PARTS, max_size=2),
)


def settle(values: dict[str, Any]) -> dict[str, Any] | None:
    """The options of a plain submission with this file, None where it is refused."""
    path = ROOT / "hpcsubmit.yaml"
    context = command.make_context("hpcsubmit", [])
    try:
        project = Project(root=ROOT, configuration=path, application=application_of(values, path))
        clusters = Clusters(user_folder=ROOT, project=project)
        place = Place(project, clusters, Choice(name="plai", reason="--cluster"), clusters.get("plai"))
        return settled(dict(context.params), place, context)
    except HpcSubmitError:
        return None


@settings(max_examples=400, deadline=None)
@given(FILES)
def test_a_file_is_settled_or_refused_and_the_schema_marks_nothing_that_is_settled(
    values: dict[str, Any],
) -> None:
    if settle(values) is not None:
        assert [error.message for error in VALIDATOR.iter_errors(values)] == []


def test_the_values_above_are_settled_one_by_one() -> None:
    for key, (value, _) in EVERY_VALUE.items():
        assert settle({key: value}) is not None, key
