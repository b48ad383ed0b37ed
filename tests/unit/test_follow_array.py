"""Following arrays: the log of each task that ends, in the order of the ends, and the code of them all."""

import io
import os
from pathlib import Path

import pytest

from array_records import RUN_ID, end_trial, write_run
from hpcsubmit.follow_array import FollowedArray, follow_array
from hpcsubmit.host import Host
from hpcsubmit.run import Run
from hpcsubmit.scheduler import Scheduler
from sandbox import Said, Sandbox


class Watched:
    """Arrays of a run, and small commands that tell of them what files say."""

    def __init__(self, folder: Path) -> None:
        self.bin, self.asked = folder / "bin", folder / "asked"
        self.bin.mkdir()
        self.folder, self.output = folder, io.BytesIO()
        self.progress: list[str] = []
        for name in ("squeue", "sacct"):
            self.tells(name)
            path = self.bin / name
            path.write_text(f'#!/bin/sh\necho "{name} $*" >>{self.asked}\ncat {folder}/{name}\n')
        (self.bin / "scontrol").write_text(f"#!/bin/sh\necho scontrol >>{self.asked}\nexit 1\n")
        for path in self.bin.iterdir():
            path.chmod(0o755)

    def run(self, *sizes: int, jobs: tuple[int, ...] = (4242,), per_task: int = 1) -> Run:
        return write_run(self.folder / RUN_ID, sizes, jobs=jobs, per_task=per_task)

    def tells(self, name: str, *lines: str) -> None:
        """Say what squeue or sacct prints from now on, whole or not at all."""
        new = self.folder / f".{name}"
        new.write_text("".join(f"{line}\n" for line in lines))
        new.rename(self.folder / name)

    def follow(self, run: Run, give_up: float = 30) -> FollowedArray:
        environ = {"PATH": f"{self.bin}:/usr/bin:/bin"}
        scheduler = Scheduler(host=Host(environ=environ), environ=environ)
        return follow_array(
            run, scheduler=scheduler, output=self.output, progress=self.progress.append, give_up=give_up
        )

    @property
    def text(self) -> str:
        return self.output.getvalue().decode()


@pytest.fixture
def watched(tmp_path: Path) -> Watched:
    return Watched(tmp_path)


def write_log(run: Run, trial: int, text: str) -> None:
    log = run.log_of(trial)
    assert log is not None
    log.write_text(text)


def test_the_log_of_each_task_is_printed_whole_with_its_exit_code(watched: Watched) -> None:
    run = watched.run(2, 1, jobs=(4242, 4250))
    for trial, text in ((1, "one\n"), (2, "no line end"), (3, "")):
        write_log(run, trial, text)
    watched.tells("sacct", "4242_1|COMPLETED|0:0", "4242_2|FAILED|7:0", "4250_1|TIMEOUT|0:0")
    for moment, trial in enumerate((3, 1, 2), start=1_000_000):  # in this order they ended
        end_trial(run, trial, 0)
        os.utime(run.task_folder(trial) / "exit", (moment, moment))
    followed = watched.follow(run)
    assert watched.text == (
        "==> task 4250_1, TIMEOUT, exit code 1 <==\n"
        "==> task 4242_1, exit code 0 <==\none\n"
        "==> task 4242_2, exit code 7 <==\nno line end\n"
    )
    assert followed.code == 7
    assert [str(status.job) for status in followed.failed] == ["4242_2", "4250_1"]
    assert watched.progress == ["1 done, 2 failed"]


def test_tasks_are_printed_as_they_end_and_progress_is_told_when_it_changes(watched: Watched) -> None:
    run = watched.run(2)
    write_log(run, 1, "one\n")
    write_log(run, 2, "two\n")
    watched.tells("squeue", "4242_1|RUNNING|None|n|", "4242_2|PENDING|Priority||")

    def go_on() -> None:
        watched.tells("squeue", "4242_2|RUNNING|None|n|")
        watched.tells("sacct", "4242_1|COMPLETED|0:0")

    def end() -> None:
        end_trial(run, 2, 0)
        watched.tells("squeue")
        watched.tells("sacct", "4242_2|COMPLETED|0:0")  # and of the first it knows nothing any more

    seen: list[str] = []

    def told(text: str) -> None:
        seen.append(watched.text)
        watched.progress.append(text)
        (go_on if len(seen) == 1 else end)()

    environ = {"PATH": f"{watched.bin}:/usr/bin:/bin"}
    scheduler = Scheduler(host=Host(environ=environ), environ=environ)
    followed = follow_array(run, scheduler=scheduler, output=watched.output, progress=told)
    assert followed.code == 0
    assert watched.progress == ["1 running, 1 pending", "1 done, 1 running", "2 done"]
    first = "==> task 4242_1, exit code 0 <==\none\n"
    assert seen == ["", first, first + "==> task 4242_2, exit code 0 <==\ntwo\n"]


def test_few_questions_are_asked_however_many_tasks_there_are(watched: Watched) -> None:
    run = watched.run(500, 500, jobs=(4242, 4250))
    running = (f"{job}_{task}|RUNNING|None|n|" for job in (4242, 4250) for task in range(1, 501))
    watched.tells("squeue", *running)

    def end() -> None:
        watched.tells("sacct", "4242_[1-500]|CANCELLED|0:0", "4250_[1-500]|COMPLETED|0:0")
        watched.tells("squeue")

    def told(text: str) -> None:
        if text == "1000 running":
            end()

    environ = {"PATH": f"{watched.bin}:/usr/bin:/bin"}
    scheduler = Scheduler(host=Host(environ=environ), environ=environ)
    followed = follow_array(run, scheduler=scheduler, output=watched.output, progress=told)
    assert (followed.code, len(followed.failed)) == (1, 500)
    assert watched.text.count("==> task ") == 1000
    commands = [line.split()[0] for line in watched.asked.read_text().splitlines()]
    assert commands == ["squeue", "squeue", "scontrol", "scontrol", "sacct"]


def test_what_slurm_forgot_its_files_tell_and_what_left_none_is_not_known(watched: Watched) -> None:
    run = watched.run(3)
    end_trial(run, 1, 0)
    end_trial(run, 2, 9)
    followed = watched.follow(run, give_up=0.2)
    assert watched.text == (
        "==> task 4242_1, exit code 0 <==\n"
        "==> task 4242_2, exit code 9 <==\n"
        "==> task 4242_3, how it ended is not known <==\n"
    )
    assert followed.code == 9


def test_a_task_whose_end_nobody_knows_is_no_success(watched: Watched) -> None:
    followed = watched.follow(watched.run(1), give_up=0.2)
    assert (followed.code, watched.progress) == (1, ["1 unknown"])


def test_a_task_that_was_cancelled_before_it_began_ends_the_wait(watched: Watched) -> None:
    run = watched.run(2)
    watched.tells("sacct", "4242_1|COMPLETED|0:0")
    followed = watched.follow(run, give_up=0.2)
    assert [status.state.value for status in followed.statuses] == ["COMPLETED", "CANCELLED"]
    assert "==> task 4242_2, CANCELLED, exit code 1 <==\n" in watched.text


def test_where_slurm_does_not_answer_a_task_that_wrote_no_end_is_waited_for(watched: Watched) -> None:
    run = watched.run(2)
    (watched.bin / "squeue").write_text(f"#!/bin/sh\n[ -e {watched.folder}/up ]\n")
    end_trial(run, 1, 0)
    told: list[str] = []

    def progress(text: str) -> None:
        told.append(text)
        if "done" in text:
            assert "4242_2" not in watched.text
            (watched.folder / "up").touch()

    environ = {"PATH": f"{watched.bin}:/usr/bin:/bin"}
    scheduler = Scheduler(host=Host(environ=environ), environ=environ)
    followed = follow_array(run, scheduler=scheduler, output=watched.output, progress=progress, give_up=0.2)
    assert told == ["2 unknown", "1 done, 1 unknown"]
    assert "==> task 4242_2, how it ended is not known <==" in watched.text
    assert followed.code == 1


# The command.


def repeat(sandbox: Sandbox, *states: str) -> Said:
    """Submit a repeat for each state, whose tasks have ended so when they are looked at; follow them."""
    logs = sandbox.scratch / "gan" / "hpc_outputs" / "standard_4242_"
    tasks = range(1, len(states) + 1)
    writes = "".join(f"echo 'hello from {task}' >'{logs}{task}.out'\n" for task in tasks)
    sandbox.install("sbatch", f"#!/bin/sh\n{writes}echo 'Submitted batch job 4242'\n")
    lines = "".join(f"echo '4242_{task}|{state}'\n" for task, state in zip(tasks, states, strict=True))
    for name, text in (("squeue", ""), ("scontrol", "exit 1\n"), ("sacct", lines)):
        sandbox.install(name, f"#!/bin/sh\n{text}")
    return sandbox.hpcsubmit("--repeat", str(len(states)), "--follow")


def test_with_follow_stdout_is_the_output_of_all_tasks(sandbox: Sandbox) -> None:
    said = repeat(sandbox, "COMPLETED|0:0", "COMPLETED|0:0")
    assert said.stdout == (
        "==> task 4242_1, exit code 0 <==\nhello from 1\n==> task 4242_2, exit code 0 <==\nhello from 2\n"
    )
    assert said.code == 0
    assert said.stderr.splitlines()[-2:] == ["Submitted batch job 4242", "2 done"]


def test_the_code_is_that_of_the_first_task_that_failed(sandbox: Sandbox) -> None:
    said = repeat(sandbox, "COMPLETED|0:0", "FAILED|7:0", "FAILED|9:0")
    assert said.code == 7
    (folder,) = (sandbox.scratch / "gan" / "hpcsubmit" / "runs").iterdir()
    assert said.error == f"run {folder.name} did not end well: 1 done, 2 failed, exit code 7"
    assert said.hint == f"hpcsubmit status {folder.name} lists the tasks that failed"
