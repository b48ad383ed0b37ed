"""`srun --label`: every line of a task's output with the task's number in front of it."""

import os
from collections.abc import Collection
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Stream:
    label: bytes
    target: int
    partial: bytes = b""


@dataclass(slots=True)
class LabelledOutput:
    """The pipes between the tasks and srun's own stdout and stderr."""

    _streams: dict[int, _Stream] = field(default_factory=dict)

    def open(self, label: str) -> tuple[int, int]:
        """Two files for a task's stdout and stderr. The caller closes them once the task has started."""
        return self._pipe(label, 1), self._pipe(label, 2)

    def _pipe(self, label: str, target: int) -> int:
        reader, writer = os.pipe()
        os.set_blocking(reader, False)
        self._streams[reader] = _Stream(f"{label}: ".encode(), target)
        return writer

    @property
    def files(self) -> Collection[int]:
        """The files to wait for."""
        return self._streams.keys()

    def copy(self, readable: Collection[int]) -> None:
        """Writes the whole lines that have come."""
        for reader in readable:
            stream = self._streams[reader]
            chunk = os.read(reader, 65536)
            *lines, stream.partial = (stream.partial + chunk).split(b"\n")
            if not chunk and stream.partial:
                lines.append(stream.partial)
            _write(stream.target, b"".join(stream.label + line + b"\n" for line in lines))
            if not chunk:
                del self._streams[reader]
                os.close(reader)

    def close(self) -> None:
        """Writes what is left. The tasks have ended, and with them all that could write more."""
        while self._streams:
            try:
                self.copy(list(self._streams))
            except BlockingIOError:  # a process that could not be killed keeps its end open
                return


def _write(target: int, text: bytes) -> None:
    while text:
        text = text[os.write(target, text) :]
