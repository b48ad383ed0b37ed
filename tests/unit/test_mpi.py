"""`-W pmi`: a flavour of MPI that srun does not know is found before submission, and again on the node."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import TWO_BY_TWO, context, shipped
from hpcsubmit.plan import plan
from hpcsubmit.render import render
from hpcsubmit.request import Launcher
from sandbox import Sandbox

LIST = r"MPI plugin types are...\n\tnone\n\tpmi2\n\tcray_shasta\n"
PMIX = r"MPI plugin types are...\n\tnone\n\tpmix\nspecific pmix plugin versions available: pmix_v4,pmix_v5\n"


def srun(said: str, *, code: int = 0, stream: int = 1) -> str:
    """A stand-in for srun that tells the flavours, and keeps what else it is called with."""
    return (
        "#!/bin/bash\n"
        f"if [ \"$1\" = --mpi=list ]; then printf '{said}' >&{stream}; exit {code}; fi\n"
        'echo "$@" >"$HOME/srun.argv"\n'
    )


def profile(sandbox: Sandbox, text: str) -> None:
    sandbox.write(text, sandbox.root / "home" / ".config/hpcsubmit/profiles/generic.yaml")


@pytest.mark.parametrize("stream", [1, 2])
def test_a_flavour_that_srun_lacks_is_refused_before_submission(sandbox: Sandbox, stream: int) -> None:
    sandbox.install("srun", srun(LIST, stream=stream))
    profile(sandbox, "mpi: pmix\n")
    said = sandbox.refuses("-W", "pmi", "-g", "2")
    assert said.error == "Slurm here knows no --mpi=pmix: it has none, pmi2, cray_shasta"
    assert said.hint == "set 'mpi' in the profile 'generic' to one of them"


@pytest.mark.parametrize("flavour", ["pmix", "pmix_v4"])
def test_one_that_it_has_is_given_to_srun(sandbox: Sandbox, flavour: str) -> None:
    sandbox.install("srun", srun(PMIX))
    profile(sandbox, f"mpi: {flavour}\n")
    said = sandbox.hpcsubmit("-W", "pmi", "-g", "2", "--dry-run")
    assert said.code == 0, said.stderr
    assert f"_mpi={flavour} " in said.stdout


@pytest.mark.parametrize("script", [srun("error", code=1), "#!/bin/bash\nsleep 5\n", "#!/bin/bash\n"])
def test_an_srun_that_does_not_tell_is_believed_until_the_job_runs(sandbox: Sandbox, script: str) -> None:
    sandbox.install("srun", script)
    assert sandbox.hpcsubmit("-W", "pmi", "-g", "2").code == 0


def test_only_pmi_jobs_ask(sandbox: Sandbox) -> None:
    sandbox.install("srun", '#!/bin/bash\ntouch "$HOME/asked"\n')
    assert sandbox.hpcsubmit("-W", "srun", "-g", "2").code == 0
    assert not (sandbox.root / "home" / "asked").exists()


def test_there_is_none_on_this_machine_alone(sandbox: Sandbox) -> None:
    said = sandbox.refuses("--cluster", "local", "-W", "pmi", "-g", "2")
    assert said.error == "-W pmi needs the MPI of a real Slurm, and this job runs on this machine"
    assert said.hint == "use -W srun, whose processes know their ranks from RANK and WORLD_SIZE"


def on_node(tmp_path: Path, flavour: str, stand_in: str) -> "subprocess.CompletedProcess[str]":
    """The end of the job's script, with a stand-in for srun."""
    facts = replace(context(), virtualenv=None)
    request = replace(TWO_BY_TWO, launcher=Launcher.PMI)
    script = render(plan(request, replace(shipped("generic"), mpi=flavour), facts))
    head = (
        'set -euo pipefail\n_stopped="" _run_dir=$HOME\n'
        'fail() { echo "hpcsubmit: $*" >&2; exit 1; }\nstep() { "$@"; }\n'
    )
    (tmp_path / "srun").write_text(stand_in)
    (tmp_path / "srun").chmod(0o755)
    return subprocess.run(
        ["bash", "-c", head + script[script.index("program() {") :]],
        env={"PATH": f"{tmp_path}:/usr/bin:/bin", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize("flavour", ["pmi2", "none", "cray_shasta"])
def test_on_the_node_a_flavour_that_is_there_starts_the_tasks(tmp_path: Path, flavour: str) -> None:
    done = on_node(tmp_path, flavour, srun(LIST))
    assert (done.returncode, done.stderr) == (0, "")
    given = (tmp_path / "srun.argv").read_text().split()
    assert f"--mpi={flavour}" in given
    assert "--label" in given


@pytest.mark.parametrize("flavour", ["pmi", "pmix", "pmi2 none"])
def test_on_the_node_one_that_is_not_there_ends_the_job(tmp_path: Path, flavour: str) -> None:
    done = on_node(tmp_path, flavour, srun(LIST))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"hpcsubmit: srun here knows no --mpi={flavour}: MPI plugin types are...")
    assert not (tmp_path / "srun.argv").exists()


def test_on_the_node_a_version_of_pmix_is_found(tmp_path: Path) -> None:
    assert on_node(tmp_path, "pmix_v5", srun(PMIX)).returncode == 0


def test_on_the_node_an_srun_that_fails_is_quoted(tmp_path: Path) -> None:
    done = on_node(tmp_path, "pmi2", srun("srun: error: no plugins", code=1))
    assert done.stderr == "hpcsubmit: srun here knows no --mpi=pmi2: srun: error: no plugins\n"
