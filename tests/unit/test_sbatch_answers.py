"""What hpcsubmit makes of what sbatch says, and what it gives to sbatch."""

import json
import signal
import subprocess
import time
from pathlib import Path

import pytest

from hpcsubmit.host import Host
from hpcsubmit.scheduler import Scheduler, Unanswered
from sandbox import HPCSUBMIT, Sandbox


def run_folder(sandbox: Sandbox) -> Path:
    (folder,) = (sandbox.scratch / "gan" / "hpcsubmit" / "runs").iterdir()
    return folder


def job_in_the_list(sandbox: Sandbox) -> str:
    """What `hpcsubmit runs` shows as the job of the only run."""
    said = sandbox.hpcsubmit("runs")
    return said.stdout.splitlines()[1].split()[1]


def test_one_line_on_stdout_names_the_job(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n")
    assert sandbox.hpcsubmit("--parsable").stdout == "4242\n"
    assert sandbox.hpcsubmit("--parsable", "--yes").stdout == "4242\n"


def test_what_else_sbatch_says_goes_to_stderr(sandbox: Sandbox) -> None:
    sandbox.install(
        "sbatch",
        "#!/bin/sh\necho 'sbatch: warning: the queue is long' >&2\necho 'NOTE: maintenance on Monday'\n"
        "echo 'Submitted batch job 7 on cluster c2'\n",
    )
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (0, "Submitted batch job 7 on cluster c2\n")
    assert "sbatch: warning: the queue is long\nNOTE: maintenance on Monday\n" in said.stderr
    assert sandbox.hpcsubmit("--parsable").stdout == "7\n"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        (
            "echo 'sbatch: error: Invalid account' >&2; exit 1",
            "(exit code 1): sbatch: error: Invalid account",
        ),
        ("printf 'error: a\\nerror: b\\n' >&2; exit 3", "(exit code 3): error: a; error: b"),
        ("echo on stdout; exit 1", "(exit code 1): on stdout"),
        ("exit 7", "(exit code 7): no word"),
    ],
)
def test_a_refusal_is_shown_with_sbatchs_words_and_recorded(
    sandbox: Sandbox, script: str, error: str
) -> None:
    sandbox.install("sbatch", f"#!/bin/sh\n{script}\n")
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (1, "")
    assert said.error == f"sbatch refused the job {error}"
    assert said.hint.startswith("mend what sbatch names")
    assert "sbatch refused" in json.loads((run_folder(sandbox) / "result.json").read_text())["refused"]
    assert job_in_the_list(sandbox) == "refused"


@pytest.mark.parametrize(
    ("script", "error"),
    [
        ("echo hello", "sbatch ended well but named no job: 'hello'"),
        ("true", "sbatch ended well but named no job: ''"),
        ("echo Submitted batch job soon", "sbatch ended well but named no job: 'Submitted batch job soon'"),
        ("printf '\\377\\000\\033[31m'", "sbatch ended well but named no job: '\ufffd\\x00\\x1b[31m'"),
        ("kill -9 $$", "sbatch broke off (exit code -9): no word"),
        (
            "echo 'sbatch: error: Socket timed out' >&2; exit 1",
            "sbatch broke off (exit code 1): sbatch: error: Soc",
        ),
    ],
)
def test_an_answer_without_a_job_leaves_it_unknown_never_refused(
    sandbox: Sandbox, script: str, error: str
) -> None:
    sandbox.install("sbatch", f"#!/bin/sh\n{script}\n")
    for name in ("squeue", "scontrol", "sacct"):
        sandbox.install(name, "#!/bin/sh\n")
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (1, "")
    assert said.error.startswith(error)
    assert said.error.endswith(": the job may or may not be submitted")
    assert said.hint.startswith("hpcsubmit runs looks for it; do not submit again")
    assert not (run_folder(sandbox) / "result.json").exists()
    assert job_in_the_list(sandbox) == "unknown"


def test_an_sbatch_that_cannot_be_started_is_an_error(sandbox: Sandbox) -> None:
    sandbox.install("sbatch", "#!/proc/nowhere/sh\n")
    said = sandbox.hpcsubmit(environ=sandbox.environ | {"PATH": str(sandbox.bin)})
    assert (said.code, said.error) == (1, "sbatch could not be started: No such file or directory")
    assert said.hint == "see whether 'command -v sbatch' finds it"
    assert job_in_the_list(sandbox) == "refused"


def test_a_hanging_sbatch_is_given_up(sandbox: Sandbox) -> None:
    sandbox.install("sbatch", "#!/bin/sh\nexec sleep 300\n")
    scheduler = Scheduler(host=Host(environ=sandbox.environ), environ=sandbox.environ, submit_timeout=0.5)
    began = time.monotonic()
    with pytest.raises(Unanswered) as raised:
        scheduler.submit(Path("script.sh"))
    assert time.monotonic() - began < 120
    assert raised.value.message == "sbatch gave no answer within 0.5 s: the job may or may not be submitted"
    assert raised.value.hint.startswith("hpcsubmit runs looks for it; do not submit again")
    assert Scheduler(host=scheduler.host, environ={}).submit_timeout == 60


def test_sbatch_does_not_get_the_callers_slurm_variables_and_the_preview_names_them(sandbox: Sandbox) -> None:
    theirs = {
        "SBATCH_ACCOUNT": "x",
        "SLURM_JOB_ID": "1",
        "SLURM_EXPORT_ENV": "NONE",
        "SRUN_CPUS_PER_TASK": "3",
    }
    kept = {"SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "c2", "MY_SLURM_X": "1", "SLURMX": "1"}
    said = sandbox.hpcsubmit(environ=sandbox.environ | theirs | kept)
    assert said.code == 0
    named = "note: sbatch does not get these variables of yours: "
    assert f"{named}{', '.join(sorted(theirs))}\n" in said.stderr
    got = dict(ln.split("=", 1) for ln in (sandbox.root / "sbatch.env").read_text().splitlines() if "=" in ln)
    assert not theirs.keys() & got.keys()
    assert {name: got[name] for name in kept} == kept
    assert named not in sandbox.hpcsubmit("--dry-run").stderr


def test_sbatch_gets_the_script_and_nothing_else_in_its_argv(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit("-g", "2", "-e", "x").code == 0
    assert (sandbox.root / "sbatch.argv").read_text() == f"{run_folder(sandbox)}/script.sh\n"
    assert (run_folder(sandbox) / "script.sh").read_text() == (sandbox.root / "submitted.sh").read_text()


def test_a_dry_run_prints_the_very_script_and_changes_nothing(sandbox: Sandbox) -> None:
    before = sandbox.tree()
    dry = sandbox.hpcsubmit("--dry-run", "-g", "2")
    assert dry.code == 0
    assert dry.stdout.startswith("#!/bin/bash\n#SBATCH --job-name=lightning_dist-gan\n")
    assert sandbox.tree() == before
    assert not (sandbox.root / "sbatch.argv").exists()
    assert "would submit a lightning job" in dry.stderr
    assert sandbox.hpcsubmit("-g", "2").code == 0
    submitted = (sandbox.root / "submitted.sh").read_text()
    run_id = run_folder(sandbox).name
    same = submitted.replace(run_id, "DRY-RUN").replace("by: hpcsubmit -g 2", "by: hpcsubmit --dry-run -g 2")
    assert dry.stdout == same


def test_the_preview_tells_what_will_happen(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("--dry-run", "-e", "x", "-W", "torchrun")
    for line in (
        "cluster            generic (HPCSUBMIT_CLUSTER)",
        f"project            {sandbox.project}",
        "command            python main.py",
        "starts             torchrun main.py",
        f"environment        {sandbox.project}/virtual_env",
        "--gres             gpu:1",
        "--comment          DRY-RUN",
        f"log                {sandbox.scratch}/gan/hpc_outputs/torchrun_x_JOB.out",
        f"new folder         {sandbox.scratch}/gan/x/checkpoints",
    ):
        assert f"  {line}\n" in said.stderr


def test_a_command_that_is_not_python_cannot_be_distributed(sandbox: Sandbox) -> None:
    sandbox.write("./train.sh\n")
    for argv, kind in (
        (["-g", "2"], "lightning"),
        (["-n", "2"], "lightning"),
        (["-W", "torchrun"], "torchrun"),
    ):
        said = sandbox.refuses(*argv)
        command = f"the command in {sandbox.experiment} starts './train.sh'"
        assert said.error == f"a {kind} job starts Python on every rank, but {command}"
        assert said.hint == "begin the command with python, or ask for one GPU on one node without -W"
    assert sandbox.hpcsubmit().code == 0


def test_torchrun_needs_something_to_run(sandbox: Sandbox) -> None:
    sandbox.write("python -u\n")
    said = sandbox.refuses("-W", "torchrun")
    assert said.error == f"the command in {sandbox.experiment} gives python nothing to run"
    assert said.hint == "write the script behind it: python main.py"


def test_a_job_whose_record_cannot_be_completed_is_named_all_the_same(sandbox: Sandbox) -> None:
    runs = sandbox.scratch / "gan" / "hpcsubmit" / "runs"
    sandbox.install("sbatch", f"#!/bin/sh\nmv {runs} {runs}.gone\necho Submitted batch job 4242\n")
    said = sandbox.hpcsubmit()
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n")
    assert "warning: the record of job 4242 is not complete: " in said.stderr


def test_the_job_is_on_record_before_git_is_asked_for_the_code(sandbox: Sandbox) -> None:
    (sandbox.project / ".git").mkdir()
    result = f"{sandbox.scratch}/gan/hpcsubmit/runs/*/result.json"
    sandbox.install("git", f"#!/bin/sh\ncat {result} >{sandbox.root}/seen\necho 0123abc-dirty\n")
    assert sandbox.hpcsubmit().code == 0
    assert '"job": "4242"' in (sandbox.root / "seen").read_text()
    assert "0123abc-dirty" in sandbox.hpcsubmit("runs", "show", "4242").stdout


def test_an_interruption_of_sbatch_says_that_there_may_be_a_job(sandbox: Sandbox) -> None:
    until = f"until [ -e {sandbox.root}/go ] || [ ! -d {sandbox.root} ]; do sleep 0.1; done"
    script = f"#!/bin/sh\ntouch {sandbox.root}/entered\n{until}\necho Submitted batch job 4242\n"
    sandbox.install("sbatch", script)
    process = subprocess.Popen(
        HPCSUBMIT, cwd=sandbox.project, env=sandbox.environ, stdin=-3, stdout=-3, stderr=-1, text=True
    )
    deadline = time.monotonic() + 120
    while not (sandbox.root / "entered").exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=120)
    (sandbox.root / "go").touch()
    assert process.returncode == 130
    assert "may or may not be submitted" in said
    assert "hint: hpcsubmit runs looks for its job" in said


def test_a_job_without_a_record_can_be_asked_for_and_ended(sandbox: Sandbox) -> None:
    sandbox.install("squeue", "#!/bin/sh\necho '777|RUNNING|None|n1|c'\n")
    sandbox.install("scancel", f'#!/bin/sh\necho "$*" >{sandbox.root}/cancelled\n')
    assert sandbox.hpcsubmit("status", "777").stdout.splitlines()[1].split() == [
        "777",
        "RUNNING",
        "-",
        "-",
        "n1",
    ]
    assert sandbox.hpcsubmit("cancel", "777").stdout == "cancelled job 777\n"
    assert (sandbox.root / "cancelled").read_text() == "777\n"
