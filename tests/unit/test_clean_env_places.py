"""`hpcsubmit clean env` where SCRATCH is not that of the submissions: no job loses its environment."""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest

from builds import environments, run, without_environment
from hpcsubmit.cli.clean_env import _closed
from sandbox import Said, Sandbox


@pytest.fixture
def busy(sandbox: Sandbox) -> Sandbox:
    """A project with a running job whose environment has been superseded since."""
    bare = without_environment(sandbox)
    assert run(bare).code == 0
    (record,) = bare.scratch.glob("gan/hpcsubmit/runs/*")
    bare.install("squeue", f"#!/bin/sh\necho '4242|RUNNING|None||{record.name}'\n")
    for name in ("scontrol", "sacct"):
        bare.install(name, "#!/bin/sh\nexit 1\n")
    bare.write("beta\n", bare.project / "requirements.txt")
    assert run(bare, "env").code == 0
    return bare


def clean(sandbox: Sandbox, scratch: str, *argv: str) -> Said:
    others = {name: value for name, value in sandbox.environ.items() if name != "SCRATCH"}
    environ = others | ({"SCRATCH": scratch} if scratch else {})
    return sandbox.hpcsubmit("clean", "env", *(argv or ("--yes",)), environ=environ)


def notes(sandbox: Sandbox) -> list[Path]:
    return sorted((sandbox.project / ".virtual_envs").glob(".scratch-*"))


@pytest.mark.parametrize("scratch", ["", "/tmp"])
def test_what_a_running_job_needs_stays_whatever_the_scratch_of_who_cleans(
    busy: Sandbox, scratch: str
) -> None:
    both = environments(busy)
    said = clean(busy, scratch)
    assert (said.code, said.stdout, said.stderr) == (0, "nothing to remove\n", "")
    assert environments(busy) == both
    busy.install("squeue", "#!/bin/sh\nexit 0\n")
    (record,) = busy.scratch.glob("gan/hpcsubmit/runs/*")
    (record / "exit").write_text("0\n")
    said = clean(busy, scratch)
    assert (said.code, len(environments(busy))) == (0, 1), "it goes once the job has ended"


def test_what_jobs_need_stays_where_no_command_of_slurm_is_found(busy: Sandbox) -> None:
    both = environments(busy)
    busy.environ["PATH"] = str(busy.root / "as in a cron job")
    said = clean(busy, "")
    assert (said.code, said.stdout) == (0, "nothing to remove\n")
    assert said.stderr.startswith(
        "note: nobody knows whether these runs have ended, so what they need stays: "
    )
    assert environments(busy) == both


def test_every_scratch_is_noted_once_by_the_submissions(busy: Sandbox) -> None:
    (first,) = notes(busy)
    assert first.read_text() == f"{busy.scratch}\n"
    before = first.stat().st_mtime_ns, first.stat().st_ino
    assert run(busy).code == 0
    assert (first.stat().st_mtime_ns, first.stat().st_ino) == before
    other = busy.root / "other scratch"
    other.mkdir()
    busy.environ["SCRATCH"] = str(other)
    assert run(busy).code == 0
    assert {note.read_text() for note in notes(busy)} == {f"{busy.scratch}\n", f"{other}\n"}


def test_an_environment_of_the_users_own_and_a_dry_run_leave_no_note(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    assert run(without_environment(sandbox), "--dry-run").code == 0
    assert not (sandbox.project / ".virtual_envs").exists()


@pytest.mark.parametrize("argv", [("--yes",), ("--dry-run",)])
def test_where_nobody_knows_where_records_lie_nothing_is_removed(
    busy: Sandbox, argv: tuple[str, ...]
) -> None:
    for note in notes(busy):
        note.unlink()
    both = environments(busy)
    said = clean(busy, "", *argv)
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "SCRATCH is not set, so nobody knows which of these environments jobs need"
    assert said.hint == "export SCRATCH=... as for a submission, and try again"
    assert environments(busy) == both
    busy.environ["PATH"] = str(busy.bin)
    (busy.bin / "sbatch").unlink()
    assert clean(busy, "", *argv).code == 0, "without sbatch there are only jobs of this machine"


def test_where_there_is_nothing_to_remove_nobody_needs_to_know(sandbox: Sandbox) -> None:
    said = clean(sandbox, "")
    assert (said.code, said.stdout, said.stderr) == (0, "nothing to remove\n", "")


def test_where_records_cannot_be_read_nothing_is_removed(busy: Sandbox) -> None:
    both, (note,) = environments(busy), notes(busy)
    busy.scratch.rename(busy.root / "not mounted here")
    said = clean(busy, "/tmp")
    assert (said.code, said.stdout) == (1, "")
    assert said.error == (
        f"jobs with records below {busy.scratch} may need these environments, and it cannot be read here"
    )
    assert said.hint == f"clean where it can be; if it is gone for good, and its jobs with it, delete {note}"
    assert environments(busy) == both


@pytest.mark.parametrize("which", [".", "gan/hpcsubmit", "gan/hpcsubmit/runs/of-a-colleague"])
def test_a_folder_of_records_that_somebody_else_may_not_read_is_told(which: str) -> None:
    """As another user, since root may read everything."""
    with tempfile.TemporaryDirectory() as name:
        scratch = Path(name)
        (scratch / "gan/hpcsubmit/runs/of-a-colleague").mkdir(parents=True)
        for folder in (scratch, *(each for each in scratch.rglob("*"))):
            folder.chmod(0o755)
        assert as_another_user(lambda: _closed(scratch, "gan") is None)
        (scratch / which).chmod(0o700)
        assert as_another_user(lambda: _closed(scratch, "gan") == scratch / which)
        assert as_another_user(lambda: _closed(scratch, "other") == (scratch if which == "." else None))


def as_another_user(is_so: Callable[[], bool]) -> bool:
    child = os.fork()
    if not child:
        with suppress(BaseException):
            if os.geteuid() == 0:
                os.setuid(65534)
            os._exit(0 if is_so() else 1)
        os._exit(2)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


@pytest.mark.parametrize("content", [b"", b"scratch\n", b"\xff\xfe"])
def test_a_damaged_note_removes_nothing(busy: Sandbox, content: bytes) -> None:
    both, (note,) = environments(busy), notes(busy)
    note.write_bytes(content)
    said = clean(busy, str(busy.scratch))
    assert (said.code, said.stdout) == (1, "")
    assert said.error == f"{note} names no folder in which records of jobs lie, or cannot be read"
    assert said.hint == "check its permissions, or write the SCRATCH of the submissions into it"
    assert environments(busy) == both
