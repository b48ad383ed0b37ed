"""How long data and environments take to the nodes, beside what people use for it: one interleaved run.

The data lie on the disk of bench/.data (or --folder), and in memory by the time they are read; the nodes'
own disk is /dev/shm. Every round does everything once, in a new random order. Times of hpcsubmit's own parts
begin after its imports (see inside.py), those of other programs with their start.
"""

import argparse
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import calls
from bench.data_sets import FULL, SMALL, DataSet
from bench.environment_rows import Environments
from bench.measure import (
    BENCH,
    Count,
    Row,
    circumstances,
    count_table,
    installed,
    measure_rounds,
    show_progress,
    table,
)
from bench.nodes import HOME_PATH
from bench.staging_rows import Bench, Staging

MOST_READ = 1.05
"""Of the data's size, what a broadcast may read of the shared file system."""
NODES = 4

Section = tuple[str, str, list[Row]]
"""A table's title and unit, and its rows."""


def staged_sections(sets: dict[str, Staging]) -> Iterator[Section]:
    """Yield the tables about data."""
    a, b, c = sets["a"], sets["b"], sets["c"]
    yield "Is it still as it was packed?", "ms", a.fresh_rows(1.7) + b.fresh_rows(1.7)
    yield (
        "Packing, on one disk",
        "s",
        a.pack_rows(1.1) + b.pack_rows(0.8) + c.pack_rows(0.8) + [b.changed_row()],
    )
    yield "Unpacking, from the disk to a node's own", "s", a.unpack_rows(0.75) + b.unpack_rows(0.65)


def counted(sets: dict[str, Staging], environments: Environments) -> Iterator[Count]:
    """Count what needs no second time; nothing where there is no strace."""
    a, b = sets["a"], sets["b"]
    if calls.is_possible():
        for each in (a, b):
            show_progress(f"counting what is read of {each.data.name}")
            each.pack_anew("pack-to-send")
            yield from each.count_read(NODES, "broadcast", MOST_READ)
            each.pack_anew()
            yield from each.count_looking()
            yield from each.count_read(NODES, "direct", None)
        yield from environments.counts()
    yield b.count_written_again()


def prepared(bench: Bench, sizes: Sequence[DataSet]) -> dict[str, Staging]:
    """Make the data sets that are not there yet, and pack them."""
    sets = {}
    for data in sizes:
        show_progress(f"making {data.files} files of {data.size} bytes")
        made = Staging(bench, data, data.make(bench.folder))
        made.make_tar()
        made.pack()
        sets[data.name] = made
    return sets


def main() -> int:
    """Make what is missing, measure, and print the tables."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # what lies in memory goes in any case
    asked = arguments()
    folder = asked.folder.resolve() / ("small" if asked.small else "full")
    binaries = installed("hpcsubmit-uv", f"{BENCH.parent}[uv]", fresh=True)
    (folder / "home").mkdir(parents=True, exist_ok=True)
    environ = {"PATH": HOME_PATH, "HOME": str(folder / "home"), "LANG": "C.UTF-8", "USER": "bench"}
    bench = Bench(folder, binaries, environ)
    environments = Environments.prepared(bench)
    sets = prepared(bench, SMALL if asked.small else FULL)
    sections = [*staged_sections(sets), *environments.sections()]
    wanted = {row for _, _, rows in sections for row in rows if asked.only in row.name}
    wanted |= {row.beside for row in wanted if row.beside}
    sections = [(title, unit, [row for row in rows if row in wanted]) for title, unit, rows in sections]
    begun = circumstances()
    measure_rounds([row for _, _, rows in sections for row in rows], asked.rounds)
    print(begun)
    print(f"medians of {asked.rounds} interleaved rounds; {', '.join(map(described, sets.values()))}")
    print("".join(f"\n{table(title, rows, unit)}\n" for title, unit, rows in sections if rows), flush=True)
    if not asked.only:
        print(count_table(list(counted(sets, environments))))
    return 1 if any(row.failure for row in wanted) else 0


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description="Time data and environments on their way to the nodes.")
    parser.add_argument("--rounds", type=int, default=5, help="times that everything is done (default: 5)")
    parser.add_argument("--small", action="store_true", help="a tenth of the data, for a quick look")
    parser.add_argument("--only", default="", help="only rows whose name holds this, and those beside them")
    place = BENCH / ".data"
    parser.add_argument("--folder", type=Path, default=place, help="on a disk (default: bench/.data)")
    return parser.parse_args()


def described(staging: Staging) -> str:
    """Say what a data set is."""
    data = staging.data
    return f"{data.name} is {data.files:,} x {data.size:,} bytes"


if __name__ == "__main__":
    sys.exit(main())
