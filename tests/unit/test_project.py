"""Finding the project, its configuration and its experiment file."""

from pathlib import Path

import pytest

from sandbox import Sandbox

EXPERIMENT = "experiment_configurations.txt"


def test_outside_a_project_the_hint_says_where_to_put_the_file(sandbox: Sandbox) -> None:
    elsewhere = sandbox.root / "home" / "elsewhere"
    elsewhere.mkdir()
    for argv in ((), ("-C", str(sandbox.experiment)), ("--dry-run",), ("submit",)):
        said = sandbox.refuses(*argv, cwd=elsewhere)
        assert said.error.startswith(f"no project here: neither {elsewhere} nor a folder above it holds")
        assert f"into {EXPERIMENT} in your project's folder" in said.hint


def test_the_project_is_the_first_folder_upwards_that_holds_the_file(sandbox: Sandbox) -> None:
    below = sandbox.project / "src" / "deep"
    below.mkdir(parents=True)
    assert f"#SBATCH --chdir={sandbox.project}\n" in sandbox.hpcsubmit("--dry-run", cwd=below).stdout


def test_a_folder_named_hpc_files_is_never_the_project(sandbox: Sandbox) -> None:
    inner = sandbox.project / "hpc_files"
    inner.mkdir()
    sandbox.experiment.rename(inner / EXPERIMENT)
    assert f"#SBATCH --chdir={sandbox.project}\n" in sandbox.hpcsubmit("--dry-run", cwd=inner).stdout
    (inner / "hpc_files").mkdir()
    (inner / EXPERIMENT).rename(inner / "hpc_files" / EXPERIMENT)
    assert "no project here" in sandbox.refuses(cwd=inner / "hpc_files").error


def test_a_project_inside_hpc_files_inside_a_project_is_itself(sandbox: Sandbox) -> None:
    inner = sandbox.project / "hpc_files" / "vae"
    sandbox.write("python vae.py\n", inner / "hpc_files" / EXPERIMENT)
    (inner / "virtual_env").symlink_to(sandbox.project / "virtual_env")
    said = sandbox.hpcsubmit("--dry-run", cwd=inner / "hpc_files")
    assert f"#SBATCH --chdir={inner}\n" in said.stdout
    assert "--job-name=standard-vae" in said.stdout


def test_a_symlinked_project_keeps_the_name_that_the_user_sees(sandbox: Sandbox) -> None:
    link = sandbox.root / "home" / "vae"
    link.symlink_to(sandbox.project)
    seen = sandbox.environ | {"PWD": str(link)}
    assert f"#SBATCH --chdir={link}\n" in sandbox.hpcsubmit("--dry-run", cwd=link, environ=seen).stdout
    assert sandbox.hpcsubmit(cwd=link, environ=seen).code == 0
    assert (sandbox.scratch / "vae" / "hpcsubmit" / "runs").is_dir()
    assert "4242" in sandbox.hpcsubmit("runs", cwd=link, environ=seen).stdout
    lying = sandbox.environ | {"PWD": str(sandbox.root)}
    assert f"#SBATCH --chdir={sandbox.project}\n" in sandbox.hpcsubmit("--dry-run", environ=lying).stdout


def test_the_singular_file_name_is_an_error_that_names_the_plural(sandbox: Sandbox) -> None:
    singular = sandbox.project / "experiment_configuration.txt"
    sandbox.experiment.rename(singular)
    said = sandbox.refuses()
    assert said.error.startswith("no project here")
    assert said.hint == f"rename {singular} to {EXPERIMENT} (plural)"
    sandbox.write("", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.refuses()
    assert said.error == f"there is no {sandbox.experiment}"
    assert said.hint == f"rename {singular} to {EXPERIMENT} (plural)"


def test_a_relative_experiment_file_is_looked_up_here_then_in_the_project_then_in_hpc_files(
    sandbox: Sandbox,
) -> None:
    here = sandbox.project / "src"
    places = (here, sandbox.project, sandbox.project / "hpc_files")
    for number, place in enumerate(places):
        sandbox.write(f"python main.py {number}\n", place / "other.txt")
    for number, place in enumerate(places):
        assert (
            f"python main.py {number}" in sandbox.hpcsubmit("--dry-run", "-C", "other.txt", cwd=here).stdout
        )
        (place / "other.txt").unlink()
    said = sandbox.refuses("-C", "other.txt", cwd=here)
    assert said.error == "there is no experiment file other.txt"
    assert said.hint == f"looked in {here}, {sandbox.project} and its hpc_files/"


BAD_EXPERIMENTS = {
    "": ("there is no command in it", "write the command into it"),
    "# only a comment\n\n": ("there is no command in it", "write the command into it"),
    "python a.py\npython b.py\n": ("line 2: a second command", "put the commands in a script"),
    "python 'a.py\n": ("line 1: ' is never closed", "add a closing '"),
    'python "a.py\n': ('line 1: " is never closed', 'add a closing "'),
    "main.py --train\n": ("line 1: main.py is not a program", "write python before it: python main.py"),
    "python a.py | tee log\n": ("line 1: a pipe (|)", "put it in a script"),
    "python a.py && b\n": ("line 1: an & (a second command)", "put it in a script"),
    "python $(date)\n": ("line 1: a command in $(...)", "put it in a script"),
    "A=1\n": ("line 1: variables are set for no program", "write the program behind"),
    "python a\x00b\n": ("a control character", "delete it"),
}


def test_a_wrong_experiment_file_is_named_with_its_line_and_nothing_is_made(sandbox: Sandbox) -> None:
    for text, (error, hint) in BAD_EXPERIMENTS.items():
        sandbox.write(text)
        said = sandbox.refuses()
        assert said.error.startswith(str(sandbox.experiment)), text
        assert error in said.error, text
        assert hint in said.hint, text


def test_an_experiment_file_that_is_no_file_is_an_error(sandbox: Sandbox) -> None:
    said = sandbox.refuses("-C", "/dev/zero")
    assert said.error == "there is no experiment file /dev/zero"
    sandbox.experiment.write_bytes(b"python caf\xe9.py\n")
    assert sandbox.refuses().error == f"{sandbox.experiment}, line 1: not UTF-8 text"
    sandbox.experiment.write_bytes(b"a" * 1_000_001)
    assert sandbox.refuses().error == f"{sandbox.experiment} is larger than 1000000 bytes"
    sandbox.experiment.unlink()
    sandbox.experiment.symlink_to(sandbox.experiment.name)
    assert sandbox.refuses().error.startswith("no project here")


AWKWARD = [
    "a b",
    "50% done",
    "it's",
    'the "gan"',
    "Zoë's gän",
    "日本語",
    "$HOME",
    "a;b",
    "-rf",
    "#1",
    "[x]*",
    "~",
    "100%%j",
]


def test_projects_with_awkward_names_work(sandbox: Sandbox) -> None:
    for name in AWKWARD:
        project = sandbox.root / "home" / name
        sandbox.write("python main.py\n", project / EXPERIMENT)
        (project / "virtual_env").symlink_to(sandbox.project / "virtual_env")
        said = sandbox.hpcsubmit(cwd=project)
        assert (said.code, said.stdout) == (0, "Submitted batch job 4242\n"), (name, said)
        script = (sandbox.root / "submitted.sh").read_text("utf-8")
        found = {
            line.partition("=")[0]: line.partition("=")[2].removeprefix('"').removesuffix('"')
            for line in script.splitlines()
            if line.startswith("#SBATCH")
        }
        escaped = name.replace('"', '\\"')
        assert found["#SBATCH --chdir"] == f"{sandbox.root}/home/{escaped}"
        assert found["#SBATCH --job-name"] == f"standard-{escaped}"
        log = f"{sandbox.scratch}/{escaped.replace('%', '%%')}/hpc_outputs/standard_%j.out"
        assert found["#SBATCH --output"] == log
        assert (sandbox.scratch / name / "hpc_outputs").is_dir()
        argv = (sandbox.root / "sbatch.argv").read_text("utf-8").splitlines()[-1]
        assert argv.startswith(f"{sandbox.scratch}/{name}/hpcsubmit/runs/")


@pytest.mark.parametrize("name", ["a\nb", "a\\b", "a\rb", b"caf\xe9"])
def test_a_newline_a_backslash_or_other_bytes_in_the_projects_path_are_refused(
    sandbox: Sandbox, name: str | bytes
) -> None:
    project = (
        sandbox.root / "home" / (name if isinstance(name, str) else name.decode(errors="surrogateescape"))
    )
    sandbox.write("python main.py\n", project / EXPERIMENT)
    said = sandbox.refuses(cwd=project)
    assert said.error.startswith("the path of the project folder holds ")
    assert said.hint == "rename the folder or file"


def test_the_root_folder_is_no_project(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit(cwd=Path("/"))
    assert said.code == 1
    assert said.error.startswith(("no project here", "the root folder / cannot be a project"))


CONFIGURATIONS = {
    "clustre: plai": ("has an unknown key 'clustre'", "did you mean cluster?"),
    "profile: {}": ("has an unknown key 'profile'", "did you mean profiles?"),
    "1: 2": ("has an unknown key '1'", "did you mean "),
    "cluster: 3": ("'cluster' cannot be 3", "write cluster: NAME"),
    "cluster: no": ("'cluster' cannot be False", "write cluster: NAME"),
    "clusters: [plai]": ("'clusters' cannot be ['plai']", "write clusters: {NAME: {key: value}}"),
    "clusters: {plai: 2}": ("'clusters.plai' cannot be 2", "write clusters: {plai: {gpus: 2}}, say"),
    "clusters: {3: {gpus: 2}}": ("3 cannot name a profile", "quotes around a number"),
    "profiles: [plai]": ("'profiles' cannot be ['plai']", "write profiles: {NAME: {field: value}}"),
    "profiles: {3: {account: x}}": ("3 cannot name a profile", "quotes around a number"),
    "profiles: {a/b: {account: x}}": ("'a/b' cannot name a profile", "use letters"),
    "profiles: {generic: x}": ("profiles.generic holds no profile fields", "write one 'field: value' a line"),
    "profiles: {generic: {acount: x}}": (
        "profiles.generic: a profile has no field 'acount'",
        "did you mean account?",
    ),
    "- cluster": ("holds no 'key: value' lines", "write command: python main.py, say"),
    "cluster: a: b": ("line 1 is not YAML", "check its indentation"),
    "cluster: [": ("is not YAML", "check its indentation"),
    "cluster: !!python/object:os.system x": ("line 1 is not YAML", "check its indentation"),
}


def test_a_wrong_configuration_is_named_with_its_file_and_the_nearest_key(sandbox: Sandbox) -> None:
    path = sandbox.project / "hpcsubmit.yaml"
    for text, (error, hint) in CONFIGURATIONS.items():
        sandbox.write(text, path)
        said = sandbox.refuses()
        assert said.error.startswith(str(path)), text
        assert error in said.error, text
        assert hint in said.hint, text


@pytest.mark.parametrize("text", ["", "{}", "# nothing yet\n", "cluster:\nprofiles:\n"])
def test_an_empty_configuration_says_nothing(sandbox: Sandbox, text: str) -> None:
    sandbox.write(text, sandbox.project / "hpcsubmit.yaml")
    assert sandbox.hpcsubmit("--dry-run").code == 0


def test_a_link_to_hpc_files_leads_to_its_project(sandbox: Sandbox) -> None:
    (sandbox.project / "hpc_files").mkdir()
    link = sandbox.root / "home" / "jobs"
    link.symlink_to(sandbox.project / "hpc_files")
    said = sandbox.hpcsubmit("--dry-run", cwd=link)
    assert f"--chdir={sandbox.project}\n" in said.stdout


@pytest.mark.parametrize("place", ["", "hpc_files/"])
def test_the_other_suffix_is_an_error_that_names_the_file(sandbox: Sandbox, place: str) -> None:
    sandbox.experiment.unlink()
    path = sandbox.project / f"{place}hpcsubmit.yml"
    sandbox.write("command: python main.py\n", path)
    (sandbox.project / "src").mkdir()
    said = sandbox.refuses(cwd=sandbox.project / "src")
    assert said.error.startswith("no project here: neither ")
    assert said.hint == f"rename {path} to hpcsubmit.yaml"


def test_beside_the_right_name_the_other_suffix_is_no_reason(sandbox: Sandbox) -> None:
    sandbox.experiment.unlink()
    for name in ("hpcsubmit.yml", "hpcsubmit.yaml"):
        sandbox.write("gpus: 2\n", sandbox.project / name)
    assert sandbox.refuses().hint.startswith("write your command")


def test_the_hint_finds_the_singular_name_above(sandbox: Sandbox) -> None:
    sandbox.experiment.rename(sandbox.project / "experiment_configuration.txt")
    (sandbox.project / "src").mkdir()
    said = sandbox.refuses(cwd=sandbox.project / "src")
    assert (
        said.hint
        == f"rename {sandbox.project}/experiment_configuration.txt to experiment_configurations.txt (plural)"
    )
