"""Times and durations as Slurm prints them."""

import time


def timestamp(seconds: float | None) -> str:
    """Unix time as local time, `2026-11-21T04:26:05`; Unknown for None."""
    return "Unknown" if seconds is None else time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(seconds))


def padded(seconds: float | None) -> str:
    """A duration as scontrol prints it, `1-02:03:04`, `00:00:05`; UNLIMITED for None."""
    if seconds is None:
        return "UNLIMITED"
    days, hours, minutes, rest = _split(seconds)
    return f"{f'{days}-' if days else ''}{hours:02}:{minutes:02}:{rest:02}"


def short(seconds: float | None) -> str:
    """A duration as squeue prints it, `1-02:03:04`, `1:02:03`, `0:05`; UNLIMITED for None."""
    if seconds is None:
        return "UNLIMITED"
    days, hours, minutes, rest = _split(seconds)
    if days:
        return f"{days}-{hours:02}:{minutes:02}:{rest:02}"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _split(seconds: float) -> tuple[int, int, int, int]:
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return days, hours, minutes, rest


def elapsed(started: float | None, ended: float | None) -> float:
    """Seconds that a job has run, until now where it has not ended."""
    return 0.0 if started is None else (ended or time.time()) - started
