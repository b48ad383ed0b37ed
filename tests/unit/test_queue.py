"""Asking the scheduler: squeue, then scontrol, then sacct, each for what the one before did not tell."""

from collections.abc import Iterable
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState
from hpcsubmit.queue import MOST_SHOWN, cancel, find_by_comment, queued, statuses
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId


class Slurm:
    """Programs on a PATH of their own that answer as Slurm's commands do, and note what they were asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.asked = folder / "asked"
        for name in ("squeue", "scontrol", "sacct", "scancel"):
            self.answers(name, "exit 1")
        environ = {"PATH": f"{folder}:/usr/bin:/bin"}
        self.scheduler = Scheduler(host=Host(environ=environ), environ=environ)

    def answers(self, name: str, script: str) -> None:
        path = self.folder / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.asked}\n{script}\n')
        path.chmod(0o755)

    def commands(self) -> list[str]:
        return (
            [line.split()[0] for line in self.asked.read_text().splitlines()] if self.asked.exists() else []
        )


@pytest.fixture
def slurm(tmp_path: Path) -> Slurm:
    return Slurm(tmp_path)


JOB = JobId(number=9)


def test_no_jobs_are_no_question(slurm: Slurm) -> None:
    assert statuses(slurm.scheduler, []) == {}
    assert slurm.commands() == []


def test_a_running_job_is_known_by_squeue_alone(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo '9|RUNNING|None|n1|c'")
    assert statuses(slurm.scheduler, [JOB])[JOB].state is JobState.RUNNING
    assert slurm.commands() == ["squeue"]


@pytest.mark.parametrize(
    "squeue", [":", "echo '9|COMPLETED|None|n1|c'", "echo 'Invalid job id specified' >&2; exit 1"]
)
def test_of_an_ended_job_scontrol_tells_the_code(slurm: Slurm, squeue: str) -> None:
    slurm.answers("squeue", squeue)
    slurm.answers("scontrol", "echo 'JobId=9 JobState=FAILED ExitCode=7:0'")
    status = statuses(slurm.scheduler, [JOB])[JOB]
    assert (status.state, status.exit_code) == (JobState.FAILED, 7)
    assert slurm.commands() == ["squeue", "scontrol"]


def test_what_scontrol_forgot_is_in_sacct(slurm: Slurm) -> None:
    slurm.answers("squeue", ":")
    slurm.answers("sacct", "echo '9|TIMEOUT|0:0'")
    assert statuses(slurm.scheduler, [JOB])[JOB].state is JobState.TIMEOUT
    assert slurm.commands() == ["squeue", "scontrol", "sacct"]


def test_a_controller_that_is_down_is_no_answer_but_sacct_may_have_one(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    slurm.answers("sacct", "echo '9|RUNNING|0:0'")
    assert statuses(slurm.scheduler, [JOB])[JOB].state is JobState.RUNNING
    assert slurm.commands() == ["squeue", "sacct"]


def test_a_job_that_nobody_knows_is_left_out(slurm: Slurm) -> None:
    assert statuses(slurm.scheduler, [JOB]) == {}


def test_missing_commands_are_no_error(tmp_path: Path) -> None:
    environ = {"PATH": str(tmp_path)}
    scheduler = Scheduler(host=Host(environ=environ), environ=environ)
    assert statuses(scheduler, [JOB]) == {}
    assert find_by_comment(scheduler, ["r1"]) == {}
    with pytest.raises(HpcSubmitError) as raised:
        cancel(scheduler, JOB)
    assert raised.value.message.startswith("scancel could not be started")


def test_many_ended_jobs_are_asked_of_sacct_in_one_question(slurm: Slurm) -> None:
    slurm.answers("squeue", ":")
    slurm.answers("sacct", 'for n in $(seq 1 20); do echo "$n|COMPLETED|0:0"; done')
    jobs = [JobId(number=n) for n in range(1, MOST_SHOWN + 2)]
    assert set(statuses(slurm.scheduler, jobs)) == set(jobs)
    assert slurm.commands() == ["squeue", "sacct"]


def test_a_job_is_found_by_its_comment(slurm: Slurm) -> None:
    slurm.answers(
        "squeue", "printf '9|RUNNING|None|n|r1\\n10|PENDING|None||r2\\n11|RUNNING|None|n|(null)\\n'"
    )
    assert find_by_comment(slurm.scheduler, ["r2", "r3"]) == {"r2": (JobId(number=10),)}


def test_arrays_are_found_by_their_comment_each_once_and_in_order(slurm: Slurm) -> None:
    lines = "30_[1-9]|PENDING|Priority||r1\\n20_[3-9%2]|PENDING|None||r1\\n20_1|RUNNING|None|n|r1\\n"
    slurm.answers("squeue", f"printf '{lines.replace('%', '%%')}'")
    assert find_by_comment(slurm.scheduler, ["r1"]) == {"r1": (JobId(number=20), JobId(number=30))}


# Arrays.

ARRAY = JobId(number=20)


def tasks(numbers: Iterable[int], array: int = 20) -> set[JobId]:
    return {JobId(number=array, task=number) for number in numbers}


def test_an_array_whose_tasks_all_wait_or_run_is_one_question(slurm: Slurm) -> None:
    slurm.answers("squeue", "printf '20_2|PENDING|Priority||\\n20_1|RUNNING|None|n1|\\n'")
    found = statuses(slurm.scheduler, [ARRAY], {ARRAY: range(1, 3)})
    assert set(found) == tasks((1, 2))
    assert slurm.commands() == ["squeue"]
    assert "--array" in slurm.asked.read_text()


def test_of_tasks_that_have_ended_scontrol_tells_and_then_sacct(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo '20_4|RUNNING|None|n1|'")
    slurm.answers("scontrol", "echo 'JobId=21 ArrayJobId=20 ArrayTaskId=3 JobState=FAILED ExitCode=7:0'")
    slurm.answers(
        "sacct", "printf '20_1|COMPLETED|0:0\\n20_3|RUNNING|0:0\\n20_[2,4]|CANCELLED|0:0\\n99|FAILED|1:0\\n'"
    )
    found = statuses(slurm.scheduler, [ARRAY], {ARRAY: range(1, 5)})
    assert {job.task: status.state.value for job, status in found.items()} == {
        1: "COMPLETED", 2: "CANCELLED", 3: "FAILED", 4: "RUNNING",
    }  # fmt: skip
    assert slurm.commands() == ["squeue", "scontrol", "sacct"]


def test_what_squeue_says_of_tasks_that_go_on_stays(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo '20_1|PENDING|Priority||r1'")
    lines = [
        "JobId=20 ArrayJobId=20 ArrayTaskId=1 JobState=PENDING Reason=None ExitCode=0:0",
        "JobId=21 ArrayJobId=20 ArrayTaskId=2 JobState=FAILED ExitCode=7:0",
    ]
    slurm.answers("scontrol", "; ".join(f"echo '{line}'" for line in lines))
    found = statuses(slurm.scheduler, [ARRAY], {ARRAY: (1, 2)})
    assert [(status.detail, status.comment) for status in found.values()] == [("Priority", "r1"), ("", "")]
    assert slurm.commands() == ["squeue", "scontrol"]


def test_an_array_whose_tasks_nobody_counted_is_asked_of_all_three(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo '20_4|RUNNING|None|n1|'")
    slurm.answers("sacct", "echo '20_1|COMPLETED|0:0'")
    assert set(statuses(slurm.scheduler, [ARRAY])) == tasks((1, 4))
    assert slurm.commands() == ["squeue", "scontrol", "sacct"]


def test_one_task_is_asked_for_by_its_own_id(slurm: Slurm) -> None:
    slurm.answers("squeue", ":")
    slurm.answers("scontrol", "echo 'JobId=21 ArrayJobId=20 ArrayTaskId=3 JobState=FAILED ExitCode=7:0'")
    task = JobId(number=20, task=3)
    assert statuses(slurm.scheduler, [task])[task].exit_code == 7
    assert [line.split()[-1] for line in slurm.asked.read_text().splitlines()] == ["--jobs=20_3", "20_3"]


def test_one_task_is_known_by_an_id_of_its_own_too(slurm: Slurm) -> None:
    slurm.answers("squeue", "echo '20_3|RUNNING|None|n1|'")
    slurm.answers("scontrol", "echo 'JobId=21 ArrayJobId=20 ArrayTaskId=3 JobState=RUNNING ExitCode=0:0'")
    task = JobId(number=21)
    assert statuses(slurm.scheduler, [task])[task].state is JobState.RUNNING


def test_slurm_is_asked_to_write_all_numbers_of_tasks(slurm: Slurm) -> None:
    slurm.answers("squeue", "exit 1")
    slurm.answers("sacct", '[ "$SLURM_BITSTR_LEN" = 0 ] && echo "20_[1-3,5]|CANCELLED|0:0"')
    assert set(statuses(slurm.scheduler, [ARRAY])) == tasks((1, 2, 3, 5))


def test_ten_thousand_tasks_in_ten_arrays_are_two_questions(slurm: Slurm) -> None:
    counted = {JobId(number=number): range(1, 1001) for number in range(20, 30)}
    slurm.answers("squeue", 'for a in 20 21 22; do seq -f "${a}_%g|RUNNING|None|n|r" 501 1000; done')
    slurm.answers("sacct", 'for a in $(seq 20 29); do seq -f "${a}_%g|COMPLETED|0:0" 1 1000; done')
    found = statuses(slurm.scheduler, list(counted), counted)
    assert len(found) == 10_000
    assert sum(status.state is JobState.RUNNING for status in found.values()) == 1500
    assert slurm.commands() == ["squeue", "sacct"]


def test_few_arrays_whose_tasks_end_are_one_question_more_each(slurm: Slurm) -> None:
    counted = {JobId(number=number): range(1, 1001) for number in (20, 21)}
    slurm.answers("squeue", ":")
    shown = 'seq -f "JobId=$4 ArrayJobId=$4 ArrayTaskId=%g JobState=COMPLETED ExitCode=0:0" 1 1000'
    slurm.answers("scontrol", shown)
    assert len(statuses(slurm.scheduler, list(counted), counted)) == 2000
    assert slurm.commands() == ["squeue", "scontrol", "scontrol"]


def test_what_is_queued_is_told_apart_from_no_answer(slurm: Slurm) -> None:
    slurm.answers("squeue", "printf '9|RUNNING|None|n|r1\\n10|PENDING|Priority||r2\\n'")
    found = queued(slurm.scheduler)
    assert found is not None
    assert [(status.job.number, status.state) for status in found] == [
        (9, JobState.RUNNING),
        (10, JobState.PENDING),
    ]
    slurm.answers("squeue", ":")
    assert queued(slurm.scheduler) == ()
    slurm.answers("squeue", "echo '9|RUNNING|None|n|r1'; exit 1")
    assert queued(slurm.scheduler) is None


def test_a_refused_cancel_shows_slurms_words(slurm: Slurm) -> None:
    slurm.answers("scancel", "echo 'scancel: error: Kill job error on job id 9: Access denied' >&2; exit 1")
    with pytest.raises(HpcSubmitError) as raised:
        cancel(slurm.scheduler, JOB)
    assert raised.value.message.startswith("job 9 could not be cancelled: scancel: error: Kill job error")
    assert raised.value.hint == "see hpcsubmit status 9"
    slurm.answers("scancel", ":")
    cancel(slurm.scheduler, JOB)
