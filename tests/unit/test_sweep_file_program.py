"""A sweep file whose program cannot start: refused where it surely is not there, else a warning."""

from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweep_file.program import check_start
from sandbox import Sandbox
from sweep_desk import SweepDesk
from sweep_files import Write

END = "method: grid\nparameters: {lr: [1, 2]}"


@pytest.fixture
def write(tmp_path: Path) -> Write:
    root = tmp_path / "gan"
    (root / "src" / "my tools").mkdir(parents=True)
    for name in ("train.py", "src/deep.py", "src/my tools/run"):
        (root / name).write_text("print()\n")
    return Write(root / "sweeper.yml")


def there(root: Path) -> str:
    return f"which is not there: trials run in {root}"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("program: trian.py", "line 1: program is 'trian.py', {there}", "did you mean train.py?"),
        ("program: src/dep.py", "line 1: program is 'src/dep.py', {there}", "did you mean src/deep.py?"),
        (
            "program: no/such.py",
            "line 1: program is 'no/such.py', {there}",
            "name a script by its path from there: program: src/train.py",
        ),
        (
            "program: python -u train.py",
            "line 1: program is 'python -u train.py', {there}",
            "name the script alone, as it is started with python: train.py",
        ),
        (
            "command: [python, -u, -W, ignore, trian.py, '${args}']",
            "line 1: command[4] is 'trian.py', {there}",
            "did you mean train.py?",
        ),
        (
            "program: trian.py\ncommand: [env, A=1, torchrun, '${program}']",
            "line 1: program is 'trian.py', {there}",
            "did you mean train.py?",
        ),
        (
            "program: python -uW ignore train.py",
            "line 1: program is 'python -uW ignore train.py', {there}",
            "name the script alone, as it is started with python: train.py",
        ),
        (
            "program: nohup python train.py",
            "line 1: program is 'nohup python train.py', {there}",
            "name the script alone, as it is started with python: train.py",
        ),
        (
            "program: python -um pkg.train",
            "line 1: program is 'python -um pkg.train', {there}",
            "write its words into command: [python, -um, pkg.train, '${args}']",
        ),
        (
            "command: [python, python -m pkg.train, '${args}']",
            "line 1: command[1] is 'python -m pkg.train', {there}",
            "write each word by itself: [python, -m, pkg.train, ...]",
        ),
        (
            "command: [python, -uW, ignore, trian.py, '${args}']",
            "line 1: command[3] is 'trian.py', {there}",
            "did you mean train.py?",
        ),
        (
            "command: [python, -Ximporttime, trian.py]",
            "line 1: command[2] is 'trian.py', {there}",
            "did you mean train.py?",
        ),
        (
            "command: [python, --check-hash-based-pycs, never, '--', trian.py]",
            "line 1: command[4] is 'trian.py', {there}",
            "did you mean train.py?",
        ),
        (
            "command: ['python train.py', '${args}']",
            "line 1: command[0] is 'python train.py', one word, and no program is called that",
            "write each word by itself: [python, train.py, ...]",
        ),
        (
            "command: ['${env}', 'python  -u train.py']",
            "line 1: command[1] is 'python  -u train.py', one word, and no program is called that",
            "write each word by itself: [python, -u, train.py, ...]",
        ),
        (
            "command: ['${program}', '${args}']\nprogram: python train.py",
            "line 2: program is 'python train.py', one word, and no program is called that",
            "write its words into command: [python, train.py, '${args}']",
        ),
    ],
)
def test_a_program_that_is_not_there_is_refused(text: str, message: str, hint: str, write: Write) -> None:
    root = write.path.parent
    file = write.one(END, f"{text}\n")
    expected = f"{write.path}, {message.replace('{there}', there(root))}"
    with pytest.raises(HpcSubmitError) as caught:
        check_start(file, root, sure=True)
    assert (caught.value.message, caught.value.hint) == (expected, hint)
    assert check_start(file, root, sure=False) == (f"{expected}; {hint}",)


@pytest.mark.parametrize(
    "text",
    [
        "program: train.py",
        "program: src/deep.py\ncommand: ['${env}', '${interpreter}', -u, '${program}', '${args}']",
        "program: src",  # a folder may hold a __main__.py
        "program: pkg.train\ncommand: [python, -m, '${program}']",
        "command: [python, -um, pkg.train]",
        "command: [python, -mpkg.train]",
        "command: [python, -uW, ignore, train.py, '${args}']",
        "command: [python, -Ximporttime, train.py]",
        "command: [python, --check-hash-based-pycs, never, '--', train.py]",
        "command: [python, -V, trian.py]",
        "command: [python, -c, 'import x']",
        "command: [python, '-']",
        "command: [python]",
        "command: [python, '${args}']",
        "command: [python, '${envvar:SOURCE_DIR}/no.py']",
        "command: ['src/my tools/run', '${args}']",
        "command: ['${envvar:SOURCE_DIR}/my run']",
        "command: [env, -u, A, 'x y']",
        "program: nope\ncommand: [poetry, run, '${program}']",
        "program: trian.py\ncommand: [python, train.py, '${args}']",
    ],
)
def test_what_is_there_or_may_be_is_not_warned_of(text: str, write: Write) -> None:
    assert check_start(write.one(END, f"{text}\n"), write.path.parent, sure=True) == ()


LONG = "n" * 300
"""More than the 255 bytes that a file's name has at most."""
BY_PATH = "name a script by its path from there: program: src/train.py"


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (f"program: {LONG}.py", f"line 1: program is '{LONG}.py', {{there}}", "did you mean train.py?"),
        (f"program: {LONG}/x.py", f"line 1: program is '{LONG}/x.py', {{there}}", BY_PATH),
        (f"program: {'d/' * 3000}x.py", f"line 1: program is '{'d/' * 3000}x.py', {{there}}", BY_PATH),
        (
            f"program: python -u {LONG}.py",
            f"line 1: program is 'python -u {LONG}.py', {{there}}",
            f"name the script alone, as it is started with python: {LONG}.py",
        ),
        (f"program: a {LONG}/x", f"line 1: program is 'a {LONG}/x', {{there}}", BY_PATH),
        (
            f"command: ['{LONG} train.py', '${{args}}']",
            f"line 1: command[0] is '{LONG} train.py', one word, and no program is called that",
            f"write each word by itself: [{LONG}, train.py, ...]",
        ),
    ],
    ids=["name", "folder", "path", "words", "folder of words", "first word"],
)
def test_a_name_that_no_file_can_have_is_not_there(text: str, message: str, hint: str, write: Write) -> None:
    root = write.path.parent
    with pytest.raises(HpcSubmitError) as caught:
        check_start(write.one(END, f"{text}\n"), root, sure=True)
    assert caught.value.message == f"{write.path}, {message.replace('{there}', there(root))}"
    assert caught.value.hint == hint


def test_a_first_word_that_no_file_can_be_called_is_the_nodes_matter(write: Write) -> None:
    file = write.one(END, f"program: train.py\ncommand: ['{LONG}', '${{program}}']\n")
    assert check_start(file, write.path.parent, sure=True) == ()


@pytest.mark.parametrize("argv", [("run",), ("run", "--offline"), ("run", "--dry-run")])
def test_sweep_run_refuses_a_long_name_in_one_line(sandbox: Sandbox, argv: tuple[str, ...]) -> None:
    desk = SweepDesk(sandbox)
    path = desk.file(f"program: {LONG}/x.py\nmethod: grid\nparameters: {{lr: [1, 2]}}\n")
    said = sandbox.refuses("sweep", *argv)
    assert said.error == f"{path}, line 1: program is '{LONG}/x.py', {there(sandbox.project)}"
    assert said.hint == BY_PATH


def test_a_path_that_the_nodes_alone_may_have_is_warned_of(write: Write) -> None:
    file = write.one(END, "program: /no/such/train.py\n")
    (found,) = check_start(file, write.path.parent, sure=True)
    assert found.startswith(f"{write.path}, line 1: program is '/no/such/train.py', which is not there: ")


def test_a_program_beside_the_file_is_named_as_the_project_sees_it(write: Write) -> None:
    root = write.path.parent
    below = Write(root / "src" / "sweeper.yml")
    with pytest.raises(HpcSubmitError) as caught:
        check_start(below.one(END, "program: deep.py\n"), root, sure=True)
    assert caught.value.hint == "write it as that folder sees it: src/deep.py"


@pytest.mark.parametrize("argv", [(), ("--offline",)])
def test_sweep_run_refuses_it_and_in_a_container_warns(sandbox: Sandbox, argv: tuple[str, ...]) -> None:
    desk = SweepDesk(sandbox)
    path = desk.file("program: mian.py\nmethod: grid\nparameters: {lr: [1, 2]}\n")
    problem = f"{path}, line 1: program is 'mian.py', {there(sandbox.project)}"
    said = sandbox.refuses("sweep", "run", *argv)
    assert (said.error, said.hint) == (problem, "did you mean main.py?")
    assert desk.wandb.asked() == []
    (sandbox.project / "box" / ".singularity.d").mkdir(parents=True)
    said = desk.submits("sweep", "run", *argv, "-s", "box", "--dry-run")
    assert f"warning: {problem}; did you mean main.py?\n" in said.stderr


def test_sweep_create_warns_of_it(sandbox: Sandbox) -> None:
    desk = SweepDesk(sandbox)
    path = desk.file("program: mian.py\nmethod: grid\nparameters: {lr: [1, 2]}\n")
    said = desk.submits("sweep", "create")
    assert f"warning: {path}, line 1: program is 'mian.py', {there(sandbox.project)}; did you" in said.stderr
