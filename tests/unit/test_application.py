"""The parts of hpcsubmit.yaml, and a project that has it instead of an experiment file."""

from pathlib import Path

import pytest

from e2e.rank_programs import SAY
from hpcsubmit.application import Application, application_of
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.project import find_project
from sandbox import Sandbox

FILE = Path("/home/u/gan/hpcsubmit.yaml")


def test_the_parts_are_told_apart() -> None:
    found = application_of(
        {
            "cluster": "plai",
            "profiles": {"plai": {"account": "x"}},
            "command": "python main.py",
            "gpus": 2,
            "clusters": {"cedar": {"gpus": 4}, "plai": None},
        },
        FILE,
    )
    assert found == Application(
        cluster="plai",
        profiles={"plai": {"account": "x"}},
        options={"command": "python main.py", "gpus": 2},
        clusters={"cedar": {"gpus": 4}, "plai": {}},
    )
    assert found.submits


@pytest.mark.parametrize("values", [None, {}, {"cluster": "plai"}, {"cluster": None, "profiles": None}])
def test_a_file_without_options_says_nothing_of_a_submission(values: object) -> None:
    assert not application_of(values, FILE).submits


WRONG = {
    "x": ("holds no 'key: value' lines", "write command: python main.py, say; see hpcsubmit init"),
    "cluster": ("'cluster' cannot be 3", "write cluster: NAME"),
    "profiles": ("'profiles' cannot be 3", "write profiles: {NAME: {field: value}}"),
    "clusters": ("'clusters' cannot be 3", "write clusters: {NAME: {key: value}}"),
}


@pytest.mark.parametrize("key", WRONG)
def test_a_part_of_another_form_is_an_error_with_its_cure(key: str) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        application_of("x" if key == "x" else {key: 3}, FILE)
    message, hint = WRONG[key]
    assert caught.value.message.startswith(str(FILE))
    assert message in caught.value.message
    assert caught.value.hint == hint


@pytest.mark.parametrize("key", ["profiles", "clusters"])
def test_what_cannot_name_a_profile_is_an_error(key: str) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        application_of({key: {3: {}}}, FILE)
    assert caught.value.message == f"{FILE}: 3 cannot name a profile"
    assert caught.value.hint == "use letters, digits, . _ and -, and quotes around a number"


def test_a_part_for_a_cluster_that_holds_no_keys_is_an_error() -> None:
    with pytest.raises(HpcSubmitError) as caught:
        application_of({"clusters": {"plai": 2}}, FILE)
    assert caught.value.message == f"{FILE}: 'clusters.plai' cannot be 2"
    assert caught.value.hint == "write clusters: {plai: {gpus: 2}}, say"


def only_yaml(sandbox: Sandbox, text: str, place: str = "hpcsubmit.yaml") -> Path:
    """A project without an experiment file."""
    sandbox.experiment.unlink(missing_ok=True)
    path = sandbox.project / place
    sandbox.write(text, path)
    return path


@pytest.mark.parametrize("place", ["hpcsubmit.yaml", "hpc_files/hpcsubmit.yaml"])
def test_a_project_needs_no_experiment_file(sandbox: Sandbox, place: str) -> None:
    path = only_yaml(sandbox, "command: python train.py --lr 0.1\n", place)
    assert find_project(path.parent).root == sandbox.project
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n"), said
    assert "python train.py --lr 0.1\n" in (sandbox.root / "submitted.sh").read_text("utf-8")


@pytest.mark.parametrize("command", [("env",), ("status",), ("runs",), ("clusters",), ("stage", "--list")])
def test_other_commands_take_such_a_project_too(sandbox: Sandbox, command: tuple[str, ...]) -> None:
    only_yaml(sandbox, "command: python train.py\ngpus: 2\n")
    said = sandbox.hpcsubmit(*command)
    assert (said.code, said.error) == (0, ""), said


def test_a_command_of_several_lines_is_one_command(sandbox: Sandbox) -> None:
    only_yaml(sandbox, "command: |\n  # why\n  python main.py \\\n    --name 'a b' ${SLURM_TMPDIR}\n")
    said = sandbox.hpcsubmit("--dry-run")
    assert said.code == 0, said
    assert "python main.py --name 'a b' ${SLURM_TMPDIR}" in said.stderr


def test_two_files_with_a_command_are_an_error_that_names_both(sandbox: Sandbox) -> None:
    path = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("command: python train.py\n", path)
    said = sandbox.refuses()
    assert said.error == f"two files give the command: {path}, 'command', and {sandbox.experiment}"
    assert said.hint == (
        f"delete {sandbox.experiment}, or 'command' in hpcsubmit.yaml; -C FILE chooses one for once"
    )
    hpc_files = sandbox.project / "hpc_files"
    hpc_files.mkdir()
    moved = sandbox.experiment.rename(hpc_files / sandbox.experiment.name)
    assert str(moved) in sandbox.refuses().error


def test_an_experiment_file_that_is_typed_wins_over_both(sandbox: Sandbox) -> None:
    sandbox.write("command: python train.py\n", sandbox.project / "hpcsubmit.yaml")
    sandbox.write("python other.py\n", sandbox.project / "other.txt")
    for argv in (("-C", "other.txt"), ("--configs=other.txt",)):
        said = sandbox.hpcsubmit("--dry-run", *argv)
        assert (said.code, said.error) == (0, "")
        assert "python other.py" in said.stdout
    sandbox.experiment.unlink()
    assert "python other.py" in sandbox.hpcsubmit("--dry-run", "-C", "other.txt").stdout


def test_a_wandb_key_in_the_command_is_refused(sandbox: Sandbox) -> None:
    path = only_yaml(sandbox, "command: WANDB_API_KEY=abc python main.py\n")
    said = sandbox.refuses()
    assert said.error == f"{path} sets WANDB_API_KEY, which the script and the record would then show"
    assert "abc" not in said.hint


def test_without_a_command_the_experiment_file_counts_and_the_rest_holds(sandbox: Sandbox) -> None:
    sandbox.write("gpus: 2\nlauncher: torchrun\n", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.hpcsubmit("--dry-run")
    assert "#SBATCH --gres=gpu:2\n" in said.stdout
    assert "torchrun_dist-gan" in said.stdout
    sandbox.experiment.unlink()
    said = sandbox.refuses()
    assert said.error == f"there is no {sandbox.experiment}"


def test_what_was_read_is_kept_and_a_change_is_seen(sandbox: Sandbox) -> None:
    path = only_yaml(sandbox, "command: python train.py\ngpus: 2\n")
    assert sandbox.hpcsubmit().code == 0
    kept = list((sandbox.root / "home/.cache/hpcsubmit").glob("hpcsubmit-*.json"))
    assert len(kept) == 1
    sandbox.write("raise SystemExit('PyYAML is read')\n", sandbox.root / "lib" / "yaml.py")
    without = sandbox.environ | {"PYTHONPATH": str(sandbox.root / "lib")}
    assert "#SBATCH --gres=gpu:2\n" in sandbox.hpcsubmit("--dry-run", environ=without).stdout
    sandbox.write("command: python train.py\ngpus: 3 # more\n", path)
    assert "#SBATCH --gres=gpu:3\n" in sandbox.hpcsubmit("--dry-run").stdout


def test_a_job_runs_what_the_file_says(sandbox: Sandbox) -> None:
    only_yaml(
        sandbox,
        "command: python main.py\nlauncher: srun\ngpus: 2\nexp-name: first\ncluster: local\n"
        "clusters: {local: {gpus: 1, num-nodes: 2}}\n",
    )
    (sandbox.bin / "sbatch").unlink()
    sandbox.write(
        f"{SAY}say(os.environ['RANK'], 'of', os.environ['WORLD_SIZE'], os.environ['EXP_NAME'])\n",
        sandbox.project / "main.py",
    )
    environ = {name: value for name, value in sandbox.environ.items() if name != "HPCSUBMIT_CLUSTER"}
    said = sandbox.hpcsubmit("--follow", environ=environ)
    assert said.code == 0, said
    assert {"0 of 2 first", "1 of 2 first"} <= set(said.stdout.splitlines())
