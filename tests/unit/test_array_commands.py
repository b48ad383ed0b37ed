"""`hpcsubmit status`, `cancel` and `runs` of arrays."""

import json
import re

import pytest

from array_records import RUN_ID, end_trial, write_run
from hpcsubmit.run import Run
from sandbox import Said, Sandbox

UNKNOWN = "#!/bin/sh\necho 'slurm_load_jobs error: Invalid job id specified' >&2\nexit 1\n"


class Desk:
    """A sandbox with a run of arrays, and Slurm's commands, which note what they are asked."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.asked = sandbox.root / "asked"
        for name in ("squeue", "scontrol", "sacct", "scancel"):
            self.says(name, "exit 1" if name != "scancel" else ":")

    def run(self, *sizes: int, **values: object) -> Run:
        folder = self.sandbox.scratch / "gan" / "hpcsubmit" / "runs" / RUN_ID
        return write_run(folder, sizes, **values)  # type: ignore[arg-type]

    def says(self, name: str, script: str) -> None:
        """Put a command in place; each is noted with its last word."""
        noted = f'for last; do :; done; echo "{name} $last" >>{self.asked}'
        self.sandbox.install(name, f"#!/bin/sh\n{noted}\n{script}\n")

    def queue(self, *lines: str) -> None:
        """Say what squeue prints."""
        self.says("squeue", "\n".join(f"echo '{line}'" for line in lines) or ":")

    def ended(self, *lines: str) -> None:
        """Say what sacct prints."""
        self.says("sacct", "\n".join(f"echo '{line}'" for line in lines) or ":")

    def questions(self) -> list[str]:
        return self.asked.read_text().splitlines()

    def rows(self, *words: str) -> list[list[str]]:
        """The lines of status without its titles, as cells."""
        said = self.sandbox.hpcsubmit("status", *words)
        assert said.code == 0, said
        head, *lines = said.stdout.splitlines()
        assert head.split() == ["JOB", "STATE", "EXIT", "RUN", "WHERE", "OR", "WHY"]
        return [re.split(r" {2,}", line) for line in lines]

    def cancel(self, *words: str) -> Said:
        return self.sandbox.hpcsubmit("cancel", *words)


@pytest.fixture
def desk(sandbox: Sandbox) -> Desk:
    return Desk(sandbox)


def running(desk: Desk) -> None:
    """Eight tasks: 1 and 3 done, 2 failed, 4 and 5 run, 6 was cancelled, 7 and 8 wait."""
    desk.run(8)
    desk.queue(
        *(f"4242_{task}|RUNNING|None|n{task}|{RUN_ID}" for task in (4, 5)),
        f"4242_[7-8%2]|PENDING|JobArrayTaskLimit||{RUN_ID}",
    )
    desk.ended("4242_1|COMPLETED|0:0", "4242_2|FAILED|7:0", "4242_3|COMPLETED|0:0", "4242_6|CANCELLED|0:0")


COUNTS = "2 done, 1 failed, 1 cancelled, 2 running, 2 pending"


def test_an_array_is_one_line(desk: Desk) -> None:
    running(desk)
    assert desk.rows() == [["4242_[1-8]", "RUNNING", "7:0", RUN_ID, COUNTS]]


@pytest.mark.parametrize("word", [RUN_ID, "4242", "4242_[1-8]"])
def test_an_array_that_is_named_has_a_line_for_each_task_that_failed_or_runs(desk: Desk, word: str) -> None:
    running(desk)
    assert desk.rows(word) == [
        ["4242_[1-8]", "RUNNING", "7:0", RUN_ID, COUNTS],
        ["4242_2", "FAILED", "7:0", "trial 2"],
        ["4242_4", "RUNNING", "-", "trial 4", "n4"],
        ["4242_5", "RUNNING", "-", "trial 5", "n5"],
    ]
    assert desk.questions() == ["squeue --jobs=4242", "scontrol 4242", "sacct --jobs=4242"]


@pytest.mark.parametrize(
    ("word", "row"),
    [
        ("4242_2", ["4242_2", "FAILED", "7:0", RUN_ID]),
        ("4242_4", ["4242_4", "RUNNING", "-", RUN_ID, "n4"]),
        ("4242_6", ["4242_6", "CANCELLED", "0:0", RUN_ID]),
        ("4242_7", ["4242_7", "PENDING", "-", RUN_ID, "JobArrayTaskLimit"]),
    ],
)
def test_a_task_has_a_line_of_its_own(desk: Desk, word: str, row: list[str]) -> None:
    running(desk)
    assert desk.rows(word) == [row]
    assert desk.questions()[0] == "squeue --jobs=4242", (
        "all of the array, which tells of tasks without a line"
    )


def test_a_task_that_was_cancelled_before_it_began_is_told_by_its_array(desk: Desk) -> None:
    desk.run(3)
    desk.queue("4242_1|RUNNING|None|n1|", "4242_2|PENDING|Priority||")
    assert desk.rows("4242_3") == [["4242_3", "CANCELLED", "0:0", RUN_ID, "before it began"]]
    assert desk.cancel("4242_3").stdout == "job 4242_3 had already ended: CANCELLED\n"


def test_of_many_tasks_that_failed_the_first_are_shown(desk: Desk) -> None:
    desk.run(500, 500, jobs=(4242, 4250))
    desk.queue()
    desk.ended("4242_[1-500]|FAILED|3:0", "4250_[1-499]|COMPLETED|0:0", "4250_500|TIMEOUT|0:0")
    said = desk.sandbox.hpcsubmit("status", RUN_ID).stdout.splitlines()
    assert said[1].split(maxsplit=4) == [
        "4242_[1-500]+1", "FAILED", "3:0", RUN_ID, "499 done, 501 failed",
    ]  # fmt: skip
    assert [line.split()[0] for line in said[2:22]] == [f"4242_{task}" for task in range(1, 21)]
    assert said[22:] == ["... and 481 more: hpcsubmit status JOB_TASK"]


def test_ten_thousand_tasks_are_two_questions_and_two_lines(desk: Desk) -> None:
    jobs = tuple(range(4242, 4252))
    desk.run(*(1000 for _ in jobs), jobs=jobs)
    desk.queue(*(f"{job}_[900-1000%50]|PENDING|Priority||" for job in jobs), "4242_899|RUNNING|None|n1|")
    desk.ended(*(f"{job}_[1-899]|COMPLETED|0:0" for job in jobs))
    assert desk.rows(RUN_ID) == [
        ["4242_[1-1000]+9", "RUNNING", "-", RUN_ID, "8989 done, 1 running, 1010 pending"],
        ["4242_899", "RUNNING", "-", "trial 899", "n1"],
    ]
    assert [question.split()[0] for question in desk.questions()] == ["squeue", "sacct"]


def test_a_block_that_is_named_stands_alone(desk: Desk) -> None:
    desk.run(5, 3, jobs=(4242, 4250))
    desk.queue("4242_[1-5]|PENDING|Priority||", "4250_[1-3]|PENDING|Dependency||")
    assert desk.rows(RUN_ID)[0] == [
        "4242_[1-5]+1",
        "PENDING",
        "-",
        RUN_ID,
        "8 pending (Dependency, Priority)",
    ]
    assert desk.rows("4250") == [["4250_[1-3]", "PENDING", "-", RUN_ID, "3 pending (Dependency)"]]
    assert desk.rows("4242_[1-5]+1") == desk.rows(RUN_ID)


def test_what_slurm_has_forgotten_the_run_folder_tells(desk: Desk) -> None:
    run = desk.run(4, per_task=2, trials=7)
    for first, code in ((1, 0), (3, 9), (5, 0)):
        end_trial(run, first, code)
    desk.sandbox.install("squeue", UNKNOWN)
    assert desk.rows(RUN_ID) == [
        ["4242_[1-4]", "unknown", "9:0", RUN_ID, "2 done, 1 failed, 1 unknown"],
        ["4242_2", "FAILED", "9:0", "trials 3-4", "as its script recorded"],
    ]
    assert desk.rows("4242_1") == [["4242_1", "COMPLETED", "0:0", RUN_ID, "as its script recorded"]]
    assert desk.rows("4242_4") == [["4242_4", "unknown", "-", RUN_ID]]


def test_an_array_without_a_record_is_told_by_slurm_alone(desk: Desk) -> None:
    desk.queue("77_3|RUNNING|None|n1|c", "77_[4-9]|PENDING|Priority||c")
    desk.ended("77_1|COMPLETED|0:0", "77_2|FAILED|1:0")
    assert desk.rows("77") == [
        ["77_[1-9]", "RUNNING", "1:0", "-", "1 done, 1 failed, 1 running, 6 pending"],
        ["77_2", "FAILED", "1:0", "-"],
        ["77_3", "RUNNING", "-", "-", "n1"],
    ]


def test_a_task_that_an_array_does_not_have_is_an_error(desk: Desk) -> None:
    desk.run(8)
    for argv in (("cancel", "4242_9"), ("runs", "show", "4242_9")):
        said = desk.sandbox.hpcsubmit(*argv)
        assert (said.code, said.stdout) == (1, "")
        assert "4242_9" in said.error
        assert said.hint
    assert "scancel" not in desk.asked.read_text() if desk.asked.exists() else True


def test_an_array_whose_environment_could_not_be_built_says_so(desk: Desk) -> None:
    run = desk.run(2, virtualenv=str(desk.sandbox.root / "envs" / "ab12"))
    result = run.folder / "result.json"
    result.write_text(json.dumps(json.loads(result.read_text()) | {"build": "4241"}))
    desk.queue()
    desk.ended("4242|CANCELLED|0:0", "4241|FAILED|1:0")
    said = desk.sandbox.hpcsubmit("status", RUN_ID).stdout.splitlines()
    assert said[1].split()[:3] == ["4242_[1-2]", "CANCELLED", "0:0"]
    why = f"the environment {run.virtualenv} could not be built by job 4241 (FAILED)"
    assert said[2] == f"job 4242_[1-2] did not run: {why}:"
    desk.ended("4242_1|FAILED|1:0", "4242_2|CANCELLED|0:0", "4241|COMPLETED|0:0")
    assert "did not run" not in desk.sandbox.hpcsubmit("status", RUN_ID).stdout
    desk.queue("4242_[1-2]|PENDING|Dependency||", "4241|RUNNING|None|n1|")
    assert "did not run" not in desk.sandbox.hpcsubmit("status", RUN_ID).stdout


# Cancel.


def cancelled(desk: Desk) -> list[str]:
    return [line.split()[1] for line in desk.questions() if line.startswith("scancel")]


def test_a_run_is_cancelled_by_one_scancel_for_each_array_that_has_not_ended(desk: Desk) -> None:
    desk.run(2, 2, 2, jobs=(4242, 4250, 4260))
    desk.queue("4250_1|RUNNING|None|n1|", "4250_2|PENDING|None||", "4260_[1-2]|PENDING|None||")
    desk.ended("4242_1|COMPLETED|0:0", "4242_2|FAILED|1:0")
    said = desk.cancel(RUN_ID)
    assert said.stdout.splitlines() == [
        "array 4242_[1-2] had already ended: 1 done, 1 failed",
        "cancelled array 4250_[1-2]",
        "cancelled array 4260_[1-2]",
    ]
    assert cancelled(desk) == ["4250", "4260"]


def test_one_array_of_a_run_or_one_task_is_cancelled_alone(desk: Desk) -> None:
    desk.run(2, 2, jobs=(4242, 4250))
    desk.queue("4242_[1-2]|PENDING|None||", "4250_[1-2]|PENDING|None||")
    assert desk.cancel("4250").stdout.splitlines() == [
        "cancelled array 4250_[1-2]",
        f"run {RUN_ID} has another array: hpcsubmit cancel {RUN_ID} ends all of it",
    ]
    assert desk.cancel("4242_2").stdout == "cancelled job 4242_2\n"
    assert cancelled(desk) == ["4250", "4242_2"]


def test_tasks_that_have_ended_are_not_cancelled(desk: Desk) -> None:
    desk.run(2)
    desk.queue()
    desk.ended("4242_1|COMPLETED|0:0", "4242_2|TIMEOUT|0:0")
    assert desk.cancel("4242").stdout == "array 4242_[1-2] had already ended: 1 done, 1 failed\n"
    assert desk.cancel("4242_2").stdout == "job 4242_2 had already ended: TIMEOUT\n"
    assert cancelled(desk) == []


def test_where_one_of_several_is_wrong_nothing_is_cancelled(desk: Desk) -> None:
    desk.run(2)
    desk.queue("4242_[1-2]|PENDING|None||")
    said = desk.cancel("4242", "4242_3")
    assert (said.code, said.error.split(":")[0]) == (1, "there is no job 4242_3")
    assert cancelled(desk) == []


# Runs.


def test_runs_show_arrays_their_tasks_and_their_sweep(desk: Desk) -> None:
    desk.run(8, sweep="me/gan/ab12")
    assert desk.sandbox.hpcsubmit("runs").stdout.splitlines()[1].split()[:2] == [RUN_ID, "4242_[1-8]"]
    shown = desk.sandbox.hpcsubmit("runs", "show", "4242_7").stdout.splitlines()
    lines = dict(line.split(maxsplit=1) for line in shown)
    assert (lines["job"], lines["tasks"], lines["sweep"]) == ("4242_[1-8]", "8", "me/gan/ab12")
    assert lines["log"].endswith("%A_%a.out")
    (as_json,) = json.loads(desk.sandbox.hpcsubmit("runs", "--json").stdout)
    assert (as_json["jobs"], as_json["array"]["tasks"]) == (["4242"], 8)


def test_a_run_is_found_by_the_job_of_any_of_its_arrays(desk: Desk) -> None:
    desk.run(1000, 1000, 1, jobs=(4242, 4250, 4260), per_task=2, trials=4001)
    assert desk.sandbox.hpcsubmit("runs").stdout.splitlines()[1].split()[1] == "4242_[1-1000]+2"
    for word in ("4242", "4250", "4260", "4260_1", "4250_1000"):
        shown = desk.sandbox.hpcsubmit("runs", "show", word).stdout.splitlines()
        assert "trials   4001 in 2001 tasks" in shown, word
    assert not [line for line in shown if line.startswith(("sweep", "tasks"))]


def test_the_arrays_of_a_run_that_was_cut_short_are_found_by_its_comment(desk: Desk) -> None:
    desk.run(5, 5, jobs=())
    desk.queue(f"77_[2-5]|PENDING|Priority||{RUN_ID}", f"77_1|RUNNING|None|n|{RUN_ID}")
    assert desk.rows()[0][0] == "77_[1-5]"
    assert desk.rows()[0][4].endswith("; 1 of 2 arrays are known")
    desk.queue(f"78_[1-5]|PENDING|Priority||{RUN_ID}", f"77_1|RUNNING|None|n|{RUN_ID}")
    assert json.loads(desk.sandbox.hpcsubmit("runs", "--json").stdout)[0]["jobs"] == ["77", "78"]
    (desk.sandbox.scratch / "gan" / "hpcsubmit" / "runs" / RUN_ID / "result.json").write_text('{"job": "77"}')
    desk.queue(f"78_[1-5]|PENDING|Priority||{RUN_ID}")
    assert json.loads(desk.sandbox.hpcsubmit("runs", "--json").stdout)[0]["jobs"] == ["77", "78"]
