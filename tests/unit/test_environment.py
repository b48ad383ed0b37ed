"""The virtual environment of a job: found, built, or an error."""

import os
import shutil
import subprocess
import time
import venv
from pathlib import Path

import pytest

from sandbox import HPCSUBMIT, Said, Sandbox


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    """A project without an environment, and a python3 that builds one in no time and notes that it did."""
    shutil.rmtree(sandbox.project / "virtual_env")
    sandbox.install("python3", STAND_IN.format(root=sandbox.root))
    sandbox.environ["PATH"] = f"{sandbox.bin}:/usr/bin:/bin"
    return sandbox


# A real interpreter takes seconds to unpack pip. This one makes what venv makes as far as a job needs it, and
# its pip reads requirements.txt: `fail` in it fails, `slow` takes a moment.
STAND_IN = """#!/bin/sh
root={root}
case "$*" in
"-I -c "*sys.executable*) echo "$0" ;; # a script is asked which interpreter it starts
"-m venv"*)
  for target; do :; done
  echo "venv $target" >>"$root/built"
  if [ -e "$root/pip.ended" ]; then echo yes >"$root/venv.after.pip"; else rm -f "$root/venv.after.pip"; fi
  case "$*" in *--clear*) rm -rf "$target" ;; esac
  mkdir -p "$target/bin" && : >"$target/bin/activate" && cp "$0" "$target/bin/python"
  ;;
*"pip install"*)
  for requirements; do :; done
  echo pip >>"$root/built"
  pwd >"$root/pip.folder"
  echo "Collecting everything"
  if grep -q slow "$requirements"; then sleep 1; fi
  if grep -q fail "$requirements"; then echo "ERROR: no such package" >&2; exit 1; fi
  echo ended >>"$root/pip.ended"
  ;;
*) exec /usr/bin/python3 "$@" ;;
esac
"""


def builds(sandbox: Sandbox) -> list[str]:
    """The first words of what the stand-in did."""
    path = sandbox.root / "built"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


def environment_in_the_script(sandbox: Sandbox) -> Path:
    script = (sandbox.root / "submitted.sh").read_text()
    (line,) = (line for line in script.splitlines() if line.startswith("virtualenv="))
    return Path(line.partition("=")[2])


def test_an_environment_of_the_users_own_is_used_as_it_is(sandbox: Sandbox) -> None:
    sandbox.write("torch\n", sandbox.project / "requirements.txt")
    own = sandbox.project / "virtual_env"
    said = sandbox.hpcsubmit()
    assert said.code == 0
    assert environment_in_the_script(sandbox) == own
    assert f"note: the environment {own} is your own and used as it is\n" in said.stderr
    assert not (sandbox.project / ".virtual_envs").exists()


def test_a_link_to_an_environment_elsewhere_is_the_users_own_too(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    own.rename(sandbox.root / "elsewhere")
    own.symlink_to(sandbox.root / "elsewhere")
    assert sandbox.hpcsubmit().code == 0
    assert environment_in_the_script(sandbox) == own


def test_a_folder_that_is_no_environment_is_an_error(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    (own / "bin" / "python").unlink()
    said = sandbox.refuses()
    assert said.error == f"{own} has no bin/python: it is not a whole virtual environment"
    assert said.hint == "remove it, and hpcsubmit builds one from requirements.txt"


def test_neither_an_environment_nor_requirements_is_an_error(bare: Sandbox) -> None:
    said = bare.refuses()
    assert (
        said.error == f"the project has neither a virtual_env folder nor a requirements.txt: {bare.project}"
    )
    assert said.hint.startswith("write the packages that the program needs into ")


def test_an_environment_is_built_from_the_requirements_and_linked(bare: Sandbox) -> None:
    requirements = bare.project / "requirements.txt"
    bare.write("", requirements)
    before = bare.tree()
    dry = bare.hpcsubmit("--dry-run")
    assert f" (to be built from {requirements})\n" in dry.stderr
    assert (bare.tree(), builds(bare)) == (before, [])
    said = bare.hpcsubmit()
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n")
    assert "Collecting everything" in said.stderr
    path = environment_in_the_script(bare)
    assert path.parent == bare.project / ".virtual_envs"
    assert (bare.project / "virtual_env").resolve() == path
    assert f"virtualenv={path}\n" in dry.stdout
    assert builds(bare) == ["venv", "pip"]
    assert bare.hpcsubmit().code == 0
    assert builds(bare) == ["venv", "pip"], "the second submission builds nothing"


def test_other_requirements_are_another_environment(bare: Sandbox) -> None:
    requirements = bare.project / "requirements.txt"
    paths = []
    for text in ("one\n", "two\n", "one\n"):
        bare.write(text, requirements)
        assert bare.hpcsubmit().code == 0
        paths.append(environment_in_the_script(bare))
        assert (bare.project / "virtual_env").resolve() == paths[-1]
    assert paths[0] == paths[2] != paths[1]
    assert builds(bare) == ["venv", "pip"] * 2


def test_without_requirements_the_environment_that_was_built_is_used(bare: Sandbox) -> None:
    requirements = bare.project / "requirements.txt"
    bare.write("", requirements)
    assert bare.hpcsubmit().code == 0
    path = environment_in_the_script(bare)
    requirements.unlink()
    assert bare.hpcsubmit().code == 0
    assert environment_in_the_script(bare) == path


def test_a_failing_pip_is_an_error_and_nothing_is_linked_or_submitted(bare: Sandbox) -> None:
    requirements = bare.project / "requirements.txt"
    bare.write("fail\n", requirements)
    said = bare.hpcsubmit()
    assert (said.code, said.stdout) == (1, "")
    assert "ERROR: no such package" in said.stderr
    assert said.error.startswith("the environment could not be built: ")
    assert said.error.endswith("ended with exit code 1")
    assert said.hint.startswith(f"mend {requirements} as the lines above say and submit again; ")
    assert not (bare.project / "virtual_env").is_symlink()
    assert not (bare.root / "sbatch.argv").exists()
    assert bare.hpcsubmit("runs").stdout == "no runs yet\n"


def test_a_build_that_was_cut_short_counts_for_nothing(bare: Sandbox) -> None:
    bare.write("", bare.project / "requirements.txt")
    assert bare.hpcsubmit().code == 0
    path = environment_in_the_script(bare)
    (path / ".hpcsubmit-finished").unlink()
    (path / "half").write_text("")
    assert bare.hpcsubmit().code == 0
    assert environment_in_the_script(bare) == path
    assert not (path / "half").exists()
    assert builds(bare) == ["venv", "pip"] * 2


def test_two_submissions_at_once_build_once(bare: Sandbox) -> None:
    bare.write("slow\n", bare.project / "requirements.txt")
    both = [
        subprocess.Popen(
            HPCSUBMIT,
            cwd=bare.project,
            env=bare.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    said = [Said(0, *process.communicate(timeout=60)) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert builds(bare) == ["venv", "pip"]


def test_without_python3_the_hint_names_the_module(bare: Sandbox) -> None:
    bare.write("", bare.project / "requirements.txt")
    (bare.bin / "python3").unlink()
    said = bare.refuses(PATH=str(bare.bin))
    assert said.error == "there is no python3 on the PATH"
    assert said.hint == "load the site's python module, then submit"


def test_the_real_venv_and_pip_build_an_environment(sandbox: Sandbox) -> None:
    """The one slow build: an empty requirements.txt needs no network."""
    shutil.rmtree(sandbox.project / "virtual_env")
    sandbox.write("", sandbox.project / "requirements.txt")
    assert sandbox.hpcsubmit().code == 0
    python = environment_in_the_script(sandbox) / "bin" / "python"
    assert os.access(python, os.X_OK)
    shown = subprocess.run([python, "-c", "import sys; print(sys.prefix)"], capture_output=True, text=True)
    assert Path(shown.stdout.strip()) == (sandbox.project / "virtual_env").resolve()


def test_the_users_environment_may_have_any_python(sandbox: Sandbox) -> None:
    own = sandbox.project / "virtual_env"
    shutil.rmtree(own)
    venv.create(own, with_pip=False, symlinks=False)
    assert sandbox.hpcsubmit("--dry-run").code == 0


def test_pip_runs_in_the_project_wherever_one_submits_from(bare: Sandbox) -> None:
    bare.write(".\n", bare.project / "requirements.txt")
    (bare.project / "hpc_files").mkdir()
    assert bare.hpcsubmit(cwd=bare.project / "hpc_files").code == 0
    assert (bare.root / "pip.folder").read_text() == f"{bare.project}\n"


def test_a_build_whose_hpcsubmit_was_killed_is_waited_for(bare: Sandbox) -> None:
    bare.write("slow\n", bare.project / "requirements.txt")
    killed = subprocess.Popen(
        HPCSUBMIT, cwd=bare.project, env=bare.environ, stdin=subprocess.DEVNULL, stderr=-3
    )
    deadline = time.monotonic() + 20
    while "pip" not in builds(bare):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    killed.kill()
    killed.wait(20)
    assert bare.hpcsubmit().code == 0
    assert builds(bare) == ["venv", "pip", "venv", "pip"]
    assert (bare.root / "venv.after.pip").exists(), (
        "the second build began when the first one's pip had ended"
    )
