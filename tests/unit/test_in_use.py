"""What jobs need that have not ended: in doubt, everything."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from hpcsubmit.host import Host
from hpcsubmit.in_use import InUse, jobs_in_use

NOW = datetime(2026, 2, 2, 12, tzinfo=UTC)
UNREACHABLE = "echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1"
FORGOTTEN = "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1"


class Desk:
    """A scratch with records, and programs that answer as Slurm's commands do."""

    def __init__(self, folder: Path) -> None:
        self.scratch, self.bin = folder / "scratch", folder / "bin"
        self.bin.mkdir()
        environ = {"PATH": f"{self.bin}:/usr/bin:/bin", "SCRATCH": str(self.scratch), "HOME": str(folder)}
        self.host = Host(environ=environ)
        self.slurm()

    def slurm(
        self, *, asked: str = FORGOTTEN, mine: str = ":", scontrol: str = "exit 1", sacct: str = ":"
    ) -> None:
        """Say how squeue answers a question for jobs and for all of mine, and how the others answer."""
        squeue = f'case "$*" in *--jobs=*) {asked} ;; *) {mine} ;; esac'
        for name, script in (("squeue", squeue), ("scontrol", scontrol), ("sacct", sacct)):
            (self.bin / name).write_text(f'#!/bin/sh\necho "{name} $*" >>{self.bin}/asked\n{script}\n')
            (self.bin / name).chmod(0o755)

    def run(
        self,
        *,
        job: int | None = 7,
        number: int = 2,
        project: str = "gan",
        age: float = 1,
        end: str = "",
        **plan: Any,
    ) -> str:
        """Write the record of a run that was submitted some hours ago; return its id."""
        run_id = f"r20260202-00000{number}-aaaa"
        folder = self.scratch / project / "hpcsubmit" / "runs" / run_id
        folder.mkdir(parents=True)
        texts = (
            "cluster",
            "kind",
            "exp_name",
            "project",
            "job_name",
            "command",
            "command_line",
            "log",
            "version",
        )
        created = (NOW - timedelta(hours=age)).isoformat(timespec="seconds")
        known = {"run_id": run_id, "created": created, "scheduler": "slurm"}
        own = {"virtualenv": f"/envs/{number}", "data": f"/data/{number}.manifest"}
        (folder / "plan.json").write_text(json.dumps(dict.fromkeys(texts, "") | known | own | plan))
        if job is not None:
            (folder / "result.json").write_text(json.dumps({"job": str(job)}))
        if end:
            (folder / "exit").write_text(end)
        return run_id

    def refuse(self, run_id: str) -> None:
        folder = self.scratch / "gan" / "hpcsubmit" / "runs" / run_id
        (folder / "result.json").write_text(json.dumps({"refused": "sbatch refused the job"}))

    def needed(self) -> list[str]:
        return [use.run_id for use in jobs_in_use(self.host, NOW)]

    def asked(self) -> int:
        """How many questions the scheduler was asked."""
        return len((self.bin / "asked").read_text().splitlines()) if (self.bin / "asked").exists() else 0


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


def test_without_records_nothing_is_in_use_and_nobody_is_asked(desk: Desk) -> None:
    assert desk.needed() == []
    assert desk.asked() == 0


@pytest.mark.parametrize(
    "state", ["PENDING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED", "REQUEUE_HOLD", "A_NEW_ONE"]
)  # fmt: skip
@pytest.mark.parametrize("end", ["", "143\n"])
def test_a_job_that_has_not_ended_needs_its_environment_and_data(desk: Desk, state: str, end: str) -> None:
    """Even where its script has ended: it was requeued."""
    run = desk.run(end=end, age=1000)
    desk.slurm(asked=f"echo '7|{state}|None|n1|{run}'")
    found = jobs_in_use(desk.host, NOW)
    assert found == (InUse(run, Path("/envs/2"), Path("/data/2.manifest"), certain=True),)


@pytest.mark.parametrize("state", ["COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED"])
def test_a_job_that_slurm_calls_ended_needs_nothing(desk: Desk, state: str) -> None:
    run = desk.run()
    desk.slurm(scontrol=f"echo 'JobId=7 JobState={state} ExitCode=0:0 Comment={run}'")
    assert desk.needed() == []
    desk.slurm(sacct=f"echo '7|{state}|0:0'")
    assert desk.needed() == []


def test_a_job_that_slurm_has_forgotten_is_over_where_its_script_wrote_its_end(desk: Desk) -> None:
    desk.run(job=7, number=2, end="0\n")
    doubtful = desk.run(job=8, number=3, age=10_000)
    assert jobs_in_use(desk.host, NOW) == (
        InUse(doubtful, Path("/envs/3"), Path("/data/3.manifest"), certain=False),
    )


def test_where_slurm_gives_no_answer_everything_is_needed_but_what_it_refused(desk: Desk) -> None:
    desk.slurm(asked=UNREACHABLE, mine=UNREACHABLE, sacct="exit 1")
    runs = [
        desk.run(job=7, number=2, end="0\n"),
        desk.run(job=8, number=3),
        desk.run(job=None, number=4, age=99),
    ]
    desk.refuse(desk.run(job=None, number=5))
    assert desk.needed() == sorted(runs, key=lambda run: (run != runs[2], run))
    for name in ("squeue", "scontrol", "sacct"):
        (desk.bin / name).unlink()
    assert len(desk.needed()) == 3


def test_what_sacct_says_counts_where_the_controller_is_down(desk: Desk) -> None:
    desk.run(job=7, number=2)
    running = desk.run(job=8, number=3, end="143\n")
    desk.slurm(asked=UNREACHABLE, mine=UNREACHABLE, sacct="printf '7|COMPLETED|0:0\\n8|REQUEUED|0:0\\n'")
    assert desk.needed() == [running]


@pytest.mark.parametrize(("age", "needed"), [(0, True), (23.9, True), (24.1, False), (-1, True)])
def test_a_run_without_a_job_is_needed_for_a_day(desk: Desk, age: float, *, needed: bool) -> None:
    run = desk.run(job=None, age=age)
    assert desk.needed() == ([run] if needed else [])


def test_a_run_without_a_job_is_needed_longer_where_squeue_finds_it(desk: Desk) -> None:
    run = desk.run(job=None, age=1000)
    found = f"echo '9|PENDING|Priority||{run}'"
    desk.slurm(asked=found, mine=found)
    assert desk.needed() == [run]


def test_a_run_without_a_right_date_is_needed(desk: Desk) -> None:
    run = desk.run(job=None, created="yesterday")
    assert desk.needed() == [run]


def test_a_refused_run_needs_nothing(desk: Desk) -> None:
    desk.refuse(desk.run(job=None))
    assert desk.needed() == []


def test_a_job_of_the_same_number_on_another_cluster_is_not_this_one(desk: Desk) -> None:
    run = desk.run()
    desk.slurm(scontrol="echo 'JobId=7 JobState=COMPLETED ExitCode=0:0 Comment=r20200101-000000-bbbb'")
    assert desk.needed() == [run]


def test_runs_of_every_project_count(desk: Desk) -> None:
    runs = [desk.run(number=n, job=n, project=p) for n, p in ((1, "gan"), (2, "other"))]
    desk.slurm(asked="printf '1|RUNNING|None|n1|\\n2|PENDING|None||\\n'")
    assert desk.needed() == runs


def test_records_without_data_and_environment_name_none(desk: Desk) -> None:
    """Such as those of earlier versions, and of jobs without an environment."""
    run = desk.run(virtualenv="", data="")
    assert jobs_in_use(desk.host, NOW) == (InUse(run, None, None, certain=False),)
    other = desk.run(number=3, virtualenv=None, data=None)
    assert InUse(other, None, None, certain=False) in jobs_in_use(desk.host, NOW)


def test_a_job_of_the_embedded_cluster_is_asked_of_it_alone(desk: Desk) -> None:
    desk.run(job=7, scheduler="local", end="0\n")
    needed = desk.run(job=8, number=3, scheduler="local")
    assert desk.needed() == [needed]
    assert desk.asked() == 0


def test_many_jobs_are_a_few_questions(desk: Desk) -> None:
    for number in range(1, 10):
        desk.run(job=number, number=number, end="0\n")
    desk.slurm(asked=":")
    assert desk.needed() == []
    assert desk.asked() == 3  # squeue and sacct for the jobs, and squeue for whether it answers


# Arrays: of eight tasks, where nothing else is said.

ARRAY = {"trials": 8, "per_task": 1, "blocks": [[0, 8]]}


def ends(desk: Desk, run: str, *tasks: int) -> None:
    """Write what tasks leave when they end."""
    for task in tasks:
        folder = desk.scratch / "gan" / "hpcsubmit" / "runs" / run / "tasks" / str(task)
        folder.mkdir(parents=True)
        (folder / "exit").write_text("0\n")


@pytest.mark.parametrize("left", ["7_8|RUNNING|None|n1|{run}", "7_[3-8%2]|PENDING|JobArrayTaskLimit||{run}"])
def test_an_array_needs_what_it_has_while_any_task_waits_or_runs(desk: Desk, left: str) -> None:
    run = desk.run(array=ARRAY)
    ends(desk, run, *range(1, 9))  # some were requeued
    desk.slurm(asked=f"echo '{left.format(run=run)}'", sacct="echo '7_[1-8]|COMPLETED|0:0'")
    assert jobs_in_use(desk.host, NOW) == (
        InUse(run, Path("/envs/2"), Path("/data/2.manifest"), certain=True),
    )


def test_an_array_whose_tasks_have_all_ended_needs_nothing(desk: Desk) -> None:
    run = desk.run(array=ARRAY)
    desk.slurm(sacct="echo '7_[1-5]|COMPLETED|0:0'; echo '7_[6-8]|CANCELLED|0:0'")
    assert desk.needed() == []
    desk.slurm(scontrol="echo 'JobId=7 ArrayJobId=7 ArrayTaskId=1-8 JobState=CANCELLED ExitCode=0:0'")
    assert desk.needed() == []
    desk.slurm()
    ends(desk, run, *range(1, 8))
    assert desk.needed() == [run], "of the last task nobody knows how it ended"
    ends(desk, run, 8)
    assert desk.needed() == []


def test_what_an_array_wrote_counts_only_where_slurm_answers(desk: Desk) -> None:
    run = desk.run(array=ARRAY)
    ends(desk, run, *range(1, 9))
    desk.slurm(asked=UNREACHABLE, mine=UNREACHABLE, sacct="exit 1")
    assert desk.needed() == [run]
    assert not jobs_in_use(desk.host, NOW)[0].certain


@pytest.mark.parametrize(("age", "needed"), [(1, True), (24.1, False)])
def test_a_run_whose_second_array_is_being_made_is_needed(desk: Desk, age: float, *, needed: bool) -> None:
    array = {"trials": 16, "per_task": 1, "blocks": [[0, 8], [8, 8]]}
    run = desk.run(age=age, array=array)
    desk.slurm(sacct="echo '7_[1-8]|COMPLETED|0:0'")
    assert desk.needed() == ([run] if needed else [])


def test_a_second_array_needs_what_the_first_needed(desk: Desk) -> None:
    array = {"trials": 16, "per_task": 1, "blocks": [[0, 8], [8, 8]]}
    run = desk.run(array=array)
    result = desk.scratch / "gan" / "hpcsubmit" / "runs" / run / "result.json"
    result.write_text(json.dumps({"job": "7", "jobs": ["7", "9"]}))
    ended = "echo '7_[1-8]|FAILED|1:0'; echo '9_[1-7]|FAILED|1:0'"
    desk.slurm(asked=f"echo '9_8|RUNNING|None|n1|{run}'", sacct=ended)
    assert desk.needed() == [run]
    desk.slurm(sacct=f"{ended}; echo '9_8|FAILED|1:0'")
    assert desk.needed() == []
