"""pip's own settings, which uv ignores, as lines and variables that uv reads."""

import os
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from hpcsubmit.environments import pip_settings
from hpcsubmit.environments.pip_settings import constraints, files, settings, translate

PROGRAM = Path(pip_settings.__file__)


@pytest.mark.parametrize("named", [True, False])
def test_the_settings_are_those_that_pip_itself_finds(tmp_path: Path, *, named: bool) -> None:
    """What overrides what, asked of the real pip: the last of its layers counts."""
    (tmp_path / ".config" / "pip").mkdir(parents=True)
    (tmp_path / ".pip").mkdir()
    (tmp_path / "xdg" / "pip").mkdir(parents=True)
    (tmp_path / "xdg" / "pip" / "pip.conf").write_text("[global]\nindex-url = everyone\nproxy = everyone\n")
    (tmp_path / ".pip" / "pip.conf").write_text(
        "[global]\nindex-url = old\nfind-links = /old\nno-index = 1\n"
    )
    user = "[global]\nindex-url = user\nextra-index-url =\n  a\n  b\n[install]\nfind-links = /install\n"
    (tmp_path / ".config" / "pip" / "pip.conf").write_text(user)
    (tmp_path / "named.conf").write_text("[global]\nindex-url = named\ncert = /named\n[list]\nformat = x\n")
    environ = {
        "PATH": "/usr/bin:/bin",
        "HOME": str(tmp_path),
        "XDG_CONFIG_DIRS": str(tmp_path / "xdg"),
        "PIP_CONFIG_FILE": str(tmp_path / ("named.conf" if named else "missing.conf")),
        "PIP_CERT": "/environ",
        "PIP_EXTRA_INDEX_URL": "",
    }
    done = subprocess.run(
        ["/usr/bin/python3", "-m", "pip", "config", "list"],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    said = dict(line.split("=", 1) for line in done.stdout.splitlines())
    pips: dict[str, str] = {}
    for layer in ("global.", "install.", ":env:."):
        pips |= {k.removeprefix(layer): v.strip("'") for k, v in said.items() if k.startswith(layer)}
    found = settings(environ, "/usr")
    for name in ("index-url", "find-links", "no-index", "proxy", "cert"):
        assert found.get(name) == pips.get(name), name
    assert found["cert"] == "/environ"
    assert (found["index-url"], found.get("find-links")) == (
        ("named", None) if named else ("user", "/install")
    )
    assert found.get("extra-index-url", "").split() == ([] if named else ["a", "b"])


def test_the_null_device_switches_the_files_off() -> None:
    assert files({"PIP_CONFIG_FILE": os.devnull, "HOME": "/h"}, "/p") == []
    found = settings({"PIP_CONFIG_FILE": os.devnull, "HOME": "/h", "PIP_FIND_LINKS": "/w"}, "/p")
    assert found["find-links"] == "/w"


def test_a_file_that_is_none_is_left_out_with_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pip.conf").write_text("no section\n")
    environ = {"PIP_CONFIG_FILE": str(tmp_path / "pip.conf"), "HOME": "/h", "XDG_CONFIG_DIRS": "/none"}
    settings(environ, "/none")
    assert f"hpcsubmit: {tmp_path}/pip.conf is left out: " in capsys.readouterr().err


def test_each_setting_becomes_what_uv_understands(tmp_path: Path) -> None:
    found = {
        "no-index": "true",
        "index-url": "https://me:s3cret@x.org/simple",
        "extra-index-url": "https://y.org/simple\n  https://tok3n@z.org/simple",
        "find-links": f"{tmp_path} https://w.org",
        "cert": "/c.pem",
        "trusted-host": "a b",
        "constraint": "c.txt /d.txt",
        "only-binary": "numpy,scipy",
        "no-binary": "h5py",
        "client-cert": "/me.pem",
        "proxy": "http://proxy.lab:3128",
        "pre": "true",
        "timeout": "60",
    }
    lines, variables = translate(found, {})
    assert lines == [
        "--no-index",
        "--index-url https://${HPCSUBMIT_INDEX_7}@x.org/simple",
        "--extra-index-url https://y.org/simple",
        "--extra-index-url https://${HPCSUBMIT_INDEX_8}@z.org/simple",
        f"--find-links {shlex.quote(str(tmp_path))}",
        "--find-links https://w.org",
        "--only-binary numpy",
        "--only-binary scipy",
        "--no-binary h5py",
    ]
    assert variables == {
        "SSL_CERT_FILE": "/c.pem",
        "UV_INSECURE_HOST": "a b",
        "SSL_CLIENT_CERT": "/me.pem",
        "HTTPS_PROXY": "http://proxy.lab:3128",
        "HTTP_PROXY": "http://proxy.lab:3128",
        "UV_PRERELEASE": "allow",
        "HPCSUBMIT_INDEX_7": "me:s3cret",
        "HPCSUBMIT_INDEX_8": "tok3n",
    }
    assert constraints(found) == ["c.txt", "/d.txt"]


def test_what_the_user_set_for_uv_itself_stays(tmp_path: Path) -> None:
    found = {
        "no-index": "1",
        "index-url": "https://x.org",
        "extra-index-url": "https://y.org",
        "find-links": str(tmp_path),
        "cert": "/c.pem",
        "trusted-host": "a",
        "client-cert": "/me.pem",
        "proxy": "http://proxy.lab:3128",
        "pre": "1",
    }
    own = (
        "UV_NO_INDEX",
        "UV_DEFAULT_INDEX",
        "UV_INDEX",
        "UV_FIND_LINKS",
        "SSL_CERT_FILE",
        "UV_INSECURE_HOST",
        "SSL_CLIENT_CERT",
        "https_proxy",
        "UV_PRERELEASE",
    )
    assert translate(found, dict.fromkeys(own, "x")) == ([], {})
    older = ("UV_NO_INDEX", "UV_INDEX_URL", "UV_EXTRA_INDEX_URL", "UV_FIND_LINKS", "SSL_CERT_FILE")
    others = ("SSL_CLIENT_CERT", "ALL_PROXY", "UV_PRERELEASE")
    assert translate(found, dict.fromkeys((*older, *others), "x")) == ([], {"UV_INSECURE_HOST": "a"})


@pytest.mark.parametrize(("text", "means"), [("0", False), ("false", False), ("", False), ("yes", True)])
def test_no_index_is_a_yes_or_a_no(text: str, means: bool) -> None:
    assert (translate({"no-index": text}, {})[0] == ["--no-index"]) is means


def test_a_place_of_wheels_that_is_not_there_is_left_out_with_a_word(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert translate({"find-links": "/not/there"}, {}) == ([], {})
    said = capsys.readouterr().err
    assert said == "hpcsubmit: find-links /not/there of the settings of pip is not there\n"


def test_the_program_writes_lines_to_a_file_and_bash_to_stdout(tmp_path: Path) -> None:
    """As the build script runs it: its text as an argument of an isolated Python."""
    wheels = tmp_path / "my wheels"
    target = tmp_path / "where.txt"
    target.write_text("--find-links first\n")
    environ = {
        "HOME": str(tmp_path),
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_INDEX_URL": "https://it's:me@x.org/simple",
        "PIP_CONSTRAINT": "a.txt",
    }
    wheels.mkdir()
    done = subprocess.run(
        [sys.executable, "-I", "-c", PROGRAM.read_text("utf-8"), str(target)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert target.read_text() == (
        "--find-links first\n--index-url https://${HPCSUBMIT_INDEX_1}@x.org/simple\n"
    )
    script = f'constraints=(); {done.stdout}printf "%s\\n" "$HPCSUBMIT_INDEX_1" "${{constraints[@]}}"'
    shown = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60)
    assert shown.stdout == "it's:me\n--constraint\na.txt\n"


def test_the_program_can_stand_in_single_quotes_of_a_script() -> None:
    """And so is legible there."""
    assert "'" not in PROGRAM.read_text("utf-8")
