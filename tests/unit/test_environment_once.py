"""An environment is built once: whoever comes meanwhile waits, and what was cut short counts for nothing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from builds import (
    environments,
    installed,
    run,
    start,
    started,
    wait_until_started,
    with_slow_package,
    without_environment,
)
from hpcsubmit.environments.layout import STAMP
from sandbox import HPCSUBMIT, SBATCH, Sandbox
from unit.test_environment_build import version_of

SHELLCHECK = Path(sys.executable).with_name("shellcheck")


@pytest.fixture
def slow(sandbox: Sandbox) -> Sandbox:
    return with_slow_package(without_environment(sandbox))


def test_two_submissions_at_once_build_once(slow: Sandbox) -> None:
    both = [start(slow) for _ in range(2)]
    wait_until_started(slow)
    (slow.root / "go").touch()
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert started(slow) == 1
    assert len(environments(slow)) == 1


def test_a_build_that_was_killed_counts_for_nothing_and_the_next_begins_anew(slow: Sandbox) -> None:
    killed = start(slow, start_new_session=True)
    wait_until_started(slow)
    (path,) = environments(slow)
    (path / "half").touch()
    os.killpg(killed.pid, signal.SIGKILL)
    killed.communicate(timeout=120)
    assert not (path / STAMP).exists()
    assert not (slow.root / "sbatch.argv").exists()
    (slow.root / "go").touch()
    assert run(slow).code == 0
    assert environments(slow) == [path]
    assert not (path / "half").exists()
    assert started(slow) == 2


def test_a_ctrl_c_ends_the_build_and_it_counts_for_nothing(slow: Sandbox) -> None:
    stopped = start(slow, start_new_session=True)
    wait_until_started(slow)
    os.killpg(stopped.pid, signal.SIGINT)
    _, stderr = stopped.communicate(timeout=120)
    assert stopped.returncode == 130
    assert stderr.endswith("interrupted\n")
    (path,) = environments(slow)
    assert not (path / STAMP).exists()
    assert not (slow.project / "virtual_env").is_symlink()


def test_a_build_whose_hpcsubmit_alone_was_killed_is_waited_for_and_not_repeated(slow: Sandbox) -> None:
    killed = subprocess.Popen(
        HPCSUBMIT, cwd=slow.project, env=slow.environ, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    wait_until_started(slow)
    killed.kill()
    killed.wait(60)
    second = start(slow)
    time.sleep(0.5)
    assert second.poll() is None, "it waits for the build that goes on"
    (slow.root / "go").touch()
    _, stderr = second.communicate(timeout=120)
    assert second.returncode == 0, stderr
    assert started(slow) == 1


# ---- Built in a job


JOB = """profiles:
  generic: {environment_built: job, account: acc, partition: part, build_time: "00-00:30:00"}
"""
COUNTING_SBATCH = SBATCH.replace(
    'echo "Submitted batch job 4242"', 'echo "Submitted batch job $(wc -l <"{root}/sbatch.argv")"'
)
SQUEUE = """#!/bin/sh
# Stands in for squeue: every job that was asked for is in the state that a file names.
for word; do case $word in --jobs=*) jobs=${{word#--jobs=}} ;; esac; done
read -r state <"{root}/state" || exit 1
echo "$jobs|$state|Reason||"
"""


@pytest.fixture
def by_job(sandbox: Sandbox) -> Sandbox:
    """A profile whose environments are built in a job, and a queue whose jobs are all in one state."""
    bare = without_environment(sandbox)
    bare.write(JOB, bare.project / "hpcsubmit.yaml")
    bare.install("sbatch", COUNTING_SBATCH.format(root=bare.root))
    bare.install("squeue", SQUEUE.format(root=bare.root))
    bare.install("scontrol", "#!/bin/sh\nexit 1\n")
    bare.install("sacct", "#!/bin/sh\nexit 1\n")
    (bare.root / "state").write_text("PENDING\n")
    return bare


def submissions(sandbox: Sandbox) -> list[list[str]]:
    return [line.split() for line in (sandbox.root / "sbatch.argv").read_text().splitlines()]


def test_the_job_that_builds_is_submitted_first_and_the_other_waits_for_it(by_job: Sandbox) -> None:
    said = run(by_job)
    assert (said.code, said.stdout) == (0, "Submitted batch job 2\n"), said.stderr
    (script,) = (by_job.project / ".virtual_envs").glob(".*.sh")
    path = script.with_name(script.name[1:-3])
    assert (
        f"{path} (to be built from {by_job.project}/requirements.txt, in a job that this job waits for)"
        in said.stderr
    )
    (build, job) = submissions(by_job)
    assert build == [str(script)]
    assert job[:2] == ["--dependency=afterok:1", "--kill-on-invalid-dep=yes"]
    directives = [
        line.removeprefix("#SBATCH ") for line in script.read_text().splitlines() if "#SBATCH" in line
    ]
    assert directives == [
        "--job-name=virtualenv-creator",
        f"--comment={path.name}",
        "--account=acc",
        "--partition=part",
        "--time=00-00:30:00",
        "--nodes=1",
        "--ntasks=1",
        "--cpus-per-task=2",
        "--mem=10G",
        f"--chdir={by_job.project}",
        f"--output={path}.log",
        "--open-mode=truncate",
        "--dependency=singleton",
    ]
    (result,) = by_job.scratch.glob("gan/hpcsubmit/runs/*/result.json")
    assert json.loads(result.read_text()) == {"job": "2", "build": "1", "code": ""}
    assert not (by_job.project / "virtual_env").is_symlink()
    done = subprocess.run([str(script)], env=by_job.environ, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert installed(path) == f"alpha-tool 1.0 {path}"
    assert (by_job.project / "virtual_env").readlink() == Path(".virtual_envs") / path.name
    said = run(by_job)
    assert (said.code, len(submissions(by_job)), len(submissions(by_job)[2])) == (0, 3, 1)
    before = version_of(path / STAMP)
    done = subprocess.run([str(script)], env=by_job.environ, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, ""), "a second job finds it done"
    assert version_of(path / STAMP) == before


def test_a_job_that_is_at_it_is_waited_for_and_one_that_ended_is_replaced(by_job: Sandbox) -> None:
    assert run(by_job).code == 0
    said = run(by_job)
    assert said.stdout == "Submitted batch job 3\n"
    assert "(job 1 is building it, and this job waits for that)" in said.stderr
    assert submissions(by_job)[2][0] == "--dependency=afterok:1"
    assert "being built by job 1 (PENDING)" in run(by_job, "env").stdout
    (by_job.root / "state").write_text("FAILED\n")
    said = run(by_job)
    assert said.stdout == "Submitted batch job 5\n"
    assert submissions(by_job)[4][0] == "--dependency=afterok:4"


def test_a_copy_of_the_project_does_not_wait_for_the_build_of_the_other(by_job: Sandbox) -> None:
    assert run(by_job).code == 0
    copy = by_job.root / "copies" / "gan"
    shutil.copytree(by_job.project, copy)
    said = by_job.hpcsubmit(cwd=copy)
    assert (said.code, said.stdout) == (0, "Submitted batch job 4\n"), said.stderr
    assert submissions(by_job)[3][0] == "--dependency=afterok:3", "a build of its own"
    (by_job.root / "link").symlink_to(by_job.root / "home")
    said = by_job.hpcsubmit(cwd=by_job.root / "link" / "gan")
    assert submissions(by_job)[4][0] == "--dependency=afterok:1", "it is the first project, by another name"


def test_two_submissions_at_once_share_one_build_job(by_job: Sandbox) -> None:
    both = [start(by_job) for _ in range(4)]
    said = [process.communicate(timeout=120) for process in both]
    assert [process.returncode for process in both] == [0] * 4, said
    waiting = [words[0] for words in submissions(by_job) if len(words) > 1]
    assert waiting == ["--dependency=afterok:1"] * 4
    assert len(submissions(by_job)) == 5


def test_the_embedded_cluster_never_builds_in_a_job_and_never_beside_one(by_job: Sandbox) -> None:
    assert run(by_job).code == 0
    said = run(by_job, "--cluster", "local", "--dry-run")
    (script,) = (by_job.project / ".virtual_envs").glob(".*.sh")
    path = script.with_name(script.name[1:-3])
    assert (
        said.error == f"job 1 of the cluster is building {path}, and a job on this machine cannot wait for it"
    )
    assert said.hint == "submit again when it has ended, or end it: hpcsubmit cancel 1"


def test_the_one_who_waits_is_not_submitted_where_sbatch_refuses_the_build(by_job: Sandbox) -> None:
    by_job.install("sbatch", "#!/bin/sh\necho 'sbatch: error: Invalid partition' >&2\nexit 1\n")
    said = run(by_job)
    assert said.code == 1
    assert said.error == "sbatch refused the job (exit code 1): sbatch: error: Invalid partition"
    assert run(by_job, "runs").stdout == "no runs yet\n"
    assert not list((by_job.project / ".virtual_envs").glob(".*.job"))


def test_status_and_env_tell_of_a_build_job_that_failed(by_job: Sandbox) -> None:
    by_job.write("alpha\nno-such-package\n", by_job.project / "requirements.txt")
    assert run(by_job).code == 0
    (script,) = (by_job.project / ".virtual_envs").glob(".*.sh")
    path = script.with_name(script.name[1:-3])
    log = path.with_name(f"{path.name}.log")
    with log.open("w") as file:
        subprocess.run([str(script)], env=by_job.environ, stdout=file, stderr=file, timeout=60)
    (by_job.root / "state").write_text("FAILED\n")
    by_job.install("scontrol", "#!/bin/sh\necho JobId=$4 JobState=FAILED ExitCode=1:0\n")
    told = f"the environment {path} could not be built by job 1 (FAILED)"
    said = run(by_job, "status", "2")
    assert f"job 2 did not run: {told}:\n" in said.stdout
    assert "no-such-package" in said.stdout
    said = run(by_job, "env")
    assert (said.code, said.error) == (1, told)
    assert "no-such-package" in said.stderr
    assert said.hint == (
        f"mend what the last lines of its log name and submit again; all of it: less {log}; "
        "hpcsubmit env --rebuild tries again as it is"
    )
    assert run(by_job, "env", "--rebuild").stdout.endswith(f"job 3 builds it; its output: {log}\n")


def test_a_build_that_ended_well_is_no_failure_once_its_python_is_gone(by_job: Sandbox) -> None:
    assert run(by_job).code == 0
    (script,) = (by_job.project / ".virtual_envs").glob(".*.sh")
    subprocess.run([str(script)], env=by_job.environ, capture_output=True, timeout=60, check=True)
    path = script.with_name(script.name[1:-3])
    (path / "bin" / "python").unlink()
    (by_job.root / "state").write_text("COMPLETED\n")
    said = run(by_job, "env")
    assert (said.code, said.stdout.splitlines()[-1]) == (0, f"job 3 builds it; its output: {path}.log")
    (by_job.root / "state").write_text("FAILED\n")
    by_job.install("scontrol", "#!/bin/sh\necho JobId=$4 JobState=FAILED ExitCode=1:0\n")
    said = run(by_job, "env")
    assert (said.code, said.error) == (1, f"the environment {path} could not be built by job 3 (FAILED)")


def test_the_script_is_clean_for_shellcheck_at_level_style(by_job: Sandbox) -> None:
    profile = JOB.replace(
        "account: acc", "account: acc, modules: [python/3.11, cuda/12], packages: wheelhouse"
    )
    by_job.write(profile, by_job.project / "hpcsubmit.yaml")
    by_job.write("alpha\n-c limits.txt\n", by_job.project / "requirements.txt")
    by_job.write("beta\n", by_job.project / "limits.txt")
    for options in ((), ("--env-on-node",)):
        said = run(by_job, "env", "--dry-run", *options)
        assert said.code == 0
        script = by_job.root / "script.sh"
        script.write_text(said.stdout)
        argv = [str(SHELLCHECK), "--severity=style", "--exclude=SC2016,SC1091", str(script)]
        found = subprocess.run(argv, capture_output=True, text=True, timeout=60)
        assert (found.stdout, found.returncode) == ("", 0)
