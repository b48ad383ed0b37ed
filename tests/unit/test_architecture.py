"""The shape of the code: who may import whom, one door to each outside thing, and what a start loads."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import hpcsubmit
from sandbox import Sandbox

SOURCE = Path(hpcsubmit.__file__).parent

# A module imports only from the lines below its own: modules on one line know nothing of each other.
ORDER = """
__main__
cli
in_use node_answers standing follow_array
submit follow history node_cleaning starting
prepare
sweeps
environments containers gpus
staging
array_status
wandb_key queue limits run place
record scheduler folders
host
running
page
render
plan
remarks
context
image
trials inner_launcher
launch array node_disks resources virtualenv container
clusters
profile project conda
request job_status
wandb_sweep sweep_file
experiment application
slurm shellwords written
values yaml_file seeds
cache
frozen
errors
comm trial __init__
"""
LEVELS = {name: number for number, line in enumerate(ORDER.split("\n")) for name in line.split()}
LOCAL = "local"
"""The embedded cluster: started as Slurm's commands are, so nobody imports it, and it needs little."""


def modules() -> dict[str, ast.Module]:
    """Every module below src, by its dotted name without `hpcsubmit.`."""
    paths = sorted(SOURCE.rglob("*.py"))
    return {
        ".".join(path.relative_to(SOURCE).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
        for path in paths
    }


MODULES = modules()


def imports(tree: ast.Module) -> Iterator[str]:
    """The full names of what a module imports, anywhere in it; `from x import y` gives x.y."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def part(module: str) -> str:
    """The part of the order that a module belongs to: itself, or its package."""
    return module.split(".")[0]


def own_imports(tree: ast.Module) -> set[str]:
    """The parts of hpcsubmit that a module imports."""
    found = (name.split(".") for name in imports(tree) if name.split(".")[0] == "hpcsubmit")
    return {names[1] if len(names) > 1 and names[1] in (*LEVELS, LOCAL) else "__init__" for names in found}


def users(*outside: str) -> set[str]:
    """The modules that import any of these outside packages."""
    return {
        name
        for name, tree in MODULES.items()
        if any(found.split(".")[0] in outside for found in imports(tree))
    }


def calls(tree: ast.Module) -> set[str]:
    """The names of what a module calls, `sys.exit` as it stands."""
    return {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}


def test_every_module_has_its_place_in_the_order() -> None:
    assert {part(name) for name in MODULES} == {*LEVELS, LOCAL}


def test_a_module_imports_only_what_stands_below_it() -> None:
    wrong = [
        f"{name} imports {target}"
        for name, tree in MODULES.items()
        if part(name) != LOCAL
        for target in own_imports(tree)
        if target != part(name) and (target == LOCAL or LEVELS[target] <= LEVELS[part(name)])
    ]
    assert wrong == []


def test_the_embedded_cluster_needs_nothing_of_ours_but_the_errors() -> None:
    found = {target for name, tree in MODULES.items() if part(name) == LOCAL for target in own_imports(tree)}
    assert found <= {LOCAL, "errors"}


def test_only_the_command_line_imports_click() -> None:
    assert {part(name) for name in users("click")} == {"cli"}


def test_only_the_two_renderers_import_jinja2() -> None:
    # One quotes for bash and one for HTML: in one environment a template could be printed by the wrong rule.
    assert users("jinja2", "markupsafe") == {"render", "page"}


def test_only_yaml_file_imports_yaml() -> None:
    assert users("yaml") == {"yaml_file"}


def test_only_host_and_the_embedded_cluster_start_processes() -> None:
    starters = ("subprocess", "multiprocessing", "asyncio", "pty", "concurrent")
    assert {name for name in users(*starters) if part(name) != LOCAL} == {"host", "trial"}  # trial: in a job
    spawning = ("os.posix_spawn", "os.fork", "os.exec", "os.spawn", "os.system", "os.popen", "os.kill")
    found = {name for name, tree in MODULES.items() for call in calls(tree) if call.startswith(spawning)}
    assert {part(name) for name in found} <= {"running", LOCAL}
    answers = {"hpcsubmit.running.Completed", "hpcsubmit.running.CommandTimedOut"}
    # Data are packed by copies of the process, and sent through a compressor: work, not commands.
    answers |= {"hpcsubmit.running.Workers", "hpcsubmit.running.Filter"}
    others = [tree for name, tree in MODULES.items() if name != "host"]
    assert {found for tree in others for found in imports(tree) if ".running." in found} <= answers


def test_nothing_imports_what_takes_long_to_load() -> None:
    found = users("wandb", "torch", "pytorch_lightning", "lightning", "numpy", "sklearn", "rich")
    # These run in other Pythons, the jobs' own and one with wandb, and import them where they use them.
    assert found == {"comm", "sweeps.client", "sweeps.sync_client"}
    assert not [name for name, tree in MODULES.items() if "comm" in own_imports(tree)]
    client = ("hpcsubmit.sweeps.client", "hpcsubmit.sweeps.sync_client")
    assert not [name for name, tree in MODULES.items() if any(it.startswith(client) for it in imports(tree))]


def test_a_plain_install_brings_all_that_is_imported() -> None:
    outside = {name.split(".")[0] for tree in MODULES.values() for name in imports(tree)}
    outside -= {"pynvml"}  # of the extra `gpus`: nvidia-smi is asked without it
    outside -= {"torch", "mpi4py", "wandb"}  # of the job's own environment
    assert outside - sys.stdlib_module_names == {"hpcsubmit", "click", "jinja2", "markupsafe", "yaml"}
    assert users("pynvml") == {"gpus.nvml"}


def test_only_a_main_ends_the_process_and_nothing_prints() -> None:
    enders = {
        name for name, tree in MODULES.items() if calls(tree) & {"sys.exit", "exit", "os._exit", "quit"}
    }
    # A forked child that could not become the program has no other way to end; comm is a program in jobs too.
    assert enders <= {"__main__", "comm", "running", "local.__main__", "local.processes"}
    assert {name for name, tree in MODULES.items() if "print" in calls(tree)} == set()


# Counts what the process opens: Python tells an audit hook of every attempt, of .pyc files and folders too,
# and of the shared libraries that it imports. What was loaded before the hook is counted by its modules.
COUNTING = """
import json, sys
count = sum(1 for module in sys.modules.values() if getattr(module, "__file__", None))
seen = {}

def hook(event, args):
    global count
    if event in ("open", "os.listdir", "os.scandir") or (event == "import" and args[1]):
        count += 1
    elif event in ("os.posix_spawn", "subprocess.Popen") and "sbatch" in str(args[0]):
        seen.setdefault("opened", count)
        seen.setdefault("modules", sorted(sys.modules))

sys.addaudithook(hook)
from hpcsubmit.cli.main import run
seen["code"] = run([])
print(json.dumps(seen), file=sys.stderr)
"""


def test_a_submission_opens_few_files_and_loads_nothing_heavy_until_sbatch_is_entered(
    sandbox: Sandbox,
) -> None:
    for _ in range(2):  # the first run writes .pyc files and the cache
        done = subprocess.run(
            [sys.executable, "-P", "-c", COUNTING],
            cwd=sandbox.project,
            env=sandbox.environ,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=60,
        )
    assert done.stdout == "Submitted batch job 4242\n", done.stderr
    seen = json.loads(done.stderr.splitlines()[-1])
    assert seen["code"] == 0
    heavy = {
        "wandb",
        "torch",
        "rich",
        "asyncio",
        "multiprocessing",
        "yaml",
        "concurrent",
        "numpy",
        "ssl",
        "difflib",
    }
    assert heavy & set(seen["modules"]) == set()
    # The interpreter's own start and what shared libraries need open some 50 more, which no hook sees (strace
    # counts 240 where this counts 184): together at most 300.
    assert seen["opened"] <= 240


def test_every_folder_of_tests_is_run_by_nox() -> None:
    tests = Path(__file__).parents[1]
    named = (tests.parent / "noxfile.py").read_text("utf-8")
    folders = {path.parent.name for path in tests.glob("*/test_*.py")}
    assert [folder for folder in folders if f"tests/{folder}" not in named] == []
