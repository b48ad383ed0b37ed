"""--data and --collect on the command line: what is asked, shown and refused before anything is made."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from sandbox import HPCSUBMIT, Sandbox


@pytest.fixture
def scratch(sandbox: Sandbox) -> Path:
    """The project's scratch with two data sets."""
    folder = sandbox.scratch / "gan"
    for name in ("datasets/d1", "datasets/d2", "two words"):
        (folder / name).mkdir(parents=True)
        (folder / name / "file").write_text(name)
    return folder


def manifests(scratch: Path) -> list[Path]:
    return list((scratch / "hpcsubmit" / "data" / "sets").glob("*.manifest"))


@pytest.mark.parametrize(
    ("words", "code", "error", "hint"),
    [
        (["--data", "nowhere"], 1, "does not exist", "move or copy the data to"),
        (["-d", "datasets/d1", "datasets/no"], 1, "'datasets/no' does not exist", "move or copy"),
        (["--data", "../other"], 2, "leads out of", "move or copy"),
        (["--data=/etc"], 2, "is an absolute path", "move or copy"),
        (["--data", "away"], 1, "leads out of", "move or copy"),
        (["--data", "."], 2, "is all of", "name the folders"),
        (["--data", "hpcsubmit"], 1, "holds hpcsubmit's own records", "name the folders"),
        (["--data="], 2, "names no path", "name folders or files"),
        (["--data", "datasets", "--data-compress", "lzma"], 2, "lzma", ""),
        (["--data", "datasets", "--data-transfer", "pigeon"], 2, "pigeon", ""),
        (["--collect", "/tmp"], 2, "--collect cannot be '/tmp'", "write a path below $SLURM_TMPDIR"),
        (["--collect", "../up"], 2, "--collect cannot be '../up'", "write a path below"),
        (["--collect", "."], 2, "--collect cannot be '.'", "write a path below"),
        (["--collect", "${SLURM_TMPDIR}/"], 2, "cannot be '${SLURM_TMPDIR}/'", "write a path below"),
        (["--collect", "$SLURM_TMPDIR"], 2, "--collect cannot be '$SLURM_TMPDIR'", "write a path below"),
        (["--collect", "a", "-t", "3"], 1, "leaves the program no time", "ask for more than 180 s"),
        (["--no-env", "--env-on-node"], 2, "exclude each other", "give one"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_cure_and_nothing_is_made(
    sandbox: Sandbox, scratch: Path, words: list[str], code: int, error: str, hint: str
) -> None:
    (scratch / "away").symlink_to("/etc")
    (scratch / "hpcsubmit").mkdir()
    said = sandbox.refuses(*words, code=code)
    assert error in said.error
    assert hint in said.hint


@pytest.mark.parametrize(
    ("path", "folder"),
    [
        ("results/*.txt", "results"),
        ("out/run?/log", "out"),
        ("$SLURM_TMPDIR/out/*", "out"),
        ("$OUTPUT_DIR/results", "results, say"),
        ("${SLURM_TMPDIR}results", "results, say"),
        ("logs/$SLURM_JOB_ID", "logs"),
        ("~/results", "results, say"),
        ("~ada/results", "results, say"),
    ],
)
def test_patterns_and_variables_that_no_node_fills_in_are_refused(
    sandbox: Sandbox, path: str, folder: str
) -> None:
    said = sandbox.refuses("--collect", path, code=2)
    assert said.error == (
        f"--collect cannot be '{path}': patterns and variables are not filled in on the node"
    )
    assert said.hint == f"name the folder: {folder}"


@pytest.mark.parametrize(
    "path", ["virtual_env", "./virtual_env/lib", ".hpcsubmit-inbox", ".hpcsubmit-container"]
)
def test_what_the_script_puts_there_is_not_collected(sandbox: Sandbox, path: str) -> None:
    said = sandbox.refuses("--collect", path, code=2)
    assert (
        said.error == f"--collect cannot be '{path}': hpcsubmit itself puts things there, below $SLURM_TMPDIR"
    )
    assert said.hint == "let the program write into a folder of its own, and name that: results, say"


@pytest.mark.parametrize(
    ("path", "below"),
    [
        ("$SLURM_TMPDIR/results", "results"),
        ("${SLURM_TMPDIR}/logs//it's/", "'logs/it'\"'\"'s'"),
        ("backup~/x", "'backup~/x'"),
        ("runs/lr=[0.1]", "'runs/lr=[0.1]'"),
        (".hpcsubmit-container/work/out", ".hpcsubmit-container/work/out"),
    ],
)
def test_a_path_below_slurm_tmpdir_may_say_so(sandbox: Sandbox, path: str, below: str) -> None:
    said = sandbox.hpcsubmit("--dry-run", "--collect", path)
    assert f"  for path in {below}; do\n" in said.stdout, said.stderr


def test_what_a_file_says_is_collected_is_read_alike(sandbox: Sandbox) -> None:
    file = sandbox.project / "hpcsubmit.yaml"
    sandbox.write("collect: $SLURM_TMPDIR/results\n", file)
    assert "for path in results; do" in sandbox.hpcsubmit("--dry-run").stdout
    sandbox.write("collect: [results/*]\n", file)
    said = sandbox.refuses()
    assert "'collect' cannot be " in said.error
    assert said.error.endswith("patterns and variables are not filled in on the node")
    assert said.hint == "name the folder: results"


def test_a_dry_run_shows_what_would_be_packed_and_packs_nothing(sandbox: Sandbox, scratch: Path) -> None:
    before = sandbox.tree()
    said = sandbox.hpcsubmit("--dry-run", "--data", "datasets/d1", "datasets/d2")
    assert said.code == 0
    assert "datasets/d1, datasets/d2: 2 files, 22 B; to be packed: 2 of 2 archives" in said.stderr
    assert "stage_in data " in said.stdout
    assert sandbox.tree() == before


def test_a_submission_packs_and_the_next_one_finds_it_packed(sandbox: Sandbox, scratch: Path) -> None:
    first = sandbox.hpcsubmit("--data", "datasets")
    assert (first.code, first.stdout) == (0, "Submitted batch job 4242\n"), first.stderr
    assert "packed " in first.stderr
    (manifest,) = manifests(scratch)
    assert str(manifest) in (sandbox.root / "submitted.sh").read_text()
    second = sandbox.hpcsubmit("--data", "datasets/")
    assert "packed already" in second.stderr
    assert manifests(scratch) == [manifest]


def test_a_word_with_blanks_is_one_path_where_there_is_one_and_a_list_otherwise(
    sandbox: Sandbox, scratch: Path
) -> None:
    assert " two words: 1 file" in sandbox.hpcsubmit("--dry-run", "--data", "two words").stderr
    listed = sandbox.hpcsubmit("--dry-run", "--data", "datasets/d1 datasets/d2", "-g", "2")
    assert "datasets/d1, datasets/d2: 2 files" in listed.stderr


def test_a_submission_that_fails_before_sbatch_takes_its_record_back(sandbox: Sandbox, scratch: Path) -> None:
    store = scratch / "hpcsubmit" / "data"
    store.parent.mkdir()
    store.write_text("a file where the store should be")
    said = sandbox.hpcsubmit("--data", "datasets")
    assert said.code == 1
    assert said.error.startswith(f"{store}")
    assert list((scratch / "hpcsubmit" / "runs").iterdir()) == []
    assert not (sandbox.root / "sbatch.argv").exists()


def test_stage_packs_ahead_and_lists_what_is_fresh(sandbox: Sandbox, scratch: Path) -> None:
    assert sandbox.hpcsubmit("stage", "--list").stdout == "nothing is packed yet\n"
    assert "to be packed: 2 of 2" in sandbox.hpcsubmit("stage", "datasets", "--dry-run").stdout
    assert manifests(scratch) == []
    assert sandbox.hpcsubmit("stage", "datasets/d1", "datasets/d2").code == 0
    assert sandbox.hpcsubmit("stage", "--data", "two words").code == 0
    assert "packed already" in sandbox.hpcsubmit("--data", "datasets/d1", "datasets/d2").stderr
    (scratch / "datasets" / "d1" / "file").write_text("edited")
    lines = sandbox.hpcsubmit("stage", "--list").stdout.splitlines()
    assert lines[0].split() == ["DATA", "FILES", "SIZE", "PACKED", "ARCHIVES", "AGE", "STATE"]
    assert sorted(line.split()[-1] for line in lines[1:]) == ["fresh", "stale"]


@pytest.mark.parametrize(
    ("words", "yaml", "suffix"),
    [
        ([], "", ".tar"),
        (["-n", "8"], "", ".lean.tar.gz"),
        (["-n", "8", "--data-transfer", "direct"], "", ".tar"),
        (["-n", "2", "--data-transfer", "broadcast"], "", ".lean.tar.gz"),
        (["--data-transfer", "broadcast"], "", ".lean.tar.gz"),
        ([], "num-nodes: 8", ".lean.tar.gz"),
        ([], "profiles: {generic: {broadcast_nodes: 9}}\nnum-nodes: 8", ".tar"),
    ],
)
def test_stage_packs_as_the_job_that_is_described_would(
    sandbox: Sandbox, scratch: Path, words: list[str], yaml: str, suffix: str
) -> None:
    sandbox.write(f"{yaml}\n" if yaml else "{}\n", sandbox.project / "hpcsubmit.yaml")
    for argv in (["stage", "datasets", *words], ["--data", "datasets", *words]):
        said = sandbox.hpcsubmit(*argv)
        assert said.code == 0, said.stderr
        names = [line.split()[0] for line in manifests(scratch)[0].read_text().splitlines()[1:-1]]
        assert {name.partition(".")[2] for name in names} == {suffix[1:]}
    assert "packed already" in said.stderr


def test_a_broadcast_of_small_files_that_were_packed_for_one_node_says_what_would_make_it_smaller(
    sandbox: Sandbox, scratch: Path
) -> None:
    for number in range(800):
        (scratch / "datasets" / "d1" / str(number)).write_bytes(bytes(4096))
    how = "  transfer           one node reads, sbcast sends to all"
    assert sandbox.hpcsubmit("stage", "datasets").code == 0
    said = sandbox.hpcsubmit("--dry-run", "--data", "datasets", "-n", "8").stderr
    assert re.search(
        rf"^{how} \(--data-compress headers sends up to (1[1-9]|2[0-9]|3[0-9]) % less\)$", said, re.M
    )
    for words in (("--data-compress", "none"), ("--data-compress", "headers")):
        said = sandbox.hpcsubmit("--dry-run", "--data", "datasets", "-n", "8", *words).stderr
        assert f"{how}\n" in said
    assert sandbox.hpcsubmit("stage", "two words", "-n", "8").code == 0
    assert f"{how}\n" in sandbox.hpcsubmit("--dry-run", "--data", "two words", "-n", "8").stderr


def test_stage_refuses_data_that_the_job_would_refuse(sandbox: Sandbox, scratch: Path) -> None:
    with (scratch / "datasets" / "huge").open("wb") as file:
        file.truncate(3 << 20)
    sandbox.write("profiles: {generic: {node_local_size: 2M}}\n", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.refuses("stage", "datasets")
    assert said.error == "the data need 4M, and a node's own disk has 2M in the profile 'generic'"
    assert manifests(scratch) == []


def test_stage_without_data_says_what_to_write(sandbox: Sandbox, scratch: Path) -> None:
    said = sandbox.refuses("stage", code=2)
    assert said.error == "hpcsubmit stage needs to know what to pack"
    assert "hpcsubmit stage PATH..." in said.hint


def test_data_that_do_not_fit_on_a_node_are_refused(sandbox: Sandbox, scratch: Path) -> None:
    with (scratch / "datasets" / "huge").open("wb") as file:
        file.truncate(3 << 20)
    sandbox.write("profiles: {generic: {node_local_size: 2M}}\n", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.refuses("--data", "datasets")
    assert said.error == "the data need 4M, and a node's own disk has 2M in the profile 'generic'"
    assert "fewer paths" in said.hint


def test_a_broadcast_that_does_not_fit_on_a_node_is_refused_or_not_chosen(
    sandbox: Sandbox, scratch: Path
) -> None:
    with (scratch / "datasets" / "huge").open("wb") as file:
        file.truncate(3 << 20)
    sandbox.write("profiles: {generic: {node_local_size: 6M}}\n", sandbox.project / "hpcsubmit.yaml")
    argv = ("--data", "datasets", "-n", "4")
    said = sandbox.refuses(*argv, "--data-transfer", "broadcast")
    assert said.error == (
        "the data need 7M during a broadcast, and a node's own disk has 6M in the profile 'generic'"
    )
    assert said.hint == "write --data-transfer direct, which needs 4M"
    for words in ((), ("--data-transfer", "direct")):
        assert " . direct\n" in sandbox.hpcsubmit("--dry-run", *argv, *words).stdout
    sandbox.write("profiles: {generic: {node_local_size: 7M}}\n", sandbox.project / "hpcsubmit.yaml")
    assert " . broadcast\n" in sandbox.hpcsubmit("--dry-run", *argv).stdout


@pytest.mark.parametrize(
    ("mebibytes", "words", "transfer"),
    [
        ((300,), (), "direct"),
        ((300,), ("--data-transfer", "broadcast"), "broadcast"),
        ((300, 600), (), "direct"),
        ((300, 300, 300, 300, 300), (), "broadcast"),
        ((250,), (), "broadcast"),
    ],
)
def test_a_single_large_file_is_read_by_every_node_unless_told_otherwise(
    sandbox: Sandbox, scratch: Path, mebibytes: tuple[int, ...], words: tuple[str, ...], transfer: str
) -> None:
    for number, size in enumerate(mebibytes):
        with (scratch / "datasets" / f"{number}.h5").open("wb") as file:
            file.truncate(size << 20)  # sparse, and a dry run reads nothing
    script = sandbox.hpcsubmit("--dry-run", "--data", "datasets", "-n", "8", *words).stdout
    assert f" . {transfer}\n" in script


@pytest.mark.parametrize(("disk", "transfer"), [("601M", "broadcast"), ("599M", "direct")])
def test_where_the_disk_is_known_room_alone_decides_about_a_large_file(
    sandbox: Sandbox, scratch: Path, disk: str, transfer: str
) -> None:
    sandbox.write(f"profiles: {{generic: {{node_local_size: {disk}}}}}\n", sandbox.project / "hpcsubmit.yaml")
    with (scratch / "datasets" / "one.h5").open("wb") as file:
        file.truncate(300 << 20)
    assert f" . {transfer}\n" in sandbox.hpcsubmit("--dry-run", "--data", "datasets", "-n", "8").stdout


@pytest.mark.parametrize(
    ("words", "transfer"),
    [
        (["-n", "3"], "direct"),
        (["-n", "4"], "broadcast"),
        (["-n", "4", "--data-transfer", "direct"], "direct"),
        (["-n", "2", "--data-transfer", "broadcast"], "broadcast"),
        (["-n", "1", "--data-transfer", "broadcast"], "direct"),
    ],
)
def test_many_nodes_get_the_data_by_broadcast(
    sandbox: Sandbox, scratch: Path, words: list[str], transfer: str
) -> None:
    script = sandbox.hpcsubmit("--dry-run", "--data", "datasets", *words).stdout
    assert f" . {transfer}\n" in script


def test_on_this_machine_nothing_is_broadcast(sandbox: Sandbox, scratch: Path) -> None:
    argv = ("--cluster", "local", "-n", "8", "--data", "datasets")
    assert " . direct\n" in sandbox.hpcsubmit(*argv, "--dry-run").stdout
    said = sandbox.refuses(*argv, "--data-transfer", "broadcast")
    assert "its nodes share one disk" in said.error


def test_a_link_that_leads_out_of_the_data_is_kept_and_named(sandbox: Sandbox, scratch: Path) -> None:
    (scratch / "datasets" / "d1" / "out").symlink_to("../../two words")
    said = sandbox.hpcsubmit("--dry-run", "--data", "datasets/d1")
    assert "warning: 1 symlink leads out of the data that every node gets: 'datasets/d1/out'" in said.stderr


def test_a_record_names_the_data_and_where_results_go(sandbox: Sandbox, scratch: Path) -> None:
    sandbox.hpcsubmit("--data", "datasets", "--collect", "results", "-e", "one")
    shown = sandbox.hpcsubmit("runs", "show", "4242").stdout
    assert str(manifests(scratch)[0]) in shown
    assert f"{scratch}/one/collected/4242\n" in shown


def test_stage_takes_its_paths_anywhere_and_lists_all(sandbox: Sandbox, scratch: Path) -> None:
    assert sandbox.hpcsubmit("stage", "--cluster", "generic", "datasets/d1", "--dry-run").code == 0
    said = sandbox.refuses("stage", "datasets", "--list", code=2)
    assert (said.error, said.hint) == (
        "--list takes no paths",
        "write hpcsubmit stage --list, which lists all sets",
    )


@pytest.mark.parametrize("name", ["virtual_env", ".hpcsubmit-inbox"])
def test_data_cannot_be_called_as_what_the_script_puts_there(
    sandbox: Sandbox, scratch: Path, name: str
) -> None:
    (scratch / name).mkdir()
    said = sandbox.refuses("--data", name)
    assert said.error == f"--data {name}: hpcsubmit itself puts things there, below $SLURM_TMPDIR"
    assert said.hint == "rename the folder"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_while_packing_leaves_no_record_and_nothing_unfinished(
    sandbox: Sandbox, scratch: Path, number: signal.Signals
) -> None:
    with (scratch / "datasets" / "huge").open("wb") as file:
        file.truncate(20 << 30)
    unfinished = scratch / "hpcsubmit" / "data" / "unfinished"

    def is_written(path: Path) -> bool:
        try:
            return path.stat().st_size > 0
        except FileNotFoundError:  # a small archive, which is finished by now
            return False

    argv = [*HPCSUBMIT, "--data", "datasets"]
    with subprocess.Popen(
        argv, cwd=sandbox.project, env=sandbox.environ, stderr=subprocess.PIPE, text=True
    ) as packing:
        deadline = time.monotonic() + 120
        while not (unfinished.is_dir() and any(map(is_written, unfinished.iterdir()))):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        packing.send_signal(number)
        _, said = packing.communicate(timeout=120)
    assert packing.returncode == 130
    assert said.splitlines()[-1] == "interrupted"
    assert not any("packed " in line for line in said.splitlines())
    assert list(unfinished.iterdir()) == []
    assert list((scratch / "hpcsubmit" / "runs").iterdir()) == []
