"""`hpcsubmit init`: the first hpcsubmit.yaml of a project."""

import json
import os
import re
from pathlib import Path

import pytest

from container_engine import sif
from hpcsubmit.profile import Profile
from hpcsubmit.starting.found import Found, look
from hpcsubmit.starting.text import starting_text
from sandbox import Sandbox

MAIN = 'if __name__ == "__main__":\n    pass\n'
SWEEP = "method: grid\nparameters:\n  lr: {values: [1, 2]}\n"


@pytest.fixture
def bare(sandbox: Sandbox) -> Sandbox:
    """A project's folder without an experiment file and without an environment."""
    sandbox.experiment.unlink()
    (sandbox.project / "virtual_env").rename(sandbox.root / "venv")
    return sandbox


def put(sandbox: Sandbox, **files: str) -> None:
    for name, text in files.items():
        sandbox.write(text, sandbox.project / name.replace("__", "."))


def found(sandbox: Sandbox) -> Found:
    return look(sandbox.project)


def test_an_empty_folder_gets_a_file_to_fill_in(bare: Sandbox) -> None:
    mask = os.umask(0o022)
    try:
        said = bare.hpcsubmit("init")
    finally:
        os.umask(mask)
    path = bare.project / "hpcsubmit.yaml"
    assert (said.code, said.stdout) == (0, f"{path}\n")
    assert said.stderr == "look at it, then at what it does: hpcsubmit --dry-run\n"
    text = path.read_text("utf-8")
    assert "# The command, as you type it. No program was found: put yours in place of main.py.\n" in text
    assert "\ncommand: python main.py\n" in text
    assert path.stat().st_mode & 0o044


def test_a_program_is_found_by_its_name(bare: Sandbox) -> None:
    put(bare, train__py="", main__py=MAIN, other__py=MAIN)
    assert found(bare).program == "train.py"
    (bare.project / "train.py").unlink()
    assert found(bare).program == "main.py"


def test_a_program_is_the_only_file_that_can_be_started(bare: Sandbox) -> None:
    put(bare, gan__py=MAIN, model__py="class Model: ...\n")
    assert found(bare).program == "gan.py"
    put(bare, vae__py=MAIN)
    assert found(bare).program == ""


LAUNCHERS = {
    "import lightning\n": ("lightning", False),
    "from pytorch_lightning import Trainer\nadd('--num_nodes')\n": ("lightning", True),
    "from accelerate import Accelerator\n": ("accelerate", False),
    "from torch.nn.parallel import DistributedDataParallel\n": ("torchrun", False),
    "import torch.distributed as dist\n": ("torchrun", False),
    "from hpcsubmit import comm\n": ("torchrun", False),
    "import torch\n# lightning fast\n": ("", False),
}


@pytest.mark.parametrize("source", LAUNCHERS)
def test_a_launcher_is_found_by_what_is_imported(bare: Sandbox, source: str) -> None:
    put(bare, main__py=source)
    seen = found(bare)
    assert (seen.launcher, seen.takes_nodes) == LAUNCHERS[source]


def test_a_launcher_is_found_in_another_file_of_the_project(bare: Sandbox) -> None:
    put(bare, main__py="import trainer\n", trainer__py="import accelerate\n")
    assert found(bare).launcher == "accelerate"


def test_packages_images_sweeps_and_wandb_are_found(bare: Sandbox) -> None:
    put(bare, requirements__txt="wandb\n", sweeper__yml=SWEEP, other__yaml=SWEEP, ci__yml="jobs: 1\n")
    put(bare, Gan__def="Bootstrap: docker\n", Gan__sif="")
    put(bare, hpcsubmit__yaml=SWEEP)
    seen = found(bare)
    assert (seen.packages, seen.environment, seen.wandb) == ("requirements.txt", False, True)
    assert (seen.images, seen.definitions) == (("Gan.sif",), ("Gan.def",))
    assert seen.sweeps == ("sweeper.yml", "other.yaml")


def test_of_an_experiment_file_the_program_is_known(sandbox: Sandbox) -> None:
    put(sandbox, train__py="import accelerate\n", main__py="import lightning\n")
    seen = found(sandbox)
    assert (seen.experiment, seen.program, seen.launcher) == (sandbox.experiment, "main.py", "lightning")
    sandbox.write("bash run.sh\n")
    assert found(sandbox).launcher == ""
    sandbox.write("wandb agent a/b/c\n")
    assert found(sandbox).launcher == ""
    sandbox.write("a | b\n")
    assert (found(sandbox).program, found(sandbox).launcher) == ("", "")


def test_the_command_of_an_experiment_file_stays_there(sandbox: Sandbox) -> None:
    assert sandbox.hpcsubmit("init").code == 0
    text = (sandbox.project / "hpcsubmit.yaml").read_text("utf-8")
    assert "\n# The command is in experiment_configurations.txt." in text
    assert "\n#command: python main.py\n" in text
    assert "\ncommand:" not in text


def test_the_cluster_here_is_told_with_its_accounts_and_gpus(bare: Sandbox) -> None:
    cedar = bare.hpcsubmit("init", "--print", environ=bare.environ | {"HPCSUBMIT_CLUSTER": "cedar"}).stdout
    assert "# Here it is cedar;" in cedar
    assert "\n#account: rrg-kevinlb  # there are def-fwood, rrg-kevinlb\n" in cedar
    assert "\n#gpu-type: v100l  # there are p100, p100l, v100l\n" in cedar
    assert "\ngpus: 1  # per node, 4 at most on cedar\n" in cedar
    plai = bare.hpcsubmit("init", "--print", environ=bare.environ | {"HPCSUBMIT_CLUSTER": "plai"}).stdout
    assert "\n#partition: plai\n" in plai
    assert "#account" not in plai
    local = bare.hpcsubmit("init", "--print", environ=bare.environ | {"HPCSUBMIT_CLUSTER": "local"}).stdout
    assert "# This machine has no Slurm." in local


def test_a_profile_of_the_file_that_is_there_counts(bare: Sandbox) -> None:
    path = bare.project / "hpcsubmit.yaml"
    bare.write("cluster: fir\nprofiles: {fir: {account: def-me, gpu_type: h100}}\n", path)
    environ = {name: value for name, value in bare.environ.items() if name != "HPCSUBMIT_CLUSTER"}
    text = bare.hpcsubmit("init", "--print", environ=environ).stdout
    assert "\n#account: def-me\n#gpu-type: h100\n" in text


def test_a_file_that_is_there_is_not_overwritten(bare: Sandbox) -> None:
    path = bare.project / "hpcsubmit.yaml"
    bare.write("gpus: [broken", path)
    said = bare.refuses("init")
    assert said.error == f"{path} is there already, and may hold edits of yours"
    assert said.hint == "hpcsubmit init --force writes it anew; --print only shows what that would be"
    assert path.read_text("utf-8") == "gpus: [broken"
    assert bare.hpcsubmit("init", "--force").code == 0
    assert "\ncommand: python main.py\n" in path.read_text("utf-8")
    assert [p.name for p in bare.project.iterdir()] == ["hpcsubmit.yaml"]


def test_a_link_that_leads_nowhere_and_a_file_in_hpc_files_count_as_there(bare: Sandbox) -> None:
    path = bare.project / "hpcsubmit.yaml"
    path.symlink_to("nowhere")
    assert str(path) in bare.refuses("init").error
    path.unlink()
    inner = bare.project / "hpc_files" / "hpcsubmit.yaml"
    bare.write("gpus: 2\n", inner)
    assert str(inner) in bare.refuses("init").error
    assert bare.hpcsubmit("init", "--force", cwd=inner.parent).stdout == f"{inner}\n"


def test_printing_changes_nothing(bare: Sandbox) -> None:
    before = bare.tree()
    said = bare.hpcsubmit("init", "--print")
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout.startswith("# yaml-language-server: $schema=")
    assert bare.tree() == before


def test_the_file_lies_in_the_projects_folder(sandbox: Sandbox) -> None:
    below = sandbox.project / "src"
    below.mkdir()
    assert sandbox.hpcsubmit("init", cwd=below).stdout == f"{sandbox.project}/hpcsubmit.yaml\n"
    other = sandbox.root / "home" / "vae" / "hpc_files"
    other.mkdir(parents=True)
    assert sandbox.hpcsubmit("init", cwd=other).stdout == f"{other.parent}/hpcsubmit.yaml\n"


def test_the_root_folder_gets_no_file(sandbox: Sandbox) -> None:
    said = sandbox.hpcsubmit("init", "--print", cwd=Path("/"))
    assert (said.code, said.error) == (1, "the root folder / cannot be a project")
    assert said.hint == "go to a folder of the project's own: its name is the project's"


def test_a_folder_that_cannot_be_written_is_an_error(bare: Sandbox) -> None:
    (bare.project / "hpcsubmit.yaml").mkdir()
    said = bare.hpcsubmit("init", "--force")
    assert said.code == 1
    assert said.error.startswith(f"{bare.project}/hpcsubmit.yaml could not be written: ")
    assert [p.name for p in bare.project.iterdir()] == ["hpcsubmit.yaml"]


def test_the_schema_is_printed_and_the_file_names_it(bare: Sandbox) -> None:
    shown = json.loads(bare.hpcsubmit("init", "--schema").stdout)
    assert shown["title"] == "hpcsubmit.yaml"
    first = bare.hpcsubmit("init", "--print").stdout.splitlines()[0]
    path = Path(first.removeprefix("# yaml-language-server: $schema="))
    assert json.loads(path.read_text("utf-8")) == shown


def test_a_schema_whose_path_holds_blanks_is_named_by_its_address() -> None:
    text = starting_text(Found(), Profile(name="generic"), Path("/opt/my tools/hpcsubmit.schema.json"))
    assert text.startswith("# yaml-language-server: $schema=file:///opt/my%20tools/hpcsubmit.schema.json\n")


VARIANTS: dict[str, dict[str, str]] = {
    "nothing": {},
    "a program": {"train__py": MAIN, "requirements__txt": "numpy\n"},
    "awkward names": {"my: 'train'.py": MAIN, "#1.sif": "", "sweep: 'x'.yml": SWEEP, "é.def": ""},
    "yes": {"yes.py": MAIN, "yes.sif": "", "1e3.sif": "", "no": ""},
    "lightning": {"train__py": "import lightning\nadd('--num_nodes')\n", "Pipfile": "[packages]\n"},
    "torchrun": {"main__py": "import torch.distributed\n", "sweeper__yml": SWEEP},
    "accelerate": {"main__py": "import accelerate, wandb\n", "Gan__def": ""},
    "experiment": {"experiment_configurations__txt": "python train.py\n", "train__py": "import accelerate\n"},
    "no python": {"experiment_configurations__txt": "bash run.sh\n", "main__py": "import lightning\n"},
}


@pytest.mark.parametrize("name", VARIANTS)
def test_every_file_that_is_written_dry_runs(bare: Sandbox, name: str) -> None:
    put(bare, **VARIANTS[name])
    for path in bare.project.glob("*.sif"):
        sif(path)
    for cluster in ("generic", "cedar"):
        environ = bare.environ | {"HPCSUBMIT_CLUSTER": cluster}
        assert bare.hpcsubmit("init", "--force", environ=environ).code == 0
        said = bare.hpcsubmit("--dry-run", environ=environ)
        assert (said.code, said.error) == (0, ""), said
        assert said.stdout.startswith("#!/bin/bash")


SWITCHED_OFF = re.compile(r"^#(?=[a-z-]+: )", re.MULTILINE)
"""What keeps a key from holding; a comment for people has a blank behind its #."""


def test_every_key_that_is_switched_off_is_right_when_it_is_switched_on(bare: Sandbox) -> None:
    put(bare, main__py=MAIN, requirements__txt="")
    sif(bare.project / "gan.sif")
    environ = bare.environ | {"HPCSUBMIT_CLUSTER": "cedar"}
    for path in ("datasets/images/a", "labels.csv"):
        bare.write("data", bare.scratch / "gan" / path)
    text = bare.hpcsubmit("init", "--print", environ=environ).stdout
    keys = []
    for place in (match.start() for match in SWITCHED_OFF.finditer(text)):
        keys.append(text[place + 1 :].partition(":")[0])
        bare.write(text[:place] + text[place + 1 :], bare.project / "hpcsubmit.yaml")
        said = bare.hpcsubmit("--dry-run", environ=environ)
        if keys[-1] not in ("sweep", "repeat"):
            assert (said.code, said.error) == (0, ""), keys[-1]
    resources = ["cpus", "mem-per-gpu", "exp-name", "launcher", "data", "collect", "container"]
    assert keys == [*resources, "sweep", "repeat", "cluster", "account", "gpu-type", "clusters"]


def test_without_packages_the_image_is_used_and_without_both_the_python_of_the_node(bare: Sandbox) -> None:
    text = bare.hpcsubmit("init", "--print").stdout
    assert "\nno-env: true  # jobs run with the Python of the node\n" in text
    assert "\n#conda-env: NAME  # instead of no-env\n" in text
    put(bare, a__sif="", b__sif="")
    text = bare.hpcsubmit("init", "--print").stdout
    assert "\n# Jobs run in this image.\ncontainer: a.sif\n#container: b.sif\n" in text
    put(bare, requirements__txt="")
    text = bare.hpcsubmit("init", "--print").stdout
    assert "\n# The environment is built from requirements.txt.\n#container: a.sif\n" in text
