"""A real browser without a window, which loads a page and says what became of it."""

import fcntl
import json
import os
import re
import shutil
import socketserver
import subprocess
import tempfile
import threading
import time
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-dev-shm-usage",  # which is small in many containers
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--window-size=1200,2400",
    "--virtual-time-budget=10000",
    "--enable-logging=stderr",
)
NAMES = ("chromium", "chromium-browser", "google-chrome")

# Before anything of the page's own: collects what goes wrong.
COLLECTS = """<script>
window.wrongs = [];
addEventListener("error", (event) => wrongs.push(String(event.message)));
addEventListener("unhandledrejection", (event) => wrongs.push(String(event.reason)));
document.addEventListener("securitypolicyviolation", (event) => wrongs.push("asks for " + event.blockedURI));
</script>"""
# After everything: `report` is what the test's script returns; what it set going may end before it is told.
REPORTS = """<script>
addEventListener("load", () => {
  const report = (() => { %s })();
  setTimeout(() => {
    const told = document.createElement("pre");
    told.id = "told";
    told.textContent = encodeURIComponent(JSON.stringify({ report, wrongs }));
    document.body.append(told);
  }, 200);
});
</script>"""


@cache
def browser() -> str:
    """The program; root on Debian installs it, everybody else skips the test without it."""
    with Path(tempfile.gettempdir(), f"hpcsubmit-browser-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found, why = next(filter(None, map(shutil.which, NAMES)), None), ""
        if found is None and os.getuid() == 0 and shutil.which("apt-get"):
            why = _install()
            found = shutil.which("chromium")
    if found is None:
        pytest.skip(f"no chromium here, and only root on Debian can install it{why}")
    return found


@cache
def _install() -> str:
    """Install Chromium, again where an index or apt's lock was not to be had for a moment; what is wrong."""
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    patient = ("apt-get", "-q", "-o", "Acquire::Retries=5", "-o", "DPkg::Lock::Timeout=300")
    for pause in (15, 60, 120, 0):
        # A source that fails may not be one that is needed here.
        subprocess.run([*patient, "update"], env=environ, capture_output=True, timeout=600)
        words = ("install", "-y", "--no-install-recommends", "chromium")
        done = subprocess.run(
            [*patient, *words],
            env=environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=1800,
        )
        if done.returncode == 0:
            return ""
        time.sleep(pause)
    return f": {done.stdout[-2000:]}"


@contextmanager
def _proxy() -> Iterator[tuple[int, list[str]]]:
    """A proxy that refuses everything; its port, and the first line of each thing that it was asked for."""
    asked: list[str] = []

    class Refuse(socketserver.StreamRequestHandler):
        timeout = 5

        def handle(self) -> None:
            asked_for = self.rfile.readline(1000).decode("latin-1").strip()
            if not asked_for:  # opened in case that something is asked for, and closed
                return
            asked.append(asked_for)
            while self.rfile.readline(10_000).strip():  # what is left unread would reset the connection
                pass
            self.wfile.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Refuse) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield server.server_address[1], asked
        finally:
            server.shutdown()


def _of_the_browser(line: str) -> bool:
    """Whether Chromium asked this for itself: for updates and the time, which no flag of it stops."""
    host = re.sub(r"^[A-Z]+ (?:https?://)?([^/: ]*).*", r"\1", line)
    return host.endswith((".google.com", ".googleapis.com", ".gvt1.com")) and not host.startswith("fonts.")


def visit(page: Path, script: str, tmp_path: Path, *, address: str = "") -> dict[str, Any]:
    """Load a page and run a script in it, which returns a report.

    The answer: report; asked, what the page asked the network for, all of which a proxy of ours refuses;
    wrongs, errors of its scripts and what its policy forbade; console, the lines it wrote there; dom, the
    page as it then is.
    """
    copy = tmp_path / f"visited-{page.name}"
    text = page.read_text("utf-8").replace("<head>", f"<head>{COLLECTS}", 1)
    copy.write_text(text.replace("</body>", f"{REPORTS % script}</body>", 1), "utf-8")
    sandbox = ("--no-sandbox",) if os.getuid() == 0 else ()
    # Its helpers may still write into its folder when it has ended.
    made = tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True)
    with made as folder, _proxy() as (port, asked):
        proxy = (f"--proxy-server=http://127.0.0.1:{port}", "--proxy-bypass-list=<-loopback>")
        done = subprocess.run(
            [
                *(browser(), *FLAGS, *sandbox, *proxy, f"--user-data-dir={folder}", "--dump-dom"),
                f"{copy.as_uri()}{address}",
            ],
            env={"PATH": os.environ["PATH"], "HOME": folder},
            capture_output=True,
            text=True,
            timeout=600,
        )
    told = re.search(r'<pre id="told">(.*?)</pre>', done.stdout)
    assert told, (done.returncode, done.stdout[-500:], done.stderr[-2000:])
    answer: dict[str, Any] = json.loads(urllib.parse.unquote(told[1]))
    console = [line for line in done.stderr.splitlines() if ":CONSOLE" in line]
    return {
        **answer,
        "asked": [line for line in asked if not _of_the_browser(line)],
        "console": console,
        "dom": done.stdout,
    }
