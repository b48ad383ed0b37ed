"""`python -m hpcsubmit` and the `hpcsubmit` command."""

import gc
import os
import sys


def main() -> None:
    """Run the command line and end the process with its exit code.

    The collector would walk through every class of click and jinja2 several times, and Python's own end
    would take them apart again: together they are a fifth of the time that the command takes.
    """
    gc.disable()
    from hpcsubmit.cli.main import run  # after the line above, which makes it faster

    code = run(sys.argv[1:])
    os._exit(code if _flushed() else code or 1)


def _flushed() -> bool:
    """Write out what is still held back; whether that worked (a pipe may be closed, a disk full)."""
    try:
        for stream in (sys.stdout, sys.stderr):
            if stream:  # None where the caller closed it: there was nobody to tell
                stream.flush()
    except (OSError, ValueError):
        return False
    return True


if __name__ == "__main__":
    main()
