"""What is installed: the lines that Pipfile, Pipfile.lock, requirements.txt and uv.lock come to."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsubmit.environments.packages import OUTDATED, Packages, hide_credentials, packages_of
from hpcsubmit.environments.sources import Source, find_source
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from wheels import make_wheel

HOST = Host(environ={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"})
UV = str(Path(sys.executable).with_name("uv"))


def write(root: Path, **files: str) -> Source:
    """Write files, `_` in their names standing for `.`, and say which of them counts."""
    for name, text in files.items():
        path = root / name.replace("__", "/").replace("_", ".")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    found = find_source(root)
    assert found is not None
    return found


def packages(root: Path, *, wheelhouse: bool = False, uv: str = UV, **files: str) -> Packages:
    return packages_of(write(root, **files), root, HOST, uv=uv, wheelhouse=wheelhouse)


def lock(**packages: object) -> str:
    sources = [{"name": "pypi", "url": "https://pypi.org/simple", "verify_ssl": True}]
    return json.dumps({"_meta": {"sources": sources}, "default": packages, "develop": {"no": {}}})


def test_a_pipfile_wins_over_requirements_and_these_over_uv(tmp_path: Path) -> None:
    assert find_source(tmp_path) is None
    assert write(tmp_path, pyproject_toml="", uv_lock="").path.name == "uv.lock"
    assert write(tmp_path, requirements_txt="").path.name == "requirements.txt"
    assert write(tmp_path, Pipfile="").path.name == "Pipfile"
    (tmp_path / "Pipfile").unlink()
    (tmp_path / "requirements.txt").unlink()
    (tmp_path / "pyproject.toml").unlink()
    assert find_source(tmp_path) is None, "a lock without its project"


@pytest.mark.parametrize(
    ("entry", "line"),
    [
        ('six = "*"', "six"),
        ('six = "==1.16.0"', "six==1.16.0"),
        ('six = ">=1.10,<2"', "six>=1.10,<2"),
        ('six = "~=1.1"', "six~=1.1"),
        ('six = {version = "*"}', "six"),
        ('six = {version = "==1.16", extras = ["a", "b"]}', "six[a,b]==1.16"),
        ("six = {version = '*', markers = \"python_version < '3.9'\"}", "six ; python_version < '3.9'"),
        ("six = {version = '*', sys_platform = \"== 'win32'\"}", "six ; sys_platform == 'win32'"),
        (
            "six = {markers = 'a or b', os_name = \"== 'nt'\", platform_system = \"!= 'x'\"}",
            "six ; (a or b) and os_name == 'nt' and platform_system != 'x'",
        ),
        ('six = {git = "https://x.org/six.git", ref = "v1"}', "six @ git+https://x.org/six.git@v1"),
        (
            'six = {git = "git+https://x.org/six.git", subdirectory = "a/b", extras = ["c"]}',
            "six[c] @ git+https://x.org/six.git#subdirectory=a/b",
        ),
        (
            'six = {git = "git@x.org:me/six.git", editable = true, subdirectory = "a"}',
            "-e git+ssh://git@x.org/me/six.git#egg=six&subdirectory=a",
        ),
        ('six = {hg = "https://x.org/six"}', "six @ hg+https://x.org/six"),
        ('six = {path = ".", editable = true}', "-e ."),
        ('six = {path = "libs", editable = true, extras = ["x"]}', "-e ./libs[x]"),
        ('six = {path = "./libs/six"}', "./libs/six"),
        ('six = {file = "https://x.org/six-1.whl"}', "six @ https://x.org/six-1.whl"),
        ('"ruamel.yaml" = "*"', "ruamel.yaml"),
    ],
)
def test_each_form_of_a_pipfile_is_a_line(tmp_path: Path, entry: str, line: str) -> None:
    text = f'[packages]\n{entry}\n[dev-packages]\nblack = "*"\n[requires]\npython_version = "3.11"\n'
    assert packages(tmp_path, Pipfile=text) == Packages(((line,),), python="3.11")


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        (
            '[packages]\nsix = "1.2"\n',
            'Pipfile: six = "1.2" is no version',
            'write six = "==1.2", or "*" for any',
        ),
        ("[packages]\nsix = 3\n", "six is neither a version nor a table", "mend it so that pipenv reads it"),
        ('[packages]\nsix = "==1\\n--index-url x"\n', "six holds more than one line", "mend it"),
        ("[packages\n", "Pipfile cannot be read: ", "mend it so that pipenv reads it"),
        ("packages = 1\n", "Pipfile cannot be read: [packages] is no table", "mend it"),
    ],
)
def test_a_mistake_in_a_pipfile_is_named(tmp_path: Path, text: str, message: str, hint: str) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        packages(tmp_path, Pipfile=text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_a_pipfile_lock_counts_in_the_place_of_the_pipfile(tmp_path: Path) -> None:
    text = lock(
        six={"hashes": ["sha256:aa", "sha256:bb"], "version": "==1.16.0", "index": "pypi", "extras": ["x"],
             "markers": "python_version >= '3'"},
        numpy={"hashes": ["sha256:cc"], "version": "==2.0"},
        mine={"git": "https://x.org/mine.git", "ref": "0a1b"},
        here={"path": ".", "editable": True},
    )  # fmt: skip
    hashed = (
        "six[x]==1.16.0 ; python_version >= '3' --hash=sha256:aa --hash=sha256:bb",
        "numpy==2.0 --hash=sha256:cc",
    )
    others = ("mine @ git+https://x.org/mine.git@0a1b", "-e .")
    found = packages(tmp_path, Pipfile="[packages]\nother = '*'\n", Pipfile_lock=text)
    assert found == Packages((hashed, others))


PIPFILE = """[[source]]
name = "pypi"
url = "https://pypi.org/simple"
verify_ssl = true
[packages]
six = "*"
numpy = {version = ">=1.20", extras = ["x"]}
[dev-packages]
black = "*"
[docs]
sphinx = "*"
[requires]
python_version = "3.11"
[scripts]
go = "python main.py"
"""
HASH = "a7e8348afcdd47b0a4ac1662939d88438dc0330e7d5b58ade91054e9fa2ea2ae"
"""Of that Pipfile, as plette 2.4.0 (pipenv's own library) says."""


@pytest.mark.parametrize(
    ("pipfile", "outdated"), [(PIPFILE, ""), (PIPFILE.replace('"*"', '"==1"'), OUTDATED)]
)
def test_a_lock_that_is_older_than_its_pipfile_counts_with_a_note(
    tmp_path: Path, pipfile: str, outdated: str
) -> None:
    text = json.dumps({"_meta": {"hash": {"sha256": HASH}}, "default": {"six": {"version": "==1.16"}}})
    found = packages(tmp_path, Pipfile=pipfile, Pipfile_lock=text)
    assert found == Packages((("six==1.16",),), python="3.11", note=outdated)


def test_a_wheelhouse_has_no_indexes_and_no_hashes(tmp_path: Path) -> None:
    text = lock(six={"hashes": ["sha256:aa", "sha256:bb"], "version": "==1.16.0", "markers": "a == 'b'"})
    found = packages(tmp_path, wheelhouse=True, Pipfile="", Pipfile_lock=text)
    assert found == Packages((("six==1.16.0 ; a == 'b'",),))
    (tmp_path / "Pipfile").unlink()
    listed = "--index-url https://x.org\n-i=https://y.org\n--extra-index-url https://z.org\n--no-index\n"
    listed += "--require-hashes\nsix==1 \\\n    --hash=sha256:aa \\\n    --hash sha256:bb\n--pre\n"
    assert packages(tmp_path, wheelhouse=True, requirements_txt=listed) == Packages((("six==1", "--pre"),))


def test_the_indexes_of_a_pipfile_count_and_pypi_is_what_pip_itself_takes(tmp_path: Path) -> None:
    sources = "".join(
        f'[[source]]\nname = "{n}"\nurl = "{url}"\nverify_ssl = true\n'
        for n, url in enumerate(["https://pypi.org/simple", "https://x.org/simple", "https://y.org/s"])
    )
    found = packages(tmp_path, Pipfile=sources + "[packages]\nsix = '*'\n")
    assert found.requirements == (
        ("--extra-index-url https://x.org/simple", "--extra-index-url https://y.org/s", "six"),
    )
    mirror = sources.replace("https://pypi.org/simple", "https://mirror.org/simple")
    found = packages(tmp_path, Pipfile=mirror + "[packages]\n")
    assert found.requirements[0][0] == "--index-url https://mirror.org/simple"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"default": []}', '{"default": {"six": 1}}'])
def test_a_damaged_lock_is_an_error(tmp_path: Path, text: str) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        packages(tmp_path, Pipfile="", Pipfile_lock=text)
    assert caught.value.message.startswith("Pipfile.lock cannot be read: ")
    assert caught.value.hint == "write it anew with pipenv lock"


def test_a_requirements_file_is_read_with_what_it_includes(tmp_path: Path) -> None:
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "wheels dir").mkdir()
    found = packages(
        tmp_path,
        requirements_txt="# all\n-r more/base.txt\n\ntorch  # the newest\n-c 'limits.txt'\n-e .\n"
        "git+https://x.org/y.git#egg=y\n-r https://x.org/list.txt\n-r more/base.txt\n",
        more__base_txt="--find-links 'wheels dir'\n--find-links https://x.org/w\nnumpy\\\n >=2\n"
        "--constraint=../other.txt\n",
        limits_txt="torch<3\n-r other.txt\n",
        other_txt="numpy<3\n",
    )
    assert found.requirements == (
        (
            f"--find-links '{tmp_path}/more/wheels dir'",
            "--find-links https://x.org/w",
            "numpy >=2",
            "torch",
            "-e .",
            "git+https://x.org/y.git#egg=y",
            "-r https://x.org/list.txt",
        ),
    )
    assert found.constraints == ("numpy<3", "torch<3")


def test_a_list_that_is_included_and_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        packages(tmp_path, requirements_txt="-r base.txt\n")
    assert caught.value.message == f"{tmp_path}/base.txt cannot be read: No such file or directory"
    assert caught.value.hint == "check that it is there, and its permissions"


PYPROJECT = """[project]
name = "mine"
version = "1"
requires-python = ">=3.9"
dependencies = ["alpha"]
[build-system]
requires = []
build-backend = "x"
[dependency-groups]
dev = ["gamma"]
[tool.uv]
no-index = true
find-links = ["wheels"]
"""


@pytest.fixture
def locked(tmp_path: Path) -> Path:
    """A project with a real uv.lock."""
    for name, version, *requires in (("alpha", "1.0", "beta"), ("beta", "2.0"), ("gamma", "3.0")):
        make_wheel(tmp_path / "wheels", name, version, *requires)
    (tmp_path / "pyproject.toml").write_text(PYPROJECT)
    environ = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path / "home")}
    subprocess.run([UV, "lock", "--quiet"], cwd=tmp_path, env=environ, check=True, timeout=60)
    return tmp_path


def test_uv_reads_its_lock_without_the_packages_of_developers(locked: Path) -> None:
    found = packages(locked)
    assert found.requirements == (("--find-links wheels", "-e .", "alpha==1.0", "beta==2.0"),)
    assert packages(locked, wheelhouse=True).requirements == (("-e .", "alpha==1.0", "beta==2.0"),)


def test_a_lock_of_uv_without_uv_names_the_extra(locked: Path) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        packages(locked, uv="")
    assert caught.value.message == f"{locked}/uv.lock can be read by uv alone, and there is no uv"
    assert caught.value.hint.startswith("pip install 'hpcsubmit[uv]', or ")


def test_a_lock_that_uv_cannot_read_is_an_error_with_its_words(locked: Path) -> None:
    (locked / "uv.lock").write_text("version = 'x'\n")
    with pytest.raises(HpcSubmitError) as caught:
        packages(locked)
    assert caught.value.message.startswith(f"uv cannot read {locked}/uv.lock: ")
    assert "parse" in caught.value.message
    assert caught.value.hint == "mend it with uv lock, and submit again"


def test_credentials_become_variables_each_once() -> None:
    first = ("--index-url https://me:s3cret@x.org/simple", "a @ git+https://tok3n@x.org/a.git")
    second = ("--extra-index-url=https://me:s3cret@y.org", "-e git+ssh://git@x.org/b.git#egg=b", "c")
    given = Packages((first, second), ("-r https://${USER}:${KEY}@x.org/l.txt",))
    hidden = hide_credentials(given, ("--find-links https://tok3n@x.org",))
    assert hidden.requirements == (
        (
            "--index-url https://${HPCSUBMIT_CREDENTIALS_1}@x.org/simple",
            "a @ git+https://${HPCSUBMIT_CREDENTIALS_2}@x.org/a.git",
        ),
        ("--extra-index-url=https://${HPCSUBMIT_CREDENTIALS_1}@y.org", *second[1:]),
    )
    assert hidden.constraints == given.constraints
    assert hidden.wheelhouse == ("--find-links https://${HPCSUBMIT_CREDENTIALS_2}@x.org",)
    assert dict(hidden.credentials) == {
        "HPCSUBMIT_CREDENTIALS_1": "me:s3cret",
        "HPCSUBMIT_CREDENTIALS_2": "tok3n",
    }
