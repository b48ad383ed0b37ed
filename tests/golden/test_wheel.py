"""The command of an installed hpcsubmit prints a golden script: run by `nox -s wheel` with the wheel."""

import subprocess
import sys
import venv
from pathlib import Path

HERE = Path(__file__).parent


def test_a_dry_run_prints_the_golden_script_byte_for_byte(tmp_path: Path) -> None:
    project, scratch = tmp_path / "home" / "gan", tmp_path / "scratch"
    project.mkdir(parents=True)
    scratch.mkdir()
    (project / "experiment_configurations.txt").write_text("python main.py --train --batch_size 6\n")
    venv.create(project / "virtual_env", with_pip=False, symlinks=True)
    words = ["--gpus", "2", "--cpus", "2", "--exp-name", "testing", "--num-nodes", "2", "--dry-run"]
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hpcsubmit")), *words],
        cwd=project,
        env={"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "SCRATCH": str(scratch), "CC_CLUSTER": "cedar"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    shown = done.stdout
    for here, golden in (
        (str(project), "/home/u/gan"),
        (str(scratch), "/scratch/u"),
        ("DRY-RUN", "r20260131-235959-a2b3"),
        (f"hpcsubmit {' '.join(words)}", "hpcsubmit"),
    ):
        shown = shown.replace(here, golden)
    assert shown == (HERE / "cedar_lightning.sh").read_text("utf-8")


def test_the_schema_of_the_application_file_is_in_the_wheel() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).with_name("hpcsubmit")), "init", "--schema"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == (HERE.parents[1] / "templates" / "hpcsubmit.schema.json").read_text("utf-8")
