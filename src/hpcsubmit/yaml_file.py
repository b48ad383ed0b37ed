"""Reads a YAML file, with libyaml where PyYAML was built with it."""

from pathlib import Path
from typing import Any

import yaml

from hpcsubmit.errors import HpcSubmitError


def read_yaml(path: Path) -> Any:
    """Return what a small YAML file holds; raises HpcSubmitError with the line of a mistake."""
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        with path.open(encoding="utf-8") as file:
            return yaml.load(file, loader)  # noqa: S506 - both are safe loaders
    except OSError as error:
        raise HpcSubmitError(
            f"{path} cannot be read: {error.strerror}", "check that it is a readable file"
        ) from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        problem = getattr(error, "problem", None) or str(error).splitlines()[0]
        raise HpcSubmitError(
            f"{path}{where} is not YAML: {problem}", "check its indentation, quotes and colons"
        ) from error
