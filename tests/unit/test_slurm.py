"""Slurm's words: directives, job ids, what sbatch prints, and which variables it must not inherit."""

import pytest

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.slurm import Directive, JobId, caller_variables, parse_submission, quote_directive


@pytest.mark.parametrize(
    ("value", "line"),
    [
        ("gpu:v100l:2", "#SBATCH --x=gpu:v100l:2"),
        ("00-01:00:00", "#SBATCH --x=00-01:00:00"),
        ("/a/50%%/standard_%j.out", "#SBATCH --x=/a/50%%/standard_%j.out"),
        ("a b", '#SBATCH --x="a b"'),
        ("it's", '#SBATCH --x="it\'s"'),
        ('say "hi"', r'#SBATCH --x="say \"hi\""'),
        ("a\\b", r'#SBATCH --x="a\\b"'),
        ("Zoë", '#SBATCH --x="Zoë"'),
        ("#1", '#SBATCH --x="#1"'),
        ("", '#SBATCH --x=""'),
        (None, "#SBATCH --x"),
    ],
)
def test_a_directive_is_quoted_as_sbatch_reads_it(value: str | None, line: str) -> None:
    assert Directive(name="x", value=value).line == line


def test_a_directive_for_a_command_line_is_not_quoted() -> None:
    assert str(Directive(name="comment", value="a b")) == "--comment=a b"
    assert str(Directive(name="requeue")) == "--requeue"


def test_plain_values_stay_as_they_are() -> None:
    assert quote_directive("mail-user@x.ca,b") == "mail-user@x.ca,b"


@pytest.mark.parametrize(
    ("text", "job"), [("4242", JobId(number=4242)), ("4242_7", JobId(number=4242, task=7))]
)
def test_a_job_id_is_read_and_printed(text: str, job: JobId) -> None:
    assert JobId.parse(text) == job
    assert str(job) == text


@pytest.mark.parametrize(
    "text", ["", "x", "42.0", "42_", "_1", "-1", "42_1_2", "٤٢", "42 ", "42+0", "1" * 11]
)
def test_what_is_no_job_id_is_wrong_usage(text: str) -> None:
    with pytest.raises(UsageError) as raised:
        JobId.parse(text)
    assert raised.value.message == f"'{text}' is neither a job id nor a run id"
    assert raised.value.hint == "give a job id such as 4242 or a run id; hpcsubmit runs lists both"


@pytest.mark.parametrize(
    "stdout",
    [
        "Submitted batch job 4242\n",
        "Submitted batch job 4242 on cluster c2\n",
        "a site's own note\nSubmitted batch job 4242\n",
    ],
)
def test_the_job_is_read_from_what_sbatch_prints(stdout: str) -> None:
    assert parse_submission(stdout) == JobId(number=4242)


@pytest.mark.parametrize("stdout", ["", "4242\n", "Submitted batch job\n", "Submitted batch job x\n", "\x00"])
def test_other_words_of_sbatch_name_no_job(stdout: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        parse_submission(stdout)
    assert raised.value.message.startswith("sbatch ended well but named no job: ")
    assert raised.value.hint


def test_the_callers_variables_are_those_that_would_change_the_job() -> None:
    names = [
        "PATH",
        "SLURM_CONF",
        "SLURM_CLUSTERS",
        "SLURM_JOB_ID",
        "SBATCH_ACCOUNT",
        "SRUN_DEBUG",
        "MY_SLURM_X",
    ]
    assert caller_variables(names) == ("SBATCH_ACCOUNT", "SLURM_JOB_ID", "SRUN_DEBUG")
