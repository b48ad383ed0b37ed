"""The HTTP side of the stand-in wandb server: who may ask, and where each request goes."""

from __future__ import annotations

import base64
import gzip
import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final
from urllib.parse import unquote

from wandb_service.account import Account, NotFoundError, RefusedError
from wandb_service.operations import answer

_OPERATION: Final = re.compile(r"\b(?:query|mutation)\s+(\w+)")
_STREAM: Final = re.compile(r"/files/([^/]+)/([^/]+)/([^/]+)/file_stream")
_FILE: Final = re.compile(r"/storage/([^/]+)/([^/]+)/([^/]+)/(.+)")


class Door(ThreadingHTTPServer):
    """Serves one account to those who have one of the keys."""

    daemon_threads = True
    request_queue_size = 128

    def __init__(self, place: tuple[str, int], account: Account, keys: frozenset[str]) -> None:
        super().__init__(place, Visitor)
        self.account = account
        self.keys = keys

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of clients that leave while they are answered: programs here are killed."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class Visitor(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server: Door

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its own word
        """Say nothing: what was asked for is in /_state."""

    def do_GET(self) -> None:
        with self.server.account.lock:
            if self.path == "/_state":
                self.server.account.settle()
                self._say(200, self.server.account.state())
            elif found := self._file():
                self._send(200, found)
            else:
                self._say(404, {"error": "not found"})

    def do_PUT(self) -> None:
        body, match = self._body(), _FILE.fullmatch(unquote(self.path))
        with self.server.account.lock:
            run = self.server.account.run(match[1], match[2], match[3]) if match else None
            if run is None or match is None:
                self._say(404, {"error": "not found"})
                return
            run.files[match[4]] = body.decode(errors="replace")
            self._say(200, {})

    def do_POST(self) -> None:
        body = self._body()
        if self.path.startswith("/sdk/"):  # the client's own statistics, which come without a key
            self._say(200, {})
        elif not self._allowed():
            self._say(401, {"errors": [{"message": "user is not logged in"}]})
        elif self.path == "/graphql":
            self._graphql(json.loads(body))
        elif match := _STREAM.fullmatch(unquote(self.path)):
            self._stream(match[1], match[2], match[3], json.loads(body))
        else:
            self._say(404, {"error": "not found"})

    def _graphql(self, asked: dict[str, Any]) -> None:
        account, match = self.server.account, _OPERATION.search(asked["query"])
        name = match[1] if match else ""
        with account.lock:
            account.asked[name] += 1
            try:
                data = answer(account, name, asked.get("variables") or {}, self._base)
            except NotFoundError as error:
                self._refuse(404, str(error))
                return
            except RefusedError as error:
                self._refuse(400, str(error))
                return
            if data is None:
                account.unknown.append(name)
                self._refuse(400, f"the stand-in does not know the operation {name}")
                return
            self._say(200, {"data": data})

    def _stream(self, entity: str, project: str, name: str, stream: dict[str, Any]) -> None:
        account = self.server.account
        with account.lock:
            run = account.run(entity, project, name)
            if run is None:
                self._say(404, {"error": "run not found"})
                return
            account.take(run, stream)
            self._say(200, {"stopped": run.stop_asked})

    def _file(self) -> bytes | None:
        match = _FILE.fullmatch(unquote(self.path))
        run = self.server.account.run(match[1], match[2], match[3]) if match else None
        return run.files[match[4]].encode() if run and match and match[4] in run.files else None

    @property
    def _base(self) -> str:
        return f"http://{self.headers.get('Host')}"

    def _allowed(self) -> bool:
        """Whether Basic authentication brings a key; the user's name is always `api`."""
        kind, _, secret = (self.headers.get("Authorization") or "").partition(" ")
        if kind != "Basic":
            return False
        return base64.b64decode(secret).decode(errors="replace").partition(":")[2] in self.server.keys

    def _body(self) -> bytes:
        if "chunked" in (self.headers.get("Transfer-Encoding") or ""):
            body = b"".join(iter(self._chunk, b""))
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _chunk(self) -> bytes:
        chunk = self.rfile.read(int(self.rfile.readline().split(b";")[0], 16))
        self.rfile.readline()
        return chunk

    def _refuse(self, code: int, message: str) -> None:
        self._say(code, {"errors": [{"message": message}], "data": None})

    def _say(self, code: int, answer: dict[str, Any]) -> None:
        self._send(code, json.dumps(answer).encode())

    def _send(self, code: int, body: bytes) -> None:
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
