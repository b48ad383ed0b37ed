"""`hpcsubmit sweep results`: tables, CSV, JSON and the page."""

import csv
import io
import json

import pytest

from hpcsubmit.cli.sweep_table import fitted
from sandbox import Sandbox
from trial_records import ACCURACY, RUN_ID, TrialRecords, grid_with_every_state

SQUEUE = "#!/bin/sh\ncat {root}/queue 2>/dev/null || exit 1\n"
QUEUED = "4242_{task}|RUNNING|None|plai01|{run}\n"


@pytest.fixture
def records(sandbox: Sandbox) -> TrialRecords:
    return TrialRecords(sandbox.scratch / "gan")


def test_all_trials_are_listed_the_best_one_first(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID)
    assert said.code == 0, said.stderr
    assert said.stdout == (
        "TRIAL  lr     optimizer  accuracy  STATE       TIME\n"
        "2      0.001  adam       0.75      finished    0:01:15\n"
        "3      0.01   sgd        0.625     finished    0:01:15\n"
        "1      0.001  sgd        0.5       finished    0:01:15\n"
        "4      0.01   adam       -         failed (9)  0:01:15\n"
        "5      0.1    sgd        -         stopped     -\n"
        "6      0.1    adam       -         missing     -\n"
    )
    assert said.stderr == "6 trials of digits: 3 finished, 1 failed, 0 running, 1 stopped, 1 missing\n"


def test_the_job_names_the_sweep_too(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    by_run, by_job = (sandbox.hpcsubmit("sweep", "results", word) for word in (RUN_ID, "4242"))
    assert by_run.stdout == by_job.stdout != ""


def test_seeds_have_their_statistics(sandbox: Sandbox, records: TrialRecords) -> None:
    records.submitted([["lr", {"values": [0.1, 0.2]}]], 6, seeds=[1, 2, 3], metric=ACCURACY)
    for trial, accuracy in ((1, 0.5), (2, 0.7), (3, 0.9), (4, 0.25)):
        records.finished(trial, accuracy=accuracy)
    records.ended(5, 1)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID)
    # 4.30265 (t of 2 degrees of freedom) * 0.2 / sqrt(3) = 0.49683
    assert said.stdout.split("\n\n")[1] == (
        "lr   MEAN accuracy  STD  95% INTERVAL       N  LEFT OUT\n"
        "0.1  0.7            0.2  0.20317 to 1.1968  3\n"
        "0.2  0.25           -    -                  1  2 not finished\n"
    )


def test_repeats_are_one_group(sandbox: Sandbox, records: TrialRecords) -> None:
    records.submitted([], 2, seeds=[1, 2])
    for trial in (1, 2):
        records.finished(trial, loss=trial)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--goal", "minimize")
    assert said.stdout == (
        "TRIAL  SEED  loss  STATE     TIME\n"
        "1      1     1     finished  0:01:15\n"
        "2      2     2     finished  0:01:15\n"
        "\n"
        "PARAMETERS  MEAN loss  STD      95% INTERVAL       N  LEFT OUT\n"
        "(all)       1.5        0.70711  -4.8531 to 7.8531  2\n"
    )


def test_a_metric_without_a_goal_keeps_the_order_and_says_so(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--metric", "loss")
    assert [line.split()[0] for line in said.stdout.splitlines()] == ["TRIAL", "1", "2", "3", "4", "5", "6"]
    told = "in the order of the trials: no goal is known for loss; give --goal minimize or maximize"
    assert said.stderr.splitlines()[1] == f"note: {told}"
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--metric", "loss", "--goal", "minimize")
    assert said.stdout.splitlines()[1].split()[0] == "2"


def test_a_broken_metrics_file_is_told_in_its_row(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    records.wrote(3, '{"accuracy": 0.')
    lines = sandbox.hpcsubmit("sweep", "results", RUN_ID).stdout.splitlines()
    assert lines[3].split()[:4] == ["3", "0.01", "sgd", "-"]
    assert lines[3].endswith("metrics.json is broken, or half written")


def test_a_terminal_of_100_columns_holds_six_parameters(sandbox: Sandbox, records: TrialRecords) -> None:
    names = ["learning_rate", "weight_decay", "optimizer", "batch_size", "augmentation", "hidden_layers"]
    values = ["0.000123456789", "cosine-with-warm-restarts"]
    records.submitted([[name, {"values": values}] for name in names], 64, metric=ACCURACY)
    records.finished(1, accuracy=0.123456)
    sandbox.environ["COLUMNS"] = "100"
    lines = sandbox.hpcsubmit("sweep", "results", RUN_ID).stdout.splitlines()
    assert len(lines) == 65
    assert max(map(len, lines)) == 100
    assert "0.12346   finished  0:01:15" in lines[1]
    assert "…" in lines[0]
    del sandbox.environ["COLUMNS"]
    whole = sandbox.hpcsubmit("sweep", "results", RUN_ID).stdout
    assert "…" not in whole
    assert "cosine-with-warm-restarts" in whole


def test_a_column_keeps_five_characters_however_narrow_it_gets() -> None:
    assert fitted([["abcdefgh", "ijklmnop"]], 1) == ["abcd…  ijkl…"]
    assert fitted([["abc", "de"]], 80) == ["abc  de"]


def test_csv_is_csv(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--csv")
    rows = list(csv.DictReader(io.StringIO(said.stdout)))
    assert [row["trial"] for row in rows] == ["2", "3", "1", "4", "5", "6"]
    assert (rows[0]["param.lr"], rows[0]["metric.accuracy"]) == ("0.001", "0.75")
    assert (rows[3]["state"], rows[3]["exit_code"]) == ("failed", "9")


def test_json_has_the_whole_curves(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    records.wrote(1, "".join(f'{{"accuracy": {n}}}\n' for n in range(500)), "metrics.jsonl")
    shown = json.loads(sandbox.hpcsubmit("sweep", "results", RUN_ID, "--json").stdout)
    assert (shown["run"], shown["best"], shown["metric"]) == (RUN_ID, 2, ACCURACY)
    assert len(shown["trials"][2]["curve"]) == 500


def test_csv_and_json_together_are_refused(sandbox: Sandbox, records: TrialRecords) -> None:
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--csv", "--json")
    assert (said.code, said.error) == (2, "--csv and --json cannot be printed both")
    assert said.hint == "give one of them; --html goes with both"


def test_the_page_is_one_file_that_names_no_other(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--html", "page.html")
    assert (said.code, said.stdout) == (0, "")
    assert said.stderr.splitlines()[-1] == "the page is page.html: open it in a browser"
    page = (sandbox.project / "page.html").read_text("utf-8")
    assert page.count('<tr data-t="') == 6
    assert "default-src 'none'" in page
    for loads in (" src=", " href=", "@import", "url(", "fetch(", "XMLHttpRequest", "import("):
        assert loads not in page
    assert [part.split('"')[0] for part in page.split("http")[1:] if part.startswith(("://", "s://"))] == [
        "://www.w3.org/2000/svg"  # the name of a namespace, which nothing loads
    ]


def test_a_page_that_cannot_be_written_is_an_error(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--html", "none/page.html")
    assert (said.code, said.error) == (1, "none/page.html could not be written: No such file or directory")
    assert said.hint == "name a file in a folder that is there and that you may write to"


def test_an_unknown_run_and_one_without_trials_are_errors(sandbox: Sandbox, records: TrialRecords) -> None:
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID)
    assert (said.code, said.error) == (1, f"there is no run {RUN_ID}")
    records.submitted([], 1)
    (records.folder / "sweep.json").unlink()
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID)
    assert (said.code, said.error) == (1, f"run {RUN_ID} has no trials: it is neither a sweep nor repeated")
    assert said.hint == f"hpcsubmit runs show {RUN_ID} tells of it"


def test_an_unknown_metric_is_an_error(sandbox: Sandbox, records: TrialRecords) -> None:
    grid_with_every_state(records)
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID, "--metric", "acc")
    assert (said.code, said.error) == (1, "no trial has a metric 'acc'")
    assert said.hint == "did you mean accuracy?"


def test_a_trial_whose_task_is_gone_from_the_queue_was_stopped(
    sandbox: Sandbox, records: TrialRecords
) -> None:
    records.submitted([["lr", {"values": [1, 2]}]], 2, metric=ACCURACY)
    records.began(1)
    records.began(2)
    sandbox.install("squeue", SQUEUE.format(root=sandbox.root))
    first = "2 trials of {}: 0 finished, 0 failed, {}"
    unknown = sandbox.hpcsubmit("sweep", "results", RUN_ID)  # squeue gives no answer
    assert unknown.stderr.splitlines()[0] == first.format(RUN_ID, "2 running, 0 missing")
    (sandbox.root / "queue").write_text(QUEUED.format(task=2, run=RUN_ID))
    said = sandbox.hpcsubmit("sweep", "results", RUN_ID)
    assert said.stderr.splitlines()[0] == first.format(RUN_ID, "1 running, 1 stopped, 0 missing")
    assert [line.split()[3] for line in said.stdout.splitlines()[1:]] == ["stopped", "running"]
