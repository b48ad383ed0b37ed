"""hpcsubmit sweep create, status, stop, cancel, pause and resume, as typed; a program answers for wandb."""

import json
from pathlib import Path
from typing import Any

import pytest

from sandbox import Said, Sandbox
from wandb_python import WandbPython, fingerprint

KEY = "0123456789abcdef0123456789abcdef01234567"
URL = "https://wandb.ai/lab/gan/sweeps/abc"
CREATED = {"entity": "lab", "project": "gan", "sweep": "abc", "url": URL}
FILE = """program: main.py
method: grid
metric: {name: acc, goal: maximize}
parameters:
  lr: {values: [0.1, 0.2]}
  bs: {values: [1, 2, 3]}
"""
COMPOSITE = """program: main.py
method: grid
name: study
parameters:
  epochs: 5
  subtests:
    base,small: {lr: [0.1, 0.2]}
    adam: {_num_nodes: 2, lr: [0.3, 0.4, 0.5]}
"""
LOOK: dict[str, Any] = {
    "state": "RUNNING",
    "name": "study",
    "url": URL,
    "method": "grid",
    "config": {"parameters": {"lr": {"values": [0.1, 0.2]}}},
    "runs": {"finished": 3, "running": 1, "pending": 1, "failed": 1, "crashed": 2},
    "expected": 12,
    "best": {
        "run": "q1",
        "name": "sweep-2",
        "metric": "acc",
        "value": 0.9312345,
        "config": {"lr": 0.2, "n": 1},
    },
}


@pytest.fixture
def wandb(sandbox: Sandbox) -> WandbPython:
    """A project with a sweep file, a key, and a Python that answers."""
    python = WandbPython(sandbox)
    sandbox.environ["WANDB_API_KEY"] = KEY
    sandbox.write("python main.py\n")
    sandbox.write("print()\n", sandbox.project / "main.py")
    sandbox.write(FILE, sandbox.project / "sweeper.yml")
    python.answers(create=CREATED, look=LOOK, state={"state": "PAUSED"})
    return python


def record(sandbox: Sandbox, sweep: str = "abc") -> dict[str, Any]:
    path = sandbox.scratch / "gan" / "hpcsubmit" / "sweeps" / f"{sweep}.json"
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def submitted(sandbox: Sandbox, sweep: str) -> str:
    """Make the record of a submission that works for a sweep; return its run id."""
    said = sandbox.hpcsubmit()
    assert said.code == 0, said
    plan = next((sandbox.scratch / "gan" / "hpcsubmit" / "runs").glob("*/plan.json"))
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"sweep": sweep}))
    return plan.parent.name


def refused(said: Said) -> tuple[int, str, str, str]:
    return said.code, said.stdout, said.error, said.hint


def test_create_prints_the_id_and_records_what_only_hpcsubmit_knows(
    sandbox: Sandbox, wandb: WandbPython
) -> None:
    said = sandbox.hpcsubmit("sweep", "create", "--entity", "lab")
    assert (said.code, said.stdout) == (0, "lab/gan/abc\n")
    assert said.stderr.splitlines() == [
        f"sweeper.yml (grid, 6 runs): {URL}",
        "submit its runs: hpcsubmit --wandb-sweepid lab/gan/abc",
    ]
    request = wandb.asked()[0].request
    assert (request["entity"], request["project"]) == ("lab", "gan")
    assert request["config"]["parameters"] == {"lr": {"values": [0.1, 0.2]}, "bs": {"values": [1, 2, 3]}}
    kept = record(sandbox)
    assert kept.pop("created").endswith("Z")
    assert kept == {
        "sweep": "lab/gan/abc",
        "url": URL,
        "file": str(sandbox.project / "sweeper.yml"),
        "name": "",
        "tags": [],
        "workers": None,
        "runs": 6,
    }


def test_a_composite_file_makes_one_sweep_for_each_subtest(sandbox: Sandbox, wandb: WandbPython) -> None:
    sandbox.write(COMPOSITE, sandbox.project / "both.yml")
    said = sandbox.hpcsubmit("sweep", "create", "both.yml")
    assert (said.code, said.stdout) == (0, "lab/gan/abc\n" * 2)
    assert [each.request["config"]["name"] for each in wandb.asked()] == ["study-base,small", "study-adam"]
    assert (record(sandbox)["tags"], record(sandbox)["workers"], record(sandbox)["runs"]) == (["adam"], 2, 3)


def test_another_name_is_given_with_an_option(sandbox: Sandbox, wandb: WandbPython) -> None:
    sandbox.write(COMPOSITE, sandbox.project / "both.yml")
    for file in ("sweeper.yml", "both.yml"):
        assert sandbox.hpcsubmit("sweep", "create", file, "--name", "other").code == 0
    names = [each.request["config"]["name"] for each in wandb.asked()]
    assert names == ["other", "other-base,small", "other-adam"]


@pytest.mark.parametrize(
    ("file", "experiment", "environ", "argv", "place"),
    [
        ("", "python main.py", {}, (), ("", "gan")),
        ("", "python main.py", {"WANDB_ENTITY": "e", "WANDB_PROJECT": "p"}, (), ("e", "p")),
        ("", "wandb agent a/b/SWEEP_ID", {"WANDB_ENTITY": "e", "WANDB_PROJECT": "p"}, (), ("a", "b")),
        ("entity: x\nproject: y\n", "wandb agent a/b/SWEEP_ID", {}, (), ("x", "y")),
        (
            "entity: x\nproject: y\n",
            "python main.py",
            {},
            ("--entity", "one", "--project", "two"),
            ("one", "two"),
        ),
    ],
)
def test_the_place_of_a_sweep_is_the_nearest_that_is_named(
    sandbox: Sandbox,
    wandb: WandbPython,
    file: str,
    experiment: str,
    environ: dict[str, str],
    argv: tuple[str, ...],
    place: tuple[str, str],
) -> None:
    sandbox.write(file + FILE, sandbox.project / "sweeper.yml")
    sandbox.write(experiment + "\n")
    said = sandbox.hpcsubmit("sweep", "create", *argv, environ=sandbox.environ | environ)
    assert said.code == 0, said
    request = wandb.asked()[0].request
    assert (request["entity"], request["project"]) == place


def test_a_dry_run_asks_no_server_and_leaves_no_record(sandbox: Sandbox, wandb: WandbPython) -> None:
    before = sandbox.tree()
    said = sandbox.hpcsubmit("sweep", "create", "--entity", "lab", "--dry-run")
    assert (said.code, said.stderr) == (0, "would create sweeper.yml (grid, 6 runs) in lab/gan\n")
    shown = json.loads(said.stdout)
    assert [(each["entity"], each["project"], each["config"]["method"]) for each in shown] == [
        ("lab", "gan", "grid")
    ]
    assert (wandb.asked(), sandbox.tree()) == ([], before)


def test_a_sweep_file_that_is_not_there_is_an_error(sandbox: Sandbox, wandb: WandbPython) -> None:
    folder = sandbox.project / "sub"
    folder.mkdir()
    said = sandbox.refuses("sweep", "create", "no.yml", cwd=folder)
    assert (said.error, said.hint) == (
        "there is no sweep file no.yml",
        f"looked in {folder}, then {sandbox.project}, then {sandbox.project}/hpc_files",
    )


def test_status_tells_how_far_it_is_and_the_best_run(sandbox: Sandbox, wandb: WandbPython) -> None:
    said = sandbox.hpcsubmit("sweep", "status", "lab/gan/abc")
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "sweep    lab/gan/abc (study)",
        "state    running",
        f"address  {URL}",
        "runs     3 finished, 2 running, 2 crashed, 1 failed, of 12",
        "best     acc 0.931234 (run q1)",
        "  lr     0.2",
    ]


def test_status_without_runs_and_without_an_end(sandbox: Sandbox, wandb: WandbPython) -> None:
    wandb.answers(look=LOOK | {"runs": {}, "expected": None, "best": None})
    said = sandbox.hpcsubmit("sweep", "status", "lab/gan/abc")
    assert said.stdout.splitlines()[-2:] == [
        "runs     0 finished, 0 running, 0 failed, without an end",
        "best     -",
    ]


def test_status_as_json(sandbox: Sandbox, wandb: WandbPython) -> None:
    shown = json.loads(sandbox.hpcsubmit("sweep", "status", "lab/gan/abc", "--json").stdout)
    assert shown["runs"] == {"finished": 3, "running": 2, "failed": 3}
    assert (shown["sweep"], shown["state"], shown["expected"], shown["left"]) == (
        "lab/gan/abc",
        "RUNNING",
        12,
        4,
    )
    assert shown["best"]["config"] == {"lr": 0.2, "n": 1}


@pytest.mark.parametrize("to", ["stop", "cancel", "pause", "resume"])
def test_the_state_of_a_sweep_is_changed(sandbox: Sandbox, wandb: WandbPython, to: str) -> None:
    said = sandbox.hpcsubmit("sweep", to, "lab/gan/abc")
    assert (said.code, said.stdout) == (0, "lab/gan/abc is paused\n")
    assert wandb.asked()[0].request == {"action": "state", "sweep": "lab/gan/abc", "to": to}
    assert ("hpcsubmit cancel RUN" in said.stderr) == (to in ("stop", "cancel"))


def test_a_sweep_is_named_by_its_run_its_job_or_the_id_that_was_created_here(
    sandbox: Sandbox, wandb: WandbPython
) -> None:
    run_id = submitted(sandbox, "lab/gan/xyz")
    wandb.answers(create=CREATED | {"entity": "team", "project": "far"}, look=LOOK)
    sandbox.hpcsubmit("sweep", "create")
    for word in (run_id, "4242", "abc", "one/two/three"):
        assert sandbox.hpcsubmit("sweep", "status", word).code == 0
    sandbox.write("wandb agent lab/gan/SWEEP_ID\n")
    assert sandbox.hpcsubmit("sweep", "status", "12345678").code == 0  # an id of digits, and no job
    asked = [each.request["sweep"] for each in wandb.asked() if each.request["action"] == "look"]
    assert asked == ["lab/gan/xyz", "lab/gan/xyz", "team/far/abc", "one/two/three", "lab/gan/12345678"]


def test_a_run_that_works_for_no_sweep_is_an_error(sandbox: Sandbox, wandb: WandbPython) -> None:
    run_id = submitted(sandbox, "")
    assert refused(sandbox.hpcsubmit("sweep", "cancel", run_id)) == (
        1,
        "",
        f"run {run_id} works for no sweep on a server",
        f"hpcsubmit sweep results {run_id} shows what its trials came to, if it has any",
    )


def test_an_id_whose_place_nobody_says_is_an_error(sandbox: Sandbox, wandb: WandbPython) -> None:
    assert refused(sandbox.hpcsubmit("sweep", "status", "nope")) == (
        1,
        "",
        "nothing says which entity and project the wandb sweep nope belongs to",
        "write ENTITY/PROJECT/nope in its place, or set WANDB_ENTITY and WANDB_PROJECT",
    )


@pytest.mark.parametrize(
    ("answer", "error", "hint"),
    [
        (
            {"error": "unauthorized", "message": "user is not logged in", "url": "https://api.wandb.ai"},
            "the wandb server https://api.wandb.ai does not accept the key of WANDB_API_KEY",
            "copy it anew from https://wandb.ai/authorize; WANDB_BASE_URL says which server is asked",
        ),
        (
            {"error": "unknown", "message": "Could not find sweep", "url": "https://w.example.org"},
            "https://w.example.org knows no sweep abc of the entity lab, project gan",
            "check its three parts on the sweep's page; hpcsubmit sweep create makes a sweep",
        ),
        (
            {
                "error": "unreachable",
                "message": "<urlopen error [Errno 111] Connection refused>",
                "url": "http://n1:9",
            },
            "the wandb server http://n1:9 cannot be reached: [Errno 111] Connection refused",
            (
                "check the network (a compute node may have none) and WANDB_BASE_URL, or run the sweep "
                "without a server: hpcsubmit sweep run FILE --offline"
            ),
        ),
        (
            {"error": "other", "message": "Cannot pause pending sweep.", "url": "https://api.wandb.ai"},
            "the wandb server https://api.wandb.ai refused: Cannot pause pending sweep.",
            "see hpcsubmit sweep status lab/gan/abc",
        ),
    ],
)
def test_what_the_server_refuses_is_told_with_its_cure(
    sandbox: Sandbox, wandb: WandbPython, answer: dict[str, str], error: str, hint: str
) -> None:
    wandb.answers(state=answer)
    assert refused(sandbox.hpcsubmit("sweep", "pause", "lab/gan/abc")) == (1, "", error, hint)


def test_a_sweep_that_the_server_refuses_leaves_no_record(sandbox: Sandbox, wandb: WandbPython) -> None:
    wandb.answers(create={"error": "other", "message": "entity lab not found", "url": "https://api.wandb.ai"})
    assert refused(sandbox.hpcsubmit("sweep", "create", "--entity", "lab")) == (
        1,
        "",
        "the wandb server https://api.wandb.ai refused: entity lab not found",
        "see what it names in the sweep file, the entity or the project",
    )
    assert not (sandbox.scratch / "gan" / "hpcsubmit" / "sweeps").exists()


def test_a_wandb_that_does_not_work_is_told(sandbox: Sandbox, wandb: WandbPython) -> None:
    wandb.answers(look="ImportError: no module named google")
    assert refused(sandbox.hpcsubmit("sweep", "status", "lab/gan/abc")) == (
        1,
        "",
        f"wandb could not be asked with {wandb.python}: ImportError: no module named google",
        f"see whether it works: {wandb.python} -m wandb --version",
    )


def test_without_wandb_the_error_says_what_to_install(sandbox: Sandbox) -> None:
    sandbox.environ["WANDB_API_KEY"] = KEY
    sandbox.write("runs", sandbox.project / "wandb" / "run-1" / "logs")  # a folder is not the package
    assert refused(sandbox.hpcsubmit("sweep", "status", "lab/gan/abc")) == (
        1,
        "",
        f"wandb is not installed beside hpcsubmit, nor is it in {sandbox.project / 'virtual_env'}",
        "pip install 'hpcsubmit[wandb]', and try again",
    )


def test_without_a_key_nothing_is_asked(sandbox: Sandbox, wandb: WandbPython) -> None:
    del sandbox.environ["WANDB_API_KEY"]
    assert refused(sandbox.hpcsubmit("sweep", "status", "lab/gan/abc")) == (
        1,
        "",
        "there is no wandb key: WANDB_API_KEY, ~/wandb_credentials.txt and ~/.netrc hold none",
        "write the key of https://wandb.ai/authorize into ~/wandb_credentials.txt, with mode 0600",
    )
    assert wandb.asked() == []


@pytest.mark.parametrize("place", ["environment", "file", "netrc"])
def test_the_key_is_in_the_environment_of_the_question_and_nowhere_else(
    sandbox: Sandbox, wandb: WandbPython, place: str
) -> None:
    home = sandbox.root / "home"
    files = {"file": home / "wandb_credentials.txt", "netrc": home / ".netrc"}
    texts = {"file": f" {KEY}\n", "netrc": f"machine api.wandb.ai login user password {KEY}\n"}
    if place != "environment":
        del sandbox.environ["WANDB_API_KEY"]
        files[place].write_text(texts[place])
    said = [
        sandbox.hpcsubmit("sweep", "create"),
        sandbox.hpcsubmit("sweep", "status", "abc"),
        sandbox.hpcsubmit("sweep", "pause", "abc"),
    ]
    assert [each.code for each in said] == [0, 0, 0], said
    asked = wandb.asked()
    assert len(asked) == 3
    expected = None if place == "netrc" else fingerprint(KEY)  # which wandb itself reads
    assert [each.key for each in asked] == [expected] * 3
    assert [word for each in asked for word in each.argv if KEY in word] == []
    assert {Path(each.argv[-1]).name for each in asked} == {"client.py"}
    assert KEY not in "".join(each.stdout + each.stderr for each in said)
    found = [path for path in sandbox.root.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert found == ([files[place]] if place != "environment" else [])


def test_the_netrc_of_another_server_holds_a_key_for_it(sandbox: Sandbox, wandb: WandbPython) -> None:
    del sandbox.environ["WANDB_API_KEY"]
    (sandbox.root / "home" / ".netrc").write_text(f"machine w.example.org login user password {KEY}\n")
    assert sandbox.hpcsubmit("sweep", "status", "lab/gan/abc").code == 1
    own = sandbox.environ | {"WANDB_BASE_URL": "https://w.example.org"}
    assert sandbox.hpcsubmit("sweep", "status", "lab/gan/abc", environ=own).code == 0


def test_an_unknown_part_names_the_nearest(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("sweep", "stat")
    assert refused(said) == (2, "", "hpcsubmit sweep does not know 'stat'", "did you mean status?")
