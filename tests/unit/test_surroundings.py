"""The command in odd surroundings: streams that are closed, homes that are missing, locales, other users."""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox import HPCSUBMIT, Said, Sandbox


def in_a_shell(sandbox: Sandbox, line: str, *, cwd: Path | None = None, **environ: str) -> Said:
    """Run a line of bash in which "$@" is the command."""
    done = subprocess.run(
        ["bash", "-c", line, "bash", *HPCSUBMIT],
        cwd=cwd or sandbox.project,
        env=sandbox.environ | environ,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=60,
    )
    assert "Traceback" not in done.stdout + done.stderr
    return Said(done.returncode, done.stdout, done.stderr)


def submissions(sandbox: Sandbox) -> int:
    path = sandbox.root / "sbatch.argv"
    return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.mark.parametrize("streams", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_streams_do_not_stop_a_submission(sandbox: Sandbox, streams: str) -> None:
    said = in_a_shell(sandbox, f'"$@" {streams}')
    assert said.code == 0, said
    assert submissions(sandbox) == 1
    assert said.stdout == ("" if ">&-" in streams.replace("2>&-", "") else "Submitted batch job 4242\n")


def test_a_closed_stdout_does_not_stop_following(sandbox: Sandbox) -> None:
    sandbox.install("squeue", "#!/bin/sh\n")
    sandbox.install("scontrol", "#!/bin/sh\necho 'JobId=4242 JobState=FAILED ExitCode=7:0'\n")
    assert in_a_shell(sandbox, '"$@" --follow >&-').code == 7


@pytest.mark.parametrize("argv", ["--dry-run", "--help", "clusters", "clusters show plai", "runs", "status"])
def test_a_reader_that_leaves_early_is_no_bug(sandbox: Sandbox, argv: str) -> None:
    said = in_a_shell(sandbox, f'"$@" {argv} | head -0; echo "${{PIPESTATUS[0]}}" >&2')
    assert said.stderr.splitlines()[-1] in ("0", "1")
    assert "error" not in said.stderr


def test_a_full_disk_under_stdout_is_an_error_and_no_bug(sandbox: Sandbox) -> None:
    said = in_a_shell(sandbox, '"$@" --dry-run >/dev/full')
    assert (said.code, said.error) == (1, "the output: No space left on device")
    assert said.hint == "check that it is there, its permissions and the space left"
    assert in_a_shell(sandbox, '"$@" -g 0 2>/dev/full').code == 2


def test_a_folder_that_is_gone_is_an_error_for_every_command(sandbox: Sandbox) -> None:
    for argv in ("", "--dry-run", "clusters", "runs", "status", "cancel 3"):
        said = in_a_shell(sandbox, f'mkdir gone && cd gone && rmdir ../gone && "$@" {argv}')
        assert said.code == 1, argv
        assert said.error == "the current folder cannot be used: No such file or directory"
        assert said.hint == "cd to your project and try again"
    assert in_a_shell(sandbox, 'mkdir gone && cd gone && rmdir ../gone && "$@" --help').code == 0


@pytest.mark.parametrize("locale", ["C", "POSIX", "C.UTF-8", "no_SUCH.locale"])
def test_a_non_ascii_project_works_in_every_locale(sandbox: Sandbox, locale: str) -> None:
    project = sandbox.root / "home" / "Zoë"
    sandbox.project.rename(project)
    said = sandbox.hpcsubmit(cwd=project, environ=sandbox.environ | {"LANG": locale, "LC_ALL": locale})
    assert said.code == 0, said
    assert f"--chdir={project}".encode() in (sandbox.root / "submitted.sh").read_bytes().replace(b'"', b"")


def test_bytes_that_are_not_utf8_on_the_command_line_are_no_bug(sandbox: Sandbox) -> None:
    odd = os.fsdecode(b"caf\xe9")
    assert "there is no command" in sandbox.refuses(odd, code=2).error
    assert "is not an experiment name" in sandbox.refuses("-e", odd, code=2).error
    assert "there is no experiment file" in sandbox.refuses("-C", odd).error
    assert "holds more than text" in sandbox.refuses(f"--sbatch-arg=--qos={odd}", code=2).error
    sandbox.write("python main.py\n", sandbox.project / odd)
    assert sandbox.hpcsubmit("-C", odd).code == 0
    assert sandbox.hpcsubmit("runs").code == 0


def test_without_a_home_the_password_file_names_one(sandbox: Sandbox) -> None:
    environ = {name: value for name, value in sandbox.environ.items() if name != "HOME"}
    said = sandbox.hpcsubmit("--dry-run", environ=environ)
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:  # a user without a line in it, as in some containers
        assert (said.code, said.error) == (1, "HOME names no folder: ''")
    else:
        assert said.code == 0


def test_a_home_that_is_no_absolute_path_is_an_error(sandbox: Sandbox) -> None:
    said = sandbox.refuses(HOME="here")
    assert said.error == "HOME names no folder: 'here'"
    assert said.hint == "export HOME=/your/home"


def test_a_read_only_or_missing_home_is_enough(sandbox: Sandbox) -> None:
    for home in ("/proc/nowhere", "/proc/self/fdinfo", "/dev/null"):
        said = sandbox.hpcsubmit(environ=sandbox.environ | {"HOME": home})
        assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n"), said


def test_relative_xdg_folders_are_ignored(sandbox: Sandbox) -> None:
    odd = {"XDG_CACHE_HOME": "cache", "XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state"}
    assert sandbox.hpcsubmit(environ=sandbox.environ | odd).code == 0
    assert not (sandbox.project / "cache").exists()
    assert (sandbox.root / "home" / ".cache" / "hpcsubmit").is_dir()


def test_an_empty_path_and_no_cluster_mean_this_machine(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("--dry-run", environ={"PATH": "", "HOME": str(sandbox.root / "home")})
    assert said.code == 0, said
    assert "local (there is no sbatch on the PATH)" in said.stderr


# What root may read all the same, without the two capabilities that let it.
AS_ORDINARY = (
    'drop=-dac_override,-dac_read_search; exec setpriv --inh-caps=$drop --bounding-set=$drop -- "$@"'
)


def test_what_the_user_may_not_read_is_an_error_and_no_bug(sandbox: Sandbox) -> None:
    line = AS_ORDINARY if os.geteuid() == 0 else 'exec "$@"'
    configuration = sandbox.root / "home" / ".config"
    configuration.mkdir()
    closed = {
        sandbox.experiment: f"{sandbox.experiment} cannot be read: Permission denied",
        configuration: f"{configuration}/hpcsubmit/profiles/generic.yaml: Permission denied",
        sandbox.scratch: f"{sandbox.scratch}/gan",
        sandbox.project / "virtual_env": f"{sandbox.project}/virtual_env/bin/python: Permission denied",
    }
    for path, error in closed.items():
        mode = path.stat().st_mode
        path.chmod(0)
        said = in_a_shell(sandbox, line)
        path.chmod(mode)
        assert said.code == 1, said
        assert said.error.startswith(error), said
        assert said.hint
        assert submissions(sandbox) == 0
    assert in_a_shell(sandbox, line).code == 0


def test_a_name_that_the_system_does_not_take_is_an_error_and_no_bug(sandbox: Sandbox) -> None:
    long = "x" * 300
    for said in (sandbox.refuses(XDG_CONFIG_HOME=f"/{long}"), sandbox.refuses("-C", long)):
        assert said.error.endswith(": File name too long")
        assert said.hint == "check that it is there, its permissions and the space left"


def test_a_bug_ends_with_code_3_and_its_traceback_in_a_file(sandbox: Sandbox) -> None:
    # A module that takes the place of one of ours stands in for the bug.
    broken = sandbox.root / "broken"
    broken.mkdir()
    (broken / "sitecustomize.py").write_text(
        "import sys, types\n"
        "module = types.ModuleType('hpcsubmit.cli.runs')\n"
        "sys.modules['hpcsubmit.cli.runs'] = module  # a module without the command\n"
    )
    environ = sandbox.environ | {"PYTHONPATH": str(broken), "TMPDIR": str(sandbox.root)}
    said = sandbox.hpcsubmit("runs", environ=environ)
    assert (said.code, said.stdout) == (3, "")
    found = re.fullmatch(r"a bug in hpcsubmit: AttributeError; the traceback is in (\S+)", said.error)
    assert found, said
    assert Path(found[1]).parent == sandbox.root
    assert "Traceback (most recent call last)" in Path(found[1]).read_text()
    assert said.hint == "send that file to the developers of hpcsubmit, with the command you typed"
    closed = environ | {"TMPDIR": "/proc/nowhere", "TEMP": "/proc/nowhere", "TMP": "/proc/nowhere"}
    assert sandbox.hpcsubmit("runs", environ=closed).code == 3


def test_a_users_template_with_a_mistake_is_an_error_that_names_it(sandbox: Sandbox) -> None:
    templates = sandbox.root / "home" / ".config" / "hpcsubmit" / "templates"
    for text, error in {
        "{% if %}": f"{templates}/venv.sbatch.j2, line 1: ",
        "{{ plan.nothing }}": f"{templates}: ",
        "{{ plan.notes }}": f"{templates}: a template prints ",
        "{% include 'gone.j2' %}": f"{templates}: 'gone.j2' not found",
    }.items():
        sandbox.write(text, templates / "venv.sbatch.j2")
        said = sandbox.hpcsubmit()
        assert said.code == 1, said
        assert said.error.startswith(error), said
        assert said.hint == "mend your template, or move it away"
    sandbox.write("#!/bin/bash\necho {{ plan.job_name }}\n", templates / "venv.sbatch.j2")
    assert sandbox.hpcsubmit("--dry-run").stdout == "#!/bin/bash\necho standard-gan\n"


def test_the_installed_command_and_the_module_are_the_same(sandbox: Sandbox) -> None:
    command = Path(sys.executable).with_name("hpcsubmit")
    if not command.exists():
        pytest.skip("hpcsubmit is not installed beside this Python")
    said = subprocess.run(
        [command, "--version"], capture_output=True, text=True, env=sandbox.environ, timeout=60
    )
    assert said.stdout == sandbox.hpcsubmit("--version").stdout
