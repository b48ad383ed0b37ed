"""An image's runscript: the command word for word, its exit code, signals, and what is cleaned at the end."""

import os
import signal
from pathlib import Path

import pytest

from image_building import (
    Ended,
    Image,
    can_mount,
    children,
    ended,
    in_work,
    wait_for,
)

pytestmark = pytest.mark.skipif(not can_mount(), reason="needs mounts of its own: root or user namespaces")
NOT_CLEANED = "will not be cleaned: it was not mounted as a work folder\n"
WORDS = ("a b", "", "*", "it's", '"', "$HOME", "`id`", "new\nline", "\\", "-n", "--", "é", "a=b", "tab\t ")
NO_WORK_FOLDER = {"HPCSUBMIT_WORKDIR": ""}
WITH_AND_WITHOUT = pytest.mark.parametrize("environ", [{}, NO_WORK_FOLDER], ids=["work folder", "none"])
SAY = ("python3", "-c", "import sys; print(ascii(sys.argv[1:]))")
LEAVE = """
mkdir -p deep/er .hidden 'a b' && echo x >deep/er/file && echo x >.hidden/file && echo x >..two
echo x >'new
line' && echo x >-rf && echo x >'*'
ln -s "$source_dir" link && ln -s "$source_dir/kept" 'a b/link' && ln -s nowhere dead
chmod 500 deep && chmod 0 deep/er
"""
"""What a program may leave in the folder where it runs."""


@pytest.fixture
def image(tmp_path: Path) -> Image:
    return Image(tmp_path).make()


@WITH_AND_WITHOUT
def test_the_command_arrives_word_for_word(image: Image, environ: dict[str, str]) -> None:
    said = image.run(*SAY, *WORDS, environ=environ)
    assert (said.code, said.stdout, said.stderr) == (0, f"{list(WORDS)!a}\n", "")


@WITH_AND_WITHOUT
@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "exit 127"), 127),
        (("sh", "-c", "exit 255"), 255),
        (("no-such-program",), 127),
        (("/etc/passwd",), 126),
    ],
)
def test_the_exit_code_is_the_commands(
    image: Image, environ: dict[str, str], command: tuple[str, ...], code: int
) -> None:
    assert image.run(*command, environ=environ).code == code
    assert image.left() == set()


def test_the_name_of_a_function_or_a_builtin_starts_the_program_of_that_name(image: Image) -> None:
    tools = image.root / "bin"
    tools.mkdir()
    for name in ("clean", "export", "wait"):
        (tools / name).write_text('#!/bin/sh\necho "program $0"\n')
        (tools / name).chmod(0o755)
        said = image.run(name, environ={"PATH": f"{tools}:/usr/bin:/bin"})
        assert (said.code, said.stdout) == (0, f"program {tools / name}\n")


def test_without_a_work_folder_the_command_takes_the_place_of_the_shell(image: Image) -> None:
    process = image.start("sh", "-c", "echo $$", environ=NO_WORK_FOLDER)
    assert ended(process).stdout == f"{process.pid}\n"


def test_without_a_command_it_says_how_to_give_one(image: Image) -> None:
    said = image.run()
    assert (said.code, said.stdout) == (2, "")
    assert said.stderr == "usage: apptainer run IMAGE COMMAND [ARGUMENT]...\n"


@WITH_AND_WITHOUT
def test_the_command_reads_what_comes_on_stdin(image: Image, environ: dict[str, str]) -> None:
    text = image.root / "text"
    text.write_text("a line\n")
    assert image.run("cat", stdin=str(text), environ=environ).stdout == "a line\n"


def test_what_a_run_left_is_removed_and_nothing_outside(image: Image) -> None:
    (image.project / "kept").write_text("mine")
    said = image.run(*in_work(image, f"{LEAVE}\nfor name in * .[!.]* ..?*; do echo; done"))
    assert (said.code, said.stderr) == (0, "")
    assert len(said.stdout) == 10, "what is left was there"
    assert image.left() == set()
    assert (image.project / "kept").read_text() == "mine"


def test_what_a_run_left_is_removed_when_it_fails(image: Image) -> None:
    said = image.run(*in_work(image, f"{LEAVE}\nexit 7"))
    assert (said.code, said.stderr, image.left()) == (7, "", set())


def test_what_was_in_the_work_folder_before_stays(image: Image) -> None:
    awkward = (
        "old",
        ".old",
        "..old",
        "a b",
        "two\nlines",
        "é",
        "*",
        "tab\t",
        os.fsdecode(b"latin\xe9"),
        "-n",
        "\\c",
    )
    for name in awkward:
        (image.host_folder / name).write_text("mine")
    (image.host_folder / "folder").mkdir()
    said = image.run(*in_work(image, "echo x >new; echo x >lines; echo x >folder/new; echo more >>old"))
    assert (said.code, said.stderr) == (0, "")
    assert image.left() - {"lines"} == {*awkward, "folder"}
    assert (image.host_folder / "old").read_text() == "minemore\n"
    assert (image.host_folder / "folder" / "new").exists()


def test_what_an_earlier_run_that_was_killed_left_stays(image: Image) -> None:
    process = image.start(*in_work(image, "echo x >first; : >'started'; exec sleep 60"))
    wait_for(image.host_folder / "started")
    for pid in (process.pid, *children(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.communicate(timeout=60)
    assert image.run(*in_work(image, "echo x >second")).code == 0
    assert image.left() == {"first", "started"}


def test_a_folder_that_is_not_mounted_is_not_cleaned(image: Image) -> None:
    said = image.run(*in_work(image, "echo x >new"), mounts=())
    assert (said.code, said.stderr) == (0, f"hpcsubmit: {image.work} {NOT_CLEANED}")
    assert [path.name for path in image.work.iterdir()] == ["new"]


@pytest.mark.parametrize("name", ["source_dir", "scratch_dir", "SLURM_TMPDIR", "HOME"])
def test_a_folder_of_the_users_own_is_not_cleaned_though_it_is_mounted(image: Image, name: str) -> None:
    (image.host_folder / "old").write_text("mine")
    said = image.run(*in_work(image, "echo x >new"), environ={name: str(image.work)})
    assert (said.code, said.stderr) == (0, f"hpcsubmit: {image.work} {NOT_CLEANED}")
    assert image.left() == {"old", "new"}


def test_a_folder_with_another_mount_inside_is_not_cleaned(image: Image) -> None:
    (image.host_folder / "gan").mkdir()
    (image.project / "kept").write_text("mine")
    mounts = (image.host_folder, image.work, image.project, image.work / "gan")
    said = image.run(*in_work(image, "echo x >new"), mounts=mounts)
    assert (said.code, said.stderr) == (0, f"hpcsubmit: {image.work} {NOT_CLEANED}")
    assert image.left() == {"gan", "new"}
    assert (image.project / "kept").read_text() == "mine"


@pytest.mark.parametrize("place", ["/", "/no/such/folder", "relative"])
def test_a_name_of_no_work_folder_cleans_nothing(image: Image, place: str) -> None:
    said = image.run("sh", "-c", "exit 7", environ={"HPCSUBMIT_WORKDIR": place})
    assert said.code == 7
    assert said.stderr.endswith(f"hpcsubmit: {place} {NOT_CLEANED}")


def test_a_program_that_removes_the_note_itself_keeps_its_code(image: Image) -> None:
    said = image.run(*in_work(image, "echo x >new; rm -f .hpcsubmit-before; exit 7"))
    assert said.code == 7
    assert said.stderr.startswith(f"hpcsubmit: {image.work} could not be cleaned: ")
    assert image.left() == {"new"}, "what was there before is not known any more"


def test_a_link_to_the_work_folder_is_the_work_folder(image: Image) -> None:
    (image.root / "link").symlink_to(image.work)
    said = image.run(*in_work(image, "echo x >new"), environ={"HPCSUBMIT_WORKDIR": f"{image.root}/link/"})
    assert (said.code, said.stderr, image.left()) == (0, "", set())


def test_of_several_runs_on_a_node_the_last_one_cleans(image: Image) -> None:
    started = [image.root / name for name in ("one", "two", "three")]
    program = 'echo x >"$1"; : >"$2"; while [ ! -e "$2.go" ]; do sleep 0.02; done'
    runs = [image.start(*in_work(image, program), "sh", path.name, str(path)) for path in started]
    for path in started:
        wait_for(path)
    for path, run in zip(started[:2], runs[:2], strict=True):
        Path(f"{path}.go").touch()
        assert ended(run).code == 0
        assert image.left() == {"one", "two", "three", ".hpcsubmit-before"}
    Path(f"{started[2]}.go").touch()
    assert ended(runs[2]).code == 0
    assert image.left() == set()


def test_many_runs_that_begin_and_end_together_leave_nothing_and_lose_nothing(image: Image) -> None:
    (image.host_folder / "old").write_text("mine")
    program = 'echo x >"$1"; mkdir "$1.d"; [ -e "$1" ] && [ -d "$1.d" ] && [ -e old ]'
    runs = [image.start(*in_work(image, program), "sh", f"file{number}") for number in range(12)]
    assert [ended(run) for run in runs] == [Ended(0, "", "") for _ in runs]
    assert image.left() == {"old"}
