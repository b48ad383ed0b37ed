"""What the embedded sbatch reads from a script, checked against what Slurm's own manual and sbatch say."""

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.directives import gpu_count, output_path, parse_time, read_request


def script(*lines: str) -> str:
    return "\n".join(("#!/bin/bash", *lines, ""))


def test_a_script_without_directives_gets_slurms_defaults() -> None:
    request = read_request(script("true"), "job.sh")
    assert (request.job_name, request.output, request.append) == ("job.sh", "slurm-%j.out", False)
    assert (request.nodes, request.tasks_per_node, request.cpus_per_task, request.gpus) == (1, 1, 1, 0)
    assert (request.seconds, request.comment) == (None, "")


def test_directives_end_at_the_first_command() -> None:
    lines = ("# a comment", "", "#SBATCH --nodes=2", "true", "#SBATCH --nodes=3")
    assert read_request(script(*lines), "x").nodes == 2


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ('"two words"', "two words"),
        (r'"a \"b\" \\ c"', r'a "b" \ c'),
        (r"'it is\\so'", r"it is\so"),
        ('pre"f i"x', "pref ix"),
        ('"# no comment"', "# no comment"),
        ('"ü $HOME `x` %j"', "ü $HOME `x` %j"),
        ("plain # a comment", "plain"),
        ('""', ""),
    ],
)
def test_quoting_is_sbatchs_own(written: str, value: str) -> None:
    assert read_request(script(f"#SBATCH --comment={written}"), "x").comment == value


def test_options_may_share_a_line_and_come_in_every_spelling() -> None:
    request = read_request(
        script("#SBATCH --nodes 2 --time=5 # why", "#SBATCH -J name -c 3 --exclusive"), "x"
    )
    assert (request.nodes, request.seconds, request.job_name, request.cpus_per_task) == (2, 300, "name", 3)


def test_what_only_chooses_among_resources_is_ignored() -> None:
    lines = ("--account=a", "--partition=p", "--mem-per-gpu=10G", "--new-in-27.11=x")
    assert read_request(script(*(f"#SBATCH {line}" for line in lines)), "x") == read_request(script(), "x")


@pytest.mark.parametrize("line", ["--wrap=true", "--hold"])
def test_what_would_run_another_job_is_refused(line: str) -> None:
    with pytest.raises(HpcSubmitError, match="the cluster `local` has no --") as caught:
        read_request(script(f"#SBATCH {line}"), "x")
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("true\n", "does not look like a batch script"),
        ("#!/bin/bash\r\ntrue\r\n", "DOS line breaks"),
        (script("#SBATCH --nodes=x"), "Invalid numeric value 'x' for --nodes"),
        (script("#SBATCH --cpus-per-task=0"), "Invalid numeric value '0' for --cpus-per-task"),
        (script('#SBATCH --comment="open'), "Unmatched quote"),
        (script("#SBATCH --time=soon"), "Invalid --time specification 'soon'"),
    ],
)
def test_a_script_that_sbatch_would_refuse_is_refused(text: str, message: str) -> None:
    with pytest.raises(HpcSubmitError, match=message):
        read_request(text, "x")


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("5", 300),
        ("5:30", 330),
        ("1:02:03", 3723),
        ("2-0", 172800),
        ("1-2", 93600),
        ("1-2:03", 93780),
        ("1-02:03:04", 93784),
        ("00-01:00:00", 3600),
        ("0", None),
        ("UNLIMITED", None),
        ("infinite", None),
    ],
)
def test_every_form_of_time(text: str, seconds: int | None) -> None:
    assert parse_time(text) == seconds


@pytest.mark.parametrize("text", ["", "1:2:3:4", "-1", "1-", "1h", "1-2-3", ":", "٣"])
def test_no_time(text: str) -> None:
    with pytest.raises(HpcSubmitError, match="Invalid --time"):
        parse_time(text)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("gpu:2", 2),
        ("gpu:v100l:4", 4),
        ("gpu", 1),
        ("gpu:v100l", 1),
        ("shard:5,gpu:2", 2),
        ("", 0),
        ("shard:5", 0),
    ],
)
def test_gpus_are_counted(text: str, count: int) -> None:
    assert gpu_count(text) == count


@pytest.mark.parametrize(
    ("written", "count"), [("gres=gpu:a:2", 2), ("gpus-per-node=a:3", 3), ("gpus-per-node=4", 4)]
)
def test_gpus_per_node_in_both_syntaxes(written: str, count: int) -> None:
    assert read_request(script(f"#SBATCH --{written}"), "x").gpus == count


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ("logs/%x_%j.out", "logs/my job_7.out"),
        ("%4j-%A-%N-%n-%t-%u", "0007-7-local1-0-0-ada"),
        ("%a", "4294967294"),
        ("100%%j %%", "100%j %"),
        ("%z 5%", "%z 5%"),
    ],
)
def test_patterns_in_the_logs_name(pattern: str, path: str) -> None:
    assert output_path(pattern, job_id=7, job_name="my job", user="ada") == path


def test_a_task_of_an_array_has_two_numbers_more() -> None:
    path = output_path("%A_%a_%j_%J_%%_%x_%2a", job_id=9, job_name="j", user="ada", array=(7, 3))
    assert path == "7_3_9_9_%_j_03"


def test_options_of_sbatch_itself_win_over_the_scripts() -> None:
    text = script("#SBATCH --array=1-3 --dependency=singleton")
    request = read_request(text, "x", ["-a", "5", "--dependency=afterok:7", "--kill-on-invalid-dep=yes"])
    assert request.array is not None
    assert request.array.numbers == (5,)
    assert (request.dependency, request.ends_with_it) == ("afterok:7", True)
    assert read_request(script("#SBATCH --array="), "x").array is None  # an empty one is none, as in Slurm


def test_the_warning_before_the_limit_is_read_and_other_signals_are_refused() -> None:
    assert read_request(script("#SBATCH --signal=B:USR1@60"), "x").warning == 60
    assert read_request(script(), "x").warning is None
    with pytest.raises(HpcSubmitError, match="Invalid --signal specification 'TERM@60'") as refused:
        read_request(script("#SBATCH --signal=TERM@60"), "x")
    assert refused.value.hint == "write B:USR1@SECONDS"
