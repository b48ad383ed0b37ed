"""Environments on a real cluster whose nodes have no network: built once, in a job or at login, and used."""

import json
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.job_python import job_python
from e2e.desk import PROJECT, USER, Desk
from wheels import make_wheel

WHEELS = f"/home/{USER}/wheels"
PROFILE = """profiles:
  plai:
    packages: wheelhouse
    wheelhouse: [{wheels}]
    environment_built: {built}
    build_time: "00-00:05:00"
    build_memory: 500M
"""
PROBE = (
    "import alpha, os, socket, subprocess, sys\n"
    "said = subprocess.run(['alpha-tool'], capture_output=True, text=True, check=True).stdout\n"
    "print('rank', socket.gethostname(), alpha.version, sys.prefix, alpha.__file__, said, flush=True)\n"
)


@pytest.fixture
def desk(plai: Desk) -> Iterator[Desk]:
    """A project without an environment, and a wheelhouse that the nodes see."""
    remove_environments(plai)
    wheels = plai.cluster.shared(WHEELS)
    shutil.rmtree(wheels, ignore_errors=True)
    make_wheel(wheels, "alpha", "1.0+computecanada", "beta>=2")
    make_wheel(wheels, "beta", "2.0")
    subprocess.run(["chown", "-R", f"{USER}:", str(wheels)], check=True, timeout=60)
    plai.write("probe.py", PROBE)
    plai.write("probe.txt", "python probe.py\n")
    plai.write("requirements.txt", "alpha==1.0\n")
    built_by(plai, "job")
    yield plai
    plai.cluster.cancel_all(timeout=180)
    remove_environments(plai)
    for name in ("hpcsubmit.yaml", "requirements.txt"):
        (plai.project / name).unlink()
    (plai.project / "virtual_env").symlink_to(job_python().parents[1])


def remove_environments(desk: Desk) -> None:
    shutil.rmtree(desk.project / ".virtual_envs", ignore_errors=True)
    (desk.project / "virtual_env").unlink(missing_ok=True)


def built_by(desk: Desk, where: str) -> None:
    desk.write("hpcsubmit.yaml", PROFILE.format(wheels=WHEELS, built=where))


def run_of(desk: Desk, job: int) -> dict[str, str]:
    shown: dict[str, str] = json.loads(desk.hpcsubmit("runs", "show", str(job), "--json").stdout)
    return shown


def result_of(desk: Desk, stderr: str) -> dict[str, str]:
    """What sbatch's answers were, of the job that these words tell of."""
    job = int(stderr.split("Submitted batch job ")[1].split()[0])
    text = desk.cluster.shared(run_of(desk, job)["folder"]).joinpath("result.json").read_text()
    result: dict[str, str] = json.loads(text)
    return result


def environments(desk: Desk) -> list[Path]:
    folder = desk.project / ".virtual_envs"
    return sorted(path for path in folder.iterdir() if path.is_dir() and path.suffix != ".archives")


def hold_builds(desk: Desk) -> int:
    """Start a job under the name that builds have: the next one waits for it (singleton)."""
    argv = ["sbatch", "--parsable", "--job-name=virtualenv-creator", "--output=/dev/null", "--wrap=sleep 300"]
    job = int(desk.cluster.run(argv, cwd=PROJECT).stdout)
    desk.cluster.wait_running(job, 180)
    return job


def test_a_job_builds_the_environment_and_the_other_waits_for_it_and_uses_it(desk: Desk) -> None:
    held = hold_builds(desk)
    done = desk.hpcsubmit("-C", "probe.txt", "--parsable")
    assert done.returncode == 0, done.stderr
    assert "requirements.txt, in a job that this job waits for)" in done.stderr
    job = int(done.stdout)
    build = run_of(desk, job)["build"]
    asked = desk.cluster.run(["squeue", "--noheader", "--format=%i %j %T %r", f"--jobs={build},{job}"])
    assert sorted(asked.stdout.splitlines()) == sorted(
        (f"{build} virtualenv-creator PENDING Dependency", f"{job} standard-gan PENDING Dependency")
    )
    assert f"being built by job {build} (PENDING)" in desk.hpcsubmit("env").stdout
    desk.cluster.run(["scancel", str(held)])
    assert desk.cluster.wait_for_job(job, 400) == "COMPLETED", desk.log(job)
    assert desk.cluster.wait_for_job(build, 180) == "COMPLETED"
    (path,) = environments(desk)
    inside = f"{PROJECT}/.virtual_envs/{path.name}"
    assert f"1.0+computecanada {inside} {inside}/lib/python3" in desk.log(job)
    assert f"alpha-tool 1.0+computecanada {inside}" in desk.log(job)
    assert (desk.project / "virtual_env").readlink() == Path(".virtual_envs") / path.name
    assert list(path.rglob("alpha/__pycache__/*.pyc")), "compiled once, when it was built"
    before = sorted(str(each) for each in path.rglob("*"))
    again = desk.hpcsubmit("-C", "probe.txt", "--follow")
    assert (again.returncode, "to be built" in again.stderr) == (0, False)
    assert "build" not in result_of(desk, again.stderr)
    assert sorted(str(each) for each in path.rglob("*")) == before, "running changes nothing in it"


def test_two_submissions_share_one_build(desk: Desk) -> None:
    held = hold_builds(desk)
    first = desk.submit("-C", "probe.txt")
    second = desk.hpcsubmit("-C", "probe.txt", "--parsable")
    build = run_of(desk, first)["build"]
    assert f"(job {build} is building it, and this job waits for that)" in second.stderr
    assert run_of(desk, int(second.stdout))["build"] == build
    desk.cluster.run(["scancel", str(held)])
    for job in (first, int(second.stdout)):
        assert desk.cluster.wait_for_job(job, 400) == "COMPLETED", desk.log(job)


def test_a_submission_that_was_cut_short_after_its_build_job_loses_nothing(desk: Desk) -> None:
    held = hold_builds(desk)
    first = desk.hpcsubmit("env")
    assert first.returncode == 0, first.stderr
    build = first.stdout.splitlines()[-1].split()[1]
    job = desk.submit("-C", "probe.txt")
    assert run_of(desk, job)["build"] == build
    desk.cluster.run(["scancel", str(held)])
    assert desk.cluster.wait_for_job(job, 400) == "COMPLETED", desk.log(job)


def test_a_failed_build_ends_the_job_that_waits_and_tells_why(desk: Desk) -> None:
    desk.write("requirements.txt", "alpha\nnothing-of-that-name\n")
    done = desk.hpcsubmit("-C", "probe.txt", "--follow", timeout=600)
    job = int(done.stderr.split("Submitted batch job ")[1].split()[0])
    assert (done.returncode, done.stdout) == (1, "")
    build = run_of(desk, job)["build"]
    (path,) = environments(desk)
    log = f"{PROJECT}/.virtual_envs/{path.name}.log"
    told = f"the environment {PROJECT}/.virtual_envs/{path.name} could not be built by job {build} (FAILED)"
    assert f"error: the job did not run: {told}\n" in done.stderr
    assert "No matching distribution found for nothing-of-that-name" in done.stderr
    assert done.stderr.endswith(f"submit again; all of it: less {log}\n")
    shown = desk.hpcsubmit("status", str(job)).stdout
    assert f"job {job} did not run: {told}:\n" in shown
    assert "No matching distribution found for nothing-of-that-name" in shown
    said = desk.hpcsubmit("env")
    assert said.returncode == 1
    assert told in said.stderr
    assert "No matching distribution found for nothing-of-that-name" in said.stderr
    wheels = desk.cluster.shared(WHEELS)
    make_wheel(wheels, "nothing_of_that_name", "1.0")
    mended = desk.hpcsubmit("-C", "probe.txt", "--follow", timeout=600)
    assert mended.returncode == 0, mended.stderr
    assert environments(desk) == [path]


def test_a_build_that_is_cut_short_counts_for_nothing(desk: Desk) -> None:
    held = hold_builds(desk)
    job = desk.submit("-C", "probe.txt")
    build = run_of(desk, job)["build"]
    desk.cluster.run(["scancel", build])
    assert desk.cluster.wait_for_job(job, 180) == "CANCELLED"
    again = desk.submit("-C", "probe.txt")
    assert run_of(desk, again)["build"] != build
    desk.cluster.run(["scancel", str(held)])
    assert desk.cluster.wait_for_job(again, 400) == "COMPLETED", desk.log(again)


def test_it_is_built_at_login_where_the_profile_says_so(desk: Desk) -> None:
    built_by(desk, "login")
    done = desk.hpcsubmit("-C", "probe.txt", "--follow")
    assert done.returncode == 0, done.stderr
    assert "Successfully installed alpha-1.0+computecanada beta-2.0" in done.stderr
    assert re.search(r"rank plai[123] 1\.0\+computecanada", done.stdout)
    assert "build" not in result_of(desk, done.stderr)


def test_every_node_unpacks_the_environment_and_its_commands_work_there(desk: Desk) -> None:
    done = desk.hpcsubmit("-C", "probe.txt", "-n", "2", "--env-on-node", "--follow")
    assert done.returncode == 0, done.stdout + done.stderr
    ranks = [line for line in done.stdout.splitlines() if line.startswith("rank")]
    assert len(ranks) == len({line.split()[1] for line in ranks} & set(desk.cluster.nodes)) == 2
    job = int(done.stderr.split("Submitted batch job ")[1].split()[0])
    there = f"/scratch-ssd/{USER}_{job}/virtual_env"
    for line in ranks:
        assert line.count(f" {there}") == 3, "the interpreter, the module and the command"
    (path,) = environments(desk)
    assert not [
        each for each in path.rglob("*") if each.is_file() and there in each.read_text(errors="replace")
    ]
    words = ["-C", "probe.txt", "-n", "2", "--env-on-node", "--data-transfer", "broadcast", "--follow"]
    again = desk.hpcsubmit(*words)
    assert (again.returncode, "to be " in again.stderr) == (0, False)
    assert again.stdout.count("/virtual_env") == done.stdout.count("/virtual_env")


def test_uv_builds_where_it_is_there(desk: Desk) -> None:
    place = desk.cluster.shared(f"/home/{USER}/bin")
    place.mkdir(exist_ok=True)
    shutil.copy2(Path(sys.executable).with_name("uv"), place / "uv")
    try:
        path = desk.cluster.run(["printenv", "PATH"]).stdout.strip()
        environ = {"PATH": f"/home/{USER}/bin:{path}"}
        done = desk.hpcsubmit("-C", "probe.txt", "--follow", environ=environ)
        assert done.returncode == 0, done.stdout + done.stderr
        (built,) = environments(desk)
        log = built.with_name(f"{built.name}.log").read_text()
        assert f"and /home/{USER}/bin/uv\n" in log
        assert list(built.rglob("alpha/__pycache__/*.pyc")), "compiled once, when it was built"
    finally:
        shutil.rmtree(place)


def test_a_list_that_changes_while_jobs_wait_changes_nothing_for_them(desk: Desk) -> None:
    held = hold_builds(desk)
    job = desk.submit("-C", "probe.txt")
    desk.write("requirements.txt", "beta\n")
    time.sleep(0.1)
    desk.cluster.run(["scancel", str(held)])
    assert desk.cluster.wait_for_job(job, 400) == "COMPLETED", desk.log(job)
    assert "1.0+computecanada" in desk.log(job)
