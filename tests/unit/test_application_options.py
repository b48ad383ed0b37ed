"""What hpcsubmit.yaml says of a submission, beside what is typed."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from application_values import EVERY_VALUE
from hpcsubmit.cli.application_keys import KEYS, keys_of
from hpcsubmit.cli.asked import COMMAND_LINE_ONLY, OPTIONS
from hpcsubmit.cli.settled import settled, settled_request
from hpcsubmit.cli.submit import command
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.experiment import Command
from hpcsubmit.host import Host
from hpcsubmit.place import look_around
from hpcsubmit.values import Memory
from sandbox import Sandbox


def settle(sandbox: Sandbox, text: str, *argv: str, cluster: str = "generic") -> dict[str, Any]:
    """The options of a command line in a project whose hpcsubmit.yaml holds this text."""
    sandbox.write(text, sandbox.project / "hpcsubmit.yaml")
    context = command.make_context("hpcsubmit", list(argv))
    place = look_around(sandbox.project, Host(environ=sandbox.environ), asked=cluster)
    return settled(dict(context.params), place, context)


def refused(sandbox: Sandbox, text: str, *argv: str) -> tuple[str, str]:
    """The message behind the file's path and the line, and the hint."""
    with pytest.raises(HpcSubmitError) as caught:
        settle(sandbox, text, *argv)
    assert caught.value.exit_code == 1
    path = str(sandbox.project / "hpcsubmit.yaml")
    assert caught.value.message.startswith(path)
    return re.sub(r"^, line [0-9]+", "", caught.value.message.removeprefix(path)), caught.value.hint


@pytest.mark.parametrize("key", EVERY_VALUE)
def test_a_key_is_read_as_its_option_reads_it(sandbox: Sandbox, key: str) -> None:
    given, wanted = EVERY_VALUE[key]
    container = "container: gan.sif\n" if key in ("workdir", "pass-env") else ""
    found = settle(sandbox, container + yaml.safe_dump({key: given}))
    assert found[str(KEYS[key].name)] == wanted


def test_every_key_has_a_value_here_or_below() -> None:
    own = {"configs", "singularity-container", "bind"}  # paths: see below
    assert {keys_of(option)[0] for option in KEYS.values()} == {*EVERY_VALUE} | own


def test_every_option_but_those_of_one_call_is_a_key_and_no_other() -> None:
    named = {option.name for option in KEYS.values()}
    assert named == {option.name for option in OPTIONS} - {*COMMAND_LINE_ONLY, "cluster"}
    assert len(KEYS) == sum(len(keys_of(option)) for option in {id(o): o for o in KEYS.values()}.values())


@pytest.mark.parametrize(
    ("key", "option"),
    [
        ("num_nodes", "num_nodes"),
        ("nodes", "num_nodes"),
        ("data_compress", "data_compress"),
        ("launcher", "which_distributed"),
        ("container", "singularity_container"),
        ("sweep", "wandb_sweepid"),
    ],
)
def test_other_spellings_mean_the_same_key(key: str, option: str, sandbox: Sandbox) -> None:
    value = {"data_compress": "gzip", "launcher": "srun", "container": "/x.sif", "sweep": "abc"}.get(key, 2)
    found = settle(sandbox, yaml.safe_dump({key: value}))
    assert str(found[option]) == str(value)


def test_what_is_typed_wins_even_where_it_is_the_default(sandbox: Sandbox) -> None:
    text = "gpus: 4\nnum-nodes: 2\ndata: [a, b]\ncollect-grace: 60\n"
    found = settle(sandbox, text, "--gpus", "1", "-d", "c", "--collect-grace=120")
    assert (found["gpus"], found["num_nodes"], found["data"], found["collect_grace"]) == (1, 2, ("c",), 120)


def test_a_part_for_the_chosen_cluster_wins_over_the_rest_of_the_file(sandbox: Sandbox) -> None:
    text = (
        "gpus: 4\ncpus: 8\naccount: def-x\nclusters:\n  cedar: {gpus: 2, account: null}\n  plai: {gpus: 3}\n"
    )
    generic = settle(sandbox, text)
    assert (generic["gpus"], generic["cpus"], generic["account"]) == (4, 8, "def-x")
    cedar = settle(sandbox, text, cluster="cedar")
    assert (cedar["gpus"], cedar["cpus"], cedar["account"]) == (2, 8, None)
    assert settle(sandbox, text, "-g", "1", cluster="cedar")["gpus"] == 1


def test_a_command_may_be_that_of_one_cluster(sandbox: Sandbox) -> None:
    sandbox.experiment.unlink()
    text = "command: python a.py\nclusters: {cedar: {command: python b.py}, plai: {configs: c.txt}}\n"
    found = settle(sandbox, text, cluster="cedar")["command"]
    assert isinstance(found, Command)
    assert (found.text, found.source) == ("python b.py", sandbox.project / "hpcsubmit.yaml")
    assert settle(sandbox, text)["command"].text == "python a.py"
    plai = settle(sandbox, text, cluster="plai")
    assert plai.get("command") is None
    assert plai["configs"] == sandbox.project / "c.txt"


def test_paths_of_the_file_begin_at_the_project(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/u")
    text = "container: gan.sif\nbind: [data:/data:ro, /scratch, ~/x]\nconfigs: a.txt\nconda-env: envs/torch\n"
    found = settle(sandbox, text)
    root = sandbox.project
    assert found["singularity_container"] == root / "gan.sif"
    assert [(str(b.source), b.target, b.read_only) for b in found["bind"]] == [
        (f"{root}/data", "/data", True),
        ("/scratch", "/scratch", False),
        ("/home/u/x", "/home/u/x", False),
    ]
    assert found["configs"] == root / "a.txt"
    assert found["conda_env"] == f"{root}/envs/torch"
    assert settle(sandbox, "container: ~/gan.sif\n")["singularity_container"] == Path("/home/u/gan.sif")


def test_from_below_the_project_paths_still_begin_at_the_project(sandbox: Sandbox) -> None:
    below = sandbox.project / "src"
    below.mkdir()
    sandbox.write("python other.py\n", sandbox.project / "a.txt")
    sandbox.write("configs: a.txt\n", sandbox.project / "hpcsubmit.yaml")
    assert "python other.py" in sandbox.hpcsubmit("--dry-run", cwd=below).stdout


PUT_ASIDE = [
    ("mem-per-gpu: 3G", ("--mem", "5G"), {"mem_per_gpu": None}),
    ("mem: 3G", ("-m", "5G"), {"mem": None}),
    ("no-env: true", ("--conda-env", "torch"), {"no_env": False}),
    ("env-on-node: true", ("--no-env",), {"env_on_node": False}),
    ("seeds: [3, 4]", ("--repeat", "5"), {"seeds": None}),
    ("repeat: 5", ("-w", "abc"), {"repeat": None}),
    ("sweep: abc\nnum-sweeps: 5\ntrial-gpus: 2", ("--repeat", "5"), {"num_sweeps": None, "trial_gpus": 1}),
    ("env-on-node: true", ("-s", "x.sif"), {"env_on_node": False}),
    ("container: x.sif\nbind: [/a]\nworkdir: /w", ("--no-env",), {"singularity_container": None, "bind": ()}),
    ("container: x.sif\npass-env: A", ("--env-on-node",), {"singularity_container": None, "pass_env": ()}),
]


@pytest.mark.parametrize(("text", "argv", "wanted"), PUT_ASIDE)
def test_what_is_typed_puts_aside_what_cannot_stand_beside_it(
    sandbox: Sandbox, text: str, argv: tuple[str, ...], wanted: dict[str, Any]
) -> None:
    found = settle(sandbox, text, *argv)
    assert {name: found[name] for name in wanted} == wanted


def test_a_container_that_is_typed_keeps_the_mounts_of_the_file(sandbox: Sandbox) -> None:
    found = settle(sandbox, "container: x.sif\nbind: [/a]\nconda-env: torch\n", "-s", "y.sif")
    assert (str(found["singularity_container"]), len(found["bind"]), found["conda_env"]) == (
        "y.sif",
        1,
        "torch",
    )


def test_a_cluster_takes_back_the_container_and_its_mounts(sandbox: Sandbox) -> None:
    text = "container: x.sif\nbind: [/a]\nmem: 3G\nclusters: {generic: {container: null, mem-per-gpu: 1G}}\n"
    found = settle(sandbox, text)
    assert (found["singularity_container"], found["bind"]) == (None, ())
    assert (found["mem"], found["mem_per_gpu"]) == (None, Memory.parse("1G"))


WRONG = {
    "tim: 3": (" has an unknown key 'tim'", "did you mean time?"),
    "clustre: plai": (" has an unknown key 'clustre'", "did you mean cluster?"),
    "comand: python a.py": (" has an unknown key 'comand'", "did you mean command?"),
    "1: 2": (" has an unknown key '1'", "did you mean "),
    "dry-run: true": (" has the key 'dry-run', which is for the command line alone", "type --dry-run there"),
    "clusters: {plai: {gpu: 2}}": (", clusters.plai has an unknown key 'gpu'", "did you mean "),
    "clusters: {plai: {cluster: x}}": (", clusters.plai has an unknown key 'cluster'", "did you mean "),
    "clusters: {pla: {gpus: 2}}": (
        ", clusters: there is no cluster profile 'pla'",
        "did you mean plai? hpcsubmit clusters lists them",
    ),
    "clusters: {plai: {gpus: 0}}": (", clusters.plai: 'gpus' cannot be 0", "write --gpus 2, say"),
    "gpus: 1.5": (": 'gpus' cannot be 1.5: --gpus '1.5' is not a number", "write --gpus 2, say"),
    "gpus: true": (": 'gpus' is True for YAML", "write it in quotes if it is a text"),
    "gpus: [1, 2]": (": 'gpus' cannot be [1, 2]", "write one value, gpus: VALUE"),
    "num-nodes: 1\nnum_nodes: 2": (
        ": 'num_nodes' and 'num-nodes' are one key in two spellings",
        "keep one of them",
    ),
    "time: 1:00:00": (
        ": 'time' is 3600 for YAML, which reads 1:00:00 without quotes as a number",
        'write the time in quotes: time: "00-01:00:00"',
    ),
    "time: 60": (": 'time' is 60 for YAML", "write the time in quotes"),
    "time: 1h": (": 'time' cannot be '1h': '1h' is not a time", "write days-hours:minutes:seconds"),
    "mem: 10": (": 'mem' cannot be 10: '10' is not an amount of memory", "write 10G"),
    "mem: 10 GB": (": 'mem' cannot be '10 GB'", "write 10G"),
    "mem: 1G\nmem-per-gpu: 1G": (": 'mem' and 'mem-per-gpu' exclude each other", "keep one of them"),
    "repeat: 3\nsweep: abc": (": 'repeat' and 'sweep' exclude each other", "keep one of them"),
    "seeds: [1, a]": (": 'seeds' cannot be '1,a'", "write whole numbers with commas"),
    "seeds: [1, [2]]": (": 'seeds' cannot be [2]", "write one value, seeds: VALUE"),
    "num-sweeps: some": (": 'num-sweeps' cannot be 'some'", "write --num-sweeps 2, say"),
    "no-env: true\nconda-env: a": (": 'no-env' and 'conda-env' exclude each other", "keep one of them"),
    "launcher: torch": (": 'launcher' cannot be 'torch'", "did you mean torchrun?"),
    "data-compress: gzp": (": 'data-compress' cannot be 'gzp'", "did you mean gzip?"),
    "exp-name: yes": (": 'exp-name' is True for YAML", 'write it in quotes if it is a text: exp-name: "..."'),
    "exp-name: 1.10": (": 'exp-name' is 1.1 for YAML", "write it in quotes"),
    "account: 2026-01-01": (": 'account' is datetime.date(2026, 1, 1) for YAML", "write it in quotes"),
    "no-env: 3": (": 'no-env' cannot be 3", "write no-env: true, or false"),
    "data: {a: b}": (": 'data' cannot be {'a': 'b'}", "write a list of texts, data: [a, b]"),
    "data: [[a]]": (": 'data' cannot be ['a']", "write a list of texts, data: [a, b]"),
    "collect: /etc": (": 'collect' cannot be '/etc'", "write a path below $SLURM_TMPDIR"),
    "bind: [a:b]": (": 'bind' cannot be 'a:b'", "write SRC, SRC:DST or SRC:DST:ro"),
    "sbatch-arg: [--time=3]": (": 'sbatch-arg' cannot be '--time=3'", "use hpcsubmit's own --time"),
    "container: ''": (": 'container' cannot be ''", "give a .sif file or a sandbox folder"),
    "configs: ''": (": 'configs' cannot be ''", "give the file that holds the command"),
    "conda-env: 'a\x07'": ("is not YAML", "check its indentation"),
    'conda-env: "a\\0b"': (": 'conda-env' cannot be 'a\\x00b'", "write UTF-8 text on one line"),
    "pass-env: A=1": (": 'pass-env' cannot be 'A=1'", "write the name of a variable"),
    "command: [python, a.py]": (
        ": 'command' cannot be ['python', 'a.py']",
        "write command: python main.py --lr 0.1, say",
    ),
    "command: ''": (": there is no command in it", "write the command into it"),
    "command: main.py": ("main.py is not a program", "write python before it: python main.py"),
    "command: a | b": ("a pipe (|)", "put it in a script"),
    "command: python a.py\nconfigs: a.txt": (": 'command' and 'configs' exclude each other", "keep one"),
}


@pytest.mark.parametrize("text", WRONG)
def test_a_mistake_is_named_with_the_file_the_key_and_the_cure(sandbox: Sandbox, text: str) -> None:
    message, hint = WRONG[text]
    said = refused(sandbox, text)
    assert message in said[0]
    assert hint in said[1]


LINES = {
    "# a\ngpus: 2\ncpus: 0\n": "line 3: 'cpus' cannot be 0",
    "clusters:\n  plai:\n    gpus: 2\n    gpu: 3\n": "line 4, clusters.plai has an unknown key 'gpu'",
    "gpus: 2\nclusters:\n  pla:\n    gpus: 2\n": "line 3, clusters: there is no cluster profile 'pla'",
    "mem: 1G\n\nmem_per_gpu: 1G\n": "line 3: 'mem' and 'mem_per_gpu' exclude each other",
    "gpus: 2\ncommand: a | b\n": "line 2: a pipe (|)",
    "command: |\n  python a.py\n  python b.py\n": "line 3: a second command",
    "gpus: 1\nclusters:\n  plai:\n    command: 'a.py'\n": "line 4: a.py is not a program",
    "gpus: 1\ncpus: 2\ngpus: 3\n": "line 3: the key 'gpus' is in line 1 already",
}


@pytest.mark.parametrize("text", LINES)
def test_a_mistake_is_named_with_its_line(sandbox: Sandbox, text: str) -> None:
    sandbox.write(text, sandbox.project / "hpcsubmit.yaml")
    assert sandbox.refuses().error.startswith(f"{sandbox.project}/hpcsubmit.yaml, {LINES[text]}")


def test_a_mistake_is_two_lines_and_nothing_is_made(sandbox: Sandbox) -> None:
    sandbox.write("gpus: 0\n", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.refuses()
    assert "'gpus' cannot be 0" in said.error
    assert said.hint == "write --gpus 2, say"


def test_a_clash_of_what_is_typed_with_the_file_names_the_file(sandbox: Sandbox) -> None:
    sandbox.write("mem: 3G\n", sandbox.project / "hpcsubmit.yaml")
    context = command.make_context("hpcsubmit", [])
    place = look_around(sandbox.project, Host(environ=sandbox.environ), asked="generic")
    options = dict(context.params) | {"follow": True, "parsable": True}
    with pytest.raises(HpcSubmitError) as caught:
        settled_request(options, place, context)
    assert caught.value.exit_code == 1
    assert str(sandbox.project / "hpcsubmit.yaml") in caught.value.message


def test_mistakes_of_the_command_line_come_first(sandbox: Sandbox) -> None:
    sandbox.write("gpus: 0\n", sandbox.project / "hpcsubmit.yaml")
    said = sandbox.refuses("--mem", "1G", "--mem-per-gpu", "1G", code=2)
    assert said.error == "--mem and --mem-per-gpu exclude each other"
