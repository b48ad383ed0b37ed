"""A conda environment inside a container: its scripts, its variables, and what is said where they fail."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from container_engine import PLAIN, Harbour, Start
from hpcsubmit.conda import CondaEnv

SECRET = "0123456789abcdef-secret"
VALUES = "import json, os, sys; print(json.dumps([os.environ.get(name) for name in sys.argv[1:]]))"


class Environment:
    """A harbour with a conda environment beside its image."""

    def __init__(self, root: Path) -> None:
        self.harbour, self.prefix = Harbour(root), root / "envs" / "my gan"
        self.scripts = self.prefix / "etc" / "conda" / "activate.d"
        for folder in (self.scripts, self.prefix / "bin", self.prefix / "conda-meta"):
            folder.mkdir(parents=True)
        (self.prefix / "bin" / "python").symlink_to(sys.executable)

    def keep(self, state: dict[str, str]) -> None:
        """Keep variables as `conda env config vars set` does."""
        text = json.dumps({"version": 1, "env_vars": state})
        (self.prefix / "conda-meta" / "state").write_text(text)

    def run(self, command: str, *passed: str, **environ: str) -> tuple[Start, str]:
        """Run a command in the image with the environment."""
        made = self.harbour.plan(command, replace(PLAIN, pass_env=passed))
        assert made.container is not None
        conda = CondaEnv(self.prefix, "my gan")
        made = replace(made, container=made.container._replace(conda=conda, runscript=False))
        return self.harbour.engine.run(made, self.harbour.tmpdir, environ)

    def tried(self) -> str:
        """What a node says of the image and the environment where the try of them fails."""
        made = self.harbour.plan("true", replace(PLAIN, container_exec=True))
        assert made.container is not None
        made = replace(made, container=made.container._replace(conda=CondaEnv(self.prefix, "my gan")))
        return self.harbour.engine.complaint(made, self.harbour.tmpdir, "try_container")

    def values(self, *names: str, before: str = "") -> list[str | None]:
        """What a program of it finds in these variables; before: assignments of its command."""
        found: list[str | None] = json.loads(self.run(f"{before} python -c '{VALUES}' {' '.join(names)}")[1])
        return found


@pytest.fixture
def env(tmp_path: Path) -> Environment:
    return Environment(tmp_path)


def test_it_is_active_inside_and_its_scripts_have_run(env: Environment) -> None:
    (env.scripts / "it's.sh").write_text("export ACTIVATED=yes\n")
    command = "sh -c 'echo $PATH; echo $CONDA_DEFAULT_ENV $ACTIVATED'"
    start, said = env.run(command, CONDA_PREFIX="/of/the/login")
    assert said == f"{env.prefix}/bin:/usr/bin:/bin\nmy gan yes\n"
    assert [str(env.prefix), str(env.prefix), "ro"] in start.binds
    assert start.inside["CONDA_PREFIX"] == str(env.prefix)


FUNCTION = """function _tc_activation() {
  local words=("it is" bash)
  export ACTIVATED="${words[*]}"
}
_tc_activation activate
"""
BRACKETS = '[[ $CONDA_PREFIX == *gan ]] && export ACTIVATED="it is bash"\n'


@pytest.mark.parametrize("script", [FUNCTION, BRACKETS], ids=["function", "brackets"])
def test_scripts_that_are_written_for_bash_run_in_the_images_bash(env: Environment, script: str) -> None:
    (env.scripts / "activate-gcc.sh").write_text(script)
    assert env.values("ACTIVATED") == ["it is bash"]


SCRIPTS = {
    "echo no gcc here >&2\nexit 3": "no gcc here",
    'echo "$CONDA_PREFIX/etc/conda/activate.d/tool.sh: no gcc" >&2\nexit 3': "{script}: no gcc",
    'printf "no newline" >&2\nexit 3': "no newline",
    "exit 3": "",
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_that_ends_the_images_bash_is_to_be_mended(env: Environment, script: str) -> None:
    path = env.scripts / "tool.sh"
    path.write_text(script)
    reason = SCRIPTS[script].format(script=path)
    mend = f"a script of the conda environment ends with exit code 3: mend {path}"
    assert env.tried() == (f"{mend}: {reason}" if reason else mend)


def test_a_script_that_ends_the_shell_does_not_pass_for_the_program(env: Environment) -> None:
    path = env.scripts / "tool.sh"
    path.write_text("exit 0\n")
    assert env.tried() == f"a script of the conda environment ends with exit code 1: mend {path}"


@pytest.mark.parametrize(
    "script", [FUNCTION, *SCRIPTS], ids=["function", "says", "names itself", "no newline", "silent"]
)
def test_a_script_that_ends_the_shell_of_an_image_without_bash_asks_for_one(
    env: Environment, script: str
) -> None:
    path = env.scripts / "tool.sh"
    path.write_text(script)
    env.harbour.engine.offer("env")
    said = env.tried()
    cure = "has no bash, and its /bin/sh stops at a script of the conda environment: install bash there: "
    assert said.startswith(f"{env.harbour.image} {cure}")
    reason = said.partition("install bash there: ")[2]
    if script == FUNCTION:
        assert str(path) in reason
        assert "syntax error" in reason.lower()
    else:
        assert reason == (SCRIPTS[script].format(script=path) or f"/bin/sh ends in {path}")


def test_scripts_that_end_as_they_should_leave_the_shell_to_the_program(env: Environment) -> None:
    (env.scripts / "a.sh").write_text("false\n")
    (env.scripts / "b.sh").write_text("echo quiet >/dev/null; return 3\n")
    assert env.tried() == ""
    assert env.run("sh -c 'echo went on'")[1] == "went on\n"


def test_the_images_bash_reads_no_startup_file(env: Environment, tmp_path: Path) -> None:
    (tmp_path / "startup").write_text("echo noise; export NOISE=yes\n")
    _, said = env.run("sh -c 'echo $BASH_ENV $NOISE'", APPTAINERENV_BASH_ENV=f"{tmp_path}/startup")
    assert said == f"{tmp_path}/startup\n"


def test_an_image_without_bash_activates_in_its_own_shell(env: Environment) -> None:
    (env.scripts / "tool.sh").write_text("command -v bash >/dev/null || export WITHOUT=bash\n")
    env.keep({"MINE": "kept"})
    env.harbour.engine.offer("env")
    assert env.values("MINE", "WITHOUT") == ["kept", "bash"]


def test_the_words_and_the_library_are_the_jobs(env: Environment) -> None:
    (env.scripts / "paths.sh").write_text("export PYTHONPATH=/of/the/package\n")
    library = env.harbour.scratch / "hpcsubmit" / "runs" / "r20260131-235959-a2b3" / "python"
    assert env.values("PYTHONPATH") == [f"/of/the/package:{library}"]
    show = "python -c 'import sys; print(ascii(sys.argv[1:]))'"
    assert env.run(f"""{show} 'a  b' "" '*' '$HOME' -n --""")[1] == "['a  b', '', '*', '$HOME', '-n', '--']\n"


def test_its_own_variables_are_set_as_conda_keeps_them(env: Environment) -> None:
    packages = env.prefix / "etc" / "conda" / "env_vars.d"
    packages.mkdir()
    (packages / "tool.json").write_text('{"TOOL": "of the package", "BOTH": "package", "NUMBER": 3}')
    assert env.values("TOOL", "BOTH", "NUMBER") == ["of the package", "package", "3"]
    env.keep({"DATA_ROOT": "it's $HOME `id`\nnew", "BOTH": "mine", "GONE": "***unset***"})
    (env.scripts / "tool.sh").write_text('export SEEN="$DATA_ROOT"\n')
    found = env.values("TOOL", "BOTH", "NUMBER", "DATA_ROOT", "GONE", "SEEN")
    text = "it's $HOME `id`\nnew"
    assert found == ["of the package", "mine", "3", text, None, text]


def test_an_environment_without_variables_needs_no_python_that_starts_there(env: Environment) -> None:
    (env.prefix / "bin" / "python").unlink()
    (env.prefix / "bin" / "python").write_text("#!/bin/sh\nexit 1\n")
    (env.prefix / "bin" / "python").chmod(0o755)
    assert env.run("sh -c 'echo $CONDA_DEFAULT_ENV'")[1] == "my gan\n"


def test_what_the_command_itself_assigns_stays(env: Environment) -> None:
    env.keep({"DATA_ROOT": "/kept", "MINE": "kept"})
    assert env.values("DATA_ROOT", "MINE", before="DATA_ROOT='/of the command'") == [
        "/of the command",
        "kept",
    ]


def test_what_the_job_passes_on_stays_and_what_it_does_not_is_the_environments(env: Environment) -> None:
    names = ("SEED", "CUDA_VISIBLE_DEVICES", "SENT", "WANDB_MODE", "DATA_ROOT")
    env.keep(dict.fromkeys(names, "of conda"))
    command = f"python -c '{VALUES}' {' '.join(names)}"
    said = env.run(command, "SENT", SEED="42", CUDA_VISIBLE_DEVICES="2", SENT="mine", WANDB_MODE="offline")[1]
    assert json.loads(said) == ["42", "2", "mine", "offline", "of conda"]


def test_its_secrets_stand_in_no_command_line(env: Environment) -> None:
    env.keep({"TOKEN": SECRET})
    start, said = env.run("sh -c 'cat /proc/$$/cmdline /proc/$PPID/cmdline; echo; echo $TOKEN'")
    argvs, value = said.replace("\0", " ").splitlines()[:-1], said.splitlines()[-1]
    assert value == SECRET
    assert not any(SECRET in text for text in (*argvs, *start.argv, *start.words))
