"""`hpcsubmit sweep rerun`, as typed, and what the other commands know of trials that ran again."""

import json
from pathlib import Path
from typing import Any

import pytest

from hpcsubmit.history import all_runs
from hpcsubmit.host import Host
from hpcsubmit.in_use import jobs_in_use
from sandbox import Sandbox
from sweep_desk import SweepDesk
from trial_records import GRID, RUN_ID, TrialRecords, grid_with_every_state
from unit.test_question import at_a_terminal

AGAIN = ("sweep", "rerun", RUN_ID)


@pytest.fixture
def desk(sandbox: Sandbox) -> SweepDesk:
    return SweepDesk(sandbox)


@pytest.fixture
def records(desk: SweepDesk) -> TrialRecords:
    """Three finished, one failed, one stopped and one that never began; nothing is in the queue."""
    made = TrialRecords(desk.box.scratch / "gan")
    grid_with_every_state(made)
    script(made)
    return made


def script(records: TrialRecords) -> None:
    (records.folder / "script.sh").write_text("#!/bin/bash\n")


def plan(records: TrialRecords, **values: Any) -> None:
    path = records.folder / "plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def result(records: TrialRecords) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((records.folder / "result.json").read_text())
    return found


def queue(desk: SweepDesk, *lines: str) -> None:
    """Say what squeue prints."""
    text = "".join(f"echo '{line}'\n" for line in lines)
    desk.box.install("squeue", f"#!/bin/sh\n{text}")


def refused(desk: SweepDesk, *argv: str) -> tuple[str, str]:
    said = desk(*argv)
    assert (said.code, said.stdout, desk.calls) == (1, "", []), said
    return said.error, said.hint


# --- which trials


def test_failed_takes_those_that_began_and_have_no_result(desk: SweepDesk, records: TrialRecords) -> None:
    said = desk.submits(*AGAIN, "--failed")
    assert said.stdout == "Submitted batch job 101\n"
    assert said.stderr == f"run again: 2 of 6 trials of {RUN_ID}: 4, 5\n"
    assert desk.calls == ["--array=4-5 SCRIPT"]


@pytest.mark.parametrize("word", ["4242", "4242_3"])
def test_the_run_is_found_by_its_jobs_too(desk: SweepDesk, records: TrialRecords, word: str) -> None:
    desk.submits("sweep", "rerun", word, "--failed")
    assert desk.calls == ["--array=4-5 SCRIPT"]


def test_without_failed_those_that_never_began_run_too(desk: SweepDesk, records: TrialRecords) -> None:
    assert desk.submits(*AGAIN, "--parsable").stdout == "101\n"
    assert desk.calls == ["--array=4-6 SCRIPT"]


def test_a_trial_whose_node_failed_runs_again_once_its_task_is_gone(
    desk: SweepDesk, records: TrialRecords
) -> None:
    records.began(6)
    desk.submits(*AGAIN, "--failed")
    desk.submits(*AGAIN)
    assert desk.calls == ["--array=4-5 SCRIPT", "--array=4-6 SCRIPT"]


def test_those_that_wait_are_left_alone(desk: SweepDesk, records: TrialRecords) -> None:
    queue(desk, f"4242_6|PENDING|Priority||{RUN_ID}")
    desk.submits(*AGAIN)
    assert desk.calls == ["--array=4-5 SCRIPT"]


def test_a_task_that_was_requeued_is_left_to_itself(desk: SweepDesk, records: TrialRecords) -> None:
    queue(desk, f"4242_[4-5]|PENDING|BeginTime||{RUN_ID}")
    error, hint = refused(desk, *AGAIN, "--failed")
    assert error == f"run {RUN_ID} has no trial to run again"
    assert hint == "its tasks are still in the queue: wait, or hpcsubmit cancel them"


def test_what_was_submitted_again_and_waits_is_not_submitted_twice(
    desk: SweepDesk, records: TrialRecords
) -> None:
    desk.submits(*AGAIN, "--failed")
    queue(desk, f"101_[4-5]|PENDING|Priority||{RUN_ID}")
    assert desk(*AGAIN, "--failed").code == 1
    queue(desk, f"101_5|PENDING|Priority||{RUN_ID}")
    desk.submits(*AGAIN, "--failed")
    assert desk.calls == ["--array=4-5 SCRIPT", "--array=4 SCRIPT"]


def test_another_clusters_job_of_the_same_number_is_none_of_it(
    desk: SweepDesk, records: TrialRecords
) -> None:
    queue(desk, "4242_4|RUNNING|None|n1|r20250101-000000-zzzz")
    desk.submits(*AGAIN, "--failed")
    assert desk.calls == ["--array=4-5 SCRIPT"]


def test_where_all_ended_well_there_is_nothing_to_run(desk: SweepDesk, records: TrialRecords) -> None:
    for trial in (4, 5, 6):
        records.ended(trial)
    expected = (f"run {RUN_ID} has no trial to run again", "every trial has ended well")
    assert refused(desk, *AGAIN) == expected


def test_those_that_never_began_did_not_fail(desk: SweepDesk, records: TrialRecords) -> None:
    for trial in (4, 5):
        records.ended(trial)
    assert refused(desk, *AGAIN, "--failed")[1] == "the others never began: leave out --failed"


def test_a_silent_queue_is_no_empty_queue(desk: SweepDesk, records: TrialRecords) -> None:
    desk.box.install("squeue", "#!/bin/sh\nexit 1\n")
    for argv in (AGAIN, (*AGAIN, "--failed")):
        error, hint = refused(desk, *argv)
        assert error == f"squeue gives no answer, and tasks of run {RUN_ID} may still wait or run"
        assert hint == "try again later: two tasks of one trial would write into one folder"


def test_a_single_job_has_no_trials(desk: SweepDesk, records: TrialRecords) -> None:
    (records.folder / "sweep.json").unlink()
    plan(records, array=None)
    error, hint = refused(desk, *AGAIN)
    assert error == f"run {RUN_ID} has no trials: it is neither a sweep nor repeated"
    assert hint == f"hpcsubmit runs show {RUN_ID} tells of it"


def test_an_unknown_run_is_an_error(desk: SweepDesk) -> None:
    assert refused(desk, "sweep", "rerun", "77") == (
        "there is no run 77",
        "hpcsubmit runs lists the runs there are",
    )


def test_the_trials_of_a_sweep_on_the_server_are_known_by_their_own_records(
    desk: SweepDesk, records: TrialRecords
) -> None:
    plan(records, sweep="lab/gan/abc")
    desk.submits(*AGAIN, "--failed")
    assert (desk.calls, desk.wandb.asked()) == (["--array=4-5 SCRIPT"], [])


# --- how they are submitted


def test_blocks_are_calls_of_their_own_with_the_indices_of_their_tasks(
    desk: SweepDesk, records: TrialRecords
) -> None:
    blocks, jobs = [[0, 4], [4, 4], [8, 2]], ("4242", "4243", "4244")
    records.submitted([["n", {"values": list(range(10))}]], 10, blocks=blocks, jobs=jobs)
    for trial in range(1, 11):
        records.ended(trial, 1 if trial in (1, 2, 4, 10) else 0)
    said = desk.submits(*AGAIN, "--failed")
    assert desk.calls == ["--array=1-2,4 SCRIPT", "--array=2 SCRIPT 8"]
    assert said.stdout == "Submitted batch job 101\nSubmitted batch job 102\n"
    assert result(records)["reruns"] == ["101", "102"]


def test_a_task_of_several_trials_is_submitted_once(desk: SweepDesk, records: TrialRecords) -> None:
    records.submitted([["n", {"values": list(range(7))}]], 7, per_task=3)
    for trial in range(1, 8):
        records.ended(trial, 1 if trial in (1, 3, 7) else 0)
    said = desk.submits(*AGAIN, "--failed")
    assert desk.calls == ["--array=1,3 SCRIPT"]
    assert said.stderr == f"run again: 3 of 7 trials of {RUN_ID}: 1, 3, 7\n"


def test_the_throttle_is_kept_and_holds_for_all_of_it(desk: SweepDesk, records: TrialRecords) -> None:
    grid = [["n", {"values": list(range(6))}]]
    records.submitted(grid, 6, blocks=[[0, 3], [3, 3]], jobs=("4242", "4243"))
    plan(records, directives=["--job-name=x", "--array=1-3%2"])
    for trial in range(1, 7):
        records.ended(trial, 1)
    desk.submits(*AGAIN)
    assert desk.calls == ["--array=1-3%2 SCRIPT", "--array=1-3%2 --dependency=afterany:101 SCRIPT 3"]


def test_another_time_and_memory_may_be_asked_for(desk: SweepDesk, records: TrialRecords) -> None:
    desk.submits(*AGAIN, "--failed", "-t", "4:00:00", "-m", "20G")
    assert desk.calls == ["--array=4-5 --time=00-04:00:00 --mem-per-gpu=20G SCRIPT"]
    said = desk(*AGAIN, "--time", "0")
    assert (said.code, len(desk.calls)) == (2, 1)


@pytest.mark.parametrize("gone", ["script", "environment"])
def test_what_is_gone_by_now_is_told(desk: SweepDesk, records: TrialRecords, gone: str) -> None:
    path = records.folder / "script.sh"
    if gone == "script":
        path.unlink()
    else:
        path = desk.box.root / "removed"
        plan(records, virtualenv=str(path))
    error, hint = refused(desk, *AGAIN)
    assert error == f"{path} is gone by now"
    assert hint == "submit the sweep anew: hpcsubmit sweep run FILE"


def test_reruns_are_added_to_the_record(desk: SweepDesk, records: TrialRecords) -> None:
    before = result(records)
    desk.submits(*AGAIN, "--failed")
    desk.submits(*AGAIN)
    assert result(records) == before | {"reruns": ["101", "102"]}


def test_what_was_taken_before_a_refusal_is_printed_and_recorded(
    desk: SweepDesk, records: TrialRecords
) -> None:
    records.submitted(GRID, 6, blocks=[[0, 3], [3, 3]], jobs=("4242", "4243"))
    records.ended(1, 1)
    desk.refused_call(2)
    said = desk(*AGAIN)
    assert (said.code, said.stdout) == (1, "Submitted batch job 101\n")
    assert "QOSMaxSubmitJob" in said.error
    assert result(records)["reruns"] == ["101"]


def test_no_on_a_terminal_submits_nothing(desk: SweepDesk, records: TrialRecords) -> None:
    code, shown = at_a_terminal(desk.box, *AGAIN, typed=b"n\n")
    assert (code, desk.calls) == (1, [])
    assert b"error: not submitted, as you answered" in shown
    code, _ = at_a_terminal(desk.box, *AGAIN, typed=b"y\n")
    assert (code, desk.calls) == (0, ["--array=4-6 SCRIPT"])


# --- what the other commands know of it


@pytest.fixture
def again(desk: SweepDesk, records: TrialRecords) -> SweepDesk:
    """Trials 4 and 5 run again as 101; the first tasks have ended."""
    desk.submits(*AGAIN, "--failed")
    queue(desk, f"101_4|RUNNING|None|n1|{RUN_ID}", f"101_5|PENDING|Priority||{RUN_ID}")
    ended = "".join(
        f"echo '4242_{n}|{'FAILED|1:0' if n in (4, 5) else 'COMPLETED|0:0'}'\n" for n in range(1, 7)
    )
    desk.box.install("sacct", f"#!/bin/sh\ncase $* in *4242*)\n{ended};; esac\n")
    desk.box.install("scontrol", "#!/bin/sh\nexit 1\n")
    return desk


def test_status_of_the_run_shows_them(again: SweepDesk) -> None:
    lines = again.submits("status", RUN_ID).stdout.splitlines()
    row = next(line.split() for line in lines if line.startswith("101_[4-5]"))
    assert row == ["101_[4-5]", "RUNNING", "-", RUN_ID, "1", "running,", "1", "pending"]
    assert any(line.startswith("4242_[1-6]") for line in lines)
    assert "101_[4-5]" in again.submits("status").stdout


def test_cancel_of_the_run_ends_them(again: SweepDesk) -> None:
    said = again.submits("cancel", RUN_ID)
    assert said.stdout.splitlines()[-1] == "cancelled array 101_[4-5]"
    assert again.cancelled == ["101"]


def test_cancel_of_one_of_them_leaves_the_rest(again: SweepDesk) -> None:
    again.submits("cancel", "101_5")
    assert again.cancelled == ["101_5"]


def test_cancel_says_nothing_of_those_that_have_ended(again: SweepDesk) -> None:
    queue(again)
    said = again.submits("cancel", RUN_ID)
    assert said.stdout.startswith("array 4242_[1-6] had already ended: ")
    assert ("101" in said.stdout, again.cancelled) == (False, [])


def test_the_results_are_found_by_them(again: SweepDesk) -> None:
    assert "0.75" in again.submits("sweep", "results", "101").stdout
    (run,) = all_runs(Host(environ=again.box.environ))
    assert [str(job) for job in run.reruns] == ["101"]


def test_what_they_need_is_in_use_while_one_waits_or_nobody_knows(
    again: SweepDesk, records: TrialRecords, tmp_path: Path
) -> None:
    plan(records, virtualenv=str(tmp_path / "env"))
    host = Host(environ=again.box.environ)
    assert [use.virtualenv for use in jobs_in_use(host)] == [tmp_path / "env"]
    queue(again)
    assert jobs_in_use(host) == ()
    again.box.install("squeue", "#!/bin/sh\nexit 1\n")
    assert [use.certain for use in jobs_in_use(host)] == [False]


def test_the_record_shows_them(again: SweepDesk) -> None:
    assert "run again by  101\n" in again.submits("runs", "show", RUN_ID).stdout
    shown = json.loads(again.submits("runs", "show", RUN_ID, "--json").stdout)
    assert (shown["reruns"], shown["jobs"]) == (["101"], ["4242"])


def test_they_are_not_taken_for_an_array_whose_number_was_lost(
    again: SweepDesk, records: TrialRecords
) -> None:
    plan(records, array={"trials": 6, "per_task": 1, "blocks": [[0, 3], [3, 3]]})
    shown = json.loads(again.submits("runs", "show", RUN_ID, "--json").stdout)
    assert shown["jobs"] == ["4242"]
