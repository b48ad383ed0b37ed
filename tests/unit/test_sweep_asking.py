"""Which Python is asked about sweeps, and how long it is waited for."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.sweeps.asking import ask, find_python
from sandbox import Sandbox
from wandb_python import WandbPython

FIND = "from hpcsubmit.sweeps.asking import find_python; print(find_python(None))"


def found_with(folder: Path) -> str:
    """What a Python finds whose modules include those of a folder."""
    environ = {**os.environ, "PYTHONPATH": str(folder)}
    argv = [sys.executable, "-c", FIND]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, timeout=120, check=True).stdout


def test_hpcsubmits_own_python_is_taken_where_it_has_wandb(tmp_path: Path) -> None:
    (tmp_path / "wandb").mkdir()
    assert found_with(tmp_path) == "None\n"  # a folder of runs
    (tmp_path / "wandb" / "__init__.py").touch()
    assert found_with(tmp_path) == f"{sys.executable}\n"


def test_the_python_of_the_environment_is_taken_where_that_has_wandb(sandbox: Sandbox) -> None:
    environment = sandbox.project / "virtual_env"
    assert find_python(environment) is None
    assert find_python(WandbPython(sandbox).python.parents[1]) == environment / "bin" / "python"


def test_an_answer_that_does_not_come_is_not_waited_for(sandbox: Sandbox) -> None:
    python = WandbPython(sandbox).python
    python.write_text("#!/bin/sh\nexec sleep 300\n")
    host = Host(environ={**sandbox.environ, "WANDB_API_KEY": "k" * 40, "WANDB_BASE_URL": "http://n1:9"})
    with pytest.raises(HpcSubmitError) as raised:
        ask({"action": "version"}, host, python.parents[1], timeout=0.3)
    assert raised.value.message == "the wandb server http://n1:9 cannot be reached: no answer within 0.3 s"
    assert raised.value.hint.startswith("check the network")
