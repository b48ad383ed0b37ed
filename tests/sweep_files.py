"""A sweep file of a test: written, read, and refused."""

from pathlib import Path
from textwrap import dedent

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.sweep_file.reading import SweepFile, read_sweep_file

HEAD = "program: train.py\nmethod: grid\n"
RANDOM = "program: train.py\nmethod: random\n"
COMPOSITE = """\
parameters:
  epochs: 15
  lr: [0.1, 0.2]
  _num_nodes: 2
  subtests:
    base, small:
      hidden: [16, 32]
    adam:
      lr: 0.001
      _num_agents: 4
    as it is:
"""


class Write:
    """Writes the sweep file of a test, and reads it."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def all(self, text: str, head: str = HEAD) -> tuple[SweepFile, ...]:
        self.path.write_text(head + dedent(text), "utf-8")
        return read_sweep_file(self.path)

    def one(self, text: str, head: str = HEAD) -> SweepFile:
        (file,) = self.all(text, head)
        return file

    def refused(self, text: str, head: str = HEAD) -> tuple[str, str]:
        """The message, without the name of the file before it, and the hint."""
        with pytest.raises(HpcSubmitError) as caught:
            self.all(text, head)
        assert caught.value.exit_code == 1
        assert caught.value.message.startswith(str(self.path))
        return caught.value.message.removeprefix(str(self.path)).lstrip(",: "), caught.value.hint
