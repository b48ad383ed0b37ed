"""The documentation tells the truth: its tables, links, commands, profiles and file names."""

import importlib
import itertools
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click
import pytest
import yaml

from container_engine import sif
from hpcsubmit.cli.group import LazyGroup
from hpcsubmit.container import FAMILIES
from sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)
FENCE = re.compile(r"^( *)```(\w*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SUBCOMMANDS = (
    "submit",
    "init",
    "status",
    "cancel",
    "clean",
    "stage",
    "env",
    "runs",
    "clusters",
    "container",
    "sweep",
    "gpus",
)


def blocks(page: Path, language: str) -> list[str]:
    """The fenced blocks of one language, without the indentation of the list that they stand in."""
    found = FENCE.findall(page.read_text("utf-8"))
    return [
        re.sub(f"^{indent}", "", text, flags=re.MULTILINE) for indent, name, text in found if name == language
    ]


def prose(page: Path) -> str:
    return FENCE.sub("", page.read_text("utf-8"))


def commands(page: Path) -> list[str]:
    """The lines behind a `$`, and the commands in the prose that begin with hpcsubmit."""
    lines = "".join(blocks(page, "console")).splitlines()
    assert all(line.startswith("$ ") for line in lines), page
    return [line[2:] for line in lines] + re.findall(r"`(hpcsubmit [^`]+)`", prose(page))


def hpcsubmit_arguments(command: str) -> list[str] | None:
    """What hpcsubmit gets in a line of bash; None where the line does not call it."""
    inner = re.sub(r"^\w+=\$\((.*)\)$", r"\1", command)
    words = shlex.split(re.sub(r" > \S+$", "", inner))
    return words[1:] if words[0] == "hpcsubmit" else None


SHOWN = sorted(
    {
        (page.name, command)
        for page in PAGES
        for command in commands(page)
        if hpcsubmit_arguments(command) is not None
    }
)


def anchors(page: Path) -> set[str]:
    """The names that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def yaml_examples() -> list[tuple[str, str]]:
    """The YAML blocks of all pages; each begins with a comment that names its file."""
    found = []
    for text in (text for page in PAGES for text in blocks(page, "yaml")):
        first, _, _ = text.partition("\n")
        found.append((first.removeprefix("# "), text))
    return found


def profile_examples() -> list[tuple[str, str]]:
    return [(place, text) for place, text in yaml_examples() if place.startswith("~/") or "profiles:" in text]


def application_examples() -> list[str]:
    return [text for place, text in yaml_examples() if place == "hpcsubmit.yaml" and "command:" in text]


def generate(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, str(folder / "docs" / "generate.py"), *arguments]
    return subprocess.run(argv, capture_output=True, text=True, timeout=60)


def test_the_generated_tables_are_up_to_date() -> None:
    done = generate(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_stale_table_is_found_and_written_anew(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "docs", tmp_path / "docs")
    shutil.copy(ROOT / "README.md", tmp_path)
    shutil.copytree(ROOT / "templates", tmp_path / "templates")
    readme = (tmp_path / "README.md").read_text("utf-8")
    (tmp_path / "README.md").write_text(readme.replace("GPUs per node. |", "Cows per node. |"), "utf-8")
    done = generate(tmp_path, "--check")
    assert (done.returncode, done.stderr) == (1, "README.md is not up to date: run python docs/generate.py\n")
    assert generate(tmp_path).returncode == 0
    assert (tmp_path / "README.md").read_text("utf-8") == readme


def test_a_stale_schema_is_found_and_written_anew(tmp_path: Path) -> None:
    for folder in ("docs", "templates"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copy(ROOT / "README.md", tmp_path)
    schema = tmp_path / "templates" / "hpcsubmit.schema.json"
    right = schema.read_text("utf-8")
    stale = "templates/hpcsubmit.schema.json is not up to date: run python docs/generate.py\n"
    for change in (
        lambda: schema.write_text(right.replace("GPUs per node.", "Cows."), "utf-8"),
        schema.unlink,
    ):
        change()
        done = generate(tmp_path, "--check")
        assert (done.returncode, done.stderr) == (1, stale)
        assert generate(tmp_path).returncode == 0
        assert schema.read_text("utf-8") == right


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", prose(page)):
        if re.match(r"https?://", target):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        assert not anchor or anchor in anchors(file), target


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_file_of_the_checkout_that_is_named_is_there(page: Path) -> None:
    for name in re.findall(r"`((?:templates|src|tests|examples)/[^`*]+)`", prose(page)):
        assert (ROOT / name).exists(), name


def test_the_page_on_templates_names_every_template() -> None:
    text = (ROOT / "docs" / "templates.md").read_text("utf-8")
    for path in (ROOT / "templates").rglob("*.j2"):
        assert f"`{path.relative_to(ROOT)}`" in text


def test_the_page_on_containers_names_every_family_of_variables_that_goes_in() -> None:
    text = (ROOT / "docs" / "containers.md").read_text("utf-8")
    named = re.search(r"whose names begin with (.*?)\. Others", text, re.DOTALL)
    assert named
    assert re.findall(r"`(.*?)`", named[1]) == [*FAMILIES]


def test_commands_are_found_in_the_pages() -> None:
    assert len(SHOWN) > 20


@pytest.mark.parametrize(("page", "command"), SHOWN)
def test_every_command_that_is_shown_is_right(page: str, command: str, sandbox: Sandbox) -> None:
    arguments = hpcsubmit_arguments(command) or []
    name = arguments.pop(0) if arguments and arguments[0] in SUBCOMMANDS else "submit"
    if "--version" in arguments or "--help" in arguments:
        assert sandbox.hpcsubmit(*arguments).code == 0
        return
    parser = importlib.import_module(f"hpcsubmit.cli.{name}").command
    if isinstance(parser, LazyGroup) and arguments:
        part = arguments.pop(0)
        name, parser = f"{name}_{part}", parser.get_command(click.Context(parser), part)
    options = parser.make_context("hpcsubmit", list(arguments)).params
    before = [] if name == "submit" else [name]
    if name in ("submit", "stage"):
        provide(sandbox, options.get("configs"))
        provide_data(sandbox, (*options["data"], *options.get("words", ())))
        provide_software(sandbox, arguments)
    if name == "stage" and not (options["words"] or options["data"] or options["listed"]):
        provide_data(sandbox, ["datasets"])
        sandbox.write("data: datasets\n", sandbox.project / "hpcsubmit.yaml")
    if options.get("env_on_node") or name == "env":
        shutil.rmtree(sandbox.project / "virtual_env")  # it would be the user's own
        sandbox.write("numpy\n", sandbox.project / "requirements.txt")
        provide(sandbox, None)
    if options.get("wandb_sweepid"):  # no server is there to say how many runs are left
        sandbox.environ["WANDB_API_KEY"] = "k" * 40
        (sandbox.project / "virtual_env/lib/python3.11/site-packages/wandb").mkdir(parents=True)
        arguments = [word for word in arguments if word not in ("--num-sweeps", "auto")]
        arguments += ["--num-sweeps", "8"]
    if name in ("submit", "stage", "env"):
        done = sandbox.hpcsubmit(*before, *arguments, *([] if options.get("listed") else ["--dry-run"]))
        assert (done.code, done.error) == (0, "")


def provide(sandbox: Sandbox, configs: Path | None) -> None:
    """Put what the pages speak of where they say it is: experiment files and the user's profiles."""
    if configs is not None:
        sandbox.write("python main.py\n", sandbox.project / configs)
    for place, text in profile_examples():
        if place.startswith("~/"):
            sandbox.write(text, sandbox.root / "home" / place.removeprefix("~/"))
    cedar = sandbox.root / "home/.config/hpcsubmit/profiles/cedar.yaml"
    cedar.unlink()  # it replaces the accounts that other commands name


def provide_software(sandbox: Sandbox, arguments: Sequence[str]) -> None:
    """Put images, what is mounted and conda environments where a command names them."""
    home = sandbox.root / "home"
    for option, value in itertools.pairwise(arguments):
        if option == "-s" and value.endswith(".sif"):
            sif(sandbox.project / value)
        elif option == "-s":
            (sandbox.project / value / "bin").mkdir(parents=True)
        elif option == "--bind" and value.startswith("~/"):
            (home / value.split(":")[0].removeprefix("~/")).mkdir()
        elif option == "--conda-env":
            env = home / "miniforge3/envs" / Path(value).name
            (env / "conda-meta").mkdir(parents=True)
            sandbox.write("", env / "bin/python")
            (env / "bin/python").chmod(0o755)


def provide_data(sandbox: Sandbox, words: Sequence[str]) -> None:
    """Put something at each path of --data."""
    for path in (path for word in words for path in word.split()):
        sandbox.write("data", sandbox.scratch / "gan" / path)


@pytest.mark.parametrize(("place", "text"), profile_examples(), ids=lambda value: value.split("\n")[0])
def test_every_profile_that_is_shown_is_one(place: str, text: str, sandbox: Sandbox) -> None:
    if place == "hpcsubmit.yaml":
        file, name = sandbox.project / place, "plai"
    else:
        assert place.startswith("~/.config/hpcsubmit/profiles/")
        file, name = sandbox.root / "home" / place.removeprefix("~/"), Path(place).stem
    sandbox.write(text, file)
    done = sandbox.hpcsubmit("clusters", "show", name)
    assert (done.code, done.stderr) == (0, "")
    assert str(file) in done.stdout


@pytest.mark.parametrize("text", application_examples())
def test_every_application_file_that_is_shown_is_one(text: str, sandbox: Sandbox) -> None:
    sandbox.write(text, sandbox.project / "hpcsubmit.yaml")
    sandbox.experiment.unlink()
    provide_data(sandbox, yaml.safe_load(text).get("data", []))
    for cluster in ("generic", "plai"):
        said = sandbox.hpcsubmit("--dry-run", "--cluster", cluster)
        assert (said.code, said.error) == (0, "")
