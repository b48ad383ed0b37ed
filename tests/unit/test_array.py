"""Dealing trials out to tasks and blocks, within what Slurm takes."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpcsubmit.array import Array, Limits, array_of
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.values import Walltime

HOUR = Walltime(seconds=3600)
FIR = "max_jobs of the profile 'fir'"


def dealt(trials: int, limits: Limits | None = None, **options: Any) -> Array:
    return array_of(trials, limits or Limits(), **{"throttle": None, "walltime": HOUR} | options)


def refusal(trials: int, limits: Limits, **options: Any) -> tuple[str, str]:
    with pytest.raises(HpcSubmitError) as raised:
        dealt(trials, limits, **options)
    assert raised.value.exit_code == 1
    return raised.value.message, raised.value.hint


def test_few_trials_are_one_block_with_one_trial_in_each_task() -> None:
    array = dealt(8)
    assert (array.tasks, array.per_task, array.blocks, array.directive) == (8, 1, ((0, 8),), "1-8")
    assert array.notes == ()
    assert dealt(1).directive == "1-1"


def test_the_throttle_is_in_the_directive() -> None:
    assert dealt(8, throttle=10).directive == "1-8%10"


@pytest.mark.parametrize(
    ("trials", "blocks"),
    [(1000, ((0, 1000),)), (1001, ((0, 1000), (1000, 1))), (2000, ((0, 1000), (1000, 1000)))],
)
def test_a_block_has_one_task_fewer_than_slurms_default(
    trials: int, blocks: tuple[tuple[int, int], ...]
) -> None:
    assert dealt(trials).blocks == blocks


def test_the_size_of_a_block_is_what_this_slurm_takes() -> None:
    limits = Limits(max_array_size=5)
    array = dealt(10, limits)
    assert array.blocks == ((0, 4), (4, 4), (8, 2))
    assert [array.spec(block) for block in array.blocks] == ["1-4", "1-4", "1-2"]
    assert array.notes == ("3 arrays: Slurm here takes at most 4 tasks in one (MaxArraySize 5)",)
    assert dealt(1001).notes == ("2 arrays: Slurm here takes at most 1000 tasks in one (MaxArraySize 1001)",)


def test_every_block_has_its_own_numbers_and_the_throttle() -> None:
    limits = Limits(max_array_size=5)
    free, throttled = dealt(6, limits), dealt(6, limits, throttle=3)
    assert [free.spec(block) for block in free.blocks] == ["1-4", "1-2"]
    assert [throttled.spec(block) for block in throttled.blocks] == ["1-4%3", "1-2%3"]


def test_where_jobs_are_limited_a_task_runs_several_trials() -> None:
    limits = Limits(max_jobs=400, queued=66, source=FIR)
    array = dealt(1000, limits)
    assert (array.per_task, array.tasks, array.blocks) == (3, 334, ((0, 334),))
    assert array.trials_of(1) == range(1, 4)
    assert array.trials_of(334) == range(1000, 1001)
    (note,) = array.notes
    assert note == (
        "3 trials one after another in each of 334 tasks: 00:20:00 each of --time 01:00:00; "
        f"334 of 400 jobs are free here ({FIR})"
    )


def test_as_many_trials_as_jobs_are_free_need_no_sharing() -> None:
    assert dealt(334, Limits(max_jobs=400, queued=66)).per_task == 1
    assert dealt(335, Limits(max_jobs=400, queued=66)).per_task == 2


def test_a_trial_keeps_a_minute_and_what_does_not_fit_is_refused() -> None:
    limits = Limits(max_jobs=1000, queued=990, source=FIR)
    assert dealt(600, limits).per_task == 60
    message, hint = refusal(601, limits)
    assert message == (
        "601 trials do not fit: the limit of submitted jobs here is 1000 (max_jobs of the profile 'fir'), "
        "array tasks counted singly, and 990 are queued"
    )
    assert hint == (
        "at most 10 fit now, one per task, or 600 with 60 in each (--time 01:00:00): ask for fewer, give a "
        "longer --time, or wait"
    )


def test_a_time_of_a_minute_is_shared_by_nobody() -> None:
    message, hint = refusal(2, Limits(max_jobs=1), walltime=Walltime(seconds=60))
    assert message == (
        "2 trials do not fit: the limit of submitted jobs here is 1, array tasks counted singly, and 0 are "
        "queued"
    )
    assert hint == "at most 1 fit now, one per task: ask for fewer, give a longer --time, or wait"


@pytest.mark.parametrize("queued", [5, 6])
def test_with_nothing_free_one_waits(queued: int) -> None:
    message, hint = refusal(1, Limits(max_jobs=5, queued=queued))
    assert message.endswith(f"and {queued} are queued")
    assert hint == "wait until some of them have ended; hpcsubmit runs lists those of this project"


def test_a_number_per_task_that_is_asked_for_is_kept() -> None:
    array = dealt(10, Limits(max_jobs=4), per_task=4)
    assert (array.per_task, array.tasks) == (4, 3)
    assert dealt(10, Limits(max_jobs=400), per_task=4, walltime=Walltime(seconds=2 * 24 * 3600)).notes == (
        "4 trials one after another in each of 3 tasks: 12:00:00 each of --time 02-00:00:00",
    )
    message, hint = refusal(10, Limits(max_jobs=4), per_task=2)
    assert message.startswith("10 trials do not fit: the limit of submitted jobs here is 4,")
    assert hint == (
        "at most 8 fit now with 2 in each task: ask for fewer, for more in each (--trials-per-task), or wait"
    )


def test_all_trials_in_one_task_are_told_so() -> None:
    limits = Limits(max_jobs=1)
    (note,) = dealt(2, limits).notes
    assert note.startswith("2 trials one after another in one task: 00:30:00 each")


@pytest.mark.parametrize("size", [0, 1])
def test_a_slurm_without_arrays_is_an_error(size: int) -> None:
    message, hint = refusal(1, Limits(max_array_size=size))
    assert message == f"Slurm takes no job arrays here (MaxArraySize {size})"
    assert hint == "submit single jobs, or ask the site's support for arrays"


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.integers(1, 5000),
    st.integers(2, 1200),
    st.none() | st.integers(1, 3000),
    st.none() | st.integers(1, 9),
    st.integers(60, 10**6),
)
def test_every_trial_is_in_exactly_one_task_and_one_block(
    trials: int, size: int, jobs: int | None, per_task: int | None, seconds: int
) -> None:
    walltime = Walltime(seconds=seconds)
    limits = Limits(max_array_size=size, max_jobs=jobs)
    try:
        array = array_of(trials, limits, throttle=None, walltime=walltime, per_task=per_task)
    except HpcSubmitError:
        assert jobs is not None
        assert trials > jobs * (per_task or max(1, seconds // 60))
        return
    tasks = [offset + index for offset, length in array.blocks for index in range(1, length + 1)]
    assert tasks == list(range(1, array.tasks + 1))
    assert [trial for task in tasks for trial in array.trials_of(task)] == list(range(1, trials + 1))
    assert all(array.trials_of(task) for task in tasks)
    assert all(0 < length < size for _, length in array.blocks)
    assert jobs is None or array.tasks <= jobs
    assert per_task in (None, array.per_task)
    assert per_task or array.per_task == 1 or seconds / array.per_task >= 60
    for trial in {1, trials, trials // 2 + 1}:
        block, index = array.place(trial)
        assert 1 <= index <= array.blocks[block][1]
        assert trial in array.trials_of(array.blocks[block][0] + index)
