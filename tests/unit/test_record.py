"""The records of runs: what is written, what is read back, and the runs whose submission was cut short."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, RUN_ID, context, shipped
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.plan import Plan, plan
from hpcsubmit.record import expand_log, write_intention, write_result
from hpcsubmit.request import Request
from hpcsubmit.run import read_run, read_runs
from hpcsubmit.slurm import JobId
from sandbox import Sandbox

CREATED = "2026-01-31T23:59:59+00:00"


def planned(scratch: Path, run_id: str = RUN_ID) -> Plan:
    facts = replace(context(), scratch_dir=scratch / "gan", run_id=run_id)
    return plan(Request(time=HOUR, exp_name="x"), shipped("generic"), facts)


def test_an_intention_is_a_run_without_a_job(tmp_path: Path) -> None:
    made = planned(tmp_path)
    script = write_intention(made, "#!/bin/bash\n", CREATED)
    assert script == made.run_dir / "script.sh"
    assert script.stat().st_mode & 0o777 == 0o700
    assert made.run_dir.stat().st_mode & 0o777 == 0o700
    run = read_run(made.run_dir)
    assert run is not None
    assert (run.job, run.refused, run.log_path, run.created) == (None, "", None, CREATED)
    assert (run.run_id, run.kind, run.exp_name, run.cluster) == (RUN_ID, "plain", "x", "generic")
    assert run.command == "python main.py --train --batch_size 6"


def test_a_result_completes_the_run(tmp_path: Path) -> None:
    made = planned(tmp_path)
    write_intention(made, "", CREATED)
    write_result(made.run_dir, job="4242", code="abc-dirty")
    run = read_run(made.run_dir)
    assert run is not None
    assert (run.job, run.code) == (JobId(number=4242), "abc-dirty")
    assert run.log_path == tmp_path / "gan" / "hpc_outputs" / "standard_x_4242.out"
    shown = run.as_json()
    assert (shown["job"], shown["log"]) == ("4242", str(run.log_path))
    json.dumps(shown)


def test_the_files_of_the_batch_script_tell_the_job_and_its_end(tmp_path: Path) -> None:
    made = planned(tmp_path)
    write_intention(made, "", CREATED)
    (made.run_dir / "started").write_text("job=77\nhost=plai01\ntime=2026-02-01T00:00:00Z\n")
    run = read_run(made.run_dir)
    assert run is not None
    assert (run.job, run.host, run.started) == (JobId(number=77), "plai01", "2026-02-01T00:00:00Z")
    assert run.exit_code is None
    (made.run_dir / "exit").write_text("137\n")
    ended = read_run(made.run_dir)
    assert ended is not None
    assert ended.exit_code == 137


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"run_id": "x"}', '{"run_id": 3}', "\x00\xff"])
def test_a_damaged_plan_is_no_run(tmp_path: Path, text: str) -> None:
    made = planned(tmp_path)
    write_intention(made, "", CREATED)
    (made.run_dir / "plan.json").write_text(text)
    assert read_run(made.run_dir) is None
    (made.run_dir / "plan.json").unlink()
    assert read_run(made.run_dir) is None


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"job": "x"}', '{"job": null}', '{"job": -3}'])
def test_a_damaged_result_is_no_result(tmp_path: Path, text: str) -> None:
    made = planned(tmp_path)
    write_intention(made, "", CREATED)
    (made.run_dir / "result.json").write_text(text)
    (made.run_dir / "started").write_bytes(b"\xff\nno sign\njob=x\n")
    (made.run_dir / "exit").write_text("soon")
    run = read_run(made.run_dir)
    assert run is not None
    assert (run.job, run.exit_code) == (None, None)


def test_runs_are_listed_oldest_first_and_other_files_are_passed_over(tmp_path: Path) -> None:
    for day in ("03", "01", "02"):
        made = planned(tmp_path, f"r202601{day}-000000-aaaa")
        write_intention(made, "", f"2026-01-{day}T00:00:00+00:00")
    (tmp_path / "gan" / "hpcsubmit" / "runs" / "notes.txt").write_text("")
    runs = read_runs([tmp_path / "gan", tmp_path / "nowhere"])
    assert [run.run_id[7:9] for run in runs] == ["01", "02", "03"]


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/s/standard_%j.out", "/s/standard_42.out"),
        ("/s/50%% done/x_%j.out", "/s/50% done/x_42.out"),
        ("/s/100%%j/x_%j.out", "/s/100%j/x_42.out"),
        ("/s/100%%a/x_%A_%a.out", "/s/100%a/x_42_%a.out"),
    ],
)
def test_the_log_is_where_slurm_writes_it(pattern: str, path: str) -> None:
    assert expand_log(pattern, JobId(number=42)) == path


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("/s/x_%A_%a.out", "/s/x_42_7.out"),
        ("/s/50%% a/%%A_%%%A/%a.out", "/s/50% a/%A_%42/7.out"),
    ],
)
def test_the_log_of_a_task_is_where_slurm_writes_it(pattern: str, path: str) -> None:
    assert expand_log(pattern, JobId(number=42), 7) == path


def test_a_result_names_the_jobs_of_all_arrays(tmp_path: Path) -> None:
    write_result(tmp_path, job="4242", jobs=["4242", "4250"], code="abc")
    written = json.loads((tmp_path / "result.json").read_text())
    assert written == {"job": "4242", "jobs": ["4242", "4250"], "code": "abc"}


def test_a_run_never_takes_the_folder_of_another(tmp_path: Path) -> None:
    made = planned(tmp_path)
    write_intention(made, "first", CREATED)
    with pytest.raises(HpcSubmitError) as raised:
        write_intention(made, "second", CREATED)
    assert raised.value.message == f"{made.run_dir} could not be written: File exists"
    assert (made.run_dir / "script.sh").read_text() == "first"


# The commands that show runs.


def cut_short(sandbox: Sandbox) -> str:
    """Submit, and take the result away, as if hpcsubmit had died before it wrote it; return the run's id."""
    assert sandbox.hpcsubmit("-e", "x").code == 0
    (folder,) = (sandbox.scratch / "gan" / "hpcsubmit" / "runs").iterdir()
    (folder / "result.json").unlink()
    return folder.name


def test_runs_lists_one_line_each_and_show_prints_one(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit("runs").stdout == "no runs yet\n"
    assert sandbox.hpcsubmit("status").stdout == "no runs yet\n"
    assert sandbox.hpcsubmit("-e", "celebA", "-g", "2").code == 0
    head, line = sandbox.hpcsubmit("runs").stdout.splitlines()
    assert head.split() == ["RUN", "JOB", "CLUSTER", "KIND", "EXPERIMENT", "WHEN", "(UTC)", "COMMAND"]
    run_id, job, cluster, kind, exp_name, _, _, *command = line.split()
    assert (job, cluster, kind, exp_name) == ("4242", "generic", "lightning", "celebA")
    assert command == ["python", "main.py"]
    for name in (run_id, "4242"):
        shown = sandbox.hpcsubmit("runs", "show", name)
        assert shown.code == 0
        assert "hpcsubmit -e celebA -g 2" in shown.stdout
    as_json = json.loads(sandbox.hpcsubmit("runs", "--json").stdout)
    assert [run["run_id"] for run in as_json] == [run_id]
    assert json.loads(sandbox.hpcsubmit("runs", "show", "4242", "--json").stdout) == as_json[0]


def test_outside_a_project_the_runs_of_all_projects_are_listed(sandbox: Sandbox) -> None:
    other = sandbox.root / "home" / "vae"
    sandbox.write("python vae.py\n", other / "experiment_configurations.txt")
    (other / "virtual_env").symlink_to(sandbox.project / "virtual_env")
    assert sandbox.hpcsubmit().code == sandbox.hpcsubmit(cwd=other).code == 0
    assert len(sandbox.hpcsubmit("runs", cwd=other).stdout.splitlines()) == 2
    assert len(sandbox.hpcsubmit("runs", cwd=sandbox.root).stdout.splitlines()) == 3


def test_a_run_that_was_cut_short_is_found_by_its_comment(sandbox: Sandbox) -> None:
    run_id = cut_short(sandbox)
    sandbox.install("squeue", f"#!/bin/sh\necho '77|RUNNING|None|n1|{run_id}'\n")
    assert json.loads(sandbox.hpcsubmit("runs", "--json").stdout)[0]["job"] == "77"
    status = sandbox.hpcsubmit("status").stdout.splitlines()[1].split()
    assert status == ["77", "RUNNING", "-", run_id, "n1"]


def test_a_run_that_was_cut_short_is_found_by_the_file_that_its_script_wrote(sandbox: Sandbox) -> None:
    run_id = cut_short(sandbox)
    for name in ("squeue", "scontrol", "sacct"):
        sandbox.install(name, "#!/bin/sh\nexit 1\n")
    folder = sandbox.scratch / "gan" / "hpcsubmit" / "runs" / run_id
    (folder / "started").write_text("job=78\nhost=n1\ntime=2026-01-01T00:00:00Z\n")
    assert json.loads(sandbox.hpcsubmit("runs", "--json").stdout)[0]["job"] == "78"
    (folder / "exit").write_text("3\n")
    assert sandbox.hpcsubmit("status").stdout.splitlines()[1].split()[:4] == ["78", "ended", "3", run_id]


def test_a_run_that_nobody_knows_is_unknown_and_never_not_submitted(sandbox: Sandbox) -> None:
    run_id = cut_short(sandbox)
    for name in ("squeue", "scontrol", "sacct"):
        sandbox.install(name, "#!/bin/sh\nexit 1\n")
    assert sandbox.hpcsubmit("runs").stdout.splitlines()[1].split()[:2] == [run_id, "unknown"]
    assert sandbox.hpcsubmit("status").stdout.splitlines()[1].split()[:2] == ["unknown", "unknown"]
    said = sandbox.hpcsubmit("cancel", run_id)
    assert (said.code, said.error) == (1, f"run {run_id} has no job that is known")
    assert said.hint == "squeue --me lists your jobs; scancel JOB ends one"


def test_a_run_that_is_not_there_is_an_error(sandbox: Sandbox) -> None:
    run = "r20200101-000000-aaaa"
    for argv in (
        ("runs", "show", "99"),
        ("cancel", "99"),
        ("runs", "show", run),
        ("status", run),
        ("cancel", run),
    ):
        said = sandbox.hpcsubmit(*argv)
        assert (said.code, said.stdout) == (1, "")
        assert argv[-1] in said.error
        assert said.hint
    assert sandbox.hpcsubmit("status", "99").stdout.splitlines()[1].split() == ["99", "unknown", "-", "-"]


def test_cancel_ends_jobs_and_says_so(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    sandbox.install("squeue", "#!/bin/sh\necho '4242|RUNNING|None|n1|c'\n")
    sandbox.install("scancel", f'#!/bin/sh\necho "$*" >>{sandbox.root}/cancelled\n')
    said = sandbox.hpcsubmit("cancel", "4242")
    assert (said.code, said.stdout) == (0, "cancelled job 4242\n")
    assert (sandbox.root / "cancelled").read_text() == "4242\n"
    said = sandbox.hpcsubmit("cancel", "4242", "99")
    assert said.code == 1, "one of them is wrong: none is cancelled"
    assert (sandbox.root / "cancelled").read_text() == "4242\n"
    sandbox.install("squeue", "#!/bin/sh\n")
    sandbox.install("scontrol", "#!/bin/sh\necho 'JobId=4242 JobState=COMPLETED ExitCode=0:0'\n")
    assert sandbox.hpcsubmit("cancel", "4242").stdout == "job 4242 had already ended: COMPLETED\n"


def test_a_damaged_record_hides_no_other_run(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit().code == 0
    broken = sandbox.scratch / "gan" / "hpcsubmit" / "runs" / "r20200101-000000-aaaa"
    broken.mkdir()
    (broken / "plan.json").write_text("{")
    assert len(sandbox.hpcsubmit("runs").stdout.splitlines()) == 2
