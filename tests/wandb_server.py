"""A stand-in for the wandb server that the real wandb client works against: sweeps, agents, runs, files.

    python tests/wandb_server.py --port 0 --key KEY --store FILE

prints `ready http://ADDRESS:PORT`; GET /_state tells all that it holds. A key has 40 characters or more, or
the client refuses it by itself. In tests: `with wandb_server(key=KEY) as server:`.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from wandb_service.account import LOST_AFTER, Account
from wandb_service.door import Door

if TYPE_CHECKING:
    from collections.abc import Iterator

KEY = "standin0" * 5
"""A key of the form that the client accepts; a test that looks for leaks makes its own."""


@dataclass(frozen=True)
class WandbServer:
    """A server that runs in this process. url: what WANDB_BASE_URL must be."""

    url: str
    account: Account

    def state(self) -> dict[str, Any]:
        """All that it holds, as GET /_state tells it."""
        with self.account.lock:
            self.account.settle()
            return self.account.state()


@contextmanager
def wandb_server(
    *,
    key: str = KEY,
    address: str = "127.0.0.1",
    port: int = 0,
    entities: tuple[str, ...] = (),
    store: Path | None = None,
    lost_after: float = LOST_AFTER,
) -> Iterator[WandbServer]:
    """Serve while the block lasts. port: 0 takes a free one; for the rest see Account."""
    account = Account(entities=entities, store=store, lost_after=lost_after)
    with Door((address, port), account, frozenset({key})) as door:
        thread = threading.Thread(target=door.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield WandbServer(url=f"http://{address}:{door.server_address[1]}", account=account)
        finally:
            door.shutdown()
            thread.join()


def main() -> None:
    parser = argparse.ArgumentParser(description="A stand-in for the wandb server.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--address", default="127.0.0.1")
    parser.add_argument("--key", default=KEY)
    parser.add_argument("--entity", action="append", default=[], help="a team of the user; without, any")
    parser.add_argument("--store", type=Path, help="the file that keeps what the server holds")
    parser.add_argument("--lost-after", type=float, default=LOST_AFTER, help="seconds until a run is crashed")
    given = parser.parse_args()
    # The whole process group of a test may be told to end; both signals end the wait below.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with wandb_server(
        key=given.key, address=given.address, port=given.port, entities=tuple(given.entity),
        store=given.store, lost_after=given.lost_after,
    ) as server:  # fmt: skip
        try:
            sys.stdout.write(f"ready {server.url}\n")
            sys.stdout.flush()
            while True:
                time.sleep(1)  # a signal just before signal.pause() would be lost
        except KeyboardInterrupt:
            server.account.keep()


if __name__ == "__main__":
    main()
