"""What engines say when an image does not start, word for word, and what the job's log makes of it."""

import os
import re
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import HOUR, TWO_BY_TWO, in_image
from hpcsubmit.conda import CondaEnv
from hpcsubmit.plan import Plan
from hpcsubmit.render import render
from hpcsubmit.request import Launcher, Request

IMAGE = "/home/u/gan/gan.sif"
NOT_STARTED = f"{IMAGE} does not start; try 'apptainer exec {IMAGE} true': "
NO_TORCH = f"{IMAGE} has no torch that can be imported: install it there, or add --conda-env: "
NO_FUSE = (
    f"{IMAGE} cannot be mounted: this node has no FUSE for users. Make a sandbox folder of it with"
    f" 'apptainer build --sandbox FOLDER {IMAGE}', and submit with -s FOLDER"
)
DAMAGED = f"{IMAGE} is damaged: build it or copy it again"
PLAIN = Request(time=HOUR)
CREATION = "FATAL:   container creation failed: "
SQUASHFUSE = f"{CREATION}image driver mount failure: image driver squashfuse_ll instance exited with error: "
NO_NAMESPACES = (
    "ERROR  : Failed to create user namespace: maximum number of user namespaces exceeded,"
    " check /proc/sys/user/max_user_namespaces"
)
FOREIGN = (
    f"FATAL:   While checking container encryption: could not open image {IMAGE}:"
    " the image's architecture (arm64) could not run on the host's (amd64)"
)
ROTTEN = "FATAL:   failed to open /bin/sh for inspection: failed to open elf binary /bin/sh: read /bin/sh: "
NO_SHELL = "FATAL:   stat /bin/sh: no such file or directory"
REFUSED = f"{CREATION}mount hook function failure: mount /x->/x error: connection refused"


def explained(made: Plan, said: str, code: int = 255) -> str:
    """The line that a node writes about what the last try of its job's image said."""
    script = render(made)
    functions = "\n".join(
        re.findall(r"^(?:try_container|explain)\(\) \{.*?^\}$", script, re.MULTILINE | re.DOTALL)
    )
    tell = 'complain() { echo "$*"; exit; }; in_container() { inside "$@"; }'
    # Of two tries the first looks for the runscript, which is there.
    first = 'case "$*" in *runscript*) [ -z "$torch" ] || return 0 ;; esac'
    inside = f'inside() {{ {first}; printf %s "$text"; return "$code"; }}'
    done = subprocess.run(
        ["bash", "-euc", f"{functions}\n{tell}\n{inside}\ntry_container"],
        env={
            "PATH": "/usr/bin:/bin",
            "_image": IMAGE,
            "_engine": "apptainer",
            "text": said,
            "code": str(code),
            "torch": "yes" if made.container and made.container.checks_torch else "",
        },
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    return done.stdout.removesuffix("\n")


# As Apptainer 1.4.5 says it.
@pytest.mark.parametrize(
    ("said", "line"),
    [
        (f"{SQUASHFUSE}squashfuse_ll exited: fuse: failed to open /dev/fuse: Permission denied", NO_FUSE),
        (f"{SQUASHFUSE}squashfuse_ll exited: fuse: device not found, try 'modprobe fuse' first", NO_FUSE),
        (f"{SQUASHFUSE}Something went wrong trying to read the squashfs image.", DAMAGED),
        (f"{ROTTEN}input/output error", DAMAGED),
        (NO_NAMESPACES, f"this node allows no containers to users: {NO_NAMESPACES}"),
        (FOREIGN, f"{IMAGE} is for other machines than this {os.uname().machine}: build it on one"),
        (f"INFO:    before\n{NO_SHELL}", f"{NOT_STARTED}{NO_SHELL}"),
        (REFUSED, f"{NOT_STARTED}{REFUSED}"),  # which also holds the letters of FUSE
    ],
)  # fmt: skip
@pytest.mark.parametrize("request_", [PLAIN, TWO_BY_TWO])
def test_what_an_engine_says_becomes_one_line_with_a_cure(request_: Request, said: str, line: str) -> None:
    assert explained(in_image(request_, "generic"), said) == line


def test_a_try_that_says_nothing_is_told_by_its_code() -> None:
    assert explained(in_image(PLAIN, "generic"), "", 139) == f"{NOT_STARTED}exit code 139"
    assert explained(in_image(TWO_BY_TWO, "generic"), "", 137) == f"{NO_TORCH}exit code 137"
    assert explained(in_image(PLAIN, "generic"), "", 135) == DAMAGED, "SIGBUS"


@pytest.mark.parametrize(
    "last",
    [
        "ModuleNotFoundError: No module named 'torch'",
        "ModuleNotFoundError: No module named 'diffusers'",  # not FUSE
        "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory",
        "/bin/sh: exec: line 2: python: not found",
    ],
)
def test_a_torch_that_cannot_be_imported_is_named_with_the_reason(last: str) -> None:
    said = f'Traceback (most recent call last):\n  File "<string>", line 1, in <module>\n{last}'
    assert explained(in_image(TWO_BY_TWO, "generic"), said, 1) == f"{NO_TORCH}{last}"


def test_a_program_that_is_missing_and_a_missing_runscript_are_named() -> None:
    exec_only = replace(PLAIN, container_exec=True)
    assert explained(in_image(exec_only, "generic"), "no program tranin", 1) == (
        f"{IMAGE} has no program tranin: install it there, or mend the command"
    )
    assert explained(in_image(PLAIN, "generic"), "no %runscript", 1) == (
        f"{IMAGE} has no %runscript: submit with --container-exec"
    )


CONDA = CondaEnv(Path("/envs/my gan"), "my gan")
GCC = f"{CONDA.path}/etc/conda/activate.d/activate-gcc.sh"
STOPPED = (
    f"{IMAGE} has no bash, and its /bin/sh stops at a script of the conda environment: install bash there: "
)
IN_CONDA = pytest.mark.parametrize("request_", [replace(PLAIN, container_exec=True), TWO_BY_TWO])


# As dash 0.5.12 and the ash of busybox 1.35 say it.
@pytest.mark.parametrize(
    "reason",
    [
        f'/scratch/python: 1: {GCC}: Syntax error: "(" unexpected',
        f'{GCC}: line 2: syntax error: unexpected end of file (expecting "}}")',
    ],
)
@IN_CONDA
def test_a_script_of_conda_that_ends_the_images_shell_is_named(request_: Request, reason: str) -> None:
    made = in_image(request_, "generic", conda=CONDA)
    said = f"WARNING: no GPU here\n{reason}\n/bin/sh ends in {GCC}"
    assert explained(made, said, 2) == f"{STOPPED}{reason}"


@IN_CONDA
def test_a_script_of_conda_that_ends_in_bash_is_to_be_mended_itself(request_: Request) -> None:
    made = in_image(request_, "generic", conda=CONDA)
    mend = f"a script of the conda environment ends with exit code 3: mend {GCC}"
    reason = f"{GCC}: there is no gcc"
    assert explained(made, f"WARNING: no GPU here\n{reason}\nbash ends in {GCC}", 3) == f"{mend}: {reason}"
    assert explained(made, f"bash ends in {GCC}", 3) == mend


@IN_CONDA
def test_a_script_that_only_spoke_last_is_not_blamed(request_: Request) -> None:
    made = in_image(request_, "generic", conda=CONDA)
    said = f"{GCC}: there is no gcc"
    start = NO_TORCH if request_ is TWO_BY_TWO else NOT_STARTED
    assert explained(made, said, 1) == f"{start}{said}"


def test_a_script_that_bash_passes_over_is_not_blamed_for_what_comes_later() -> None:
    last = "ModuleNotFoundError: No module named 'torch'"
    said = f"{GCC}: line 2: syntax error: unexpected end of file\n{last}"
    assert explained(in_image(TWO_BY_TWO, "generic", conda=CONDA), said, 1) == f"{NO_TORCH}{last}"


@IN_CONDA
def test_variables_of_conda_that_cannot_be_read_are_named_with_the_reason(request_: Request) -> None:
    reason = "json.decoder.JSONDecodeError: Expecting value: line 1 column 1 (char 0)"
    said = f"Traceback (most recent call last):\n{reason}\nthe variables of /envs/my gan cannot be read"
    assert explained(in_image(request_, "generic", conda=CONDA), said, 1) == (
        "the variables of /envs/my gan cannot be read: its python must start in the image, and what is in its"
        f" conda-meta/state and etc/conda/env_vars.d must be JSON: {reason}"
    )


def test_accelerate_is_tried_where_it_starts_the_processes() -> None:
    made = in_image(replace(TWO_BY_TWO, launcher=Launcher.ACCELERATE), "generic")
    assert "-c 'import accelerate'" in render(made)
    assert "import torch" not in render(made), "it imports torch itself"
    last = "ModuleNotFoundError: No module named 'accelerate'"
    assert explained(made, last, 1) == (
        f"{IMAGE} has no accelerate that can be imported: install it there, or add --conda-env: {last}"
    )


def test_an_image_that_starts_needs_no_line() -> None:
    assert explained(in_image(TWO_BY_TWO, "generic"), "WARNING: no GPU here", 0) == ""
