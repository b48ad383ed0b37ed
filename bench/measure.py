"""What the benchmarks share: environments to measure in, rounds in a random order, and tables."""

import os
import platform
import random
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

BENCH = Path(__file__).resolve().parent
ENVIRONMENTS = BENCH / ".peers"
"""The environments in which something is measured, made on demand."""


@dataclass(slots=True, kw_only=True, eq=False)
class Row:
    """One way to do something, and what was measured of it so far.

    run: does it once and returns the seconds that count; what it sets up and clears away does not.
    beside: the row that its ratio is to. aim: the largest ratio that is hoped for; limit: the most seconds.
    failure: why it cannot be measured, if it cannot.
    """

    name: str
    run: Callable[[], float]
    beside: "Row | None" = None
    aim: float | None = None
    limit: float | None = None
    seconds: list[float] = field(default_factory=list)
    failure: str | None = None

    @property
    def ratio(self) -> float | None:
        """The ratio of the medians, None where there is nothing to compare."""
        if self.beside is None or not self.seconds or not self.beside.seconds:
            return None
        return median(self.seconds) / median(self.beside.seconds)


@dataclass(frozen=True, slots=True, kw_only=True)
class Count:
    """Something that was counted once, in a unit; aim: the most that is hoped for."""

    name: str
    value: float
    unit: str
    aim: float | None = None


def installed(name: str, requirement: str, *, fresh: bool = False) -> Path:
    """Return the bin folder of an environment that holds `requirement`; make it where it is missing.

    fresh: install the requirement, but not what it needs, again: it is a checkout that may have changed.
    """
    folder = ENVIRONMENTS / name
    made_for = folder / "made-for.txt"
    wanted = f"{requirement} on Python {sys.version}\n"
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    if not made_for.is_file() or made_for.read_text() != wanted:
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(folder)], env=environ, check=True)
        subprocess.run([*pip, requirement], env=environ, check=True)
        made_for.write_text(wanted)
    elif fresh:
        subprocess.run([*pip, "--force-reinstall", "--no-deps", requirement], env=environ, check=True)
    packages = next(folder.glob("lib/python*/site-packages"))
    subprocess.run([sys.executable, "-m", "compileall", "-q", str(packages)], env=environ, check=False)
    return folder / "bin"


def timed(argv: Sequence[str | Path], environ: Mapping[str, str], folder: Path = BENCH) -> float:
    """Run a command silently and return its seconds; raises CalledProcessError where it fails."""
    begun = time.perf_counter()
    subprocess.run(
        argv, cwd=folder, env=environ, stdin=subprocess.DEVNULL, capture_output=True, check=True, text=True
    )
    return time.perf_counter() - begun


def measure_rounds(rows: Sequence[Row], rounds: int) -> None:
    """Run all working rows once per round, each time in another order; where one fails, note why."""
    order = random.Random(0)
    for number in range(rounds):
        working = [row for row in rows if row.failure is None]
        order.shuffle(working)
        for at, row in enumerate(working):
            show_progress(f"round {number + 1} of {rounds}, {at + 1} of {len(working)}: {row.name}")
            try:
                row.seconds.append(row.run())
            except subprocess.CalledProcessError as error:
                row.failure = _reason(error)
    show_progress("")


def _reason(error: subprocess.CalledProcessError) -> str:
    said = str(error.stderr or error.stdout or "").strip().splitlines() or ["without a word"]
    return f"exit code {error.returncode}: {said[-1]}"


def show_progress(text: str) -> None:
    """Say on a terminal what is going on, in one line."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text[:100]}", end="", file=sys.stderr, flush=True)


# --- tables ---------------------------------------------------------------------------------------


def table(title: str, rows: Sequence[Row], unit: str = "s") -> str:
    """Return the rows as a Markdown table, in seconds (`s`) or `ms`; a failed one with its reason."""
    lines: list[tuple[str, ...]] = [("", f"median {unit}", "min", "max", "ratio", "aim", "")]
    for row in rows:
        if row.failure is not None or not row.seconds:
            lines.append((row.name, f"failed: {row.failure}", "", "", "", "", ""))
            continue
        factor = 1000 if unit == "ms" else 1
        times = (median(row.seconds), min(row.seconds), max(row.seconds))
        lines.append((row.name, *(f"{factor * each:.3f}" for each in times), *_judged(row, factor, unit)))
    return f"### {title}\n\n{aligned(lines)}"


def _judged(row: Row, factor: int, unit: str) -> tuple[str, str, str]:
    """The ratio of a row, its aim, and whether that is reached."""
    if row.limit is not None:
        reached = median(row.seconds) <= row.limit
        return "-", f"<= {factor * row.limit:g} {unit}", "yes" if reached else "NO"
    ratio = row.ratio
    if ratio is None or row.aim is None:
        return shown(ratio, ".2f"), "", ""
    return f"{ratio:.2f}", f"<= {row.aim:.3g}", "yes" if ratio <= row.aim else "NO"


def count_table(counts: Sequence[Count]) -> str:
    """Return counts as a Markdown table."""
    lines = [("counted once", "value", "aim", "")]
    for count in counts:
        aim, reached = "", ""
        if count.aim is not None:
            aim, reached = f"<= {count.aim:g}", "yes" if count.value <= count.aim else "NO"
        value = f"{count.value:,d}" if isinstance(count.value, int) else f"{count.value:,.4g}"
        lines.append((count.name, f"{value} {count.unit}".strip(), aim, reached))
    return aligned(lines)


def aligned(lines: Sequence[Sequence[str]]) -> str:
    """Return lines of cells as a Markdown table whose columns are aligned; the first line is its head."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    rule = ["-" * width for width in widths]
    padded = (
        [cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(pairs)]
        for pairs in (list(zip(line, widths, strict=True)) for line in (lines[0], rule, *lines[1:]))
    )
    return "\n".join(f"| {' | '.join(cells)} |" for cells in padded)


def shown(value: float | None, form: str) -> str:
    """Return a figure as text, or a dash where there is none."""
    return "-" if value is None else format(value, form)


def circumstances() -> str:
    """Say where and when this is measured, and how busy the machine is."""
    load = ", ".join(f"{each:.1f}" for each in os.getloadavg())
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (
        f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {cores} cores, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}; load of the last 1, 5 and 15 minutes: {load}"
    )
