"""What a command reads that the host starts."""

import os

from hpcsubmit.host import Host


def test_a_command_reads_the_text_it_is_given_however_long() -> None:
    text = "ä line\n" * 200_000
    done = Host(environ=dict(os.environ)).run(("cat",), timeout=60, text=text)
    assert (done.code, done.stdout == text) == (0, True)


def test_a_command_that_is_given_nothing_finds_the_end_of_its_input() -> None:
    done = Host(environ=dict(os.environ)).run(("wc", "-c"), timeout=60)
    assert done.stdout.strip() == "0"


def test_a_command_need_not_read_what_it_is_given() -> None:
    done = Host(environ=dict(os.environ)).run(("true",), timeout=60, text="x" * 1_000_000)
    assert done.code == 0
