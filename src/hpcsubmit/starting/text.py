"""The text of a first hpcsubmit.yaml: keys that are surely right, and the others as comments; pure."""

import json
import re
import shlex
from collections.abc import Iterable, Iterator
from pathlib import Path

from hpcsubmit.profile import Profile
from hpcsubmit.project import EXPERIMENT_FILE
from hpcsubmit.starting.found import Found

_HEAD = """\
# What hpcsubmit does in this project. Options that you type win over this file.
# A line such as #gpus: 2 is switched off: take its # away. Every long option of `hpcsubmit --help` is a key.
"""
_WHY = {
    "lightning": "Lightning is imported",
    "accelerate": "accelerate is imported",
    "torchrun": "torch.distributed is used",
}
_NO_TEXTS = frozenset(("yes", "no", "true", "false", "on", "off", "null"))
"""Words that YAML takes for something else."""


def starting_text(found: Found, profile: Profile, schema: Path) -> str:
    """Return the file for a project in which `found` was found.

    profile: that of the cluster here. schema: the path of the JSON schema, for editors.
    """
    address = str(schema) if re.fullmatch("[!-~]+", str(schema)) else schema.as_uri()
    sections = (
        [f"# yaml-language-server: $schema={address}", *_HEAD.splitlines()],
        _command(found),
        _resources(profile),
        _launcher(found),
        _data(),
        _software(found),
        _trials(found),
        _cluster(profile),
    )
    return "\n\n".join("\n".join(section) for section in sections) + "\n"


def _command(found: Found) -> Iterable[str]:
    if found.experiment:
        yield f"# The command is in {EXPERIMENT_FILE}. To have it here, move it and delete that file."
        yield "#command: python main.py"
        return
    if found.program:
        yield "# The command, as you type it. $NAME gets its value on the node, ${SLURM_TMPDIR} for one."
    else:
        yield "# The command, as you type it. No program was found: put yours in place of main.py."
    words = f"python {shlex.quote(found.program or 'main.py')}"
    yield f"command: {_scalar(words)}"


def _resources(profile: Profile) -> Iterable[str]:
    largest = f", {profile.gpus_per_node} at most on {profile.name}" if profile.gpus_per_node else ""
    yield f"gpus: 1  # per node{largest}"
    yield "num-nodes: 1"
    yield 'time: "00-01:00:00"  # days-hours:minutes:seconds, in quotes'
    yield "#cpus: 4  # per node"
    yield "#mem-per-gpu: 10G"
    yield "#exp-name: first  # part of the names of jobs, logs and folders"


def _launcher(found: Found) -> Iterable[str]:
    yield "# What starts the processes of a job with several GPUs; docs/launchers.md has all of them."
    if not found.launcher:
        yield "#launcher: torchrun"
        return
    if found.launcher == "lightning" and not found.takes_nodes:
        yield "# Lightning is imported: your program gets --num_nodes N --gpus G behind its own options."
        yield "#launcher: lightning"
        return
    yield f"launcher: {found.launcher}  # {_WHY[found.launcher]}"


def _data() -> Iterable[str]:
    yield "# Paths below $SCRATCH/PROJECT, for every node's own disk; and results to bring home from there."
    yield "#data: [datasets/images, labels.csv]"
    yield "#collect: [results]"


def _software(found: Found) -> Iterable[str]:
    images = [f"container: {_scalar(image)}" for image in found.images]
    if found.environment:
        yield "# The environment is virtual_env in this folder."
    elif found.packages:
        yield f"# The environment is built from {found.packages}."
    elif images:
        yield "# Jobs run in this image."
        yield images.pop(0)
    else:
        yield "# No list of packages was found. Write a requirements.txt, and take no-env away then."
        yield "no-env: true  # jobs run with the Python of the node"
        yield "#conda-env: NAME  # instead of no-env"
    for image in images:
        yield f"#{image}"
    if found.definitions and not found.images:
        yield f"# hpcsubmit container build makes an image from {found.definitions[0]}; name that image then:"
        yield f"#container: {_scalar(Path(found.definitions[0]).stem + '.sif')}"


def _trials(found: Found) -> Iterator[str]:
    if found.wandb:
        yield "# wandb: jobs find your key in WANDB_API_KEY, ~/wandb_credentials.txt (mode 0600) or ~/.netrc."
    for name in found.sweeps:
        yield f"# hpcsubmit sweep create {shlex.quote(name)} prints a sweep's id:"
    yield "#sweep: ENTITY/PROJECT/ID"
    yield "#repeat: 3  # the same experiment three times, each with a SEED of its own"


def _cluster(profile: Profile) -> Iterable[str]:
    if profile.scheduler == "local":
        yield "# This machine has no Slurm. On a cluster, hpcsubmit clusters says which one it is."
    else:
        yield f"# Here it is {profile.name}; hpcsubmit clusters lists all of them."
    yield f"#cluster: {profile.name}"
    for key, value, there in (
        ("account", profile.account, profile.accounts),
        ("partition", profile.partition, ()),
        ("gpu-type", profile.gpu_type, profile.gpu_types),
    ):
        others = f"  # there are {', '.join(there)}" if there else ""
        if value or there:
            yield f"#{key}: {_scalar(value or there[0])}{others}"
    yield "# Other values on one cluster:"
    yield f'#clusters: {{{profile.name}: {{gpus: 1, time: "00-00:10:00"}}}}'


def _scalar(text: str) -> str:
    """A text as YAML takes it: in quotes where it could mean something else."""
    plain = re.fullmatch(r"[A-Za-z][A-Za-z0-9_./ -]*[A-Za-z0-9_/]", text) and text.lower() not in _NO_TEXTS
    return text if plain else json.dumps(text, ensure_ascii=False)
