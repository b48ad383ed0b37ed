"""A machine with GPUs that are not there: stand-ins for nvidia-smi and for NVML's Python package."""

import json
import os
import pwd
from typing import Any, NamedTuple

from sandbox import Sandbox

ME = pwd.getpwuid(os.getuid()).pw_name
GONE = 99_999_999
"""The number of a process that no machine has: Linux counts to 4,194,304 at most."""
V100 = "Tesla V100-SXM2-32GB"
TWO_IDLE = f"0, {V100}, 32768, GPU-aaaa, 4, [N/A]\n1, {V100}, 32768, GPU-bbbb, 3, [N/A]\n"

_SMI = """#!/bin/sh
# Stands in for nvidia-smi: prints the files of a question's name, and ends with the code in a third.
echo "$*" >>"{root}/smi.argv"
case "$*" in
  --query-gpu=*mig*) part=mig ;;
  --query-gpu=*) part=gpus ;;
  --query-compute-apps=*) part=processes ;;
  -L) part=list ;;
esac
[ -e "{root}/$part" ] || [ $part != mig ] || part=gpus
cat "{root}/$part" 2>/dev/null
[ ! -e "{root}/$part.stderr" ] || cat "{root}/$part.stderr" >&2
exit "$(cat "{root}/$part.code" 2>/dev/null || echo 0)"
"""

_PYNVML = '''
"""Stands in for nvidia-ml-py: GPU 0 has two processes, GPU 1 none, GPU 2 MIG devices in places 0 and 2."""
import os
from collections import namedtuple

Memory = namedtuple("Memory", "total used")
Running = namedtuple("Running", "pid usedGpuMemory")
FAILS = os.environ.get("NVML_FAILS", "")
OLD = bool(os.environ.get("NVML_OLD"))
WORDS = {3: "Not Supported", 4: "Insufficient Permissions", 6: "Not Found", 9: "Driver Not Loaded",
         12: "NVML Shared Library Not Found", 15: "GPU is lost"}

class NVMLError(Exception):
    def __init__(self, value):
        self.value = value
    def __str__(self):
        return WORDS[self.value]

def log(word):
    with open(os.environ["NVML_LOG"], "a") as file:
        file.write(word + " ")

def fail(name):
    for each in FAILS.split():
        if each.startswith(name + "="):
            raise NVMLError(int(each.partition("=")[2]))

def text(value):
    return value.encode() if OLD else value

def nvmlInit():
    fail("init")
    log("init")

def nvmlShutdown():
    log("shutdown")

def nvmlDeviceGetCount():
    return 0 if FAILS == "none" else 3

def nvmlDeviceGetHandleByIndex(number):
    if number == 1:
        fail("handle")
    return f"GPU-{number}"

if not OLD:
    def nvmlDeviceGetMigMode(handle):
        if handle == "GPU-0":
            raise NVMLError(3)
        return [int(handle == "GPU-2")] * 2

def nvmlDeviceGetMaxMigDeviceCount(handle):
    return 7

def nvmlDeviceGetMigDeviceHandleByIndex(handle, place):
    if place not in (0, 2):
        raise NVMLError(6)
    return f"MIG-{place}"

def nvmlDeviceGetMemoryInfo(handle):
    if handle == "MIG-2":
        raise NVMLError(4)
    return Memory(total=40536 << 20, used=(5000 if handle == "GPU-0" else 3) << 20)

def nvmlDeviceGetName(handle):
    return text("NVIDIA A100-SXM4-40GB" + (" MIG 1g.5gb" if handle[0] == "M" else ""))

def nvmlDeviceGetUUID(handle):
    return text(handle)

def nvmlDeviceGetComputeRunningProcesses(handle):
    fail("processes")
    ours = int(os.environ["OURS"])
    if handle == "MIG-0":
        return [Running(ours, 7 << 20)]
    return [Running(ours, 4000 << 20), Running(99_999_999, None)] if handle == "GPU-0" else []

def nvmlSystemGetProcessName(pid):
    if pid == 99_999_999:
        raise NVMLError(6)
    return text("/usr/bin/python")
'''


class GpuMachine(NamedTuple):
    """A sandbox whose nvidia-smi answers what it is told, and where nothing else knows GPUs or Slurm."""

    box: Sandbox

    @classmethod
    def of(cls, box: Sandbox) -> "GpuMachine":
        """Install the stand-in for nvidia-smi, with a PATH that has little else."""
        box.install("nvidia-smi", _SMI.format(root=box.root))
        system = box.root / "system"
        system.mkdir()
        for name in ("cat", "sh", "ps"):
            (system / name).symlink_to(f"/usr/bin/{name}")
        box.environ["PATH"] = f"{box.bin}:{system}"
        return cls(box)

    def with_nvml(self) -> "GpuMachine":
        """Install the stand-in for nvidia-ml-py."""
        folder = self.box.root / "python"
        folder.mkdir()
        (folder / "pynvml.py").write_text(_PYNVML)
        log, ours = str(self.box.root / "nvml.log"), str(os.getpid())
        self.box.environ.update(PYTHONPATH=str(folder), NVML_LOG=log, OURS=ours)
        return self

    def answers(self, **parts: str) -> None:
        """Say what nvidia-smi answers: gpus, processes, list, mig; `_stderr` and `_code` go behind these."""
        for name, text in parts.items():
            (self.box.root / name.replace("_", ".")).write_text(text)

    def without(self, *parts: str) -> None:
        """Take parts of the answers back."""
        for name in parts:
            (self.box.root / name.replace("_", ".")).unlink()

    def ps(self, script: str) -> None:
        """Let another program stand in for ps."""
        (self.box.root / "system" / "ps").unlink()
        self.box.install("ps", f"#!/bin/sh\n{script}\n")

    def lines(self, **environ: str) -> list[str]:
        """The lines of `hpcsubmit gpus`, which must do well and say nothing else."""
        said = self.box.hpcsubmit("gpus", environ=self.box.environ | environ)
        assert (said.code, said.stderr) == (0, ""), said
        return said.stdout.splitlines()

    def json(self) -> Any:
        """The GPUs as JSON tells them."""
        said = self.box.hpcsubmit("gpus", "--json")
        assert (said.code, said.stderr) == (0, ""), said
        return json.loads(said.stdout)["gpus"]
