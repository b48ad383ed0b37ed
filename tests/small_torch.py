"""A small torch for hpcsubmit.comm, and the ranks that use it: real processes, started as a training's are.

It has the GPUs of CUDA_VISIBLE_DEVICES and meets in a folder: what it adds up is added up, on no device.
"""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import hpcsubmit

TORCH = """
import os
from types import SimpleNamespace

SEEN = [name for name in os.environ["CUDA_VISIBLE_DEVICES"].split(",") if name]
cuda = SimpleNamespace(
    is_available=lambda: bool(SEEN),
    device_count=lambda: len(SEEN),
    get_device_properties=lambda index: SimpleNamespace(uuid=SEEN[index]),
    set_device=lambda device: None,
)


def device(kind, index=None):
    return SimpleNamespace(type=kind, index=index)


def tensor(values, device):
    made = SimpleNamespace(value=values[0])
    made.item = lambda: made.value
    return made
"""
DISTRIBUTED = """
import fcntl, os, time
from pathlib import Path


class TCPStore:
    def __init__(self, *where, **how):
        self.folder = Path(os.environ["MEETING"])

    def set_timeout(self, timeout): ...

    def file(self, key):
        return self.folder / key.replace("/", "-")

    def set(self, key, value):
        new = self.file(key + ".new")
        new.write_text(value)
        new.replace(self.file(key))

    def get(self, key):
        end = time.monotonic() + 60
        while not self.file(key).exists() and time.monotonic() < end:
            time.sleep(0.01)
        return self.file(key).read_text()

    def add(self, key, number):
        with self.file(key).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            found = int(file.read() or 0) + number
            file.truncate(0)
            file.write(str(found))
        return found


class HashStore(TCPStore): ...


class PrefixStore:
    def __init__(self, prefix, store):
        self.prefix, self.store = prefix, store

    def __getattr__(self, name):
        act = getattr(self.store, name)
        return lambda key, *value: act(self.prefix + "/" + key, *value)


def is_initialized():
    return False


def is_nccl_available():
    return os.environ.get("NCCL") != "none"


def init_process_group(backend, store, rank, world_size):
    global group
    group = store, world_size


def all_reduce(tensor):
    store, size = group
    store.add("sum", tensor.value)
    store.add("came", 1)
    end = time.monotonic() + 60
    while store.add("came", 0) < size and time.monotonic() < end:
        time.sleep(0.01)
    tensor.value = store.add("sum", 0)


def barrier(device_ids): ...


def destroy_process_group():
    global group
    group = None
"""


def ranks(folder: Path, *environs: Mapping[str, str], method: str = "env") -> list[str]:
    """Start a rank with each of these environments; return what each says on stdout and stderr."""
    for name, text in {"torch/__init__.py": TORCH, "torch/distributed.py": DISTRIBUTED}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder / "meeting").mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-S", "-m", "hpcsubmit.comm", method, "60"],
            env={
                "PYTHONPATH": f"{folder}:{Path(hpcsubmit.__file__).parents[1]}",
                "MEETING": str(folder / "meeting"),
                "RANK": str(rank),
                "WORLD_SIZE": str(len(environs)),
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        for rank, environ in enumerate(environs)
    ]
    try:
        return [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
