"""Which environments nothing needs any more, and their removal."""

import fcntl
import json
import os
import subprocess
from pathlib import Path

import pytest

from builds import run, without_environment
from hpcsubmit.environments.layout import STAMP, job_of, lock_of
from hpcsubmit.environments.lock import take_lock
from hpcsubmit.environments.old import OldEnvironment, old_environments, remove, size_of
from hpcsubmit.environments.sources import find_source
from hpcsubmit.environments.wanted import digest
from hpcsubmit.host import Host
from hpcsubmit.project import Project
from sandbox import Sandbox

OLD, OLDER = "00000000000000aa", "00000000000000bb"


class Place:
    """A project with one current environment, and others made by hand."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.project = Project(root=sandbox.project)
        self.host = Host(environ=dict(sandbox.environ))
        self.folder = sandbox.project / ".virtual_envs"
        (self.current,) = (path for path in self.folder.iterdir() if path.is_dir())

    def make(self, name: str, *, finished: bool = True, files: str = "other") -> Path:
        path = self.folder / name
        (path / "lib").mkdir(parents=True)
        (path / "lib" / "module.py").write_bytes(b"x" * 100_000)
        if finished:
            (path / "bin").mkdir()
            (path / "bin" / "python").touch()
            (path / STAMP).write_text(f"{json.dumps({'files': files})}\n{path}\n")
        return path

    def old(self, *needed: Path) -> list[OldEnvironment]:
        return old_environments(self.project, needed, self.host)

    def names(self) -> set[str]:
        ours = (self.current.name, ".scratch-")
        return {path.name for path in self.folder.iterdir() if not any(part in path.name for part in ours)}


@pytest.fixture
def place(sandbox: Sandbox) -> Place:
    assert run(without_environment(sandbox)).code == 0
    return Place(sandbox)


def test_only_what_is_superseded_or_not_finished_may_go_with_all_that_belongs_to_it(place: Place) -> None:
    old, cut_short = place.make(OLD), place.make(OLDER, finished=False)
    beside = [place.folder / f"{OLD}{end}" for end in (".archives", ".archives.77", ".manifest", ".log")]
    hidden = [place.folder / f".{OLD}{end}" for end in (".sh", ".job")]
    for path in (*beside, *hidden):
        path.write_bytes(b"x" * 50_000)
    first, second = place.old()
    assert (first.path, set(first.paths), first.why) == (old, {old, *beside, *hidden}, "superseded")
    assert (second.path, second.paths, second.why) == (cut_short, (cut_short,), "not finished")
    used = subprocess.run(["du", "-sk", *first.paths], capture_output=True, text=True, timeout=60).stdout
    assert first.size == 1024 * sum(int(line.split()[0]) for line in used.splitlines())
    assert place.names() == {path.name for path in (old, cut_short, *beside, *hidden)}, (
        "looking removes nothing"
    )
    assert remove([first, second], list, place.host) == [first, second]
    assert place.names() == set()
    assert place.current.exists()
    assert run(place.sandbox).code == 0


def test_what_a_pending_or_running_job_needs_stays(place: Place) -> None:
    old = place.make(OLD)
    assert place.old(old) == []
    (found,) = place.old()
    assert remove([found], lambda: [old], place.host) == [], "a submission has begun to use it meanwhile"
    assert (old / "lib" / "module.py").exists()
    assert place.names() == {OLD, f".{OLD}.lock"}


def test_where_nobody_says_what_is_needed_it_stays(place: Place) -> None:
    old = place.make(OLD)
    (found,) = place.old()

    def interrupted() -> list[Path]:
        assert not old.exists(), "moved aside"
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        remove([found], interrupted, place.host)
    assert (old / "lib" / "module.py").exists()
    assert place.names() == {OLD, f".{OLD}.lock"}


def test_what_a_job_needs_by_another_name_of_the_same_folder_stays(place: Place) -> None:
    old = place.make(OLD)
    link = place.sandbox.root / "link"
    link.symlink_to(place.sandbox.root / "home")
    through = Project(root=link / "gan")
    (found,) = old_environments(through, [], place.host)
    assert remove([found], lambda: [old], place.host) == []
    assert (old / "lib" / "module.py").exists()
    assert old_environments(through, [old], place.host) == []


def test_what_was_finished_and_cannot_be_used_is_told_apart(place: Place) -> None:
    old, moved = place.make(OLD), place.make(OLDER)
    (old / "bin" / "python").unlink()
    (moved / STAMP).write_text("{}\n/elsewhere\n")
    assert [(each.path.name, each.why) for each in place.old()] == [(OLD, "unusable"), (OLDER, "unusable")]


def test_a_newer_generation_that_cannot_be_used_does_not_supersede_one_that_can(place: Place) -> None:
    source = find_source(place.sandbox.project)
    assert source is not None
    place.make(OLD, files=digest(source))
    (place.make(f"{OLD}.2", files=digest(source)) / "bin" / "python").unlink()
    assert [each.path.name for each in place.old()] == [f"{OLD}.2"]


def test_what_virtual_env_links_to_by_now_stays(place: Place) -> None:
    old = place.make(OLD)
    (found,) = place.old()
    link = place.sandbox.project / "virtual_env"
    link.unlink()
    link.symlink_to(f".virtual_envs/{OLD}")
    assert remove([found], list, place.host) == []
    assert (old / "lib" / "module.py").exists()


def test_what_is_made_from_the_files_as_they_are_stays_whatever_its_python(place: Place) -> None:
    source = find_source(place.sandbox.project)
    assert source is not None
    place.make(OLD, files=digest(source))
    newer = place.make(f"{OLD}.2", files=digest(source))
    place.make(f"{OLD}.3", files=digest(source), finished=False)
    assert [(each.path.name, each.why) for each in place.old()] == [
        (OLD, "superseded"),
        (f"{OLD}.3", "not finished"),
    ]
    assert newer.exists()


def test_what_is_being_built_stays(place: Place) -> None:
    path = place.make(OLD, finished=False)
    (found,) = place.old()
    held = take_lock(path, fcntl.LOCK_EX)
    try:
        assert place.old() == []
        assert remove([found], list, place.host) == []
    finally:
        os.close(held)
    job_of(path).write_text("17\n")
    place.sandbox.install("squeue", "#!/bin/sh\necho '17|PENDING|Dependency||'\n")
    assert place.old() == []
    assert remove([found], list, place.host) == []
    place.sandbox.install("squeue", "#!/bin/sh\nexit 0\n")
    place.sandbox.install("scontrol", "#!/bin/sh\nexit 1\n")
    place.sandbox.install("sacct", "#!/bin/sh\nexit 1\n")
    assert [each.path for each in place.old()] == [path]


def test_a_lock_that_was_removed_with_its_environment_is_taken_anew(place: Place) -> None:
    path = place.folder / OLD
    held = take_lock(path, fcntl.LOCK_EX)
    lock_of(path).unlink()
    other = take_lock(path, fcntl.LOCK_EX | fcntl.LOCK_NB)
    assert os.path.samestat(os.fstat(other), lock_of(path).stat())
    os.close(held)
    os.close(other)


def test_what_a_removal_that_was_killed_left_goes_with_the_next(place: Place) -> None:
    place.make(f".removing-1-{OLD}")
    (found,) = place.old()
    assert (found.path.name, [path.name for path in found.paths]) == (OLD, [f".removing-1-{OLD}"])
    assert remove([found], list, place.host) == [found]
    assert place.names() == set()


def test_what_is_not_ours_is_never_listed(place: Place) -> None:
    for name in ("notes", f"{OLD}.txt", f"{OLD}x", "0000", f"{OLD}.2.3"):
        place.make(name)
    assert place.old() == []


def test_a_project_without_environments_has_nothing_to_remove(tmp_path: Path) -> None:
    assert old_environments(Project(root=tmp_path), [], Host(environ={})) == []
    assert size_of(tmp_path / "missing") == 0
