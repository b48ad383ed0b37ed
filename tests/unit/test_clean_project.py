"""`hpcsubmit clean data` and `clean env`: listed first, removed on agreement, and never what a job needs."""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import pytest

from hpcsubmit.cli.removal import Item
from hpcsubmit.host import Host
from hpcsubmit.staging.pack import pack
from hpcsubmit.staging.sample import Transfer
from hpcsubmit.staging.snapshot import look
from sandbox import Said, Sandbox
from unit.test_question import at_a_terminal

QUESTION = b"Remove? [y/N]"
NOTE = "note: nobody knows whether these runs have ended, so what they need stays"


class Quiet:
    """Looks at the progress of packing and says nothing."""

    def advanced(self, done: int, total: int) -> None:
        pass

    def waits(self) -> None:
        pass


@dataclass(frozen=True)
class Shelf:
    """A project with packed data and built environments, and an squeue that knows some jobs."""

    sandbox: Sandbox

    @property
    def scratch_dir(self) -> Path:
        return self.sandbox.scratch / "gan"

    def packs(self, name: str, content: str) -> Path:
        """Pack one file below the project's scratch; return the manifest."""
        (self.scratch_dir / name).parent.mkdir(parents=True, exist_ok=True)
        (self.scratch_dir / name).write_text(content)
        host = Host(environ=dict(os.environ))
        snapshot = look([name], self.scratch_dir, compress="none", compressors=["gzip"], host=host)
        pack(snapshot, host=host, transfer=Transfer(500), progress=Quiet())
        return snapshot.manifest

    def environment(self, name: str, *, finished: bool = True) -> Path:
        """Make what an environment leaves in .virtual_envs."""
        path = self.sandbox.project / ".virtual_envs" / name
        (path / "bin").mkdir(parents=True)
        (path / "bin" / "python").write_bytes(b"x" * 100_000)
        if finished:
            stamp = json.dumps({"files": "others"})
            (path / ".hpcsubmit-finished").write_text(f"{stamp}\n{path}\n")
        return path

    def run(self, number: int, job: int | None, **plan: str) -> str:
        """Write the record of a run."""
        run_id = f"r20260101-00000{number}-aaaa"
        folder = self.scratch_dir / "hpcsubmit" / "runs" / run_id
        folder.mkdir(parents=True)
        texts = (
            "cluster",
            "kind",
            "exp_name",
            "project",
            "job_name",
            "command",
            "command_line",
            "log",
            "version",
        )
        known = {"run_id": run_id, "created": "2026-01-01T00:00:00+00:00", "scheduler": "slurm"}
        (folder / "plan.json").write_text(json.dumps(dict.fromkeys(texts, "") | known | plan))
        if job:
            (folder / "result.json").write_text(json.dumps({"job": str(job)}))
        return run_id

    def jobs(self, *lines: str, code: int = 0) -> None:
        """Say what squeue tells of jobs."""
        said = "".join(f"echo '{line}'\n" for line in lines)
        self.sandbox.install("squeue", f"#!/bin/sh\n{said}exit {code}\n")

    def clean(self, *argv: str) -> Said:
        return self.sandbox.hpcsubmit("clean", *argv)


@pytest.fixture
def shelf(sandbox: Sandbox) -> Shelf:
    made = Shelf(sandbox)
    made.scratch_dir.mkdir()
    for name in ("scontrol", "sacct"):
        sandbox.install(name, "#!/bin/sh\nexit 1\n")
    made.jobs()
    return made


@pytest.mark.parametrize("what", ["data", "env"])
def test_where_there_is_nothing_it_says_so(shelf: Shelf, what: str) -> None:
    before = shelf.sandbox.tree()
    said = shelf.clean(what)
    assert (said.code, said.stdout, said.stderr) == (0, "nothing to remove\n", "")
    assert shelf.sandbox.tree() == before


def test_data_that_have_changed_go_and_fresh_ones_stay(shelf: Shelf) -> None:
    old = shelf.packs("a.txt", "old")
    fresh = shelf.packs("b.txt", "b")
    new = shelf.packs("a.txt", "newer")
    listed = shelf.clean("data", "--dry-run")
    assert listed.code == 0, listed
    assert listed.stdout.split("\n")[0].split()[2:] == ["a.txt", "the", "data", "have", "changed"]
    assert "b.txt" not in listed.stdout
    assert old.exists()
    done = shelf.clean("data", "--yes")
    assert done.stdout.splitlines()[:-1] == listed.stdout.splitlines()
    assert done.stdout.splitlines()[-1].startswith("removed 1, ")
    assert [path.exists() for path in (old, fresh, new)] == [False, True, True]


def test_with_all_fresh_data_go_too(shelf: Shelf) -> None:
    manifests = [shelf.packs("a.txt", "a"), shelf.packs("b.txt", "b")]
    said = shelf.clean("data", "--all", "--yes")
    assert said.code == 0, said
    assert said.stdout.count(".txt") == 2
    assert [path.exists() for path in manifests] == [False, False]
    assert (shelf.scratch_dir / "a.txt").read_text() == "a", "the originals stay"


def test_what_a_pending_job_needs_stays(shelf: Shelf) -> None:
    manifest = shelf.packs("a.txt", "old")
    (shelf.scratch_dir / "a.txt").write_text("newer")
    needed, other = shelf.environment("0123456789abcdef"), shelf.environment("fedcba9876543210")
    run = shelf.run(1, 7, data=str(manifest), virtualenv=str(needed))
    shelf.jobs(f"7|PENDING|Priority||{run}")
    assert shelf.clean("data", "--all", "--yes").stdout == "nothing to remove\n"
    assert manifest.exists()
    said = shelf.clean("env", "--yes")
    assert (said.code, said.stderr) == (0, ""), said
    assert str(other) in said.stdout
    assert str(needed) not in said.stdout
    assert (needed.exists(), other.exists()) == (True, False)


@pytest.mark.parametrize("code", [0, 1])
def test_what_a_run_of_unknown_end_needs_stays_and_is_told(shelf: Shelf, code: int) -> None:
    manifest = shelf.packs("a.txt", "old")
    needed = shelf.environment("0123456789abcdef")
    run = shelf.run(1, 7, data=str(manifest), virtualenv=str(needed))
    shelf.run(2, 8, data="/elsewhere/x.manifest", virtualenv="/elsewhere/env")
    shelf.jobs(code=code)
    for what in (("data", "--all"), ("env",)):
        said = shelf.clean(*what, "--yes")
        assert (said.code, said.stdout, said.stderr) == (0, "nothing to remove\n", f"{NOTE}: {run}\n")
    assert (manifest.exists(), needed.exists()) == (True, True)


def test_many_such_runs_are_counted(shelf: Shelf) -> None:
    manifest = shelf.packs("a.txt", "old")
    runs = [shelf.run(number, number, data=str(manifest)) for number in range(1, 6)]
    assert f"{NOTE}: {', '.join(runs[:3])} and 2 more\n" == shelf.clean("data", "--dry-run").stderr


def test_environments_are_listed_with_size_and_reason(shelf: Shelf) -> None:
    superseded = shelf.environment("0123456789abcdef")
    unfinished = shelf.environment("fedcba9876543210", finished=False)
    before = shelf.sandbox.tree()
    said = shelf.clean("env", "--dry-run")
    assert said.code == 0, said
    first, second, total = said.stdout.splitlines()
    assert first.split() == [*first.split()[:2], str(superseded), "superseded"]
    assert first.split()[1] == "kB"
    assert second.endswith(f"{unfinished}  not finished")
    assert total.endswith("together")
    assert shelf.sandbox.tree() == before


@pytest.mark.parametrize("what", ["data", "env"])
def test_without_a_terminal_it_lists_and_needs_a_yes(shelf: Shelf, what: str) -> None:
    shelf.packs("a.txt", "old")
    (shelf.scratch_dir / "a.txt").write_text("newer")
    shelf.environment("0123456789abcdef")
    before = shelf.sandbox.tree()
    said = shelf.clean(what)
    assert said.code == 1
    assert "together" in said.stdout
    assert said.error == "nothing is removed without a terminal to ask on"
    assert said.hint == "add --yes to remove what is listed above"
    assert shelf.sandbox.tree() == before


@pytest.mark.parametrize(("typed", "code"), [(b"yes\n", 0), (b"n\n", 1), (b"\x04", 1)])
def test_on_a_terminal_it_asks(shelf: Shelf, typed: bytes, code: int) -> None:
    path = shelf.environment("0123456789abcdef")
    found, shown = at_a_terminal(shelf.sandbox, "clean", "env", typed=typed, question=QUESTION)
    assert (found, path.exists()) == (code, code == 1), shown


def test_outside_a_project_it_is_refused(shelf: Shelf) -> None:
    for what in ("data", "env"):
        said = shelf.sandbox.hpcsubmit("clean", what, cwd=shelf.sandbox.root)
        assert said.code == 1
        assert said.error.startswith("no project here")
        assert said.hint


def test_what_a_job_has_come_to_need_meanwhile_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    from hpcsubmit.cli.removal import tell_removed

    going, staying = Item("a", 2_000_000, "superseded"), Item("b", 5, "superseded")
    tell_removed([going, staying], [going])
    assert capsys.readouterr().out == "kept: b: a job has come to need it\nremoved 1, 2.0 MB freed\n"
