"""What a project's files say of its packages, as far as the definition of an image must know it."""

import json

import pytest

from hpcsubmit.containers.definition import default_base
from hpcsubmit.containers.packages import Packages, packages_in


@pytest.mark.parametrize(
    ("asked", "python"),
    [
        ("", 12),
        ("3.11", 11),
        ("3.9.7", 9),
        (">=3.8", 12),
        (">=3.13", 13),
        ("==3.11.*", 11),
        ("~=3.10", 10),
        (">=3.9,<3.12", 11),
        (">=3.9, <=3.11", 11),
        (">=3.11,<4", 12),
        ("!=3.12.1,>=3.10", 12),
    ],
)
def test_the_default_base_has_the_python_that_the_files_ask_for(asked: str, python: int) -> None:
    assert str(default_base(Packages((), python=asked))) == f"docker://python:3.{python}-slim"


def test_without_files_the_default_base_has_the_usual_python() -> None:
    assert str(default_base(None)) == "docker://python:3.12-slim"


@pytest.mark.parametrize(
    ("line", "torch"),
    [
        ("torch", True),
        ("  Torch == 2.9.1 # the newest", True),
        ("torch[opt-einsum]>=2 ; python_version > '3'", True),
        ("pytorch_lightning", True),
        ("torchvision~=0.20", True),
        ("torch @ https://download.pytorch.org/whl/cu128/torch.whl", True),
        ("torchmetrics", False),
        ("# torch", False),
        ("--extra-index-url https://download.pytorch.org/whl/cpu", False),
        ("my-torch", False),
    ],
)
def test_pytorch_is_found_in_a_list(line: str, torch: bool) -> None:
    assert packages_in([("requirements.txt", f"numpy\n{line}\n".encode())]).torch is torch


def test_folders_and_repositories_are_found_in_a_list() -> None:
    folders = "-e .\n./a\n../b[x]\n/c\n--editable=d\n"
    others = "-e git+https://x/y\nz @ git+ssh://git@x/z\n--extra-index-url u\n-r e\n"
    found = packages_in([("requirements.txt", f"{folders}{others}".encode())])
    assert found.folders == ("-e .", "./a", "../b[x]", "/c", "--editable=d")
    assert found.git
    assert not packages_in([("requirements.txt", b"gitpython\n")]).git


def test_a_pipfile_counts_without_its_packages_for_development() -> None:
    pipfile = (
        b'[packages]\nclick = "*"\nmine = {path = "./mine", editable = true}\nother = {git = "https://x/y"}\n'
        b'[dev-packages]\ntorch = "*"\n[requires]\npython_version = "3.10"\n'
    )
    assert packages_in([("Pipfile", pipfile)]) == Packages(
        ("Pipfile",),
        tool="pipenv",
        hashed=True,
        folders=("mine = {'path': './mine', 'editable': True}",),
        git=True,
        python="3.10",
    )
    lock = {"default": {"torch": {"hashes": ["x"]}}, "develop": {"y": {"git": "z"}}}
    found = packages_in([("Pipfile", b"[packages]\n"), ("Pipfile.lock", json.dumps(lock).encode())])
    assert found == Packages(("Pipfile", "Pipfile.lock"), tool="pipenv", locked=True, hashed=True, torch=True)


def test_a_lock_of_uv_tells_of_all_its_packages() -> None:
    lock = (
        b'requires-python = ">=3.13"\n[[package]]\nname = "gan"\nsource = { editable = "." }\n'
        b'[[package]]\nname = "torch"\nsource = { registry = "https://pypi.org/simple" }\n'
        b'[[package]]\nname = "x"\nsource = { git = "https://x/y?rev=1" }\n'
    )
    assert packages_in([("uv.lock", lock), ("pyproject.toml", b"")]) == Packages(
        ("uv.lock", "pyproject.toml"), tool="uv", folders=("gan",), torch=True, git=True, python=">=3.13"
    )
    virtual = b'requires-python = ">=3.11"\n[[package]]\nname = "gan"\nsource = { virtual = "." }\n'
    assert packages_in([("uv.lock", virtual)]).folders == ()
