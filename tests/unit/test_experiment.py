import shlex
from pathlib import Path

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import LARGEST_FILE, Command, read_command, read_command_file
from hpcsubmit.shellwords import Word

SOURCE = Path("exp.txt")
SCRIPT = "put it in a script, say run.sh, and write here: bash run.sh"


def read(text: str) -> Command:
    return read_command(text, SOURCE)


def raws(words: tuple[Word, ...]) -> list[str]:
    return [word.raw for word in words]


def refusal(text: str) -> tuple[str, str]:
    with pytest.raises(HpcSubmitError) as caught:
        read(text)
    assert caught.value.exit_code == 1
    assert "\n" not in caught.value.message + caught.value.hint
    return caught.value.message, caught.value.hint


@pytest.mark.parametrize(
    "text",
    [
        "# experiment_configurations.txt\n\npython main.py --train --batch_size 6\n",
        "# experiment_configurations.txt\n\npython main.py \\\n--train \\\n--batch_size 6\n",
        "\ufeff# experiment_configurations.txt\r\n\r\npython main.py \\\r\n  --train \\\r\n\t--batch_size 6",
        "python main.py \\\n --train \\\n --batch_size 6 \\\n",
        "python main.py --train --batch_size 6 # the final one\n\n# done\n",
    ],
)
def test_the_one_line_form_and_the_continued_form_are_the_same_command(text: str) -> None:
    assert read(text).text == "python main.py --train --batch_size 6"


def test_quoting_commas_and_variables_are_kept_exactly() -> None:
    text = """python a.py --name "hello world" --lrs 0.1,0.2 --re '\\d+' --dir=${SLURM_TMPDIR}/datasets"""
    assert read(text).text == text


def test_a_continued_line_is_joined_without_a_blank() -> None:
    assert read("python ma\\\nin.py").text == "python main.py"


def test_a_backslash_newline_in_single_quotes_is_kept() -> None:
    assert read("python -c 'a\\\nb'").words[2].literal == "a\\\nb"


def test_a_quoted_word_may_go_over_several_lines() -> None:
    command = read("python -c '\nprint(1)\n' \\\n  x")
    assert [word.literal for word in command.words] == ["python", "-c", "\nprint(1)\n", "x"]
    assert command.words[3].line == 4


@pytest.mark.parametrize(
    ("raw", "literal"),
    [
        ("main.py", "main.py"),
        ("'a b'", "a b"),
        ('"a \\" \\$ \\n"', 'a " $ \\n'),
        ("a\\ b", "a b"),
        ("a'b'\"c\"", "abc"),
        ("''", ""),
        ("x=1", "x=1"),
        ("a#b", "a#b"),
        ("'*?[{~$x`'", "*?[{~$x`"),
    ],
)
def test_a_word_that_bash_does_not_expand_has_its_value_as_literal(raw: str, literal: str) -> None:
    word = read(f"python {raw}").words[1]
    assert (word.raw, word.literal) == (raw, literal)


@pytest.mark.parametrize(
    "raw",
    [
        *("$X", '"${X}"', "${X:-d}", "${X:-'a b'}", "*.py", "f?", "[ab]", "{a,b}", "~", "~/x", "d=~/x"),
        *("$'a'", '$"a"', "$((1 + 2))", "${X:-${Y}}", "${X//a/b}", "${#X}", "$$", '"a$"'),
    ],
)
def test_a_word_that_bash_may_expand_is_accepted_without_a_literal(raw: str) -> None:
    word = read(f"python {raw}").words[1]
    assert (word.raw, word.literal) == (raw, None)


def test_leading_assignments_are_apart_from_the_words() -> None:
    command = read("A=1 B+='x y' C= python main.py D=2")
    assert raws(command.assignments) == ["A=1", "B+='x y'", "C="]
    assert command.assigned_names == ("A", "B", "C")
    assert raws(command.words) == ["python", "main.py", "D=2"]
    assert command.text == "A=1 B+='x y' C= python main.py D=2"


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("python a | tee log", 1, "a pipe (|)"),
        ("# x\npython a; python b", 2, "a ; (a second command)"),
        ("python a & ", 1, "an & (a second command)"),
        ("python a && python b", 1, "an & (a second command)"),
        ("python a \\\n > log", 2, "a redirection (>)"),
        ("python a 2>&1", 1, "a redirection (>)"),
        ("python a < in", 1, "a redirection (<)"),
        ("python a <<E\nE", 1, "a redirection (<)"),
        ("python `date`", 1, "a command in back-ticks"),
        ('python "`date`"', 1, "a command in back-ticks"),
        ("python $(date)", 1, "a command in $(...)"),
        ('python "a\n$(date)"', 2, "a command in $(...)"),
        ("python <(date)", 1, "a redirection (<)"),
        ("(python a)", 1, "a ( (a subshell or an array)"),
        ("python a)", 1, "a ) (the end of a subshell or an array)"),
        ("a=(1 2) python", 1, "a ( (a subshell or an array)"),
        ("f() { python; }", 1, "a ( (a subshell or an array)"),
        ('python "$$(date)"', 1, "a ( (a subshell or an array)"),
        ("python $(( $(date) ))", 1, "a command in $(...)"),
        ("python $((1) )", 1, "more than arithmetic in $((...))"),
        ("python $((1", 1, "more than arithmetic in $((...))"),
        ("python ${X:-$(date)}", 1, "a command in $(...)"),
        ('python "${X:-`date`}"', 1, '` inside "${...}"'),
        ("python ${X:-<(date)}", 1, "( inside ${...}"),
        ("python \"${X:-'a'}\"", 1, '\' inside "${...}"'),
        ("python ${ date; }", 1, "${ date; }, which is no plain variable"),
        ("python ${X[0]}", 1, "${X[0]}, which is no plain variable"),
        ("python ${X@P}", 1, "${X@P}, which is no plain variable"),
    ],
)
def test_shell_syntax_is_refused_with_its_line_and_the_way_out(text: str, line: int, problem: str) -> None:
    message, hint = refusal(text)
    assert message == f"exp.txt, line {line}: {problem}, but the file holds one simple command"
    assert hint == f"{SCRIPT} (to pass such characters to the program, write them in single quotes)"


@pytest.mark.parametrize("raw", ["$1", "$@", "$*", "$#", "$["])
def test_what_only_a_script_has_is_refused(raw: str) -> None:
    message, hint = refusal(f"python {raw}")
    assert message == f"exp.txt, line 1: {raw} means nothing here: the command is not in a script"
    assert (
        hint == f"write '{raw}' in single quotes for the characters themselves, and $((...)) for arithmetic"
    )


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("python a\npython b", 2),
        ("# x\n\npython a\n\n# y\n--lr 1", 6),
        ("python a \\\n\n--lr 1", 3),
    ],
)
def test_a_second_command_is_refused_with_its_line(text: str, line: int) -> None:
    message, hint = refusal(text)
    assert message == f"exp.txt, line {line}: a second command, but the file holds one"
    assert hint == (
        "end the line of 'a' with a backslash to continue it, "
        "or put the commands in a script, say run.sh, and write: bash run.sh"
    )


@pytest.mark.parametrize(
    ("text", "line", "opening", "closing"),
    [
        ("python \\\n 'a\nb", 2, "'", "a closing '"),
        ('python\\\n "a\\"\n', 2, '"', 'a closing "'),
        ("python $'a\\'", 1, "$'", "a closing '"),
        ("python ${a", 1, "${", "a closing }"),
        ("python it's", 1, "'", "a closing '"),
    ],
)
def test_what_is_never_closed_is_refused_with_the_line_where_it_opens(
    text: str, line: int, opening: str, closing: str
) -> None:
    message, hint = refusal(text)
    assert message == f"exp.txt, line {line}: {opening} is never closed"
    assert hint == f"add {closing}, or write \\ before the {opening}"


def test_blanks_behind_a_backslash_at_the_end_of_a_line_are_refused() -> None:
    assert refusal("python a \\\n b \\ \t\r\n --lr 1") == (
        "exp.txt, line 2: blanks follow the backslash at the line's end",
        "delete the blanks after the backslash: only a backslash at the very end continues a line",
    )


@pytest.mark.parametrize(
    ("char", "shown"), [("\0", "\\x00"), ("\x1b", "\\x1b"), ("\r", "\\r"), ("\x85", "\\x85")]
)
def test_a_control_character_is_refused_with_its_line(char: str, shown: str) -> None:
    assert refusal(f"# x\npython 'a{char}b'") == (
        f"exp.txt, line 2: a control character ('{shown}')",
        "delete it; only blanks, tabs and line ends separate words",
    )


@pytest.mark.parametrize("text", ["", "\n", "# only a comment", " \\\n", "\ufeff"])
def test_a_file_without_a_command_is_refused(text: str) -> None:
    assert refusal(text) == (
        "exp.txt: there is no command in it",
        "write the command into it, for example: python main.py --train",
    )


def test_assignments_without_a_program_are_refused() -> None:
    assert refusal("\nA=1 B=2") == (
        "exp.txt, line 2: variables are set for no program",
        "write the program behind 'B=2', on the same line",
    )


@pytest.mark.parametrize("raw", ["main.py", "./main.py", '"my main.py"', "$HOME/main.py", '"$HOME/main.py"'])
def test_a_python_file_as_first_word_is_refused(raw: str) -> None:
    message, hint = refusal(f"A=1 \\\n{raw} --lr 1")
    assert message.startswith("exp.txt, line 2: ")
    assert message.endswith("main.py is not a program")
    assert hint == f"write python before it: python {raw}"


@pytest.mark.parametrize("word", ["if", "for", "while", "case", "function", "[[", "time", "{", "!", "coproc"])
@pytest.mark.parametrize("before", ["", "A=1 "])
def test_a_reserved_word_as_first_word_is_refused(word: str, before: str) -> None:
    message, hint = refusal(f"{before}{word} python main.py")
    assert message == f"exp.txt, line 1: {word} is a word of the shell's grammar, not a program"
    assert hint.startswith(SCRIPT)


def test_a_quoted_reserved_word_is_a_program_as_in_bash() -> None:
    assert read("'time' python main.py").program == "time"


@pytest.mark.parametrize("word", ["export", "declare", "eval", "alias"])
def test_a_declaration_is_refused(word: str) -> None:
    assert refusal(f"{word} A=1") == (
        f"exp.txt, line 1: {word} is a command of the shell, not a program",
        "write NAME=value before the program to set a variable for it",
    )


def test_an_array_element_is_refused() -> None:
    message, hint = refusal("a[1]=2 python main.py")
    assert message == "exp.txt, line 1: a[1]=2 begins like an array element, not like a program"
    assert hint.startswith(SCRIPT)


def test_an_empty_first_word_is_refused() -> None:
    assert refusal("'' main.py") == (
        "exp.txt, line 1: the program is an empty word",
        "write the program first: python main.py",
    )


def test_expressions_that_are_nested_without_end_are_refused() -> None:
    message, hint = refusal("python " + "${x:-" * 50_000)
    assert message == "exp.txt: $ expressions are nested too deeply"
    assert hint.startswith(SCRIPT)


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ("python", True),
        ("python3", True),
        ("python3.11", True),
        ("/usr/bin/python3", True),
        ("$HOME/x/bin/python", True),
        ('"$HOME/x y/bin/python3.9"', True),
        ("~/venv/bin/python", True),
        ("'python'", True),
        ("python2", False),
        ("python3.", False),
        ("python3.11m", False),
        ("ipython", False),
        ("pythonw", False),
        ("$PYTHON", False),
        ("${X:-python}", False),
        ("bash", False),
        ("python/x", False),
    ],
)
def test_python_is_recognised_by_the_base_name_of_the_first_word(first: str, expected: bool) -> None:
    assert read(f"A=1 {first} main.py").python_word is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("wandb agent --count 1 U/P/S", True),
        ("A=1 ./bin/wandb agent S", True),
        ("python -m wandb agent S", True),
        ("python3 -u -m wandb agent S", True),
        ("python -um wandb agent S", True),
        ("python -mwandb agent S", True),
        ("python -W ignore -m wandb agent S", True),
        ("python -W -m wandb agent S", False),
        ("python -c pass -m wandb agent", False),
        ("python train.py -m wandb agent", False),
        ("wandb sync", False),
        ("wandb", False),
        ("python wandb agent", False),
        ("python -m wandb sync", False),
        ("python -m torch agent", False),
        ("python main.py wandb agent", False),
        ("echo wandb agent", False),
    ],
)
def test_a_wandb_agent_is_recognised(text: str, expected: bool) -> None:
    assert read(text).starts_wandb_agent is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("python main.py --lr 1 --num_nodes 3 --gpus 8", "python main.py --lr 1"),
        ("python main.py --gpus=8 --lr 1 --num_nodes=3", "python main.py --lr 1"),
        ("python main.py --use_gpus_flag x --gpus_used 3 --lr 1", None),
        ("python main.py --gpus", "python main.py"),
        ("python main.py --gpus --lr 1", "python main.py --lr 1"),
        ("python main.py --gpus -v", "python main.py -v"),
        ("python main.py --gpus -1 x", "python main.py x"),
        ("python main.py --gpus 1 --gpus=2 --gpus 3 x", "python main.py x"),
        ('python main.py --gpus="$N" "--gpus=$N" --gpus $N \'--gpus\' 3 x', "python main.py x"),
        ("python main.py --gpus 1 -- --gpus 2", "python main.py -- --gpus 2"),
        ("python main.py --gpus -- x", "python main.py -- x"),
        ("python main.py --name '--gpus 3' -gpus 3 gpus=3", None),
        ("--gpus main.py", None),
        ("A=1 python main.py --gpus 8", "A=1 python main.py"),
    ],
)
def test_flags_are_removed_exactly(text: str, expected: str | None) -> None:
    assert read(text).without_flags(("--num_nodes", "--gpus")).text == (expected or text)


def test_added_words_are_quoted_where_that_is_needed() -> None:
    command = read("python main.py").with_words("--name", "it's $X", "")
    assert command.text == "python main.py --name " + shlex.join(["it's $X", ""])
    assert command.words[3].literal == "it's $X"


def test_a_file_is_read_with_its_path_in_messages(tmp_path: Path) -> None:
    path = tmp_path / "exp.txt"
    path.write_bytes(b"\xef\xbb\xbfpython main.py --name \xc3\xa9\r\n")
    assert read_command_file(path).words[3].literal == "é"
    assert read_command_file(path).source == path
    path.write_text("python a\npython b")
    with pytest.raises(HpcSubmitError, match="line 2: a second command") as caught:
        read_command_file(path)
    assert caught.value.message.startswith(str(path))


def unreadable(path: Path) -> tuple[str, str]:
    with pytest.raises(HpcSubmitError) as caught:
        read_command_file(path)
    return caught.value.message, caught.value.hint


def test_a_missing_file_is_an_error_that_says_what_to_write(tmp_path: Path) -> None:
    assert unreadable(tmp_path / "no.txt") == (
        f"{tmp_path}/no.txt: there is no such experiment file",
        "write the command into it, for example: python main.py --train",
    )


def test_a_folder_is_an_error(tmp_path: Path) -> None:
    assert unreadable(tmp_path) == (f"{tmp_path} is a folder", "give the file in it that holds the command")


def test_a_path_through_a_file_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert unreadable(tmp_path / "file" / "exp.txt") == (
        f"{tmp_path}/file/exp.txt cannot be read: Not a directory",
        "check the path, and that you may read the file",
    )


def test_a_file_in_another_encoding_is_an_error_with_the_line(tmp_path: Path) -> None:
    path = tmp_path / "exp.txt"
    path.write_bytes(b"# x\npython caf\xe9")
    assert unreadable(path) == (f"{path}, line 2: not UTF-8 text", "save the file as UTF-8")
    path.write_bytes("python".encode("utf-16"))
    assert unreadable(path) == (f"{path}, line 1: not UTF-8 text", "save the file as UTF-8")


def test_a_file_that_is_too_large_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "exp.txt"
    path.write_bytes(b"#" * LARGEST_FILE)
    assert unreadable(path)[0] == f"{path}: there is no command in it"
    path.write_bytes(b"#" * (LARGEST_FILE + 1))
    assert unreadable(path) == (
        f"{path} is larger than 1000000 bytes",
        "give the file that holds the command; a very long list belongs into a file of its own",
    )


def test_a_comment_line_within_a_continued_command_is_ignored_and_the_command_goes_on() -> None:
    text = "python a.py \\\n  # --old 1\n# and \\\n  --lr 0.1 \\\n  --x '# no comment'\n"
    command = read_command(text, Path("exp.txt"))
    assert command.text == "python a.py --lr 0.1 --x '# no comment'"
