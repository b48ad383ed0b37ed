"""What --data may name: every word is a list of paths in scratch_dir, or an error with its cure."""

import os
import socket
from collections.abc import Callable
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError, UsageError
from hpcsubmit.staging.paths import find_data
from staged_data import Data


@pytest.fixture
def data(tmp_path: Path) -> Data:
    data = Data(tmp_path / "scratch")
    for name in ("a/b/c", "a/d", "with blank/x", "a.txt", "hpcsubmit/runs/r1/plan.json"):
        data.write(name)
    return data


@pytest.mark.parametrize(
    ("words", "paths"),
    [
        (["a"], ["a"]),
        (["a/b", "a.txt"], ["a.txt", "a/b"]),
        (["a.txt a/b"], ["a.txt", "a/b"]),
        (["  a.txt\ta/b  "], ["a.txt", "a/b"]),
        (["with blank"], ["with blank"]),
        (["with blank/x", "a"], ["a", "with blank/x"]),
        (["./a/./b//", "a/b"], ["a/b"]),
        (["a/b/../d"], ["a/d"]),
        (["a/b/c", "a", "a.txt", "a/d"], ["a", "a.txt"]),
    ],
)
def test_words_are_paths_in_order_each_once(data: Data, words: list[str], paths: list[str]) -> None:
    assert list(find_data(words, data.scratch)) == paths


def test_a_symlink_that_is_named_counts_with_its_own_name(data: Data) -> None:
    (data.scratch / "link").symlink_to("a/b")
    assert find_data(["link", "link/c"], data.scratch) == ("link",)


def test_scratch_dir_itself_may_be_a_symlink(data: Data, tmp_path: Path) -> None:
    (tmp_path / "short").symlink_to(data.scratch)
    assert find_data(["a/b"], tmp_path / "short") == ("a/b",)


def refuse(data: Data, *words: str) -> tuple[type[HpcSubmitError], str, str]:
    with pytest.raises(HpcSubmitError) as caught:
        find_data(words, data.scratch)
    said = (caught.value.message, caught.value.hint)
    short = [text.replace(str(data.scratch.parent), "") for text in said]
    return type(caught.value), short[0], short[1]


IN_IT = "name the folders and files in it that the job reads"
MOVE = "move or copy the data to /scratch and name them by their path in it"


@pytest.mark.parametrize(
    ("word", "message", "hint"),
    [
        ("/else/where", "'/else/where' is an absolute path", None),
        ("../x", "'../x' leads out of /scratch", MOVE),
        ("a/../..", "'a/../..' leads out of /scratch", MOVE),
        (".", "'.' is all of /scratch, with hpcsubmit's own records", IN_IT),
        ("a/..", "'a/..' is all of /scratch, with hpcsubmit's own records", IN_IT),
        ("a\nb", "'a\\nb' holds a newline", "rename the folder or file, then name it anew"),
        ("a\\b", "'a\\\\b' holds a backslash", "rename the folder or file, then name it anew"),
        (
            "a\udcff",
            "'a\\udcff' holds bytes that are not UTF-8",
            "rename the folder or file, then name it anew",
        ),
        ("", "names no path", "name folders or files in /scratch"),
        (" \t", "names no path", "name folders or files in /scratch"),
    ],
)
def test_a_word_that_can_never_be_right_is_wrong_usage(
    data: Data, word: str, message: str, hint: str | None
) -> None:
    to_scratch = "--data takes paths relative to /scratch: move or copy the data to /scratch"
    assert refuse(data, word) == (UsageError, f"--data {message}", hint or to_scratch)


def test_an_absolute_path_in_scratch_dir_gets_the_right_word(data: Data) -> None:
    kind, message, hint = refuse(data, str(data.scratch / "a/b"))
    assert (kind, message) == (UsageError, "--data '/scratch/a/b' is an absolute path")
    assert hint == "--data takes paths relative to /scratch: write a/b"


@pytest.mark.parametrize("word", ["nowhere", "a.txt/inside", "a nowhere"])
def test_what_is_not_there_is_an_error(data: Data, word: str) -> None:
    name = word.split()[-1]
    expected = (f"--data '{name}' does not exist in /scratch", f"move or copy the data to /scratch/{name}")
    assert refuse(data, word)[1:] == expected


@pytest.mark.parametrize(("word", "meant"), [("dataset/d1", "datasets"), ("datasets/d11", "datasets/d1")])
def test_a_misspelled_path_is_answered_with_the_nearest(data: Data, word: str, meant: str) -> None:
    (data.scratch / "datasets" / "d1").mkdir(parents=True)
    hint = f"did you mean {meant}? Otherwise move or copy the data to /scratch/{word}"
    assert refuse(data, word)[2] == hint


@pytest.mark.parametrize("name", ["link", "link/inner", "a/b/link"])
def test_what_leads_out_of_scratch_dir_is_an_error(data: Data, tmp_path: Path, name: str) -> None:
    (tmp_path / "outside" / "inner").mkdir(parents=True)
    (data.scratch / name.removesuffix("/inner")).symlink_to(tmp_path / "outside")
    to = "/outside/inner" if name.endswith("inner") else "/outside"
    assert refuse(data, name)[1:] == (
        f"--data '{name}' leads out of /scratch, to {to}",
        f"move or copy the data to /scratch/{name}",
    )


def test_a_neighbour_whose_name_begins_alike_is_outside(data: Data, tmp_path: Path) -> None:
    (tmp_path / "scratch2").mkdir()
    (data.scratch / "link").symlink_to(tmp_path / "scratch2")
    assert refuse(data, "link")[1] == "--data 'link' leads out of /scratch, to /scratch2"


@pytest.mark.parametrize(
    ("name", "target"),
    [("hpcsubmit", None), ("hpcsubmit/runs", None), ("link", "hpcsubmit/runs/r1"), ("link", ".")],
)
def test_what_holds_our_own_files_is_an_error(data: Data, name: str, target: str | None) -> None:
    if target:
        (data.scratch / name).symlink_to(target)
    assert refuse(data, name)[1:] == (
        f"--data '{name}' holds hpcsubmit's own records and archives",
        "name the folders and files in /scratch that the job reads",
    )


def test_a_name_that_begins_like_ours_is_none_of_ours(data: Data) -> None:
    data.write("hpcsubmit2/x")
    assert find_data(["hpcsubmit2"], data.scratch) == ("hpcsubmit2",)


def test_a_path_behind_a_symlink_inside_another_named_path_is_an_error(data: Data) -> None:
    data.write("other/file")
    (data.scratch / "a" / "link").symlink_to("../other")
    assert refuse(data, "a", "a/link/file")[1:] == (
        "--data 'a/link/file' lies behind a symlink inside 'a', and symlinks inside stay symlinks",
        "name what it leads to instead: other/file",
    )


def make_pipe(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as made:
        folder = os.open(path.parent, os.O_RDONLY)
        made.bind(f"/proc/self/fd/{folder}/{path.name}")  # a socket's path has 108 bytes at most
        os.close(folder)


@pytest.mark.parametrize("make", [make_pipe, make_socket])
@pytest.mark.parametrize("word", ["a", "a/special"])
def test_what_is_neither_file_nor_folder_is_an_error(
    data: Data, make: Callable[[Path], None], word: str
) -> None:
    make(data.scratch / "a" / "special")
    with pytest.raises(HpcSubmitError) as caught:
        data.look(word)
    path = data.scratch / "a/special"
    assert caught.value.message == f"{path} is neither a file nor a folder nor a symlink"
    assert caught.value.hint == "remove it (a socket, pipe or device), or move it out of the data"
    assert not data.store.folder.exists()
