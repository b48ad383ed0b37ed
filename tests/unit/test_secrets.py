"""The wandb key reaches the job and nothing else."""

from pathlib import Path

import pytest

from sandbox import Said, Sandbox

KEY = "0123456789abcdef0123456789abcdef01234567"
WARNING = "warning: the project uses wandb, and "


def see_no_key(sandbox: Sandbox, said: Said, *, except_in: Path | None = None) -> None:
    """See that the key is in no output and in no file below the sandbox."""
    assert KEY not in said.stdout + said.stderr
    files = [path for path in sandbox.root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert [path for path in files if path != except_in and KEY.encode() in path.read_bytes()] == []


def test_a_key_in_the_environment_is_passed_on_and_written_nowhere(sandbox: Sandbox) -> None:
    environ = sandbox.environ | {"WANDB_API_KEY": KEY}
    see_no_key(sandbox, sandbox.hpcsubmit("--dry-run", environ=environ))
    said = sandbox.hpcsubmit("-g", "2", environ=environ)
    assert said.code == 0
    got = sandbox.root / "sbatch.env"
    assert f"WANDB_API_KEY={KEY}\n" in got.read_text()  # as Slurm passes the environment on
    see_no_key(sandbox, said, except_in=got)
    assert "wandb_credentials" not in (sandbox.root / "submitted.sh").read_text()


def test_a_key_in_the_credentials_file_is_read_by_the_job_itself(sandbox: Sandbox) -> None:
    path = sandbox.root / "home" / "wandb_credentials.txt"
    path.write_text(f" {KEY}\r\n")
    for argv in (("--dry-run",), (), ("clusters",), ("runs",)):
        said = sandbox.hpcsubmit(*argv)
        assert said.code == 0
        see_no_key(sandbox, said, except_in=path)
    assert f"  _wandb_key_file={path}\n" in (sandbox.root / "submitted.sh").read_text()
    assert KEY not in (sandbox.root / "sbatch.env").read_text()


def test_a_key_in_the_experiment_file_is_refused_without_showing_it(sandbox: Sandbox) -> None:
    for command in (f"WANDB_API_KEY={KEY} python main.py\n", f"env WANDB_API_KEY={KEY} python main.py\n"):
        sandbox.write(command)
        said = sandbox.refuses()
        assert "sets WANDB_API_KEY" in said.error
        assert "~/wandb_credentials.txt" in said.hint
        see_no_key(sandbox, said, except_in=sandbox.experiment)


def test_a_blank_credentials_file_is_no_key(sandbox: Sandbox) -> None:
    sandbox.write("python main.py --logger wandb\n")
    (sandbox.root / "home" / "wandb_credentials.txt").write_text("\n")
    assert WARNING in sandbox.hpcsubmit("--dry-run").stderr


@pytest.mark.parametrize("where", ["command", "requirements", "environment"])
def test_without_a_key_there_is_a_warning_where_wandb_is_mentioned(sandbox: Sandbox, where: str) -> None:
    match where:
        case "command":
            sandbox.write("python main.py --logger wandb\n")
        case "requirements":
            sandbox.write("torch\nwandb\n", sandbox.project / "requirements.txt")
        case _:
            (package,) = (sandbox.project / "virtual_env").glob("lib/python3*/site-packages")
            (package / "wandb").mkdir()
    said = sandbox.hpcsubmit()
    assert said.code == 0
    assert [line for line in said.stderr.splitlines() if line.startswith("warning: ")] == [
        f"{WARNING}WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold no key"
    ]


def test_without_wandb_there_is_no_warning(sandbox: Sandbox) -> None:
    sandbox.write("torch\n", sandbox.project / "requirements.txt")
    assert "warning" not in sandbox.hpcsubmit().stderr


@pytest.mark.parametrize("place", ["environment", "file", "netrc"])
def test_with_a_key_in_any_of_the_three_places_there_is_no_warning(sandbox: Sandbox, place: str) -> None:
    sandbox.write("python main.py --logger wandb\n")
    home = sandbox.root / "home"
    match place:
        case "environment":
            sandbox.environ["WANDB_API_KEY"] = KEY
        case "file":
            (home / "wandb_credentials.txt").write_text(KEY)
        case _:
            (home / ".netrc").write_text(f"machine api.wandb.ai\n  login user\n  password {KEY}\n")
    said = sandbox.hpcsubmit("--dry-run")
    assert WARNING not in said.stderr
    assert KEY not in said.stdout + said.stderr
