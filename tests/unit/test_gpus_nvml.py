"""`hpcsubmit gpus` by NVML: asked through nvidia-ml-py where that is installed, else nvidia-smi is."""

import os

import pytest

from gpu_machine import GONE, ME, V100, GpuMachine
from sandbox import Sandbox

A100 = "NVIDIA A100-SXM4-40GB"
OURS = f"User: {ME}, PID: {os.getpid()}, Process: /usr/bin/python"
BY_NVML = [
    f"{OURS}, Used Memory: 4000 MB, GPU-Info: 0, {A100}, 40536 MB, GPU-0",
    f"User: ?, PID: {GONE}, Process: ?, Used Memory: ?, GPU-Info: 0, {A100}, 40536 MB, GPU-0",
    f"User: -, PID: -, Process: -, Used Memory: 3 MB, GPU-Info: 1, {A100}, 40536 MB, GPU-1",
    f"{OURS}, Used Memory: 7 MB, GPU-Info: 2:0, {A100} MIG 1g.5gb, 40536 MB, MIG-0",
    f"User: -, PID: -, Process: -, Used Memory: ?, GPU-Info: 2:2, {A100} MIG 1g.5gb, ?, MIG-2",
]
BY_SMI = f"User: -, PID: -, Process: -, Used Memory: 3 MB, GPU-Info: 0, {V100}, 9 MB, GPU-smi"


@pytest.fixture
def machine(sandbox: Sandbox) -> GpuMachine:
    """A machine with nvidia-ml-py; its nvidia-smi tells of another GPU."""
    found = GpuMachine.of(sandbox).with_nvml()
    found.answers(gpus=f"0, {V100}, 9, GPU-smi, 3, [N/A]\n", processes="")
    return found


@pytest.fixture
def without_smi(machine: GpuMachine) -> GpuMachine:
    (machine.box.bin / "nvidia-smi").unlink()
    return machine


def test_nvml_is_asked_where_its_package_is_installed(machine: GpuMachine) -> None:
    assert machine.lines() == BY_NVML
    assert not (machine.box.root / "smi.argv").exists()
    assert (machine.box.root / "nvml.log").read_text() == "init shutdown "


def test_an_old_package_knows_no_mig_and_gives_bytes(machine: GpuMachine) -> None:
    whole = BY_NVML[2].replace("Info: 1, ", "Info: 2, ").replace("GPU-1", "GPU-2")
    assert machine.lines(NVML_OLD="1") == [*BY_NVML[:3], whole]


@pytest.mark.parametrize("failing", ["init=9", "init=12", "init=15", "handle=15"])
def test_an_error_of_nvml_leads_to_nvidia_smi(machine: GpuMachine, failing: str) -> None:
    assert machine.lines(NVML_FAILS=failing) == [BY_SMI]
    log = machine.box.root / "nvml.log"
    assert (log.read_text() if log.exists() else "") == ("init shutdown " if "handle" in failing else "")


def test_a_package_for_python_2_is_as_good_as_none(machine: GpuMachine) -> None:
    (machine.box.root / "python" / "pynvml.py").write_text("try:\n  x\nexcept NVMLError, e:\n  pass\n")
    assert machine.lines() == [BY_SMI]


@pytest.mark.parametrize(
    ("failing", "words"),
    [
        ("init=9", "NVML says: Driver Not Loaded"),
        ("init=12", "NVML says: NVML Shared Library Not Found"),
        ("none", "NVML lists none"),
    ],
)
def test_nvml_alone_may_say_that_there_is_no_gpu(without_smi: GpuMachine, failing: str, words: str) -> None:
    assert without_smi.lines(NVML_FAILS=failing) == [f"no GPU on this machine: {words}"]


def test_without_nvidia_smi_another_error_of_nvml_is_one(without_smi: GpuMachine) -> None:
    said = without_smi.box.refuses("gpus", NVML_FAILS="init=15")
    start = "NVML cannot tell of this machine's GPUs (GPU is lost)"
    assert said.error == f"{start}, and there is no nvidia-smi on the PATH"
    assert said.hint == "the driver or a GPU is out of order: tell those who run this machine"


def test_processes_that_nvml_may_not_tell_make_no_gpu_idle(machine: GpuMachine) -> None:
    shown = [line.partition(", PID")[0] for line in machine.lines(NVML_FAILS="processes=4")]
    assert shown == ["User: ?"] * 4
