"""Small values: parsed once, always right once they exist, printed exactly.

Each class raises UsageError, with the right form as the hint, when it is built from a value that can never be
right on any cluster. Digits and letters are ASCII throughout: Slurm and file names know no others.
"""

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.frozen import frozen

LARGEST_INT = 1_000_000
_DAY = 24 * 3600
_LONGEST_TIME = 10_000 * _DAY - 1
_LONGEST_NAME = 200

_TIME_HINT = "write days-hours:minutes:seconds, for example 00-01:00:00 for one hour"
_TIME_FORMS = (
    # The forms of sbatch(1), --time, in its order. The first part of each has no upper limit of its own.
    r"(?P<minutes>[0-9]{1,9})(?::(?P<seconds>[0-9]{1,2}))?",
    r"(?P<hours>[0-9]{1,9}):(?P<minutes>[0-9]{1,2}):(?P<seconds>[0-9]{1,2})",
    r"(?P<days>[0-9]{1,9})-(?P<hours>[0-9]{1,2})(?::(?P<minutes>[0-9]{1,2})(?::(?P<seconds>[0-9]{1,2}))?)?",
)
_TIME_UNITS = {"days": _DAY, "hours": 3600, "minutes": 60, "seconds": 1}
_TIME_LIMITS = {"hours": 23, "minutes": 59, "seconds": 59}

_MEMORY = r"([1-9][0-9]{0,8})([GM])"
_LIKELY_MEMORY = r"\s*([1-9][0-9]{0,8})\s*([gGmM])(?:[iI]?[bB])?\s*"

_RUN_ID = (
    r"r[0-9]{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12][0-9]|3[01])"
    r"-(?:[01][0-9]|2[0-3])[0-5][0-9][0-5][0-9]-[a-z2-7]{4}"
)
_BASE32 = "abcdefghijklmnopqrstuvwxyz234567"
DRY_RUN = "DRY-RUN"
"""Stands for the id in a script that is only shown."""

_EXPERIMENT_NAME = r"(?:[A-Za-z0-9_][A-Za-z0-9._-]*)?"
_POSITIVE_INT = r"0*[1-9][0-9]{0,6}"

OURS = ("virtual_env", ".hpcsubmit-inbox", ".hpcsubmit-container")
"""What the scripts put below SLURM_TMPDIR themselves."""
_WORKDIR = (".hpcsubmit-container", "work")  # which a program in a container writes to, with --workdir
_FILLED_IN = r"[$*?]|\A~"  # what a shell would; names with [ and ] are common: Hydra's `lr=[0.1]`

_BYTE_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")
_NEXT_UNIT = 999.5  # what would be rounded to 1000
_TWO_DIGITS = 9.95  # what would be rounded to 10.0


@frozen
class Walltime:
    """A time limit.

    seconds: 1 to 9999 days, 23:59:59; UsageError otherwise.
    """

    seconds: int

    def __post_init__(self) -> None:
        if not 0 < self.seconds <= _LONGEST_TIME:
            raise UsageError(f"a time limit of {self.seconds} seconds is not possible", _TIME_HINT)

    @classmethod
    def parse(cls, text: str) -> "Walltime":
        """Read any form that sbatch takes; `60` is 60 minutes. Raises UsageError."""
        found = next((match for form in _TIME_FORMS if (match := re.fullmatch(form, text))), None)
        if not found:
            raise UsageError(f"{text!r} is not a time", _TIME_HINT)
        parts = {unit: int(digits) for unit, digits in found.groupdict().items() if digits}
        for unit, number in list(parts.items())[1:]:
            if number > _TIME_LIMITS[unit]:
                raise UsageError(f"{text!r} is not a time: it has {number} {unit}", _TIME_HINT)
        seconds = sum(number * _TIME_UNITS[unit] for unit, number in parts.items())
        if not 0 < seconds <= _LONGEST_TIME:
            problem = "longer than 9999 days" if seconds else "no time at all"
            raise UsageError(f"{text!r} is {problem}", _TIME_HINT)
        return cls(seconds=seconds)

    def __lt__(self, other: "Walltime") -> bool:
        return self.seconds < other.seconds

    def __str__(self) -> str:
        days, rest = divmod(self.seconds, _DAY)
        return f"{days:02}-{rest // 3600:02}:{rest // 60 % 60:02}:{rest % 60:02}"


@frozen
class Memory:
    """An amount of memory, kept in the unit that it was given in.

    amount: greater than 0, in unit; UsageError otherwise.
    unit: Slurm's letter: G is 1024 M, M is 1024 * 1024 bytes.
    """

    amount: int
    unit: Literal["G", "M"]

    def __post_init__(self) -> None:
        if not re.fullmatch(_MEMORY, str(self)):
            raise UsageError(f"{str(self)!r} is not an amount of memory", "write 10G or 10000M, for example")

    @classmethod
    def parse(cls, text: str) -> "Memory":
        """Read an integer and `G` or `M`. Raises UsageError."""
        found = re.fullmatch(_MEMORY, text)
        if not found:
            likely = re.fullmatch(_LIKELY_MEMORY, text)
            right = likely[1] + likely[2].upper() if likely else "10G or 10000M, for example"
            raise UsageError(f"{text!r} is not an amount of memory", f"write {right}")
        return cls(amount=int(found[1]), unit="G" if found[2] == "G" else "M")

    @property
    def megabytes(self) -> int:
        """The amount in Slurm's M."""
        return self.amount * (1024 if self.unit == "G" else 1)

    def __str__(self) -> str:
        return f"{self.amount}{self.unit}"


def new_run_id(now: datetime, random: bytes) -> str:
    """Name a submission made now (an aware time), told apart by 4 random bytes; ValueError otherwise.

    The name is `rYYYYMMDD-HHMMSS-xxxx`, in UTC with four base32 characters: names sort by time.
    """
    if now.tzinfo is None or len(random) != 4:
        raise ValueError("a run id is made of an aware time and 4 random bytes")
    # 32 divides 256: every character is equally likely.
    tail = "".join(_BASE32[byte % 32] for byte in random)
    return f"r{now.astimezone(UTC):%Y%m%d-%H%M%S}-{tail}"


def is_run_id(text: str) -> bool:
    """Whether text has the form of a submission's id; DRY_RUN has not."""
    return bool(re.fullmatch(_RUN_ID, text))


def experiment_name(text: str) -> str:
    """Return what the user calls the experiment, which names folders, jobs and logs; "" is a name too.

    Raises UsageError but for letters, digits, `.`, `_` and `-`, at most 200, not beginning with `.` or `-`.
    """
    if not re.fullmatch(_EXPERIMENT_NAME, text):
        hint = "use letters, digits, . _ and -, and begin with a letter, a digit or _"
        raise UsageError(f"{text!r} is not an experiment name", hint)
    if len(text) > _LONGEST_NAME:
        hint = f"use at most {_LONGEST_NAME} characters: the name is part of file names"
        raise UsageError(f"the experiment name has {len(text)} characters", hint)
    return text


def positive_int(text: str, option: str) -> int:
    """Read a number from 1 to LARGEST_INT; option is named in the message. Raises UsageError."""
    number = int(text) if re.fullmatch(_POSITIVE_INT, text) else 0
    if not 0 < number <= LARGEST_INT:
        raise UsageError(
            f"{option} {text!r} is not a number from 1 to {LARGEST_INT}", f"write {option} 2, say"
        )
    return number


def script_path(path: Path, what: str) -> Path:
    """Return path, once it is sure that it can stand in a job script; what names it in the message.

    Raises HpcSubmitError for a relative path, for a newline or a backslash (sbatch drops backslashes even in
    single quotes, and ends an option at the line's end), and for bytes that are not UTF-8.
    """
    text = str(path)
    if not path.is_absolute():
        raise HpcSubmitError(f"the path of {what} is not absolute: {text!r}", "give it from / on")
    inside = next(filter(None, map(_refused, text)), "")
    if inside:
        raise HpcSubmitError(f"the path of {what} holds {inside}: {text!r}", "rename the folder or file")
    return path


def _refused(character: str) -> str:
    """What a character is that cannot stand in a job script; "" for one that can."""
    if "\ud800" <= character <= "\udfff":  # as which Python reads them
        return "bytes that are not UTF-8"
    return {"\n": "a newline", "\r": "a line end", "\\": "a backslash", "\x00": "a NUL"}.get(character, "")


def bytes_text(number: int) -> str:
    """Print a number of bytes (0 or more) for people: `205 MB`, `1.2 GB`; a unit is 1000 of the one before.

    Two digits at least, so that at most a twentieth is rounded away.
    """
    amount, unit = float(number), 0
    while amount >= _NEXT_UNIT and unit < len(_BYTE_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    digits = 1 if unit and amount < _TWO_DIGITS else 0
    return f"{amount:.{digits}f} {_BYTE_UNITS[unit]}"


def nearest_path(path: Path) -> Path | None:
    """Return the path that someone may have meant by one that is not there; None where nothing is near.

    The first part of it that is missing is compared with what lies beside it; the rest is left out.
    """
    import difflib  # late: for mistakes alone

    there = next(folder for folder in path.parents if folder.exists())
    wanted = path.relative_to(there).parts[0]
    try:
        beside = [each.name for each in there.iterdir()]
    except OSError:
        return None
    near = difflib.get_close_matches(wanted, beside, n=1, cutoff=0.6)
    return there / near[0] if near else None


def path_on_node(text: str) -> str:
    """Read a path below SLURM_TMPDIR; returns it without that name, and without needless dots and slashes.

    Raises UsageError where it is absolute, leaves the folder, is the whole of it, is no single line, holds
    what nobody fills in there, or is what the scripts put there themselves.
    """
    below = text.removeprefix("$SLURM_TMPDIR/").removeprefix("${SLURM_TMPDIR}/")
    whole = text in ("$SLURM_TMPDIR", "${SLURM_TMPDIR}")
    parts = [part for part in below.split("/") if part not in ("", ".")]
    if text.startswith("/") or whole or not parts or ".." in parts or "\n" in text or "\\" in text:
        raise UsageError(f"--collect cannot be {text!r}", "write a path below $SLURM_TMPDIR, such as results")
    if found := re.search(_FILLED_IN, below):
        folder = below[: found.start()].rpartition("/")[0]
        raise UsageError(
            f"--collect cannot be {text!r}: patterns and variables are not filled in on the node",
            f"name the folder: {folder or 'results, say'}",
        )
    if parts[0] in OURS and parts[:2] != list(_WORKDIR):
        raise UsageError(
            f"--collect cannot be {text!r}: hpcsubmit itself puts things there, below $SLURM_TMPDIR",
            "let the program write into a folder of its own, and name that: results, say",
        )
    return "/".join(parts)
