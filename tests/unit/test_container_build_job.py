"""`hpcsubmit container build` in a job: what is submitted, and what the job does."""

import subprocess

import pytest

from build_engine import build, define, image_of, names, started_with, with_engine, without
from sandbox import Sandbox

JOB = "environment_built: job, build_time: '00-02:00:00', build_memory: 20G, account: acc, partition: cpu"


@pytest.fixture
def project(sandbox: Sandbox) -> Sandbox:
    """A project with an engine, and an sbatch that is asked for nothing else than its script."""
    return with_engine(sandbox)


def profile(project: Sandbox, fields: str) -> None:
    project.write(f"profiles: {{generic: {{{fields}}}}}\n", project.project / "hpcsubmit.yaml")


def directives(project: Sandbox) -> dict[str, str]:
    lines = (project.root / "submitted.sh").read_text().splitlines()
    options = [line.removeprefix("#SBATCH --") for line in lines if line.startswith("#SBATCH ")]
    return {name: value.strip('"') for name, _, value in (option.partition("=") for option in options)}


def test_a_job_is_submitted_and_its_line_is_the_result(project: Sandbox) -> None:
    profile(project, JOB)
    before = names(project.project)
    said = build(project)
    image = image_of(project)
    assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n"), said.stderr
    assert said.stderr.endswith(f"its output: {image}.log\n")
    shown = [line.split(None, 1) for line in said.stderr.splitlines()]
    assert ["built", "in a job"] in shown
    assert ["--mem", "20G"] in shown
    assert directives(project) == {
        "job-name": "container-builder",
        "comment": "gan.sif",
        "account": "acc",
        "partition": "cpu",
        "time": "00-02:00:00",
        "nodes": "1",
        "ntasks": "1",
        "cpus-per-task": "2",
        "mem": "20G",
        "chdir": str(project.project),
        "output": f"{image}.log",
        "open-mode": "truncate",
        "dependency": "singleton",
    }
    assert started_with(project) == [], "nothing is built here"
    assert names(project.project) == before


def test_the_job_builds_the_image(project: Sandbox) -> None:
    define(project, "echo in the job")
    assert build(project, "--in-job").code == 0
    done = run_job(project)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(f"hpcsubmit: {image_of(project)} is finished: 0 MB\n")
    assert "echo in the job" in image_of(project).read_text()


def test_a_job_that_fails_says_so_in_its_log_and_leaves_no_image(project: Sandbox) -> None:
    define(project, "exit 3")
    assert build(project, "--in-job").code == 0
    done = run_job(project)
    assert done.returncode == 255
    assert done.stderr.endswith(
        f"hpcsubmit: apptainer ended with exit code 255; {image_of(project)} was not touched\n"
    )
    assert not image_of(project).exists()


def test_a_node_without_an_engine_says_so(project: Sandbox) -> None:
    profile(project, "container_engine: my-engine")
    without(project, "apptainer", "singularity")
    assert build(project, "--in-job").code == 0
    done = run_job(project)
    assert done.returncode == 1
    assert done.stderr == "hpcsubmit: there is no my-engine or apptainer or singularity on n1\n"


def run_job(project: Sandbox) -> subprocess.CompletedProcess[str]:
    """Run what was submitted, on a node."""
    argv = ["bash", str(project.root / "submitted.sh")]
    environ = project.environ | {"SLURMD_NODENAME": "n1"}
    return subprocess.run(argv, env=environ, cwd="/", capture_output=True, text=True, timeout=60)


def test_options_come_before_the_profile(project: Sandbox) -> None:
    profile(project, f"{JOB}, memory_option: none, sbatch_args: [--qos=long]")
    assert build(project, "--account", "other", "--partition", "gpu").code == 0
    found = directives(project)
    assert (found["account"], found["partition"], found["qos"]) == ("other", "gpu", "long")
    assert "mem" not in found
    assert build(project, "--here").stdout == f"{image_of(project)}\n"


def test_an_image_that_is_there_is_no_reason_for_a_job(project: Sandbox) -> None:
    image_of(project).write_text("old")
    said = project.refuses("container", "build", "--in-job")
    assert said.error == f"{image_of(project)} is there already, and jobs may be using it"
    assert build(project, "--in-job", "--force").stdout == "Submitted batch job 4242\n"


def test_without_sbatch_no_job_can_build(project: Sandbox) -> None:
    without(project, "sbatch")
    said = project.refuses("container", "build", "--in-job")
    assert said.error == "there is no sbatch on the PATH, and the cluster is 'generic'"
    assert said.hint == "log in to the cluster first, or train on this machine with --cluster local"


def test_what_sbatch_says_against_it_is_the_error_and_nothing_is_left(project: Sandbox) -> None:
    project.install("sbatch", "#!/bin/sh\necho sbatch: error: no account >&2\nexit 1\n")
    before = project.tree()
    said = build(project, "--in-job")
    assert (said.code, said.stdout) == (1, "")
    assert said.error == "sbatch refused the job (exit code 1): sbatch: error: no account"
    assert project.tree() == before


ENDED = """#!/bin/sh
# Stands in for scontrol after a job has run.
echo "JobId=4242 JobState={state} ExitCode={code}:0"
"""


@pytest.mark.parametrize(("post", "state", "code"), [("true", "COMPLETED", 0), ("exit 3", "FAILED", 255)])
def test_who_follows_sees_the_output_and_gets_the_image_or_the_error(
    project: Sandbox, post: str, state: str, code: int
) -> None:
    define(project, post)
    (project.bin / "sbatch").rename(project.bin / "sbatch.real")
    project.install(
        "sbatch",
        f'#!/bin/sh\n"{project.bin}/sbatch.real" "$@"\n'
        f'bash "{project.root}/submitted.sh" >"{image_of(project)}.log" 2>&1 </dev/null || :\n',
    )
    project.install("squeue", "#!/bin/sh\n")
    project.install("scontrol", ENDED.format(state=state, code=code))
    said = build(project, "--in-job", "--follow")
    assert "INFO:    Starting build...\n" in said.stderr
    if code == 0:
        assert (said.code, said.stdout) == (0, f"{image_of(project)}\n"), said.stderr
        return
    assert (said.code, said.stdout) == (1, "")
    told = f"the image could not be built by job 4242 ({state}); {image_of(project)} was not touched"
    assert said.error == told
    log = f"{image_of(project)}.log"
    assert said.hint == f"mend what the lines above name and build again; all of them are in {log}"
