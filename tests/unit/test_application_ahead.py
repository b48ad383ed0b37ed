"""What hpcsubmit.yaml says, for the commands that do ahead what a submission would do: stage and env."""

import shutil
from pathlib import Path

import pytest

from sandbox import Sandbox


@pytest.fixture
def scratch(sandbox: Sandbox) -> Path:
    """The project's scratch folder, with two data sets."""
    for name in ("one", "two"):
        sandbox.write(name * 5000, sandbox.scratch / "gan" / "datasets" / name)
    return sandbox.scratch / "gan"


def says(sandbox: Sandbox, text: str) -> Path:
    """Let the project have this hpcsubmit.yaml."""
    path = sandbox.project / "hpcsubmit.yaml"
    sandbox.write(text, path)
    return path


def test_stage_packs_the_data_of_the_file_as_a_submission_does(sandbox: Sandbox, scratch: Path) -> None:
    says(sandbox, "data: [datasets/one]\ndata-compress: gzip\n")
    said = sandbox.hpcsubmit("stage")
    assert said.code == 0, said
    assert "datasets/one: 1 file" in said.stdout
    assert "packed already" in sandbox.hpcsubmit().stderr
    archives = [path.name for path in (scratch / "hpcsubmit/data/archives").iterdir()]
    assert archives
    assert all(name.endswith(".tar.gz") for name in archives)


def test_stage_takes_what_is_typed_instead(sandbox: Sandbox, scratch: Path) -> None:
    says(sandbox, "data: datasets/one\n")
    assert "datasets/two: " in sandbox.hpcsubmit("stage", "datasets/two", "--dry-run").stdout
    assert "datasets/two: " in sandbox.hpcsubmit("stage", "--data", "datasets/two", "--dry-run").stdout
    assert sandbox.hpcsubmit("stage", "--list").stdout == "nothing is packed yet\n"


def test_stage_looks_at_the_part_of_its_cluster(sandbox: Sandbox, scratch: Path) -> None:
    says(sandbox, "data: datasets/one\nclusters: {plai: {data: datasets/two}}\n")
    assert "datasets/one: " in sandbox.hpcsubmit("stage", "--dry-run").stdout
    assert "datasets/two: " in sandbox.hpcsubmit("stage", "--dry-run", "--cluster", "plai").stdout


@pytest.mark.parametrize("command", [("stage", "datasets"), ("env", "--dry-run")])
def test_they_name_a_key_that_does_not_exist(
    sandbox: Sandbox, scratch: Path, command: tuple[str, ...]
) -> None:
    path = says(sandbox, "gpus: 2\nacount: def-me\n")
    said = sandbox.refuses(*command)
    assert said.error == f"{path}, line 2 has an unknown key 'acount'"
    assert "did you mean account?" in said.hint


def test_env_builds_with_the_account_of_the_file(sandbox: Sandbox) -> None:
    shutil.rmtree(sandbox.project / "virtual_env")
    sandbox.write("numpy\n", sandbox.project / "requirements.txt")
    says(sandbox, "account: def-me\npartition: short\n")
    script = sandbox.hpcsubmit("env", "--dry-run").stdout
    assert "#SBATCH --account=def-me\n" in script
    assert "#SBATCH --partition=long\n" in sandbox.hpcsubmit("env", "--dry-run", "-p", "long").stdout


@pytest.mark.parametrize(
    ("text", "key"),
    [("no-env: true", "no-env"), ("conda-env: ml", "conda-env"), ("container: a.sif", "container")],
)
def test_env_says_that_the_file_names_other_software(sandbox: Sandbox, text: str, key: str) -> None:
    path = says(sandbox, f"{text}\n")
    said = sandbox.hpcsubmit("env", "--dry-run")
    assert said.code == 0, said
    assert f"note: jobs do not use this environment: {path} has the key '{key}'\n" in said.stderr
