"""Which backend hpcsubmit.comm takes where ranks see GPUs, and what it says where there are too few of them.

The ranks are real processes. Their torch is a small one that has the GPUs of CUDA_VISIBLE_DEVICES and meets
in a folder: what it adds up is added up, on no device.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

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


def destroy_process_group(): ...
"""
HOST = os.uname().nodename
SLOW = "by gloo, which is slow: start one rank per GPU"


@pytest.mark.parametrize(
    ("seen", "shortage"),
    [
        (("0,1",) * 3, f"3 ranks on {HOST} see 2 GPUs: they share them, {SLOW}"),
        (("0",) * 2, f"2 ranks on {HOST} see 1 GPU: they share it, {SLOW}"),
        (("0", "1", "1"), f"3 ranks on {HOST} see 2 GPUs: they share them, {SLOW}"),
        (("0,1", ""), f"1 of 2 ranks on {HOST} have no GPU: all meet {SLOW}"),
    ],
)
def test_ranks_without_a_gpu_each_are_told_once_and_meet_by_gloo(
    seen: tuple[str, ...], shortage: str, tmp_path: Path
) -> None:
    said = ranks(tmp_path, *seen)
    assert [line for text in said for line in text.splitlines() if "by gloo" in line] == [
        f"hpcsubmit.comm: {shortage}"
    ]
    assert f"hpcsubmit.comm: {shortage}" in said[0]
    for number, text in enumerate(said):
        assert f"rank {number} of {len(seen)} met all, and gloo sums right\n" in text


@pytest.mark.parametrize("seen", [("0,1", "0,1"), ("0", "1"), ("0,1,2",) * 2])
def test_where_each_rank_has_a_gpu_nothing_is_said_and_they_meet_by_nccl(
    seen: tuple[str, ...], tmp_path: Path
) -> None:
    for number, text in enumerate(ranks(tmp_path, *seen)):
        assert "gloo" not in text
        assert f"rank {number} of {len(seen)} met all, and nccl sums right\n" in text


@pytest.mark.parametrize(("seen", "nccl"), [(("", ""), ""), (("0,1", "0,1"), "none")])
def test_without_any_gpu_or_without_nccl_there_is_nothing_to_share(
    seen: tuple[str, ...], nccl: str, tmp_path: Path
) -> None:
    for text in ranks(tmp_path, *seen, NCCL=nccl):
        assert "GPU" not in text
        assert "met all, and gloo sums right\n" in text


def ranks(folder: Path, *seen: str, **environ: str) -> list[str]:
    """Start a rank for each of these CUDA_VISIBLE_DEVICES; return what each says on stdout and stderr."""
    for name, text in {"torch/__init__.py": TORCH, "torch/distributed.py": DISTRIBUTED}.items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, "utf-8")
    (folder / "meeting").mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-S", "-m", "hpcsubmit.comm", "env", "60"],
            env={
                "PYTHONPATH": f"{folder}:{Path(hpcsubmit.__file__).parents[1]}",
                "MEETING": str(folder / "meeting"),
                "MASTER_ADDR": "127.0.0.1",
                "RANK": str(rank),
                "WORLD_SIZE": str(len(seen)),
                "CUDA_VISIBLE_DEVICES": gpus,
                **environ,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
        )
        for rank, gpus in enumerate(seen)
    ]
    try:
        return [process.communicate(timeout=120)[0] for process in started]
    finally:
        for process in started:
            process.kill()
