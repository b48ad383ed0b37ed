from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.values import (
    DRY_RUN,
    Memory,
    Walltime,
    bytes_text,
    experiment_name,
    is_run_id,
    new_run_id,
    positive_int,
    script_path,
)
from hpcsubmit.wandb_sweep import WandbSweepId

TIME_HINT = "write days-hours:minutes:seconds, for example 00-01:00:00 for one hour"
RUN = "r20260131-235959-a2b7"


def shown(error: HpcSubmitError, exit_code: int = 2) -> tuple[str, str]:
    assert error.exit_code == exit_code
    assert "\n" not in error.message + error.hint
    return error.message, error.hint


@pytest.mark.parametrize(
    ("text", "seconds", "printed"),
    [
        ("00-01:00:00", 3600, "00-01:00:00"),
        ("60", 3600, "00-01:00:00"),
        ("90:30", 5430, "00-01:30:30"),
        ("1:2:3", 3723, "00-01:02:03"),
        ("48:00:00", 172_800, "02-00:00:00"),
        ("2-3", 183_600, "02-03:00:00"),
        ("2-3:4", 183_840, "02-03:04:00"),
        ("2-23:59:59", 259_199, "02-23:59:59"),
        ("100-00:00:00", 8_640_000, "100-00:00:00"),
        ("0:1", 1, "00-00:00:01"),
        ("9999-23:59:59", 863_999_999, "9999-23:59:59"),
    ],
)
def test_every_form_of_a_time_is_read_as_slurm_reads_it(text: str, seconds: int, printed: str) -> None:
    time = Walltime.parse(text)
    assert (time.seconds, str(time)) == (seconds, printed)


@pytest.mark.parametrize(
    "text",
    [
        "1h",
        "",
        "banana",
        "-1",
        "+60",
        "1:2:3:4",
        "1-",
        "-1:00",
        "1-2-3",
        "1.5",
        " 60",
        "60\n",
        "1_0",
        "٣",
        "UNLIMITED",
    ],
)
def test_what_is_no_time_is_refused_with_the_right_form(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        Walltime.parse(text)
    assert shown(caught.value) == (f"{text!r} is not a time", TIME_HINT)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("00-25:61:00", "25 hours"),
        ("1-24", "24 hours"),
        ("1:60:00", "60 minutes"),
        ("1-1:99", "99 minutes"),
        ("1:60", "60 seconds"),
        ("1:00:61", "61 seconds"),
    ],
)
def test_a_part_of_a_time_that_is_too_large_is_refused(text: str, part: str) -> None:
    with pytest.raises(UsageError) as caught:
        Walltime.parse(text)
    assert shown(caught.value) == (f"{text!r} is not a time: it has {part}", TIME_HINT)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("0", "no time at all"),
        ("00:00:00", "no time at all"),
        ("00-00:00:00", "no time at all"),
        ("10000-00", "longer than 9999 days"),
        ("999999999", "longer than 9999 days"),
    ],
)
def test_no_time_and_too_much_time_are_refused(text: str, problem: str) -> None:
    with pytest.raises(UsageError) as caught:
        Walltime.parse(text)
    assert shown(caught.value) == (f"{text!r} is {problem}", TIME_HINT)


def test_a_time_that_is_wrong_cannot_be_built() -> None:
    with pytest.raises(UsageError) as caught:
        Walltime(seconds=0)
    assert shown(caught.value) == ("a time limit of 0 seconds is not possible", TIME_HINT)


def test_times_compare_by_length() -> None:
    assert Walltime.parse("59") < Walltime.parse("1:00:00") == Walltime.parse("60")


@pytest.mark.parametrize(("text", "megabytes"), [("10G", 10_240), ("10M", 10), ("1G", 1024)])
def test_memory_is_printed_as_given(text: str, megabytes: int) -> None:
    memory = Memory.parse(text)
    assert (str(memory), memory.megabytes) == (text, megabytes)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("10g", "write 10G"),
        ("10m", "write 10M"),
        ("10GB", "write 10G"),
        ("10 GiB", "write 10G"),
        ("10mb\n", "write 10M"),
        ("10", "write 10G or 10000M, for example"),
        ("0G", "write 10G or 10000M, for example"),
        ("-1G", "write 10G or 10000M, for example"),
        ("1.5G", "write 10G or 10000M, for example"),
        ("10T", "write 10G or 10000M, for example"),
        ("٣G", "write 10G or 10000M, for example"),
        ("", "write 10G or 10000M, for example"),
    ],
)
def test_what_is_no_memory_is_refused_with_the_right_spelling(text: str, hint: str) -> None:
    with pytest.raises(UsageError) as caught:
        Memory.parse(text)
    assert shown(caught.value) == (f"{text!r} is not an amount of memory", hint)


def test_memory_that_is_wrong_cannot_be_built() -> None:
    with pytest.raises(UsageError, match="'0G' is not an amount of memory"):
        Memory(amount=0, unit="G")


def test_a_run_id_is_made_of_the_time_in_utc_and_four_characters() -> None:
    vancouver = datetime(2026, 1, 31, 15, 59, 59, tzinfo=timezone(timedelta(hours=-8)))
    assert new_run_id(vancouver, bytes([0, 26, 31 + 32, 255])) == "r20260131-235959-a277"


def test_a_run_id_of_a_time_without_zone_is_a_bug() -> None:
    with pytest.raises(ValueError, match="an aware time and 4 random bytes"):
        new_run_id(datetime(2026, 1, 31), b"abcd")
    with pytest.raises(ValueError, match="an aware time and 4 random bytes"):
        new_run_id(datetime(2026, 1, 31, tzinfo=UTC), b"abc")


def test_a_run_id_is_known_as_one() -> None:
    assert is_run_id(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "4242",
        RUN + "\n",
        RUN.upper(),
        "r20261331-235959-a2b7",
        "r20260131-245959-a2b7",
        "r20260131-235959-a1b7",
    ],
)
def test_what_is_no_run_id_is_known_as_none(text: str) -> None:
    assert not is_run_id(text)


def test_a_dry_run_has_an_id_that_no_submission_has() -> None:
    assert not is_run_id(DRY_RUN)


@pytest.mark.parametrize("text", ["", "testing", "a.b_c-1", "_x", "1", "x" * 200])
def test_an_experiment_name_is_kept(text: str) -> None:
    assert experiment_name(text) == text


@pytest.mark.parametrize("text", [".x", "-x", "..", "a b", "a/b", "é", "a%j", "a\n", "a'b"])
def test_what_is_no_experiment_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        experiment_name(text)
    assert shown(caught.value) == (
        f"{text!r} is not an experiment name",
        "use letters, digits, . _ and -, and begin with a letter, a digit or _",
    )


def test_an_experiment_name_that_no_file_name_can_hold_is_refused() -> None:
    with pytest.raises(UsageError) as caught:
        experiment_name("x" * 201)
    assert shown(caught.value) == (
        "the experiment name has 201 characters",
        "use at most 200 characters: the name is part of file names",
    )


@pytest.mark.parametrize("text", ["abc123", "kw/gan/abc123", "my-team/my.project_2/x_1"])
def test_a_sweep_is_printed_as_given(text: str) -> None:
    assert str(WandbSweepId.parse(text)) == text


def test_a_sweep_has_an_entity_and_a_project_or_neither() -> None:
    assert WandbSweepId.parse("kw/gan/abc") == WandbSweepId(entity="kw", project="gan", sweep="abc")
    assert WandbSweepId.parse("abc") == WandbSweepId(sweep="abc", entity=None, project=None)


@pytest.mark.parametrize(
    "text", ["", "gan/abc", "a/b/c/d", "/gan/abc", "kw//abc", "a b", "kw/gan/", "-x", "<ID>"]
)
def test_what_is_no_sweep_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        WandbSweepId.parse(text)
    assert shown(caught.value) == (
        f"{text!r} is not a wandb sweep",
        "write ID or ENTITY/PROJECT/ID, as `wandb sweep` prints it",
    )


@pytest.mark.parametrize("text", ["SWEEP_ID", "USER/PROJECT/SWEEP_ID", "sweepid"])
def test_the_placeholder_of_a_sweep_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        WandbSweepId.parse(text)
    assert shown(caught.value) == (
        f"{text!r} is a placeholder, not a wandb sweep",
        "write the id that `wandb sweep sweeper.yml` prints in its place",
    )


@pytest.mark.parametrize(("text", "number"), [("1", 1), ("08", 8), ("1000000", 1_000_000)])
def test_a_positive_number_is_read(text: str, number: int) -> None:
    assert positive_int(text, "--gpus") == number


@pytest.mark.parametrize(
    "text", ["0", "-1", "+3", "1e3", "1_000", "٣", "²", "", " 1", "1\n", "1.0", "two", "1000001", "9" * 5000]
)
def test_what_is_no_positive_number_is_refused_with_the_option(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        positive_int(text, "--gpus")
    assert shown(caught.value) == (
        f"--gpus {text!r} is not a number from 1 to 1000000",
        "write --gpus 2, say",
    )


@pytest.mark.parametrize("text", ["/a b/it's/100%/é", '/"x"/$HOME', "/"])
def test_a_path_that_a_script_can_hold_is_returned(text: str) -> None:
    assert script_path(Path(text), "the project") == Path(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("/a\nb", "a newline"),
        ("/a\rb", "a line end"),
        ("/a\\b", "a backslash"),
        ("/a\0b", "a NUL"),
        ("/a\udce9b", "bytes that are not UTF-8"),
    ],
)
def test_a_path_that_no_script_can_hold_is_refused(text: str, problem: str) -> None:
    with pytest.raises(HpcSubmitError) as caught:
        script_path(Path(text), "the project")
    assert shown(caught.value, exit_code=1) == (
        f"the path of the project holds {problem}: {text!r}",
        "rename the folder or file",
    )


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(HpcSubmitError) as caught:
        script_path(Path("a"), "SCRATCH")
    assert shown(caught.value, exit_code=1) == (
        "the path of SCRATCH is not absolute: 'a'",
        "give it from / on",
    )


@pytest.mark.parametrize(
    ("number", "printed"),
    [
        (0, "0 B"),
        (7, "7 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (9_949, "9.9 kB"),
        (9_950, "10 kB"),
        (204_800_000, "205 MB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (1_234_567_890, "1.2 GB"),
        (35 * 10**12, "35 TB"),
        (2 * 10**15, "2.0 PB"),
        (5_000 * 10**15, "5000 PB"),
    ],
)
def test_a_number_of_bytes_is_printed_with_two_digits_or_three(number: int, printed: str) -> None:
    assert bytes_text(number) == printed
