"""The password of a package index: the build gets it, and nothing that stays or is seen holds it."""

import base64
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from builds import environments, installed, run, without_environment, without_uv
from sandbox import HPCSUBMIT, Sandbox


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    return without_environment(sandbox)


class Index(http.server.BaseHTTPRequestHandler):
    """A package index that wants a password, and looks at all command lines while it is asked."""

    wheels: Path
    password: str
    seen: set[str]

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        for path in Path("/proc").glob("[0-9]*/cmdline"):
            try:
                self.seen.add(path.read_text(errors="replace"))
            except OSError:
                continue
        wanted = "Basic " + base64.b64encode(f"me:{self.password}".encode()).decode()
        if self.headers.get("Authorization") != wanted:
            self.reply(401, b"", with_body=with_body)
        elif self.path.endswith(".whl"):
            self.reply(200, (self.wheels / Path(self.path).name).read_bytes(), with_body=with_body)
        else:
            names = [path.name for path in self.wheels.glob(f"{Path(self.path).name}-*.whl")]
            page = "".join(f'<a href="/files/{name}">{name}</a>' for name in names)
            self.reply(200 if names else 404, page.encode(), with_body=with_body)

    def reply(self, code: int, content: bytes, *, with_body: bool) -> None:
        self.send_response(code)
        if code == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if with_body:
            self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture
def index(bare: Sandbox) -> Iterator[tuple[str, set[str]]]:
    """The address of an index that holds the wheels, with user and password; the command lines it saw."""
    seen: set[str] = set()
    handler = type("Handler", (Index,), {"wheels": bare.root / "wheels", "password": "s3cr3t", "seen": seen})
    for name in ("PIP_FIND_LINKS", "PIP_NO_INDEX"):
        del bare.environ[name]
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://me:s3cr3t@127.0.0.1:{server.server_address[1]}/simple", seen
        server.shutdown()


@pytest.mark.parametrize("builder", ["uv", "pip"])
@pytest.mark.parametrize("place", ["environment", "list", "pip.conf"])
def test_the_password_of_an_index_is_written_nowhere(
    bare: Sandbox, index: tuple[str, set[str]], builder: str, place: str
) -> None:
    address, seen = index
    tool = HPCSUBMIT if builder == "uv" else without_uv(bare)
    if place == "environment":
        bare.environ["PIP_INDEX_URL"] = address
    elif place == "list":
        bare.write(f"--index-url {address}\nalpha\n", bare.project / "requirements.txt")
    else:
        bare.environ["PIP_CONFIG_FILE"] = str(bare.root / "pip.conf")
        bare.write(f"[global]\nindex-url = {address}\n", bare.root / "pip.conf")
    said = run(bare, tool=tool)
    assert said.code == 0, said.stderr
    (path,) = environments(bare)
    assert installed(path) == f"alpha-tool 1.0 {path}"
    assert len(seen) > 2
    assert not [line for line in tuple(seen) if "s3cr3t" in line]  # a thread may still add to it
    assert "s3cr3t" not in said.stdout + said.stderr
    assert "s3cr3t" not in run(bare, "env", "--rebuild", "--dry-run", tool=tool).stdout
    folders = (bare.project / ".virtual_envs", bare.scratch)
    files = [file for folder in folders for file in folder.rglob("*") if file.is_file()]
    assert len(files) > 10
    assert not [file for file in files if b"s3cr3t" in file.read_bytes()]
