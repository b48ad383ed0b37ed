"""What is timed inside a Python that has hpcsubmit, its imports done: run by the other files, not by itself.

python inside.py look|pack|pack-to-send|environment FOLDER, or python inside.py count|read|decode FILE, prints
the nanoseconds that it took. The two files that it asks for, which are not there, stand around the measured
part in a list of its system calls.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

BEGIN, END = "/hpcsubmit-bench-begins", "/hpcsubmit-bench-ends"
READ_RATE = 500
COMBINATIONS = 100_000


def looking(scratch: Path) -> Callable[[], object]:
    """Return what says whether a data set is packed, as it is now."""
    from hpcsubmit.host import Host
    from hpcsubmit.staging.snapshot import look

    host = Host(environ=dict(os.environ))
    return lambda: look(["set"], scratch, compress="auto", compressors=("gzip",), host=host)


class Silent:
    """Progress that nobody looks at."""

    def advanced(self, done: int, total: int) -> None:
        """Take note of nothing."""

    def waits(self) -> None:
        """Take note of nothing."""


def packing(scratch: Path, *, broadcast: bool = False) -> Callable[[], object]:
    """Return what looks at a data set and packs it."""
    from hpcsubmit.host import Host
    from hpcsubmit.staging.pack import pack
    from hpcsubmit.staging.sample import Transfer
    from hpcsubmit.staging.snapshot import look

    host = Host(environ=dict(os.environ))
    transfer = Transfer(READ_RATE, broadcast=broadcast)

    def work() -> None:
        snapshot = look(["set"], scratch, compress="auto", compressors=("gzip",), host=host)
        pack(snapshot, host=host, transfer=transfer, progress=Silent())

    return work


def finding(project: Path) -> Callable[[], object]:
    """Return what finds the finished environment of a project."""
    from hpcsubmit.clusters import Clusters
    from hpcsubmit.environments.find import find_virtualenv
    from hpcsubmit.environments.wanted import Wish
    from hpcsubmit.host import Host
    from hpcsubmit.project import find_project

    host = Host(environ=dict(os.environ))
    found = find_project(project)
    profile = Clusters(user_folder=project / "none", project=found).get("generic").profile

    def work() -> None:
        if find_virtualenv(found, host, profile, Wish()).build is not None:
            sys.exit("the environment is not there yet")

    return work


def counting(path: Path) -> Callable[[], object]:
    """Return what checks a sweep file and counts its combinations, once YAML has read it."""
    from hpcsubmit.sweep_file import reading
    from hpcsubmit.yaml_file import read_yaml_lines

    read = read_yaml_lines(path)
    vars(reading)["read_yaml_lines"] = lambda _: read

    def work() -> None:
        (sweep,) = reading.read_sweep_file(path)
        reading.check_offline(sweep)
        if sweep.combinations != COMBINATIONS:
            sys.exit(f"the grid has {sweep.combinations} combinations")

    return work


def reading(path: Path) -> Callable[[], object]:
    """Return what reads a sweep file, with YAML, and checks it."""
    from hpcsubmit.sweep_file.reading import read_sweep_file
    from hpcsubmit.yaml_file import read_yaml_lines

    read_yaml_lines(path)  # imports YAML
    return lambda: read_sweep_file(path)


def decoding(path: Path) -> Callable[[], object]:
    """Return what finds the parameters of a trial of a sweep file."""
    from hpcsubmit.sweep_file.reading import read_sweep_file
    from hpcsubmit.trial import parameters

    (sweep,) = read_sweep_file(path)
    spec = {**sweep.as_spec(), "trials": COMBINATIONS, "seeds": []}

    def work() -> None:
        if parameters(spec, COMBINATIONS - 1) != {"a": COMBINATIONS // 100 - 1, "b": 98}:
            sys.exit("the last trial but one has other parameters")

    return work


WORKS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "look": looking,
    "pack": packing,
    "pack-to-send": partial(packing, broadcast=True),
    "environment": finding,
    "count": counting,
    "read": reading,
    "decode": decoding,
}


def main() -> None:
    """Do one thing once, and print the time that it took."""
    what, path = sys.argv[1:]
    work = WORKS[what](Path(path))
    Path(BEGIN).exists()
    begun = time.perf_counter_ns()
    work()
    took = time.perf_counter_ns() - begun
    Path(END).exists()
    print(took)


if __name__ == "__main__":
    main()
