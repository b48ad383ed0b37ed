"""Numbers and values as people read them."""

import json
import math
from typing import Any

_WHOLE = 1e9


def number_text(number: float | None) -> str:
    """Print a number with five significant digits, a whole one below 10**9 with all of them; `-` for None."""
    if number is None:
        return "-"
    if math.isfinite(number) and number == int(number) and abs(number) < _WHOLE:
        return str(int(number))
    return f"{number:.5g}"


def value_text(value: Any) -> str:
    """Print the value of a parameter: text as it is, on one line, everything else as JSON has it."""
    if isinstance(value, str):
        return " ".join(value.splitlines()) if value else '""'
    if isinstance(value, float):
        return f"{value:.5g}"
    return json.dumps(value, ensure_ascii=False, default=str)


def seconds_text(seconds: float | None) -> str:
    """Print a time as hours:minutes:seconds; `-` for None."""
    if seconds is None:
        return "-"
    whole = round(seconds)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
