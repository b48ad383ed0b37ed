"""How far the packing is, for whoever shows it."""

from typing import Protocol

from hpcsubmit.values import bytes_text

_WIDTH = 24
_MINUTE, _HOUR = 60, 3600


class Progress(Protocol):
    """What packing tells while it works."""

    def advanced(self, done: int, total: int) -> None:
        """Tell that `done` of `total` bytes are packed."""

    def waits(self) -> None:
        """Tell that another submission packs in this store, and that this one waits for it."""


def progress_text(done: int, total: int, seconds: float) -> str:
    """Return a line with a bar, the bytes, the rate and the time left, `seconds` after the beginning."""
    share = min(done / total, 1) if total else 1.0
    filled = int(share * _WIDTH)
    bar = "#" * filled + "." * (_WIDTH - filled)
    line = f"[{bar}] {bytes_text(done)} of {bytes_text(total)}"
    if not done or seconds <= 0:
        return line
    left = (total - done) * seconds / done
    return f"{line}, {bytes_text(round(done / seconds))}/s, {_time_text(left)} left"


def _time_text(seconds: float) -> str:
    whole = max(0, round(seconds))
    if whole < _MINUTE:
        return f"{whole} s"
    if whole < _HOUR:
        return f"{whole // _MINUTE} min {whole % _MINUTE} s"
    return f"{whole // _HOUR} h {whole % _HOUR // _MINUTE} min"
