"""`python -m hpcsubmit` and the `hpcsubmit` command."""

import sys


def main() -> None:
    """Run the command line and end the process with its exit code."""
    from hpcsubmit.cli.main import run  # late: the import is part of what the boundary guards

    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
