"""What a node copies home: paths by their names, letter for letter."""

import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, context, shipped
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Request
from hpcsubmit.values import path_on_node

FUNCTIONS = r"^(?:collect_results|put_in_place|unused)\(\) \{.*?^\}$"


def collect(root: Path, *paths: str) -> str:
    """Collect from root/node into root/home as a job on one node does; return what the node says."""
    facts = replace(context(), scratch_dir=root)
    script = render(
        plan(Request(time=HOUR, collect=tuple(map(path_on_node, paths))), shipped("generic"), facts)
    )
    functions = re.findall(FUNCTIONS, script, re.MULTILINE | re.DOTALL)
    assert len(functions) == 3
    done = subprocess.run(
        ["bash", "-euc", "\n".join((*functions, "collect_results"))],
        env={
            "PATH": "/usr/bin:/bin",
            "SLURM_TMPDIR": str(root / "node"),
            "SLURMD_NODENAME": "node01",
            "_collected": str(root / "home"),
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0
    return done.stdout.partition(" ")[0] + done.stderr


@pytest.mark.parametrize("name", ["run[0]", "lr=[0.1,0.2]", "[ab]", "a[", "[!x]", "{a,b}", "it's"])
def test_a_name_with_brackets_is_that_name_and_no_pattern(tmp_path: Path, name: str) -> None:
    node = tmp_path / "node"
    for each in (name, "run0", "lr=0", "a", "b"):
        (node / "runs" / each).mkdir(parents=True, exist_ok=True)
        (node / "runs" / each / "log").write_text(each)
    (node / f"{name}.csv").write_text("1")
    assert collect(tmp_path, f"runs/{name}", f"{name}.csv").strip() == "collected"
    found = {str(path.relative_to(tmp_path / "home")) for path in (tmp_path / "home").rglob("*")}
    assert found == {"runs", f"runs/{name}", f"runs/{name}/log", f"{name}.csv"}
    assert (tmp_path / "home" / "runs" / name / "log").read_text() == name


def test_a_bracket_pattern_that_nothing_is_called_is_a_line_in_the_log(tmp_path: Path) -> None:
    (tmp_path / "node" / "run0").mkdir(parents=True)
    said = collect(tmp_path, "run[0-9]")
    assert said == "nothing\nhpcsubmit: results: there is no 'run[0-9]' on node01\n"
