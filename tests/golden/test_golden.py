"""The rendered scripts, compared whole, and read by shellcheck and by bash."""

import subprocess
import sys
from pathlib import Path

import pytest

from golden.cases import CASES, script
from hpcsubmit.render import shipped_templates

HERE = Path(__file__).parent
SHELLCHECK = Path(sys.executable).with_name("shellcheck")


def golden(name: str) -> Path:
    return HERE / f"{name}.sh"


@pytest.mark.parametrize("name", CASES)
def test_the_script_is_the_golden_one(name: str, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update-golden"):
        golden(name).write_text(script(name), "utf-8")
    assert script(name) == golden(name).read_text("utf-8")


def test_there_is_no_golden_script_without_a_case() -> None:
    assert {path.stem for path in HERE.glob("*.sh")} == set(CASES)


def test_every_golden_script_is_clean_for_shellcheck_at_level_style() -> None:
    # SC2016: single quotes are meant. SC1091: the activate script is elsewhere; the template says so.
    found = subprocess.run(
        [str(SHELLCHECK), "--severity=style", "--exclude=SC2016", *sorted(map(str, HERE.glob("*.sh")))],
        capture_output=True,
        text=True,
        timeout=300,  # 6 s of one core, where it is quiet
    )
    assert found.stdout == ""
    assert found.returncode == 0


def test_no_template_turns_quoting_off_or_tracing_on() -> None:
    for path in shipped_templates().rglob("*.j2"):
        text = path.read_text("utf-8")
        assert "| safe" not in text
        assert "|safe" not in text
        assert "set -x" not in text
        assert "`" not in "".join(ln.split("#", 1)[0] for ln in text.splitlines()), path
