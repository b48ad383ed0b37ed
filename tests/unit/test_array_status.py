"""The tasks of arrays: where they are recorded, how each stands, and what they come to together."""

import json
from pathlib import Path

import pytest

from array_records import RUN_ID, end_trial, write_run
from hpcsubmit.array_status import first_failed, overall, summary, task_statuses
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.run import read_run
from hpcsubmit.slurm import JobId


def task(number: int, array: int = 4242) -> JobId:
    return JobId(number=array, task=number)


def said(
    number: int, state: JobState, comment: str = "", exit_code: int | None = None
) -> dict[JobId, JobStatus]:
    status = JobStatus(job=task(number), state=state, exit_code=exit_code, comment=comment)
    return {task(number): status}


# Where.


def test_a_trial_is_a_task_of_its_block_with_a_log_of_its_own(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3, 2), jobs=(4242, 4250), per_task=2, trials=9)
    assert run.jobs == (JobId(number=4242), JobId(number=4250))
    assert (run.job, run.log_path) == (JobId(number=4242), None)
    places = {trial: str(run.job_of(trial)) for trial in (1, 2, 3, 6, 7, 9)}
    assert places == {1: "4242_1", 2: "4242_1", 3: "4242_2", 6: "4242_3", 7: "4250_1", 9: "4250_2"}
    assert run.log_of(9) == run.folder / "logs" / "4250_2.out"
    assert [list(run.trials_of(task(1))), list(run.trials_of(task(2, 4250)))] == [[1, 2], [9]]
    assert list(run.trials_of(task(4))) == list(run.trials_of(task(1, 7))) == []
    for trial in (0, 10):
        with pytest.raises(ValueError, match=f"run {RUN_ID} has no trial {trial}"):
            run.job_of(trial)


def test_a_block_that_is_not_submitted_yet_has_no_tasks(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3, 2))
    assert not run.is_submitted
    assert (run.job_of(4), run.log_of(4)) == (None, None)
    assert write_run(tmp_path / "other", (3, 2), jobs=(1, 2)).is_submitted


def test_a_run_of_arrays_is_plain_data(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3, 2), jobs=(4242, 4250), sweep="me/gan/ab12")
    shown = json.loads(json.dumps(run.as_json()))
    assert (shown["job"], shown["jobs"], shown["sweep"]) == ("4242", ["4242", "4250"], "me/gan/ab12")
    assert shown["array"] == {"trials": 5, "tasks": 5, "per_task": 1, "blocks": [[0, 3], [3, 2]]}
    assert shown["log"] == f"{run.folder}/logs/%A_%a.out"


def test_the_jobs_of_a_record_without_a_result_are_those_that_the_trials_tell(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3, 2, 2), jobs=(4242, 4250, 4260))
    for trial in (1, 4):
        end_trial(run, trial, 0)
    (run.folder / "result.json").unlink()
    found = read_run(run.folder)
    assert found is not None
    assert found.jobs == (JobId(number=4242), JobId(number=4250))


@pytest.mark.parametrize(
    "array",
    [
        3,
        [],
        {"trials": 3},
        {"trials": 3, "per_task": 1, "blocks": []},
        {"trials": 0, "per_task": 1, "blocks": [[0, 3]]},
        {"trials": 9, "per_task": 1, "blocks": [[0, 3]]},
        {"trials": 3, "per_task": 1, "blocks": [[0, 4], [4, -1]]},
        {"trials": "x", "per_task": 1, "blocks": [[0, 3]]},
        {"trials": 3, "per_task": 1, "blocks": [3]},
    ],
)
def test_a_damaged_array_is_none(tmp_path: Path, array: object) -> None:
    run = write_run(tmp_path / RUN_ID)
    plan = json.loads((run.folder / "plan.json").read_text())
    (run.folder / "plan.json").write_text(json.dumps(plan | {"array": array}))
    found = read_run(run.folder)
    assert found is not None
    assert (found.array, found.jobs) == (None, (JobId(number=4242),))


# How.


def test_what_slurm_says_of_a_task_counts(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3,))
    end_trial(run, 1, 143)
    known = said(1, JobState.RUNNING) | said(2, JobState.PENDING) | said(3, JobState.TIMEOUT, exit_code=0)
    assert task_statuses(run, run.jobs, known) == tuple(known.values())


def test_what_slurm_has_forgotten_its_files_tell(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (4,), per_task=2)
    end_trial(run, 1, 7)
    end_trial(run, 3, 0, files=("started", "trial"))
    end_trial(run, 4, 5, files=("trial",))
    end_trial(run, 5, 0, files=("started", "trial"))
    found = task_statuses(run, run.jobs, {})
    assert [(status.state.value, status.exit_code) for status in found] == [
        ("FAILED", 7),
        ("FAILED", 5),
        ("UNKNOWN", None),
        ("UNKNOWN", None),
    ]
    assert found[0].detail == "as its script recorded"


def test_a_task_without_a_trace_in_an_array_that_slurm_knows_never_began(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (3, 1), jobs=(4242, 4250))
    end_trial(run, 3, 0, files=("started",))
    found = task_statuses(run, run.jobs, said(1, JobState.RUNNING))
    assert [status.state.value for status in found] == ["RUNNING", "CANCELLED", "UNKNOWN", "UNKNOWN"]
    assert found[1].detail == "before it began"


def test_where_slurm_tells_of_the_array_alone_that_goes_for_all_tasks_without_a_trace(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (2,))
    end_trial(run, 1, 0)
    array = JobId(number=4242)
    known = {array: JobStatus(job=array, state=JobState.CANCELLED, exit_code=0)}
    found = task_statuses(run, run.jobs, known)
    assert found[0].state is JobState.COMPLETED
    assert found[1] == JobStatus(job=task(2), state=JobState.CANCELLED, exit_code=0)


def test_a_task_of_the_same_number_on_another_cluster_is_not_this_one(tmp_path: Path) -> None:
    run = write_run(tmp_path / RUN_ID, (2,))
    foreign = said(1, JobState.RUNNING, comment="r20200101-000000-bbbb")
    assert {status.state for status in task_statuses(run, run.jobs, foreign)} == {JobState.UNKNOWN}
    own = said(1, JobState.RUNNING, comment=RUN_ID)
    assert task_statuses(run, [task(1)], own) == tuple(own.values())


# Together.


def together(*states: str) -> tuple[JobStatus, ...]:
    return tuple(JobStatus(job=task(n), state=JobState(state)) for n, state in enumerate(states, start=1))


def test_every_state_is_counted_under_one_word() -> None:
    for state in JobState:
        assert summary(together(state.value)).startswith("1 ")
    tasks = ("TIMEOUT", "PENDING", "COMPLETED", "RUNNING", "COMPLETED", "CANCELLED", "UNKNOWN", "REQUEUED")
    assert summary(together(*tasks)) == "2 done, 1 failed, 1 cancelled, 1 running, 2 pending, 1 unknown"
    assert summary(()) == ""


@pytest.mark.parametrize(
    ("states", "state", "failed"),
    [
        (("COMPLETED", "FAILED", "RUNNING", "PENDING"), "RUNNING", 2),
        (("COMPLETED", "CANCELLED", "PENDING", "TIMEOUT"), "PENDING", 4),
        (("COMPLETED", "CANCELLED"), "CANCELLED", 2),
        (("CANCELLED", "NODE_FAIL", "FAILED"), "FAILED", 2),
        (("COMPLETED", "UNKNOWN"), "UNKNOWN", None),
        (("COMPLETED", "COMPLETED"), "COMPLETED", None),
        ((), "UNKNOWN", None),
    ],
)
def test_one_state_and_one_task_stand_for_all(
    states: tuple[str, ...], state: str, failed: int | None
) -> None:
    tasks = together(*states)
    assert overall(tasks) is JobState(state)
    first = first_failed(tasks)
    assert (first and first.job.task) == failed
