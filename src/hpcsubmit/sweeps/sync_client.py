"""Runs `wandb sync` for one folder after another in one process: Python and wandb are loaded once.

hpcsubmit never imports this file: it starts it with a Python that has wandb. Its stdin is one JSON object:
{"folders": [...], "options": [...]}, options being those of `wandb sync`. For each folder it writes a line of
JSON to stdout: {"folder": ..., "said": what wandb said}. Python 3.9 or newer; written for wandb 0.30.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys


def _sync(folder: str, options: list[str]) -> str:
    """Upload one folder as the command does; return what it says."""
    from wandb.cli.cli import cli

    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            cli.main(args=["sync", *options, folder], standalone_mode=False)
        except (Exception, SystemExit) as error:  # noqa: BLE001 - the next folder is tried all the same
            said.write(f"\nwandb: ERROR {error or type(error).__name__}\n")
    return said.getvalue()


def main() -> None:
    """Do what the request on stdin says."""
    # The modules beside this file must not stand for Python's own of the same names, such as statistics.
    own = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120 - nothing is imported before this
    sys.path[:] = [path for path in sys.path if os.path.abspath(path or ".") != own]  # noqa: PTH100
    request = json.load(sys.stdin)
    for folder in request["folders"]:
        said = _sync(folder, request["options"])
        sys.stdout.write("\n" + json.dumps({"folder": folder, "said": said}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
