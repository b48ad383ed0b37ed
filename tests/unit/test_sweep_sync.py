"""`hpcsubmit sweep sync`: what is uploaded, what is left alone, and what is said of it."""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hpcsubmit.host import Host
from hpcsubmit.sweeps.offline_runs import OfflineRun
from hpcsubmit.sweeps.sync import Uploader
from hpcsubmit.sweeps.sync_outcome import Outcome, Upload
from sandbox import HPCSUBMIT, Said, Sandbox
from trial_records import RUN_ID, TrialRecords
from wandb_uploads import HEADER, WandbUploads, fingerprint, logged

KEY = "s3cr3tke" * 5
AGAIN = "wandb sync --include-synced --id NEW-ID"


class User:
    """A user whose sweep of `trials` trials has ended, with wandb in the project's environment."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.records = TrialRecords(sandbox.scratch / "gan")
        self.wandb = WandbUploads(sandbox)
        sandbox.environ["WANDB_API_KEY"] = KEY

    def ran(self, *says: str) -> list[Path]:
        """Trials that ended, each with a log; the folders of these."""
        self.submitted(len(says))
        return [logged(self.records, trial, word) for trial, word in enumerate(says, 1)]

    def submitted(self, trials: int, **spec: Any) -> None:
        self.records.submitted([["lr", {"values": [0.1] * trials}]], trials, **spec)
        plan = json.loads((self.records.folder / "plan.json").read_text())
        plan["project"] = str(self.sandbox.project)
        (self.records.folder / "plan.json").write_text(json.dumps(plan))
        for trial in range(1, trials + 1):
            self.records.ended(trial)

    def syncs(self, *argv: str, **environ: str) -> Said:
        return self.sandbox.hpcsubmit("sweep", "sync", RUN_ID, *argv, environ=self.sandbox.environ | environ)

    def starts(self) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*HPCSUBMIT, "sweep", "sync", RUN_ID],
            cwd=self.sandbox.project,
            env=self.sandbox.environ,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )


@pytest.fixture
def user(sandbox: Sandbox) -> User:
    return User(sandbox)


def until(true: Callable[[], object], what: str, timeout: float = 120) -> None:
    deadline = time.monotonic() + timeout
    while not true():
        assert time.monotonic() < deadline, f"{what} did not come within {timeout} s"
        time.sleep(0.02)


def test_each_folder_is_uploaded_once(user: User) -> None:
    user.ran("ok", "ok", "ok")
    first, second = user.syncs(), user.syncs()
    assert (first.code, first.stdout) == (0, "uploaded 3\n"), first
    assert sorted(line.partition("] ")[2] for line in first.stderr.splitlines()) == [
        "trial 1: uploaded r1-1",
        "trial 2: uploaded r1-2",
        "trial 3: uploaded r1-3",
    ]
    assert [line[:5] for line in first.stderr.splitlines()] == ["[1/3]", "[2/3]", "[3/3]"]
    assert (second.code, second.stdout, second.stderr) == (0, "nothing to upload: already there 3\n", "")
    assert len(user.wandb.asked()) == 3


def test_what_was_logged_since_is_uploaded_beside_what_is_there(user: User) -> None:
    user.ran("ok", "ok")
    user.syncs()
    logged(user.records, 2, "ok", at="000500")
    assert user.syncs().stdout == "uploaded 1, already there 2\n"
    assert user.wandb.folders()[-1] == "offline-run-20260201_000500-r1-2"


def test_the_job_names_the_sweep_too(user: User) -> None:
    user.ran("ok")
    assert user.sandbox.hpcsubmit("sweep", "sync", "4242").stdout == "uploaded 1\n"


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("word", ["ok", "cut"])
def test_a_folder_that_was_copied_since_is_still_the_same(
    user: User, word: str, order: tuple[int, ...]
) -> None:
    """A copy may give its files new times, one after another in any order."""
    (folder,) = user.ran(word)
    user.syncs()
    (folder / "run-r1-1.wandb.synced").touch()
    now = time.time()
    files = sorted(path for path in folder.iterdir() if path.is_file())
    assert [path.name for path in files] == [".hpcsubmit-synced", "run-r1-1.wandb", "run-r1-1.wandb.synced"]
    for path, later in zip(files, order, strict=True):
        os.utime(path, (now + later, now + later))
    assert user.syncs().stdout == "nothing to upload: already there 1\n"


def test_what_the_user_has_synced_by_hand_is_there_already(user: User) -> None:
    (folder,) = user.ran("ok")
    (folder / "run-r1-1.wandb.synced").touch()
    assert user.syncs().stdout == "nothing to upload: already there 1\n"
    assert user.wandb.asked() == []


def test_an_upload_that_was_killed_is_done_again_unless_wandb_had_ended(user: User) -> None:
    killed, ended = user.ran("ok", "ok")
    for folder in (killed, ended):
        (folder / ".hpcsubmit-synced").write_text('{"done": "begun", "size": 9}')
    (ended / "run-r1-2.wandb.synced").touch()
    assert user.syncs().stdout == "uploaded 1, already there 1\n"
    assert user.wandb.folders() == [killed.name]


@pytest.mark.parametrize("mark", ["", "{", "[]", '{"done": "what", "size": 9}', '{"done": "whole"}'])
def test_a_damaged_mark_says_nothing(user: User, mark: str) -> None:
    (folder,) = user.ran("ok")
    (folder / ".hpcsubmit-synced").write_text(mark)
    assert user.syncs().stdout == "uploaded 1\n"


def test_the_parts_of_a_requeued_trial_go_one_after_another_by_time(user: User) -> None:
    user.submitted(1)
    for at in ("000003", "000001", "000002"):
        logged(user.records, 1, at=at)
    assert user.syncs().stdout == "uploaded 3\n"
    assert [name[21:27] for name in user.wandb.folders()] == ["000001", "000002", "000003"]
    assert user.wandb.most_at_once() == 1


def test_the_parts_of_a_run_are_in_order_also_where_two_trials_logged_them(user: User) -> None:
    user.submitted(2)
    logged(user.records, 1, run="mine", at="000002")
    logged(user.records, 2, run="mine", at="000001")
    user.syncs()
    assert [name[21:27] for name in user.wandb.folders()] == ["000001", "000002"]


@pytest.mark.parametrize(("version", "notes"), [("0.30.1", 1), ("0.31.0", 0), ("1.0", 0), ("", 0)])
def test_an_old_wandb_that_counts_the_steps_of_a_part_anew_is_told_of(
    user: User, version: str, notes: int
) -> None:
    user.submitted(2)
    user.wandb.server_says(entity="lab", version=version)
    logged(user.records, 2)
    assert "note" not in user.syncs().stderr  # one part alone
    logged(user.records, 1, at="000001")
    logged(user.records, 1, at="000002")
    assert user.syncs().stderr.count(f"note: wandb {version} counts the steps of each part of") == notes


def test_a_part_waits_for_the_one_before_it(user: User) -> None:
    user.submitted(2)
    first = logged(user.records, 1, "refused", at="000001")
    second = logged(user.records, 1, at="000002")
    logged(user.records, 2)
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 1, failed 2: {first} {second}\n")
    assert "trial 1: failed r1-1: an earlier part of the same run must be there before it" in said.stderr
    (first / "run-r1-1.wandb").write_bytes(HEADER + b"ok")
    assert user.syncs().stdout == "uploaded 2, already there 1\n"
    assert user.wandb.folders()[-2:] == [first.name, second.name]


def test_four_runs_are_uploaded_side_by_side(user: User) -> None:
    user.ran(*["slow"] * 6)
    process = user.starts()
    until(lambda: len(user.wandb.asked()) == 4, "the fourth upload")
    user.wandb.go()
    assert process.communicate(timeout=120)[0] == "uploaded 6\n"
    assert user.wandb.most_at_once() == 4


def test_many_runs_share_a_process(user: User) -> None:
    user.ran(*["ok"] * 40)
    assert user.syncs().stdout == "uploaded 40\n"
    assert sorted(user.wandb.folders()) == sorted(set(user.wandb.folders()))
    assert len({asked.process for asked in user.wandb.asked()}) == 8


def test_a_folder_that_makes_wandb_crash_does_not_keep_back_the_others(user: User) -> None:
    folders = user.ran(*["ok", "ok", "crash"] * 8)
    crashed = " ".join(str(folder) for folder in folders[2::3])
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 16, failed 8: {crashed}\n")
    assert said.stderr.count(": wandb says: Segmentation fault\n") == 8
    assert user.syncs().stdout.startswith("uploaded 0, already there 16, failed 8: ")


def test_trials_that_still_run_are_left_alone(user: User) -> None:
    user.ran("ok", "ok")
    (user.records.folder / "tasks" / "2" / "trial").unlink()
    assert user.syncs().stdout == "uploaded 1, still running 1\n"
    assert user.wandb.folders() == ["offline-run-20260201_000001-r1-1"]
    user.sandbox.install("squeue", "#!/bin/sh\nexit 0\n")  # it is in the queue no longer: its node failed
    assert user.syncs().stdout == "uploaded 1, already there 1\n"


def test_half_written_folders_are_named_with_what_to_do(user: User) -> None:
    delete = "it ended before wandb wrote anything down. Delete the folder"
    copy = "run-r1-4.wandb is no log of wandb's. Copy it anew, or delete the folder"
    missing, empty, begun, foreign, _ = user.ran("ok", "ok", "ok", "ok", "ok")
    (missing / "run-r1-1.wandb").unlink()
    (empty / "run-r1-2.wandb").write_bytes(b"")
    (begun / "run-r1-3.wandb").write_bytes(HEADER)
    (foreign / "run-r1-4.wandb").write_bytes(b"GIF89a and more")
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 1, damaged 4: {missing} {empty} {begun} {foreign}\n")
    assert said.stderr.splitlines()[1:] == [
        f"trial 1: damaged: {missing}: it holds no run-r1-1.wandb: nothing was logged. Delete the folder",
        f"trial 2: damaged: {empty}: {delete}",
        f"trial 3: damaged: {begun}: {delete}",
        f"trial 4: damaged: {foreign}: {copy}",
        "error: 4 of 5 runs are not, or not whole, on the server",
        "hint: the lines above say what to do; hpcsubmit sweep rerun runs trials again",
    ]


def test_the_log_of_a_killed_program_is_uploaded_as_far_as_it_goes_and_once(user: User) -> None:
    user.ran("cut", "ok")
    said = user.syncs()
    assert (said.code, said.stdout) == (0, "uploaded 2\n")
    assert "trial 1: uploaded r1-1: its end is missing, as of a program that was killed" in said.stderr
    assert user.syncs().stdout == "nothing to upload: already there 2\n"


def test_a_damaged_log_is_named_each_time_and_not_uploaded_again(user: User) -> None:
    folder, _ = user.ran("damaged", "ok")
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 1, damaged 1: {folder}\n")
    assert (
        "trial 1: damaged r1-1: what stands before the damage was uploaded. wandb says: Internal"
        in said.stderr
    )
    again = user.syncs()
    assert (again.code, again.stdout) == (1, f"nothing to upload: already there 1, damaged 1: {folder}\n")
    assert len(user.wandb.asked()) == 2


def test_a_log_that_wandb_cannot_read_at_all_is_tried_again(user: User) -> None:
    (folder,) = user.ran("unreadable")
    assert user.syncs().stdout == f"uploaded 0, damaged 1: {folder}\n"
    (folder / "run-r1-1.wandb").write_bytes(HEADER + b"ok, copied anew")
    assert user.syncs().stdout == "uploaded 1\n"


def test_what_the_server_refuses_is_told_and_tried_again(user: User) -> None:
    folder, _ = user.ran("refused", "ok")
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 1, failed 1: {folder}\n")
    assert "trial 1: failed r1-1: wandb says: Failed to upsert run: returned error 403: perm" in said.stderr
    assert said.error == "1 of 2 runs are not, or not whole, on the server"
    assert said.hint.startswith("the lines above say what went wrong; then sync again")
    user.syncs()
    assert user.wandb.folders().count(folder.name) == 2


def test_an_upload_that_lost_data_has_failed_whatever_file_wandb_leaves(user: User) -> None:
    (folder,) = user.ran("lost")
    for times in (1, 2):
        assert user.syncs().stdout == f"uploaded 0, failed 1: {folder}\n"
        assert len(user.wandb.asked()) == times


@pytest.mark.parametrize("word", ["ok", "grows"])
def test_a_log_that_has_grown_since_is_left_alone_and_named(user: User, word: str) -> None:
    (folder,) = user.ran(word)
    user.syncs()
    if word == "ok":
        with (folder / "run-r1-1.wandb").open("ab") as file:
            file.write(b" and more")
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"nothing to upload: grown since its upload 1: {folder}\n")
    assert f"Upload all of it as another run: {AGAIN} {folder}" in said.stderr
    assert said.hint == "the lines above say what to do"
    assert len(user.wandb.asked()) == 1


def test_a_log_that_was_uploaded_by_hand_after_it_had_grown_is_there(user: User) -> None:
    (folder,) = user.ran("grows")
    user.syncs()
    synced, mark = folder / "run-r1-1.wandb.synced", folder / ".hpcsubmit-synced"
    later = mark.stat().st_mtime + 10
    os.utime(synced, (later, later))
    assert user.syncs().stdout == "nothing to upload: already there 1\n"


def test_dry_run_lists_and_changes_nothing(user: User) -> None:
    new, there = user.ran("ok", "ok")
    (there / "run-r1-2.wandb.synced").touch()
    before = user.sandbox.tree()
    said = user.syncs("--dry-run", WANDB_API_KEY="")
    assert (said.code, said.stdout, said.stderr) == (
        0, f"trial 1: to upload: {new}\ntrial 2: already there: {there}\n", "",
    )  # fmt: skip
    assert user.sandbox.tree() == before
    assert user.wandb.asked() == []


def test_nothing_to_upload_is_said_without_wandb_and_without_a_key(user: User) -> None:
    user.submitted(2)
    for argv in ((), ("--dry-run",)):
        said = user.syncs(*argv, WANDB_API_KEY="")
        assert (said.code, said.stdout, said.stderr) == (
            0, f"nothing to upload: no trial of {RUN_ID} has logged offline with wandb\n", "",
        )  # fmt: skip


def test_the_key_and_the_place_reach_wandb(user: User) -> None:
    user.ran("ok")
    user.syncs("--entity", "lab2", "--project", "p2", WANDB_MODE="offline", WANDB_RUN_ID="zzz")
    (asked,) = user.wandb.asked()
    assert asked.options == ["--entity", "lab2", "--project", "p2"]
    assert asked.key == fingerprint(KEY)
    assert asked.environ["WANDB_MODE"] == "online"
    assert "WANDB_RUN_ID" not in asked.environ
    assert not Path(asked.environ["WANDB_DIR"]).exists()  # wandb's own logs


@pytest.mark.parametrize(
    ("spec", "argv", "place"),
    [
        ({"entity": "lab", "project": "gan"}, (), "lab/gan"),
        ({"entity": "", "project": "gan"}, (), "your own entity/gan"),
        ({"entity": "lab", "project": "gan"}, ("--entity", "lab2"), "lab2/gan"),
        ({"entity": "lab", "project": "gan"}, ("--project", "p2"), "lab/p2"),
        ({"entity": "lab", "project": "gan"}, ("--entity", "lab2", "--project", "p2"), None),
        ({"entity": "lab", "project": ""}, (), None),
        ({}, (), None),
    ],
)
def test_where_the_job_told_its_runs_to_belong_is_said_and_options_go_before(
    user: User, spec: dict[str, str], argv: tuple[str, ...], place: str | None
) -> None:
    user.submitted(1, **spec)
    logged(user.records, 1, "ok")
    note = f"note: to {place}, unless the program itself names another place\n"
    for said in (user.syncs("--dry-run", *argv), user.syncs(*argv)):
        assert said.code == 0, said
        notes = [line for line in said.stderr.splitlines(keepends=True) if line.startswith("note")]
        assert notes == [note] * bool(place)
    (asked,) = user.wandb.asked()
    assert asked.options == list(argv)
    assert user.syncs(*argv).stderr == ""


def test_the_key_of_the_file_reaches_wandb_too(user: User) -> None:
    user.ran("ok")
    path = user.sandbox.root / "home" / "wandb_credentials.txt"
    path.write_text(f"{KEY}\n")
    user.syncs(WANDB_API_KEY="")
    assert [asked.key for asked in user.wandb.asked()] == [fingerprint(KEY)]
    files = [path for path in user.sandbox.scratch.rglob("*") if path.is_file()]
    assert [path for path in files if KEY.encode() in path.read_bytes()] == []


def test_without_a_key_nothing_is_uploaded(user: User) -> None:
    user.ran("ok")
    said = user.syncs(WANDB_API_KEY="")
    assert (said.code, said.stdout) == (1, "")
    assert said.error.startswith("there is no wandb key: ")
    assert user.wandb.asked() == []


def test_a_key_that_the_server_does_not_take_is_told_before_any_upload(user: User) -> None:
    user.ran("ok")
    user.wandb.server_says(error="unauthorized", message="401", url="https://api.wandb.ai")
    said = user.syncs()
    assert said.error == "the wandb server https://api.wandb.ai does not accept the key of WANDB_API_KEY"
    assert user.wandb.asked() == []


def test_without_wandb_the_cure_is_to_install_it(user: User) -> None:
    user.ran("ok")
    environment = user.sandbox.project / "virtual_env"
    (environment / "lib/python3.11/site-packages/wandb/__init__.py").unlink()
    said = user.syncs()
    assert said.code == 1
    assert said.error == f"wandb is not installed beside hpcsubmit, nor is it in {environment}"
    assert said.hint == "pip install 'hpcsubmit[wandb]', and try again"


def test_two_at_once_do_not_upload_twice(user: User) -> None:
    user.ran("slow", "slow")
    process = user.starts()
    until(lambda: len(user.wandb.asked()) == 2, "the uploads")
    said = user.syncs()
    assert (said.code, said.stdout) == (1, "")
    assert said.error == f"the runs of {RUN_ID} are being uploaded by another hpcsubmit sweep sync"
    assert said.hint.startswith("wait for it to end")
    process.kill()  # its uploads go on, and nobody begins them again meanwhile
    process.communicate(timeout=120)
    assert user.syncs().error == said.error
    user.wandb.go()
    until(lambda: user.syncs().stdout == "nothing to upload: already there 2\n", "the end of the uploads")
    assert len(user.wandb.asked()) == 2


def test_what_another_has_uploaded_while_the_server_was_asked_is_not_sent_again(user: User) -> None:
    folder, _ = user.ran("ok", "ok")
    user.wandb.waits()
    process = user.starts()
    until(lambda: user.wandb.was_asked, "the question")
    (folder / "run-r1-1.wandb.synced").touch()
    user.wandb.go()
    assert process.communicate(timeout=120)[0] == "uploaded 1, already there 1\n"
    assert user.wandb.folders() == ["offline-run-20260201_000001-r1-2"]


def test_ctrl_c_waits_for_the_uploads_that_have_begun(user: User) -> None:
    user.ran(*["slow"] * 6)
    process = user.starts()
    until(lambda: len(user.wandb.asked()) == 4, "the fourth upload")
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert process.stderr.readline() == "no further upload begins; those that have begun are waited for\n"
    user.wandb.go()
    process.communicate(timeout=120)
    assert process.returncode not in (0, 1)
    assert user.syncs().stdout == "uploaded 2, already there 4\n"
    assert len(user.wandb.asked()) == 6


def test_an_upload_that_does_not_end_is_given_up(user: User) -> None:
    (folder,) = user.ran("slow")
    run = OfflineRun(trial=1, folder=folder, began="20260201_000001", run="r1-1")
    python = user.sandbox.project / "virtual_env" / "bin" / "python"
    uploader = Uploader(host=Host(environ=user.sandbox.environ), python=python, patience=0.5)
    assert list(uploader.upload_all([run], print)) == [
        Upload(run, Outcome.FAILED, "wandb was not done within 0.5 s")
    ]
    user.wandb.go()
    assert user.syncs().stdout == "uploaded 1\n"


def test_a_folder_that_may_not_be_written_to_is_not_uploaded(user: User) -> None:
    locked, _ = user.ran("ok", "ok")
    (locked / ".hpcsubmit-synced").mkdir()  # as root, nothing else stops a test
    said = user.syncs()
    assert (said.code, said.stdout) == (1, f"uploaded 1, failed 1: {locked}\n")
    assert f"trial 1: failed r1-1: {locked}/.hpcsubmit-synced could not be written: " in said.stderr
    assert len(user.wandb.asked()) == 1


def test_a_run_without_trials_is_refused(user: User) -> None:
    user.ran("ok")
    (user.records.folder / "sweep.json").unlink()
    said = user.syncs()
    assert (said.code, said.error) == (
        1, f"run {RUN_ID} has no trials: it is neither a sweep nor repeated",
    )  # fmt: skip
