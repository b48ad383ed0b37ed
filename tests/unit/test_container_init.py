"""`hpcsubmit container init`: the definition that is written, and what it refuses."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from image_building import section
from sandbox import Said, Sandbox

SHELLCHECK = Path(sys.executable).with_name("shellcheck")
SOURCES = {
    "none": {},
    "pip": {
        "requirements.txt": "torch\n-e .\n-r 'more/a b.txt'\n",
        "more/a b.txt": "./mine\nx @ git+https://y/z\n",
    },
    "pipenv": {"Pipfile": '[packages]\nclick = "*"\n'},
    "pipenv, locked": {"Pipfile": "[packages]\n", "Pipfile.lock": '{"default": {"a": {"hashes": ["b"]}}}'},
    "uv": {"uv.lock": 'requires-python = ">=3.11"\n', "pyproject.toml": "[project]\n"},
}


def write(sandbox: Sandbox, source: str) -> None:
    for name, text in SOURCES[source].items():
        sandbox.write(text, sandbox.project / name)


def init(sandbox: Sandbox, *argv: str) -> Said:
    return sandbox.hpcsubmit("container", "init", *argv)


def definition(sandbox: Sandbox, *argv: str) -> str:
    said = init(sandbox, "--dry-run", *argv)
    assert said.code == 0, said.stderr
    return said.stdout


def test_a_definition_is_written_into_the_projects_folder_and_its_path_is_the_result(
    sandbox: Sandbox,
) -> None:
    write(sandbox, "pip")
    path = sandbox.project / "container.def"
    before = sandbox.tree()
    shown = init(sandbox, "--dry-run")
    assert shown.code == 0
    assert sandbox.tree() == before
    said = sandbox.hpcsubmit("container", "init", cwd=sandbox.project / "more")
    assert (said.code, said.stdout) == (0, f"{path}\n")
    assert said.stderr == shown.stderr
    assert path.read_text() == shown.stdout
    *rows, warning = said.stderr.splitlines()
    assert rows == [
        f"definition  {path}",
        "base        docker://python:3.12-slim",
        "packages    requirements.txt, more/a b.txt",
        "test        python starts, and imports torch",
    ]
    assert warning == (
        "warning: folders of the project are not in the image: -e ., ./mine; jobs see them where they are, "
        "and PYTHONPATH can name one"
    )


def test_a_definition_that_is_there_is_written_anew_on_demand_alone(sandbox: Sandbox) -> None:
    path = sandbox.project / "container.def"
    path.write_text("edited")
    said = sandbox.refuses("container", "init")
    assert said.error == f"{path} is there already, and may hold edits of yours"
    assert said.hint == (
        "hpcsubmit container init --force writes it anew; --dry-run only shows what that would be"
    )
    assert path.read_text() == "edited"
    assert init(sandbox, "--force").code == 0
    assert path.read_text().startswith("# Written by hpcsubmit ")


def test_the_files_that_list_packages_are_copied_and_those_of_a_folder_left_out(sandbox: Sandbox) -> None:
    write(sandbox, "pip")
    text = definition(sandbox)
    lines = [line.strip() for line in section("files", text).splitlines()]
    assert [line for line in lines if line and not line.startswith("#")] == [
        '"requirements.txt" "/opt/hpcsubmit/build/requirements.txt"',
        '"more/a b.txt" "/opt/hpcsubmit/build/more/a b.txt"',
    ]
    post = section("post", text)
    assert "    pip_install -r requirements.txt\n" in post
    (edit,) = [line.strip() for line in post.splitlines() if line.startswith("    sed -i ")]
    for name, content in SOURCES["pip"].items():
        sandbox.write(
            f"{content}/abs/path\n--editable=x\n-e git+https://a/b#egg=c\nnumpy\n", sandbox.project / name
        )
    subprocess.run(["sh", "-c", edit], cwd=sandbox.project, check=True, timeout=60)
    kept = "-e git+https://a/b#egg=c\nnumpy\n"
    assert (sandbox.project / "requirements.txt").read_text() == f"torch\n-r 'more/a b.txt'\n{kept}"
    assert (sandbox.project / "more/a b.txt").read_text() == f"x @ git+https://y/z\n{kept}"


@pytest.mark.parametrize(
    ("source", "has", "lacks"),
    [
        ("none", ["python --version"], ["%files", "pip install", "import torch", "git"]),
        ("pip", ["import torch; print", "    command -v git || {", "-r requirements.txt"], ["pipenv"]),
        ("pipenv", ["pipenv lock #", "requirements --hash >list.txt", "-r list.txt"], ["import torch", "uv"]),
        ("pipenv, locked", ['"Pipfile.lock"', "pipenv requirements --hash >list.txt"], ["pipenv lock"]),
        ("uv", ["uv export --frozen --no-dev --no-emit-local", "-r list.txt", '"uv.lock"'], ["pipenv"]),
    ],
)
def test_each_kind_of_list_has_its_way_into_the_image(
    sandbox: Sandbox, source: str, has: list[str], lacks: list[str]
) -> None:
    write(sandbox, source)
    text = definition(sandbox)
    for word in has:
        assert word in text
    for word in lacks:
        assert word not in text


def test_a_lock_without_all_hashes_is_installed_without_them(sandbox: Sandbox) -> None:
    write(sandbox, "pipenv, locked")
    lock = {"default": {"a": {"hashes": ["x"]}, "b": {"git": "https://y/z"}}}
    sandbox.write(json.dumps(lock), sandbox.project / "Pipfile.lock")
    text = definition(sandbox)
    assert "    pipenv requirements >list.txt\n" in text
    assert "command -v git || {" in text


def test_a_pipfile_without_lock_is_told(sandbox: Sandbox) -> None:
    write(sandbox, "pipenv")
    note = "note: the Pipfile has no lock, so every build takes the newest versions: pipenv lock fixes them\n"
    assert init(sandbox).stderr.endswith(f"read by     pipenv, for pip\n{note}")


@pytest.mark.parametrize("source", SOURCES)
def test_what_a_definition_runs_is_clean_sh_and_old_python(sandbox: Sandbox, source: str) -> None:
    write(sandbox, source)
    text = definition(sandbox)
    assert "{{" not in text, "apptainer would fill that in"
    for name in ("post", "environment", "runscript", "test"):
        script = sandbox.root / f"{name}.sh"
        script.write_text(f"#!/bin/sh\nset -e\n{section(name, text)}\n")  # as apptainer runs %post
        argv = [str(SHELLCHECK), "--severity=style", "--exclude=SC2016", str(script)]
        found = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert (found.stdout, found.returncode) == ("", 0)
    program = text.split("<<'END'\n")[1].split("\nEND\n")[0]
    ast.parse(program, feature_version=(3, 6))


@pytest.mark.parametrize(
    ("base", "header"),
    [
        ("docker://pytorch/pytorch:2.9.1-cuda12.8", "docker\nFrom: pytorch/pytorch:2.9.1-cuda12.8"),
        ("docker://nvcr.io/nvidia/pytorch:25.01-py3", "docker\nFrom: nvcr.io/nvidia/pytorch:25.01-py3"),
        ("library://me/x/y@sha256.ab", "library\nFrom: me/x/y@sha256.ab"),
        ("oras://ghcr.io/a/b:1", "oras\nFrom: ghcr.io/a/b:1"),
        ("base.sif", "localimage\nFrom: base.sif"),
        ("../up here/base.sif", "localimage\nFrom: {home}/up here/base.sif"),
        ("box", "localimage\nFrom: box"),
        ("{home}/gan/box/", "localimage\nFrom: box"),
    ],
)
def test_an_image_starts_from_what_is_asked_for(sandbox: Sandbox, base: str, header: str) -> None:
    home = sandbox.root / "home"
    for path in (sandbox.project / "base.sif", home / "up here" / "base.sif", sandbox.project / "box/bin/sh"):
        sandbox.write("", path)
    text = definition(sandbox, "--base", base.format(home=home))
    assert f"\nBootstrap: {header.format(home=home)}\n\n" in text


@pytest.mark.parametrize(
    ("base", "code", "error", "hint"),
    [
        ("http://x", 2, "--base cannot be 'http://x'", "write {bases}"),
        ("docker://", 2, "--base cannot be 'docker://'", "write {bases}"),
        ("docker://a b", 2, "--base cannot be 'docker://a b'", "write {bases}"),
        (
            "python:3.12",
            1,
            "--base python:3.12: there is no {root}/python:3.12",
            "for an image of a registry write docker://python:3.12",
        ),
        ("No Such", 1, "--base No Such: there is no {root}/No Such", "write {bases}"),
        ("empty", 1, "--base empty is no sandbox: it has no bin", "write {bases}"),
        ("a.img", 1, "--base a.img is no image: it does not end in .sif", "write {bases}"),
        (
            "a#b.sif",
            1,
            "a definition cannot name 'a#b.sif'",
            "give it a name without #, braces and blanks at its ends",
        ),
    ],
)
def test_what_no_image_can_start_from_is_an_error(
    sandbox: Sandbox, base: str, code: int, error: str, hint: str
) -> None:
    (sandbox.project / "empty").mkdir()
    for name in ("a.img", "a#b.sif"):
        sandbox.write("", sandbox.project / name)
    said = sandbox.refuses("container", "init", "--base", base, code=code)
    bases = "docker://pytorch/pytorch:TAG, library://..., the path of a .sif, or a sandbox folder"
    assert (said.error, said.hint) == (error.format(root=sandbox.project), hint.format(bases=bases))


@pytest.mark.parametrize(
    ("files", "error", "hint"),
    [
        (
            {"requirements.txt": "-r ../common.txt\n", "../common.txt": "numpy\n"},
            "packages are also listed in {home}/common.txt, which is outside the project",
            "copy that file into the project, and include it from there",
        ),
        (
            {"requirements.txt": "-r 'a$b.txt'\n", "a$b.txt": "numpy\n"},
            "a definition cannot name the file 'a$b.txt'",
            "rename it: letters, digits, blanks and . _ - + @ = , are fine",
        ),
        (
            {"Pipfile": "[packages\n"},
            "Pipfile cannot be read: Expected ']' at the end of a table declaration (at line 1, column 10)",
            "mend it, or write it anew",
        ),
        (
            {"Pipfile": "[packages]\n", "Pipfile.lock": ""},
            "Pipfile.lock cannot be read: Expecting value: line 1 column 1 (char 0)",
            "mend it, or write it anew",
        ),
    ],
)
def test_a_list_that_cannot_come_into_an_image_is_an_error(
    sandbox: Sandbox, files: dict[str, str], error: str, hint: str
) -> None:
    for name, text in files.items():
        sandbox.write(text, sandbox.project / name)
    said = sandbox.refuses("container", "init")
    assert (said.error, said.hint) == (error.format(home=sandbox.root / "home"), hint)


def test_a_template_of_the_users_own_takes_the_place_of_ours(sandbox: Sandbox) -> None:
    own = sandbox.root / "home/.config/hpcsubmit/templates/container.def.j2"
    sandbox.write("Bootstrap: {{ plan.base.bootstrap }}\nFrom: {{ plan.base.source }}\n", own)
    assert definition(sandbox, "--base", "docker://a:1") == "Bootstrap: docker\nFrom: a:1\n"
    own.write_text("{{ plan.nothing }}\n")
    said = sandbox.refuses("container", "init")
    assert said.hint == "mend your template, or move it away"
