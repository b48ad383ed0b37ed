"""The JSON schema of hpcsubmit.yaml: it accepts what hpcsubmit accepts, and marks what it refuses."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from application_values import EVERY_VALUE
from hpcsubmit.cli.application_keys import KEYS
from hpcsubmit.cli.settled import settled
from hpcsubmit.cli.submit import command
from hpcsubmit.clusters import SHIPPED
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.place import look_around
from hpcsubmit.profile import FIELDS, Profile
from hpcsubmit.render import shipped_templates
from hpcsubmit.starting.found import Found
from hpcsubmit.starting.text import starting_text
from sandbox import Sandbox

SCHEMA = json.loads((shipped_templates() / "hpcsubmit.schema.json").read_text("utf-8"))
DOCS = Path(__file__).parents[2] / "docs"


def marks(values: object) -> list[str]:
    """What an editor would mark."""
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(values)]


def accepts(sandbox: Sandbox, text: str) -> bool:
    """Whether hpcsubmit itself accepts a file."""
    sandbox.write(text, sandbox.project / "hpcsubmit.yaml")
    context = command.make_context("hpcsubmit", [])
    try:
        place = look_around(sandbox.project, Host(environ=sandbox.environ), asked=None)
        settled(dict(context.params), place, context)
    except HpcSubmitError:
        return False
    return True


def test_it_is_a_schema_of_draft_2020_12() -> None:
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    jsonschema.Draft202012Validator.check_schema(SCHEMA)


def test_it_knows_every_key_and_every_field_and_says_what_each_is() -> None:
    own = {"command", "cluster", "profiles", "clusters"}
    assert set(SCHEMA["properties"]) == {*KEYS} | own
    assert set(SCHEMA["properties"]["clusters"]["additionalProperties"]["properties"]) == {*KEYS, "command"}
    assert set(SCHEMA["$defs"]["profile"]["properties"]) == {*FIELDS}
    described = [*SCHEMA["$defs"].values(), *SCHEMA["$defs"]["profile"]["properties"].values()]
    assert [each for each in described if not each["description"]] == []


RIGHT = [
    "",
    "{}",
    "cluster: plai\n",
    "gpus:\ncommand:\nclusters:\n  plai:\n",
    "command: python main.py\ngpus: 2\nnum_nodes: 2\nlauncher: torchrun\ntime: '1-00'\n",
    "data: datasets/a\ncollect: [results, logs]\nbind: [data:/data:ro, /scratch]\n",
    "no-env: false\nconda-env: torch\n",
    "mem:\nmem-per-gpu: 3G\n",
    "configs: /etc/a.txt\n",
    "container: x.sif\nconda-env: envs/a\nworkdir: /w\npass-env: [A, B]\ncontainer-on-node: true\n",
    "sweep: me/gan/abc\nnum-sweeps: auto\ntrial-gpus: 2\n",
    "seeds: [1, 2, 5]\n",
    "seeds: 1,2,5\n",
    "clusters: {plai: {gpus: 4, command: python a.py}, cedar: {account: rrg-kevinlb}}\n",
    "profiles: {fir: {account: def-x, gpu_option: gpus-per-node, max_time: '7-00:00:00', loopback: null}}\n",
    "sbatch-arg: [--mail-type=END, --exclusive]\n",
    "profiles: {plai: {environment: {NCCL_COLLNET_ENABLE: 0, LEVEL: 0.5, NCCL_DEBUG: INFO, A: 'yes'}}}\n",
]


@pytest.mark.parametrize("text", RIGHT)
def test_what_is_right_is_not_marked(sandbox: Sandbox, text: str) -> None:
    assert marks(yaml.safe_load(text)) == []
    sandbox.experiment.unlink()
    assert accepts(sandbox, text)


@pytest.mark.parametrize("key", EVERY_VALUE)
def test_every_key_takes_in_the_schema_what_its_option_takes(key: str) -> None:
    assert marks({key: EVERY_VALUE[key][0]}) == []
    assert marks({"clusters": {"plai": {key.replace("-", "_"): EVERY_VALUE[key][0]}}}) == []


WRONG = [
    "tim: 3",
    "clustre: plai",
    "cluster: 3",
    "'yes': true",
    "dry-run: true",
    "profiles: [plai]",
    "profiles: {a/b: {}}",
    "profiles: {plai: {acount: x}}",
    "profiles: {plai: {gpus_per_node: two}}",
    "profiles: {plai: {scheduler: pbs}}",
    "profiles: {plai: {max_time: 1h}}",
    "profiles: {plai: {environment: {NCCL_DEBUG: yes}}}",
    "profiles: {plai: {environment: {A-B: 1}}}",
    "profiles: {plai: 3}",
    "clusters: {plai: {gpu: 2}}",
    "clusters: {plai: {cluster: x}}",
    "clusters: {plai: 2}",
    "clusters: {plai: {gpus: 0}}",
    "gpus: 0",
    "gpus: 1.5",
    "gpus: many",
    "gpus: true",
    "gpus: [1, 2]",
    "gpus: 1000001",
    "time: 1:00:00",
    "time: 60",
    "time: 1h",
    "mem: 10",
    "mem: 10 GB",
    "mem: 1G\nmem-per-gpu: 1G",
    "no-env: true\nconda-env: a",
    "no-env: true\ncontainer: a.sif",
    "env-on-node: true\nsingularity-container: a.sif",
    "repeat: 3\nsweep: abc",
    "launcher: torch",
    "data-compress: gzp",
    "exp-name: yes",
    "exp-name: a b",
    "no-env: 3",
    "data: {a: b}",
    "data: [[a]]",
    "collect: /etc",
    "bind: [a:b]",
    "bind: ['/a:']",
    "bind: ['/a::ro']",
    "bind: ['/a:/']",
    "sbatch-arg: [-t 3]",
    "container: ''",
    "workdir: w",
    "pass-env: A=1",
    "command: [python, a.py]",
    "command: ''",
    "command: python a.py\nconfigs: a.txt",
    "- a",
]


@pytest.mark.parametrize("text", WRONG)
def test_what_hpcsubmit_refuses_is_marked(sandbox: Sandbox, text: str) -> None:
    assert marks(yaml.safe_load(text)) != []
    if not text.startswith("profiles: {plai: "):  # those are read when the profile is chosen
        assert not accepts(sandbox, text)


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_shipped_profiles_are_right_in_a_project_too(path: Path) -> None:
    assert marks({"profiles": {path.stem: yaml.safe_load(path.read_text("utf-8"))}}) == []


@pytest.mark.parametrize(
    "found",
    [
        Found(),
        Found(program="a b.py", launcher="torchrun", packages="Pipfile", sweeps=("sweeper.yml",), wandb=True),
        Found(program="train.py", launcher="lightning", takes_nodes=True, images=("1.sif", "b.sif")),
        Found(experiment=Path("x"), environment=True, definitions=("a.def",)),
    ],
)
def test_the_file_that_init_writes_is_right(found: Found) -> None:
    text = starting_text(found, Profile(name="cedar", account="a", gpu_types=("x", "y")), Path("/s.json"))
    values: dict[str, Any] = yaml.safe_load(text)
    assert marks(values) == []
    assert values["gpus"] == 1
