"""`hpcsubmit gpus` by nvidia-smi: who uses this machine's GPUs, and which are idle."""

import json
import os

import pytest

from gpu_machine import GONE, ME, TWO_IDLE, V100, GpuMachine
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.gpus.nvidia_smi import look
from hpcsubmit.host import Host
from sandbox import Sandbox

OURS = os.getpid()


@pytest.fixture
def machine(sandbox: Sandbox) -> GpuMachine:
    return GpuMachine.of(sandbox)


def test_each_process_has_a_line_with_its_user_and_an_idle_gpu_has_one_too(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes=f"GPU-aaaa, {OURS}, python, 1201\n")
    busy, idle = machine.lines()
    used = f"User: {ME}, PID: {OURS}, Process: python, Used Memory: 1201 MB"
    assert busy == f"{used}, GPU-Info: 0, {V100}, 32768 MB, GPU-aaaa"
    assert idle == f"User: -, PID: -, Process: -, Used Memory: 3 MB, GPU-Info: 1, {V100}, 32768 MB, GPU-bbbb"


def test_a_process_on_two_gpus_and_two_on_one_have_a_line_each(machine: GpuMachine) -> None:
    rows = f"GPU-aaaa, {OURS}, python, 1\nGPU-bbbb, {OURS}, python, 2\nGPU-aaaa, {os.getppid()}, sh, 3\n"
    machine.answers(gpus=TWO_IDLE, processes=rows)
    shown = [(line.split(", ")[1], line.rpartition(", ")[2]) for line in machine.lines()]
    assert shown == [
        (f"PID: {OURS}", "GPU-aaaa"),
        (f"PID: {os.getppid()}", "GPU-aaaa"),
        (f"PID: {OURS}", "GPU-bbbb"),
    ]


def test_it_needs_no_project(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes="")
    said = machine.box.hpcsubmit("gpus", cwd=machine.box.root)
    assert (said.code, said.stdout.count("User: -, PID: -"), said.stderr) == (0, 2, "")


def test_nvidia_smi_is_asked_twice_and_no_more_where_mig_cuts_nothing(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes="")
    machine.lines()
    gpus = "--query-gpu=index,name,memory.total,gpu_uuid,memory.used,mig.mode.current"
    processes = "--query-compute-apps=gpu_uuid,pid,process_name,used_memory"
    asked = (machine.box.root / "smi.argv").read_text()
    assert asked == "".join(f"{each} --format=csv,noheader,nounits\n" for each in (gpus, processes))


def test_names_may_hold_commas(machine: GpuMachine) -> None:
    row = f"GPU-aaaa, {OURS}, /opt/a, b/python, x, 7\n"
    machine.answers(gpus="0, Quadro, the large, one, 1024, GPU-aaaa, 9, [N/A]\n", processes=row)
    (gpu,) = machine.json()
    assert gpu["name"] == "Quadro, the large, one"
    process = {"user": ME, "pid": OURS, "process": "/opt/a, b/python, x", "memory_used_mib": 7}
    assert gpu["processes"] == [process]


@pytest.mark.parametrize("nothing", ["[N/A]", "[Not Supported]", "[Insufficient Permissions]", "N/A"])
def test_values_that_nvidia_smi_does_not_have_are_not_known(machine: GpuMachine, nothing: str) -> None:
    gpus = f"0, K80, {nothing}, GPU-a, {nothing}, {nothing}\n1, K80, 9, GPU-b, {nothing}, {nothing}\n"
    machine.answers(gpus=gpus, processes=f"GPU-a, {OURS}, python, {nothing}\n")
    assert machine.lines() == [
        f"User: {ME}, PID: {OURS}, Process: python, Used Memory: ?, GPU-Info: 0, K80, ?, GPU-a",
        "User: -, PID: -, Process: -, Used Memory: ?, GPU-Info: 1, K80, 9 MB, GPU-b",
    ]
    shown = [(gpu["memory_total_mib"], gpu["memory_used_mib"]) for gpu in machine.json()]
    assert shown == [(None, None), (9, None)]


def test_a_process_that_has_ended_or_is_another_containers_has_no_known_user(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes=f"GPU-aaaa, {GONE}, [Not Found], 1100\n")
    start = f"User: ?, PID: {GONE}, Process: ?, Used Memory: 1100 MB, GPU-Info: 0, "
    assert machine.lines()[0].startswith(start)
    process = {"user": None, "pid": GONE, "process": None, "memory_used_mib": 1100}
    assert machine.json()[0]["processes"] == [process]


def test_ps_is_asked_once_for_the_users_that_proc_does_not_tell(machine: GpuMachine) -> None:
    machine.ps(f'echo "$*" >>"{machine.box.root}/ps.argv"; echo " {GONE} {os.getuid()}"')
    rows = f"GPU-aaaa, {GONE}, python, 1\nGPU-bbbb, {OURS}, python, 1\nGPU-bbbb, {GONE + 1}, python, 1\n"
    machine.answers(gpus=TWO_IDLE, processes=rows)
    assert [line.split(",")[0] for line in machine.lines()] == [f"User: {ME}", f"User: {ME}", "User: ?"]
    assert (machine.box.root / "ps.argv").read_text() == f"-o pid= -o uid= -p {GONE},{GONE + 1}\n"


def test_a_user_without_a_name_is_shown_by_number(machine: GpuMachine) -> None:
    machine.ps(f"echo {GONE} 3999999999")
    machine.answers(gpus=TWO_IDLE, processes=f"GPU-aaaa, {GONE}, python, 1\n")
    assert machine.lines()[0].startswith("User: 3999999999, ")


def test_memory_that_nobody_is_listed_for_is_not_called_idle(machine: GpuMachine) -> None:
    machine.answers(gpus="0, K80, 99999, GPU-a, 1025, [N/A]\n1, K80, 99999, GPU-b, 1024, [N/A]\n")
    assert [line.partition(", GPU-Info")[0] for line in machine.lines()] == [
        "User: ?, PID: ?, Process: ?, Used Memory: 1025 MB",
        "User: -, PID: -, Process: -, Used Memory: 1024 MB",
    ]


def test_a_process_on_a_gpu_that_was_not_listed_is_shown(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes=f"GPU-cccc, {OURS}, python, 5\n")
    used = f"User: {ME}, PID: {OURS}, Process: python, Used Memory: 5 MB"
    assert machine.lines()[-1] == f"{used}, GPU-Info: ?, ?, ?, GPU-cccc"


def test_processes_that_nvidia_smi_does_not_tell_make_no_gpu_idle(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes_code="3", processes_stderr="Not available on this device\n")
    said = machine.box.hpcsubmit("gpus")
    assert (said.code, said.stdout.count("User: ?, PID: ?, Process: ?, ")) == (0, 2)
    assert said.stderr == "note: nvidia-smi cannot tell the processes: Not available on this device\n"


def test_a_process_cannot_draw_on_the_terminal(machine: GpuMachine) -> None:
    machine.answers(gpus=TWO_IDLE, processes=f"GPU-aaaa, {OURS}, a\x1b[2Jb, 5\n")
    assert "Process: a?[2Jb, " in machine.lines()[0]


A100 = "NVIDIA A100-SXM4-40GB"
CUT = f"0, {A100}, 40536, GPU-aaaa, 39, Enabled\n1, {A100}, 40536, GPU-bbbb, 3, Disabled\n"
SLICES = f"""GPU 0: {A100} (UUID: GPU-aaaa)
  MIG 3g.20gb     Device  0: (UUID: MIG-1111)
  MIG 1g.5gb+me   Device  1: (UUID: MIG-GPU-aaaa/7/0)
GPU 1: {A100} (UUID: GPU-bbbb)
"""


def users(machine: GpuMachine) -> list[tuple[str, str]]:
    """Each line's user, and the number of its GPU."""
    found = machine.lines()
    return [
        (line.split(",")[0].removeprefix("User: "), line.partition("Info: ")[2].split(",")[0])
        for line in found
    ]


def test_mig_devices_stand_in_place_of_their_gpu(machine: GpuMachine) -> None:
    machine.answers(gpus=CUT, list=SLICES, processes=f"MIG-1111, {OURS}, python, 5\n")
    assert users(machine) == [(ME, "0:0"), ("-", "0:1"), ("-", "1")]
    assert [(gpu["name"], gpu["uuid"]) for gpu in machine.json()] == [
        (f"{A100} MIG 3g.20gb", "MIG-1111"),
        (f"{A100} MIG 1g.5gb+me", "MIG-GPU-aaaa/7/0"),
        (A100, "GPU-bbbb"),
    ]


def test_a_process_of_the_whole_gpu_leaves_none_of_its_mig_devices_idle(machine: GpuMachine) -> None:
    machine.answers(gpus=CUT, list=SLICES, processes=f"GPU-aaaa, {OURS}, python, 5\n")
    assert users(machine) == [(ME, "0"), ("-", "1")]


def test_mig_devices_are_not_idle_where_memory_is_used_and_no_process_shown(machine: GpuMachine) -> None:
    machine.answers(gpus=CUT.replace("39", "9000"), list=SLICES, processes="")
    assert users(machine) == [("?", "0:0"), ("?", "0:1"), ("-", "1")]


def test_mig_mode_without_devices_shows_the_gpu_itself(machine: GpuMachine) -> None:
    machine.answers(gpus=CUT, list=f"GPU 0: {A100} (UUID: GPU-aaaa)\n", processes="")
    assert users(machine) == [("-", "0"), ("-", "1")]


def test_a_driver_that_does_not_know_mig_is_asked_without_it(machine: GpuMachine) -> None:
    refused = 'Field "mig.mode.current" is not a valid field to query.\n'
    machine.answers(mig=refused, mig_code="2", gpus="0, K80, 11441, GPU-a, 3\n", processes="")
    shown = "User: -, PID: -, Process: -, Used Memory: 3 MB, GPU-Info: 0, K80, 11441 MB, GPU-a"
    assert machine.lines() == [shown]


FAILED = (
    "NVIDIA-SMI has failed because it couldn't communicate with the NVIDIA driver. "
    "Make sure that the latest NVIDIA driver is installed and running."
)


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        ("", "0", "nvidia-smi lists none"),
        ("No devices were found\n", "0", "nvidia-smi says: No devices were found"),
        ("No devices were found\n", "6", "nvidia-smi says: No devices were found"),
        (f"{FAILED}\n\n", "9", f"nvidia-smi says: {FAILED}"),
    ],
)
def test_no_gpu_is_said_and_is_no_error(machine: GpuMachine, answer: str, code: str, words: str) -> None:
    machine.answers(gpus=answer, gpus_code=code)
    assert machine.lines() == [f"no GPU on this machine: {words}"]
    said = machine.box.hpcsubmit("gpus", "--json")
    assert (said.code, json.loads(said.stdout)) == (0, {"note": words, "gpus": []})


def test_no_nvidia_smi_is_no_gpu(machine: GpuMachine) -> None:
    (machine.box.bin / "nvidia-smi").unlink()
    assert machine.lines() == ["no GPU on this machine: there is no nvidia-smi on the PATH"]


def test_a_login_node_without_gpus_points_to_the_cluster(machine: GpuMachine) -> None:
    (machine.box.bin / "nvidia-smi").unlink()
    machine.box.install("sinfo", "#!/bin/sh\nexit 1\n")
    said = machine.box.hpcsubmit("gpus")
    assert (said.code, said.stdout.count("\n")) == (0, 1)
    assert said.stderr == "note: hpcsubmit gpus --cluster shows those of the cluster's nodes\n"


def test_a_broken_driver_is_an_error_with_its_words(machine: GpuMachine) -> None:
    words = "Failed to initialize NVML: Driver/library version mismatch"
    machine.answers(gpus=f"{words}\n", gpus_code="18")
    said = machine.box.refuses("gpus")
    assert said.error == f"nvidia-smi failed (exit code 18): {words}"
    assert said.hint == "the driver or a GPU is out of order: tell those who run this machine"


def test_a_lost_gpu_does_not_hide_the_others(machine: GpuMachine) -> None:
    lost = "Unable to determine the device handle for GPU0000:3B:00.0: GPU is lost."
    machine.answers(gpus=f"{TWO_IDLE}{lost}\n", gpus_code="15", processes="")
    said = machine.box.hpcsubmit("gpus")
    assert (said.code, said.stdout.count("User: -"), said.stderr) == (0, 2, f"note: {lost}\n")


def test_a_driver_that_hangs_is_an_error(machine: GpuMachine) -> None:
    machine.box.install("nvidia-smi", "#!/bin/sh\nexec /usr/bin/sleep 60\n")
    with pytest.raises(HpcSubmitError) as caught:
        look(Host(environ=machine.box.environ), timeout=0.3)
    assert caught.value.message == "nvidia-smi gave no answer within 0.3 s"
    assert caught.value.hint == "the driver or a GPU hangs: tell those who run this machine"
