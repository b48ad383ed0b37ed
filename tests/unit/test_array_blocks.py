"""Submissions of several arrays: what sbatch gets for each, and what is left where one is refused."""

import sys

import pytest

from sandbox import Sandbox
from sweep_desk import SweepDesk, directives


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


def test_each_block_is_a_call_of_sbatch_with_its_offset(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4)
    said = desk.submits("--repeat", "7")
    assert desk.calls == ["SCRIPT", "--array=1-3 SCRIPT 3", "--array=1-1 SCRIPT 6"]
    assert said.stdout == "".join(f"Submitted batch job {job}\n" for job in (101, 102, 103))
    assert directives(desk.script)["array"] == "1-3"
    assert desk.record() == {"job": "101", "jobs": ["101", "102", "103"], "code": ""}
    assert desk.record("plan.json")["array"]["blocks"] == [[0, 3], [3, 3], [6, 1]]
    assert "note: 3 arrays: Slurm here takes at most 3 tasks in one (MaxArraySize 4)\n" in said.stderr


def test_parsable_prints_the_number_of_every_array(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4)
    assert desk.submits("--repeat", "7", "--parsable").stdout == "101\n102\n103\n"


def test_throttled_arrays_wait_for_each_other(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4, array_throttle=2)
    desk.submits("--repeat", "7")
    assert desk.calls == [
        "SCRIPT",
        "--dependency=afterany:101 --array=1-3%2 SCRIPT 3",
        "--dependency=afterany:102 --array=1-1%2 SCRIPT 6",
    ]


def test_arrays_wait_for_the_building_job_and_for_each_other(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4, array_throttle=2, environment_built="job", python=sys.executable)
    (desk.box.project / "virtual_env").rename(desk.box.project / "aside")
    desk.box.write("", desk.box.project / "requirements.txt")
    desk.submits("--repeat", "5")
    assert desk.calls[1:] == [
        "--dependency=afterok:101 --kill-on-invalid-dep=yes SCRIPT",
        "--dependency=afterok:101,afterany:102 --kill-on-invalid-dep=yes --array=1-2%2 SCRIPT 3",
    ]
    assert desk.record() == {"job": "102", "jobs": ["102", "103"], "build": "101", "code": ""}


def test_a_site_may_want_a_pause_between_two_calls(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4, submit_pause=1)
    desk.submits("--repeat", "4")
    first, second = map(int, (desk.box.root / "sbatch.times").read_text().split())
    assert second - first >= 1_000_000_000


def test_where_an_array_is_refused_those_before_it_are_cancelled_from_the_last(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4)
    desk.refused_call(3)
    said = desk("--repeat", "7")
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "sbatch refused the job (exit code 1): sbatch: error: QOSMaxSubmitJob"
    assert desk.cancelled == ["102", "101"]
    assert desk.record() == {"refused": said.error}
    assert "refused" in desk.submits("runs").stdout


def test_what_could_not_be_cancelled_is_named_and_stays_on_record(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4)
    desk.refused_call(3)
    desk.box.install("scancel", '#!/bin/sh\n[ "$1" != 101 ] || { echo no >&2; exit 1; }\n')
    said = desk("--repeat", "7")
    assert said.code == 1
    assert said.error.endswith("QOSMaxSubmitJob; of its arrays some were taken")
    assert said.hint == "end what is left of it first: scancel 101"
    kept = desk.record()
    assert kept["jobs"] == ["101", "102"]
    assert "QOSMaxSubmitJob" in kept["refused"]


def test_an_array_without_an_answer_leaves_the_others_and_the_record(desk: SweepDesk) -> None:
    desk.profile(max_array_size=4)
    desk.box.install(
        "sbatch",
        f"#!/bin/sh\necho call >>{desk.box.root}/calls\n"
        f"[ $(wc -l <{desk.box.root}/calls) != 1 ] || echo Submitted batch job 101\n",
    )
    said = desk("--repeat", "7")
    assert said.code == 1
    assert said.error.endswith("the job may or may not be submitted")
    assert (desk.record(), desk.cancelled) == ({"job": "101"}, [])
