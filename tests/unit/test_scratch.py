"""SCRATCH: what must be right about it, and what is made below it."""

import os
import resource
import subprocess
from pathlib import Path

import pytest

from sandbox import HPCSUBMIT, Sandbox


def without_scratch(sandbox: Sandbox) -> dict[str, str]:
    return {name: value for name, value in sandbox.environ.items() if name != "SCRATCH"}


def test_without_scratch_the_error_names_it(sandbox: Sandbox) -> None:
    before = sandbox.tree()
    said = sandbox.hpcsubmit(environ=without_scratch(sandbox))
    assert (said.code, said.stdout, said.error) == (1, "", "SCRATCH is not set")
    assert said.hint == "set it to your folder on the cluster's large disk: export SCRATCH=..."
    assert sandbox.refuses(SCRATCH="").error == "SCRATCH is not set"
    assert sandbox.tree() == before


def test_on_plai_the_hint_is_the_line_to_add(sandbox: Sandbox) -> None:
    line = "export SCRATCH=/ubc/cs/research/plai-scratch/${USER}"
    for value in ("", "/proc/nowhere"):
        said = sandbox.refuses("--cluster", "plai", SCRATCH=value)
        assert "SCRATCH" in said.error
        assert said.hint == f"add this line to ~/.bashrc and log in again: {line}"


def test_scratch_must_be_an_absolute_folder_that_exists(sandbox: Sandbox) -> None:
    file = sandbox.root / "file"
    file.write_text("")
    for value in ("/proc/nowhere", str(file)):
        said = sandbox.refuses(SCRATCH=value)
        assert said.error == f"SCRATCH is {value}, which is not a folder"
        assert said.hint == "make the folder, or set SCRATCH to the one that is there"
    for value in ("scratch", ".", "~/scratch"):
        said = sandbox.refuses(SCRATCH=value)
        assert said.error == f"the path of SCRATCH is not absolute: '{value}'"
        assert said.hint == "give it from / on"


@pytest.mark.parametrize("name", ["a\nb", "a\\b"])
def test_a_newline_or_a_backslash_in_scratch_is_refused(sandbox: Sandbox, name: str) -> None:
    (sandbox.root / name).mkdir()
    said = sandbox.refuses(SCRATCH=str(sandbox.root / name))
    assert said.error.startswith("the path of SCRATCH holds a ")
    assert said.hint == "rename the folder or file"


@pytest.mark.parametrize("name", ["a b", "50%", "it's", 'a"b', "Zoë", "$HOME", "日本"])
def test_awkward_scratch_folders_work(sandbox: Sandbox, name: str) -> None:
    scratch = sandbox.root / name
    scratch.mkdir()
    assert sandbox.hpcsubmit(environ=sandbox.environ | {"SCRATCH": str(scratch)}).code == 0
    assert (scratch / "gan" / "hpc_outputs").is_dir()


def test_the_folders_are_made_if_absent(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    assert sandbox.hpcsubmit("-e", "celebA").code == 0
    made = {str(path.relative_to(sandbox.scratch)) for path in sandbox.scratch.rglob("*") if path.is_dir()}
    assert {"gan", "gan/hpc_outputs", "gan/checkpoints", "gan/celebA/checkpoints"} <= made
    runs = list((sandbox.scratch / "gan" / "hpcsubmit" / "runs").iterdir())
    assert len(runs) == 2
    for run in runs:
        assert run.stat().st_mode & 0o777 == 0o700
        assert {path.name: path.stat().st_mode & 0o077 for path in run.iterdir() if path.is_file()} == {
            "plan.json": 0, "script.sh": 0, "result.json": 0,
        }  # fmt: skip
        assert sorted(path.name for path in run.rglob("*.py")) == ["__init__.py", "comm.py"]


def test_an_experiment_cannot_lie_among_the_records(sandbox: Sandbox) -> None:
    assert "cannot be named hpcsubmit" in sandbox.refuses("-e", "hpcsubmit").error


@pytest.mark.parametrize("what", ["a file", "a link to nowhere"])
def test_something_in_the_way_of_the_projects_scratch_is_an_error(sandbox: Sandbox, what: str) -> None:
    place = sandbox.scratch / "gan"
    if what == "a file":
        place.write_text("")
    else:
        place.symlink_to("/proc/nowhere")
    before = sandbox.tree()
    said = sandbox.hpcsubmit()
    assert (said.code, said.error) == (1, f"{place} could not be written: File exists")
    assert sandbox.tree() == before


def no_bytes_in_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))


def test_a_full_disk_while_writing_the_record_leaves_no_record_and_submits_nothing(sandbox: Sandbox) -> None:
    # A limit of no bytes a file stands in for the full disk: it needs no root.
    done = subprocess.run(
        HPCSUBMIT,
        cwd=sandbox.project,
        env=sandbox.environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        preexec_fn=no_bytes_in_files,
        timeout=60,
    )
    errors = [line for line in done.stderr.splitlines() if line.startswith(("error: ", "hint: "))]
    assert done.returncode == 1
    assert errors[0].startswith(f"error: {sandbox.scratch}/gan/hpcsubmit/runs/")
    assert errors[0].endswith("could not be written: File too large")
    assert errors[1] == "hint: check the space left, your quota and the permissions there, then submit again"
    assert list((sandbox.scratch / "gan" / "hpcsubmit" / "runs").iterdir()) == []
    assert not (sandbox.root / "sbatch.argv").exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small file system")
def test_a_scratch_that_is_really_full_is_an_error(sandbox: Sandbox) -> None:
    fill = f"""
        mount -t tmpfs -o size=64k,nr_inodes=64 tmpfs {sandbox.scratch} || exit 77
        head -c 70000 /dev/zero >{sandbox.scratch}/filler 2>/dev/null
        exec "$@" </dev/null
    """
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", fill, "sh", *HPCSUBMIT],
        cwd=sandbox.project,
        env=sandbox.environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("this root may not mount")
    assert done.returncode == 1
    assert "could not be written: No space left on device\n" in done.stderr
    assert not (sandbox.root / "sbatch.argv").exists()


def test_on_local_scratch_defaults_to_the_state_folder(sandbox: Sandbox) -> None:
    state = sandbox.root / "home" / ".local" / "state" / "hpcsubmit" / "scratch"
    said = sandbox.hpcsubmit("--cluster", "local", "--dry-run", environ=without_scratch(sandbox))
    assert f"#SBATCH --output={state}/gan/hpc_outputs/standard_%j.out\n" in said.stdout
    elsewhere = without_scratch(sandbox) | {"XDG_STATE_HOME": str(sandbox.root / "state")}
    said = sandbox.hpcsubmit("--cluster", "local", "--dry-run", environ=elsewhere)
    assert f"#SBATCH --output={sandbox.root}/state/hpcsubmit/scratch/gan/hpc_outputs/" in said.stdout
    assert not state.exists()


def test_a_scratch_that_may_not_be_written_is_an_error(sandbox: Sandbox) -> None:
    # A link into /proc is closed even for root.
    said = sandbox.hpcsubmit(environ=sandbox.environ | {"SCRATCH": "/proc/self/fdinfo"})
    assert said.code == 1
    assert said.error.startswith(f"{Path('/proc/self/fdinfo/gan')} could not be written: ")
