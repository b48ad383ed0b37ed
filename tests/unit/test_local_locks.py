"""The locks that tell whether the runner of a job lives."""

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hpcsubmit.local.records import is_locked, try_lock

HOLDS = "import fcntl, sys; f = open(sys.argv[1]); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A lock that nobody holds."""
    path = tmp_path / "lock"
    path.touch()
    return path


def test_one_that_is_held_is_not_taken(path: Path) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    holder.stdout.readline()
    assert is_locked(path)
    with try_lock(path) as taken:
        assert not taken
    holder.communicate("\n", timeout=60)
    assert not is_locked(path)
    with try_lock(path) as taken:
        assert taken


def test_those_who_only_look_are_outwaited(path: Path) -> None:
    with path.open() as look:
        fcntl.flock(look, fcntl.LOCK_SH)
        end = threading.Timer(0.05, fcntl.flock, (look, fcntl.LOCK_UN))
        end.start()
        with try_lock(path) as taken:
            assert taken
        end.join()
