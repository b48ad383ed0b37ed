"""Following a job: how its end becomes an exit code, and how its log is copied."""

import io
import threading
import time
from pathlib import Path, PosixPath
from typing import Any

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.follow import SETTLE, Followed, exit_code_of, follow, read_exit_code
from hpcsubmit.host import Host
from hpcsubmit.job_status import JobState, JobStatus
from hpcsubmit.scheduler import Scheduler
from hpcsubmit.slurm import JobId
from sandbox import Sandbox

JOB = JobId(number=4242)


@pytest.mark.parametrize(
    ("state", "exit_code", "signal", "code"),
    [
        ("COMPLETED", 0, 0, 0),
        ("FAILED", 1, 0, 1),
        ("FAILED", 7, 0, 7),
        ("FAILED", 255, 0, 255),
        ("FAILED", 0, 9, 137),
        ("FAILED", 0, 11, 139),
        ("FAILED", 0, 31, 159),
        ("FAILED", 0, 53, 1),  # a missing log folder; 53 is no signal
        ("FAILED", 0, 0, 1),
        ("TIMEOUT", 0, 0, 1),  # Slurm says 0:0
        ("TIMEOUT", 0, 15, 1),
        ("TIMEOUT", 143, 0, 143),
        ("CANCELLED", 0, 9, 1),
        ("CANCELLED", 0, 0, 1),
        ("CANCELLED", 5, 0, 5),
        ("NODE_FAIL", 0, 0, 1),
        ("OUT_OF_MEMORY", 0, 125, 1),
        ("OUT_OF_MEMORY", 137, 0, 137),
        ("PREEMPTED", 0, 15, 1),
        ("DEADLINE", 0, 0, 1),
        ("BOOT_FAIL", 0, 0, 1),
    ],
)
def test_the_exit_code_is_that_of_the_contract(state: str, exit_code: int, signal: int, code: int) -> None:
    status = JobStatus(job=JOB, state=JobState(state), exit_code=exit_code, signal=signal)
    assert exit_code_of(status) == code


@pytest.mark.parametrize(
    ("text", "code"), [("0\n", 0), ("137\n", 137), ("", None), ("soon", None), ("-1", None)]
)
def test_the_scripts_exit_file_is_read(tmp_path: Path, text: str, code: int | None) -> None:
    assert read_exit_code(tmp_path) is None
    (tmp_path / "exit").write_text(text)
    assert read_exit_code(tmp_path) == code


class Job:
    """A job whose log grows and whose state a small squeue and scontrol tell."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "job.out"
        self.output = io.BytesIO()
        self.says("squeue", "echo '4242|RUNNING|None|n1|c'")
        self.says("scontrol", "exit 1")
        self.says("sacct", "exit 1")

    def says(self, name: str, script: str) -> None:
        """Put a command in place, whole or not at all."""
        path = self.folder / f".{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        path.rename(self.folder / name)

    def ends(self, state: str, code: str) -> None:
        self.says("squeue", ":")
        self.says("scontrol", f"echo 'JobId=4242 JobState={state} ExitCode={code}'")

    def follow(self, give_up: float = 30) -> Followed:
        environ = {"PATH": f"{self.folder}:/usr/bin:/bin"}
        scheduler = Scheduler(host=Host(environ=environ), environ=environ)
        return follow(
            JOB, log=self.log, run_dir=self.folder, scheduler=scheduler, output=self.output, give_up=give_up
        )


@pytest.fixture
def job(tmp_path: Path) -> Job:
    return Job(tmp_path)


def test_the_log_is_copied_as_it_grows_until_the_job_ends(job: Job) -> None:
    half_seen = threading.Event()

    def run() -> None:
        time.sleep(0.3)
        with job.log.open("wb") as log:
            log.write(b"first \xff\n")
            log.flush()
            deadline = time.monotonic() + 60
            while job.output.getvalue() != b"first \xff\n" and time.monotonic() < deadline:
                time.sleep(0.02)
            half_seen.set()
            log.write(b"second, without a line end")
        (job.folder / "exit").write_text("7\n")
        job.ends("FAILED", "7:0")

    thread = threading.Thread(target=run)
    thread.start()
    followed = job.follow()
    thread.join()
    assert half_seen.is_set()
    assert job.output.getvalue() == b"first \xff\nsecond, without a line end"
    assert (followed.code, followed.status and followed.status.state) == (7, JobState.FAILED)


def test_a_job_without_a_log_is_followed_to_its_end(job: Job) -> None:
    job.ends("CANCELLED", "0:15")
    followed = job.follow()
    assert (followed.code, job.output.getvalue()) == (1, b"")


def test_what_a_late_file_system_shows_after_the_end_is_copied_too(job: Job) -> None:
    class Output(io.BytesIO):
        """When it has got the first line of the log, there is a second."""

        def flush(self) -> None:
            if self.getvalue() == b"late\n":
                with job.log.open("ab") as log:
                    log.write(b"later\n")

    job.output = Output()
    job.ends("COMPLETED", "0:0")
    told = (job.folder / "scontrol").read_text()
    job.says("scontrol", f"echo late >'{job.log}'\n{told}")  # nobody has looked at the log since
    assert job.follow().code == 0
    assert job.output.getvalue() == b"late\nlater\n"


def test_a_slow_terminal_takes_no_time_from_what_a_late_file_system_still_has(job: Job) -> None:
    class Terminal(io.BytesIO):
        """Shows the first line in more time than a log that has ended stays quiet."""

        def write(self, data: Any) -> int:
            time.sleep(0 if self.getvalue() else 1.2 * SETTLE)
            return super().write(data)

    class Log(PosixPath):
        """Has a second line at the second look after the first line was shown."""

        looks = 0

        def open(self, *given: Any, **named: Any) -> Any:
            self.looks += bool(job.output.getvalue())
            if self.looks == 2:
                Path(self).write_bytes(b"late\nlater\n")
            return Path(self).open(*given, **named)

    job.output, job.log = Terminal(), Log(job.log)
    job.ends("COMPLETED", "0:0")
    told = (job.folder / "scontrol").read_text()
    job.says("scontrol", f"echo late >'{job.log}'\n{told}")  # nobody has looked at the log since
    assert job.follow().code == 0
    assert job.output.getvalue() == b"late\nlater\n"


# The command.


def test_with_follow_stdout_is_the_jobs_output_and_the_code_is_the_jobs(sandbox: Sandbox) -> None:
    log = sandbox.scratch / "gan" / "hpc_outputs" / "standard_4242.out"
    # This sbatch runs the job at once: it writes the log and is done.
    sandbox.install("sbatch", f"#!/bin/sh\nprintf 'hello\\nyou' >'{log}'\necho 'Submitted batch job 4242'\n")
    sandbox.install("squeue", "#!/bin/sh\n")
    for state, code, expected in (("COMPLETED", "0:0", 0), ("FAILED", "7:0", 7), ("TIMEOUT", "0:0", 1)):
        sandbox.install("scontrol", f"#!/bin/sh\necho 'JobId=4242 JobState={state} ExitCode={code}'\n")
        said = sandbox.hpcsubmit("--follow")
        assert (said.code, said.stdout) == (expected, "hello\nyou")
        assert "\nSubmitted batch job 4242\n" in said.stderr
        if expected:
            assert said.error == f"job 4242 is {state}, exit code {expected}"
            assert said.hint == f"its whole output is in {log}"


def test_a_job_that_squeue_has_forgotten_and_nobody_knows_is_an_error_never_a_guess(job: Job) -> None:
    job.says("squeue", "echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1")
    with pytest.raises(HpcSubmitError, match="how job 4242 ended is not known"):
        job.follow(give_up=0.3)


def test_where_nobody_knows_the_job_the_scripts_exit_file_gives_the_code(job: Job) -> None:
    job.says("squeue", "exit 1")
    (job.folder / "exit").write_text("7\n")
    assert job.follow(give_up=0.3) == Followed(status=None, code=7)
