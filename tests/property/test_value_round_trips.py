"""A value is printed in a form that is read back as the same value; other texts give UsageError, only."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hpcsubmit.errors import UsageError
from hpcsubmit.values import Memory, Walltime, experiment_name, is_run_id, new_run_id, positive_int
from hpcsubmit.wandb_sweep import WandbSweepId

NEAR_VALUES = st.text("0123456789-:GMgm/_.rab \n+٣²é", max_size=20) | st.text(max_size=10)


@given(st.integers(1, 9999 * 86_400))
def test_a_time_survives_being_printed(seconds: int) -> None:
    time = Walltime(seconds=seconds)
    assert Walltime.parse(str(time)) == time


@given(st.integers(0, 99), st.integers(0, 23), st.integers(0, 59), st.integers(1, 59))
def test_the_forms_of_a_time_agree(days: int, hours: int, minutes: int, seconds: int) -> None:
    time = Walltime.parse(f"{days}-{hours}:{minutes}:{seconds}")
    assert time.seconds == ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    assert time == Walltime.parse(f"{days * 24 + hours}:{minutes}:{seconds}")
    assert time == Walltime.parse(f"{(days * 24 + hours) * 60 + minutes}:{seconds}")
    assert str(time) == f"{days:02}-{hours:02}:{minutes:02}:{seconds:02}"


@given(st.integers(1, 999_999_999), st.sampled_from("GM"))
def test_memory_survives_being_printed(amount: int, unit: str) -> None:
    assert str(Memory.parse(f"{amount}{unit}")) == f"{amount}{unit}"


@given(st.datetimes(datetime(1970, 1, 2), datetime(9999, 12, 30)), st.binary(min_size=4, max_size=4))
def test_a_new_run_id_is_a_run_id_and_holds_its_time(now: datetime, random: bytes) -> None:
    run = new_run_id(now.replace(tzinfo=UTC), random)
    assert is_run_id(run)
    assert run.startswith(now.strftime("r%Y%m%d-%H%M%S-"))


@given(st.integers(1, 1_000_000))
def test_a_positive_number_survives_being_printed(number: int) -> None:
    assert positive_int(str(number), "-g") == number


@pytest.mark.parametrize(
    "parse",
    [
        Walltime.parse,
        Memory.parse,
        WandbSweepId.parse,
        experiment_name,
        lambda text: positive_int(text, "-g"),
    ],
)
@given(text=NEAR_VALUES)
def test_any_text_is_a_value_or_wrong_usage(parse: Callable[[str], object], text: str) -> None:
    with suppress(UsageError):
        assert parse(text) is not None
