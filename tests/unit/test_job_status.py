"""What squeue, scontrol and sacct print of jobs, and what hpcsubmit reads in it."""

from pathlib import Path

import pytest

from hpcsubmit.job_status import JobState, JobStatus, parse_sacct, parse_scontrol_jobs, parse_squeue
from hpcsubmit.slurm import JobId, task_numbers

RECORDED = Path(__file__).parents[1] / "recorded"


def ended(job: int, state: JobState, exit_code: int = 0, signal: int = 0) -> JobStatus:
    return JobStatus(job=JobId(number=job), state=state, exit_code=exit_code, signal=signal)


def test_the_recorded_sacct_is_read() -> None:
    found = {
        status.job.number: status for status in parse_sacct((RECORDED / "sacct-22.05.8.txt").read_text())
    }
    assert sorted(found) == list(range(1, 13))
    assert found[1] == ended(1, JobState.COMPLETED)
    assert found[3] == ended(3, JobState.FAILED, 15)
    assert found[4] == ended(4, JobState.FAILED, 7)
    assert found[5] == ended(5, JobState.CANCELLED)
    assert found[8] == ended(8, JobState.TIMEOUT)


def test_of_a_requeued_job_the_last_attempt_counts() -> None:
    lines = "7|NODE_FAIL|1:0\n7|REQUEUED|0:0\n7|RUNNING|0:0\n"
    assert parse_sacct(lines) == (JobStatus(job=JobId(number=7), state=JobState.RUNNING),)


def test_array_tasks_and_signals_are_read_from_sacct() -> None:
    lines = (
        "7_1|COMPLETED|0:0\n7_2|FAILED|0:11\n7_[3%2]|PENDING|0:0\n7.batch|FAILED|1:0\n\n8|OUT_OF_ME+|0:125\n"
    )
    assert parse_sacct(lines) == (
        JobStatus(job=JobId(number=7, task=3), state=JobState.PENDING),
        JobStatus(job=JobId(number=7, task=1), state=JobState.COMPLETED, exit_code=0),
        JobStatus(job=JobId(number=7, task=2), state=JobState.FAILED, exit_code=0, signal=11),
        JobStatus(job=JobId(number=8), state=JobState.UNKNOWN, signal=125),
    )


def test_squeue_tells_the_reason_of_a_pending_job_and_the_nodes_of_another() -> None:
    lines = (
        "12|PENDING|Resources||r20260131-235959-a2b3\n"
        "13|RUNNING|None|plai[01-02]|r20260131-235959-a2b4\n"
        "14|PENDING|launch failed requeued held||(null)\n"
        "15_[1,8-9%4]|PENDING|Priority||x\n"
        "15_3|RUNNING|None|plai03|a|comment|with|bars\n"
        "slurm_load_jobs error: Unable to contact slurm controller\n"
    )
    assert parse_squeue(lines) == (
        JobStatus(
            job=JobId(number=12), state=JobState.PENDING, detail="Resources", comment="r20260131-235959-a2b3"
        ),
        JobStatus(
            job=JobId(number=13),
            state=JobState.RUNNING,
            detail="plai[01-02]",
            comment="r20260131-235959-a2b4",
        ),
        JobStatus(
            job=JobId(number=14),
            state=JobState.PENDING,
            detail="launch failed requeued held",
            comment="(null)",
        ),
        *(
            JobStatus(job=JobId(number=15, task=t), state=JobState.PENDING, detail="Priority", comment="x")
            for t in (1, 8, 9)
        ),
        JobStatus(
            job=JobId(number=15, task=3),
            state=JobState.RUNNING,
            detail="plai03",
            comment="a|comment|with|bars",
        ),
    )


def test_an_unknown_job_is_nothing_to_squeue() -> None:
    said = (RECORDED / "squeue-unknown-22.05.8.txt").read_text()
    assert "Invalid job id" in said
    assert parse_squeue(said) == ()


# Arrays: what Slurm 22.05.8 printed of one with eight tasks, two at once, whose second ended with 7.


def states(found: tuple[JobStatus, ...]) -> dict[int | None, str]:
    assert {status.job.number for status in found} == {1961}
    return {status.job.task: status.state.value for status in found}


def recorded(name: str) -> str:
    return (RECORDED / f"{name}-22.05.8.txt").read_text()


def test_squeue_tells_the_same_of_tasks_alone_and_together() -> None:
    alone = parse_squeue(recorded("squeue-array-running"))
    assert states(alone) == dict.fromkeys(range(4, 9), "PENDING") | {3: "RUNNING", 1: "RUNNING"}
    assert {status.comment for status in alone} == {"r20260131-235959-a2b3"}
    assert set(parse_squeue(recorded("squeue-array-together"))) == set(alone)


def test_scontrol_tells_of_tasks_by_the_arrays_id_and_their_numbers() -> None:
    found = parse_scontrol_jobs(recorded("scontrol-array-later"))
    assert states(found) == {
        1: "COMPLETED", 2: "FAILED", 3: "COMPLETED", 4: "COMPLETED", 5: "RUNNING", 6: "PENDING", 7: "PENDING",
    }  # fmt: skip
    assert [status.exit_code for status in found if status.job.task == 2] == [7]
    found = parse_scontrol_jobs(recorded("scontrol-array-cancelled"))
    assert [t for t, state in states(found).items() if state == "CANCELLED"] == [6, 7, 5]
    assert {(status.exit_code, status.signal) for status in found if status.job.task == 5} == {(0, 15)}


def test_in_sacct_the_line_of_a_task_wins_over_that_of_several() -> None:
    assert states(parse_sacct(recorded("sacct-array-later"))) == {
        1: "COMPLETED", 2: "FAILED", 3: "COMPLETED", 4: "RUNNING", 5: "RUNNING", 6: "PENDING", 7: "PENDING",
    }  # fmt: skip
    lines = recorded("sacct-array-later").splitlines()
    assert parse_sacct("\n".join(reversed(lines))) != ()
    assert states(parse_sacct("\n".join(reversed(lines))))[5] == "RUNNING"
    assert states(parse_sacct(recorded("sacct-array-cancelled")))[7] == "CANCELLED"


def test_of_an_array_that_never_began_sacct_knows_no_tasks() -> None:
    assert parse_sacct(recorded("sacct-array-never-began")) == (ended(1968, JobState.CANCELLED),)


def test_an_array_without_a_task_that_waits_is_a_job_of_its_own_to_scontrol() -> None:
    line = "JobId=7 ArrayJobId=7 ArrayTaskId=4294967294 JobState=CANCELLED ExitCode=0:0\n"
    assert parse_scontrol_jobs(line) == (ended(7, JobState.CANCELLED),)


def test_a_list_of_numbers_that_was_cut_off_is_read_as_far_as_it_is_whole() -> None:
    numbers = task_numbers(recorded("scontrol-array-cut-off").partition("=")[2].strip())
    assert (numbers[0], numbers[-1], len(numbers)) == (1, 73, 21)


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("3", (3,)),
        ("0", (0,)),
        ("3-5%2", (3, 4, 5)),
        ("0-30:10,7", (0, 7, 10, 20, 30)),
        ("1-2:0", (1, 2)),
        ("", ()),
        ("5-3", ()),
        ("4294967294", ()),
        ("0-4294967294", ()),
        ("x,1", (1,)),
    ],
)
def test_the_numbers_of_tasks_are_read(text: str, numbers: tuple[int, ...]) -> None:
    assert task_numbers(text) == numbers


# The order and the words are those of Slurm 22.05.
SCONTROL = (
    "JobId={job} JobName=standard-50% done UserId=u(1001) GroupId=u(1001) MCS_label=N/A Priority=1 Nice=0 "
    "Account=(null) QOS=normal JobState={state} Reason={reason} Dependency=(null) Requeue=0 Restarts=0 "
    "BatchFlag=1 Reboot=0 ExitCode={code} RunTime=00:01:00 TimeLimit=01:00:00 NodeList=plai[01-02] "
    "Command=/scratch/u/50% done/script.sh WorkDir=/home/u/50% done Comment=r20260131-235959-a2b3 Power=\n"
)


@pytest.mark.parametrize(
    ("state", "code", "exit_code", "signal"),
    [
        ("RUNNING", "0:0", None, 0),
        ("COMPLETED", "0:0", 0, 0),
        ("FAILED", "7:0", 7, 0),
        ("FAILED", "0:53", 0, 53),
        ("CANCELLED", "0:15", 0, 15),
        ("TIMEOUT", "0:15", 0, 15),
        ("NODE_FAIL", "1:0", 1, 0),
    ],
)
def test_scontrol_tells_state_code_signal_nodes_and_comment(
    state: str, code: str, exit_code: int | None, signal: int
) -> None:
    assert parse_scontrol_jobs(SCONTROL.format(job=9, state=state, reason="None", code=code)) == (
        JobStatus(
            job=JobId(number=9),
            state=JobState(state),
            exit_code=exit_code,
            signal=signal,
            detail="plai[01-02]",
            comment="r20260131-235959-a2b3",
        ),
    )


def test_of_a_pending_job_scontrol_tells_the_reason() -> None:
    line = SCONTROL.format(job=9, state="PENDING", reason="Priority", code="0:0")
    assert [status.detail for status in parse_scontrol_jobs(line)] == ["Priority"]


@pytest.mark.parametrize(
    "said", ["", "\n", "No jobs in the system\n", "JobId=9 JobName=x\n", "JobId=x JobState=A\n"]
)
def test_scontrol_without_a_state_tells_nothing(said: str) -> None:
    assert parse_scontrol_jobs(said) == ()


@pytest.mark.parametrize(
    ("text", "state"),
    [
        ("COMPLETED", JobState.COMPLETED),
        ("COMPLETED+", JobState.COMPLETED),
        ("CANCELLED by 1001", JobState.CANCELLED),
        ("REQUEUE_HOLD", JobState.PENDING),
        ("LAUNCH_FAILED", JobState.FAILED),
        ("", JobState.UNKNOWN),
        ("SOMETHING_NEW", JobState.UNKNOWN),
    ],
)
def test_a_state_is_read_in_every_spelling(text: str, state: JobState) -> None:
    assert JobState.parse(text) is state


def test_a_job_has_ended_only_in_states_that_it_does_not_leave_by_itself() -> None:
    going = {"PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "UNKNOWN"}
    assert {state.value for state in JobState if not state.ended} == going
