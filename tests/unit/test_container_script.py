"""What a script hands to the engine: every mount, variable and word as it is, and no secret in an argv."""

from dataclasses import replace
from pathlib import Path

import pytest

from container_engine import PLAIN, SINGULARITY, Harbour
from hpcsubmit.request import Bind, Launcher

SHOW = """python3 -c 'import sys; print(ascii(sys.argv[1:]))' """
KEY = "0123456789abcdef-secret"
AWKWARD = (
    "two  words",
    "it's \"quoted\"",
    "$HOME ${PATH} $(touch injected)",
    "`touch injected`",
    "a;touch injected&b|c>d<e",
    "*?[a]{b,c}".replace(",", "."),
    "-n --help",
    "50% #1 =! ~",
    "Zoë",
)  # fmt: skip


@pytest.fixture
def harbour(tmp_path: Path) -> Harbour:
    return Harbour(tmp_path)


@pytest.mark.parametrize("name", AWKWARD)
def test_folders_of_any_name_are_mounted_word_for_word(tmp_path: Path, name: str) -> None:
    harbour = Harbour(tmp_path, name)
    mine = tmp_path / f"mine {name}"
    mine.mkdir()
    request = replace(PLAIN, binds=(Bind(mine, f"/in {name}", read_only=True),), workdir=f"/work {name}")
    start = harbour.start("true", request)
    assert start.binds[0] == [str(mine), f"/in {name}", "ro"]
    own = harbour.tmpdir / ".hpcsubmit-container"
    library = harbour.scratch / "hpcsubmit" / "runs" / "r20260131-235959-a2b3" / "python"
    assert start.mounted == {
        f"/in {name}": str(mine),
        str(harbour.project): str(harbour.project),
        str(harbour.scratch): str(harbour.scratch),
        str(library): str(library),
        str(harbour.tmpdir): str(harbour.tmpdir),
        str(harbour.engine.folder): f"{own}/home",
        f"/work {name}": f"{own}/work",
        "/tmp": f"{own}/tmp",
        "/var/tmp": f"{own}/tmp",
        "/db": f"{own}/db",
        "/data": f"{harbour.tmpdir}/data",
        "/scratch_storage": f"{harbour.scratch}/singularity_7",
    }
    assert (start.image, start.pwd) == (str(harbour.image), f"/work {name}")
    assert start.inside["source_dir"] == str(harbour.project)
    assert start.inside["HPCSUBMIT_WORKDIR"] == f"/work {name}"
    assert not list(tmp_path.rglob("injected"))


@pytest.mark.parametrize("place", ["{home}", "/tmp", "{project}/work"])
def test_a_workdir_in_place_of_an_empty_folder_is_mounted_there(harbour: Harbour, place: str) -> None:
    place = place.format(home=harbour.engine.folder, project=harbour.project)
    start = harbour.start("true", replace(PLAIN, workdir=place))
    assert (start.pwd, start.mounted[place]) == (place, f"{harbour.tmpdir}/.hpcsubmit-container/work")


def test_a_workdir_at_the_nodes_own_folder_is_refused_on_the_node(harbour: Harbour) -> None:
    place = str(harbour.tmpdir)
    made = harbour.plan("true", replace(PLAIN, workdir=f"{place}/."))
    for tmpdir in (place, f"{place}/"):
        assert harbour.engine.complaint(made, tmpdir, "prepare_container") == (
            f"--workdir {place} and SLURM_TMPDIR share one place in the container:"
            " write another folder, such as /workdir"
        )
    made = harbour.plan("true", replace(PLAIN, workdir=f"{place}/below"))
    assert harbour.engine.complaint(made, place, "prepare_container") == ""


@pytest.mark.parametrize("container_exec", [False, True])
def test_the_words_of_the_command_arrive_as_they_are(harbour: Harbour, container_exec: bool) -> None:
    command = SHOW + """'a  b' "" '*' "it's" '"' '$HOME' '`id`' -n -- é 'tab\t' "$LATER" *.txt"""
    for name in ("x.txt", "y z.txt"):
        (harbour.project / name).touch()
    said = harbour.output(command, replace(PLAIN, container_exec=container_exec), LATER="$HOME 'x'")
    words = ["a  b", "", "*", "it's", '"', "$HOME", "`id`", "-n", "--", "é", "tab\t", "$HOME 'x'"]
    assert said == f"{[*words, 'x.txt', 'y z.txt']!a}\n"


def test_the_command_goes_to_the_runscript_unless_it_is_to_be_started_itself(harbour: Harbour) -> None:
    assert harbour.start("true").words[-2:] == ["/.singularity.d/runscript", "true"]
    assert "/.singularity.d/runscript" not in harbour.start("true", replace(PLAIN, container_exec=True)).words


@pytest.mark.parametrize("value", [*AWKWARD, "two\nlines\n", "", " ", "back\\slash", "\x1b[1m", "a,b:c"])
def test_values_of_variables_arrive_as_they_are(harbour: Harbour, value: str) -> None:
    start = harbour.start("true", replace(PLAIN, pass_env=("MINE",)), MINE=value)
    assert start.inside["MINE"] == value
    assert start.environ["APPTAINER_NO_EVAL"] == start.environ["SINGULARITY_NO_EVAL"] == "1"


def test_variables_of_the_job_go_in_and_others_do_not(harbour: Harbour) -> None:
    passed = {
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": "0",
        "PMI_RANK": "3",
        "PMI_FD": "9",
        "PMIX_RANK": "3",
        "CUDA_VISIBLE_DEVICES": "0,1",
        "NCCL_DEBUG": "INFO",
        "OMP_NUM_THREADS": "2",
        "WANDB_MODE": "offline",
        "SEED": "5",
        "MASTER_ADDR": "10.0.0.1",
        "MASTER_PORT": "12345",
        "RANK": "1",
        "LOCAL_RANK": "1",
        "WORLD_SIZE": "4",
        "TORCH_HOME": "/x",
        "HPCSUBMIT_STAGGER": "0",
        "ASKED": "for",
    }
    kept_out = {"OTHER": "x", "LD_PRELOAD": "", "PYTHONHOME": "", "XDG_RUNTIME_DIR": "/run/user/1"}
    start = harbour.start("true", replace(PLAIN, pass_env=("ASKED", "UNSET")), **passed, **kept_out)
    promised = {
        "source_dir": str(harbour.project),
        "project_name": "gan",
        "scratch_dir": str(harbour.scratch),
        "exp_name": "",
        "SOURCE_DIR": str(harbour.project),
        "PROJECT_NAME": "gan",
        "SCRATCH_DIR": str(harbour.scratch),
        "EXP_NAME": "",
        "OUTPUT_DIR": str(harbour.scratch / "runs" / "r20260131-235959-a2b3"),
        "SLURM_TMPDIR": str(harbour.tmpdir),
        "SLURM_EXPORT_ENV": "ALL",
        "PYTHONUNBUFFERED": "1",
    }
    assert start.inside == passed | promised


def test_variables_with_the_names_of_the_scripts_own_go_in_as_they_are(harbour: Harbour) -> None:
    names = ("name", "names", "options", "own", "image", "last", "said", "should")
    values = {name: f"the user's {name}" for name in names}
    start = harbour.start("true", replace(PLAIN, pass_env=names), **values)
    assert {name: start.inside.get(name) for name in names} == values


def test_assignments_of_the_command_go_in(harbour: Harbour) -> None:
    said = harbour.output("LR='1e-3 $HOME' PYTHONPATH=src sh -c 'echo \"$LR|$PYTHONPATH\"'")
    library = harbour.scratch / "hpcsubmit" / "runs" / "r20260131-235959-a2b3" / "python"
    assert said == f"1e-3 $HOME|src:{library}\n"


def test_the_library_is_found_behind_the_images_own_packages(harbour: Harbour) -> None:
    library = harbour.scratch / "hpcsubmit" / "runs" / "r20260131-235959-a2b3" / "python"
    assert harbour.output("sh -c 'echo $PYTHONPATH'", PYTHONPATH="/of/the/login") == f"{library}\n"


def test_the_key_for_wandb_is_in_the_environment_and_in_no_argv(harbour: Harbour) -> None:
    keys = harbour.project / "wandb_credentials.txt"
    keys.write_text(f" {KEY}\n")
    made = harbour.plan("sh -c 'echo $WANDB_API_KEY'")
    start, said = harbour.engine.run(replace(made, wandb_key_file=keys), harbour.tmpdir, {})
    assert said == f"{KEY}\n"
    assert start.inside["WANDB_API_KEY"] == start.environ["APPTAINERENV_WANDB_API_KEY"] == KEY
    assert not any(KEY in word for word in start.argv)


@pytest.mark.parametrize(
    ("version", "prefix"),
    [
        ("apptainer version 1.4.5", "APPTAINERENV_"),
        (SINGULARITY, "SINGULARITYENV_"),
        ("singularity version 3.5.3", "SINGULARITYENV_"),
    ],
)
def test_variables_go_in_by_the_prefix_that_the_engine_knows(
    harbour: Harbour, version: str, prefix: str
) -> None:
    harbour.engine.install(version=version)
    start = harbour.start("true", SEED="5")
    assert {name for name in start.environ if name.endswith("ENV_SEED")} == {f"{prefix}SEED"}
    assert start.inside["SEED"] == "5"


def test_the_homes_own_netrc_is_seen_where_there_is_no_key(harbour: Harbour) -> None:
    netrc = harbour.engine.folder / ".netrc"
    netrc.touch()
    assert [str(netrc), str(netrc), "ro"] in harbour.start("true").binds
    assert not any(str(netrc) in bind for bind in harbour.start("true", WANDB_API_KEY=KEY).binds)


@pytest.mark.parametrize("target", ["/data", "/tmp", "/var/tmp", "/db", "/scratch_storage"])
def test_a_mount_of_the_users_takes_the_place_of_ours(harbour: Harbour, target: str) -> None:
    start = harbour.start("true", replace(PLAIN, binds=(Bind(Path("/usr"), target),)))
    assert [source for source, at, _ in start.binds if at == target] == ["/usr"]
    assert {target for _, target, _ in start.binds} > {"/data", "/tmp", "/var/tmp", "/db", "/scratch_storage"}


def test_the_project_is_seen_where_it_is_the_home_folder(harbour: Harbour) -> None:
    start = harbour.start("true", HOME=str(harbour.project))
    assert start.mounted[str(harbour.project)] == str(harbour.project)


@pytest.mark.parametrize(("tmpdir", "where"), [("", []), ("/etc", [["/etc", "/etc", "rw"]])])
def test_a_pmix_server_s_folder_is_mounted(harbour: Harbour, tmpdir: str, where: list[list[str]]) -> None:
    request = replace(PLAIN, launcher=Launcher.PMI)
    start = harbour.start("python3 --version", request, PMIX_SERVER_TMPDIR=tmpdir)
    assert [bind for bind in start.binds if bind[0] == "/etc"] == where


@pytest.mark.parametrize(("gpus", "contained"), [(1, True), (2, False)])
def test_several_containers_of_a_node_share_what_it_has(harbour: Harbour, gpus: int, contained: bool) -> None:
    start = harbour.start("python3 -c ''", replace(PLAIN, gpus=gpus, launcher=Launcher.LIGHTNING))
    flags = start.argv[3 : start.argv.index("--pwd")]
    contain = ["--contain"] if contained else []
    assert flags == ["--nv", "--cleanenv", "--no-home", *contain, "--writable-tmpfs"]
