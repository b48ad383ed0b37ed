"""Images and binds as the login node sees them: what is one, and what is wrong with the others."""

import os
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from container_engine import WHOLE, sif
from golden.cases import shipped
from hpcsubmit.container import Image
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.image import check_binds, look_at_image
from hpcsubmit.request import Bind
from sandbox import HPCSUBMIT, Sandbox


def refusal(wanted: str | Path, folder: Path) -> tuple[str, str]:
    """The message and the hint about an image."""
    with pytest.raises(HpcSubmitError) as raised:
        look_at_image(Path(wanted), folder)
    return raised.value.message, raised.value.hint


def test_an_image_is_known_by_its_path_its_size_and_its_machine(tmp_path: Path) -> None:
    path = sif(tmp_path / "gan.sif")
    expected = Image(path=path, size=WHOLE, machine="x86_64")
    for wanted in ("gan.sif", "./no/such/../../gan.sif", str(path)):
        assert look_at_image(Path(wanted), tmp_path) == expected


def test_a_longer_file_is_an_image_too(tmp_path: Path) -> None:
    path = sif(tmp_path / "gan.sif")
    path.write_bytes(path.read_bytes() + b"more")
    assert look_at_image(path, tmp_path).size == WHOLE + 4


@pytest.mark.parametrize(
    ("code", "machine"),
    [
        (b"02", "x86_64"),
        (b"04", "aarch64"),
        (b"05", "ppc64"),
        (b"06", "ppc64le"),
        (b"11", "s390x"),
        (b"12", "riscv64"),
        (b"01", ""),  # i386 and 32-bit ARM run on other machines as well
        (b"03", ""),
        (b"00", ""),
        (b"99", ""),
    ],
)
def test_the_header_names_the_machine_where_only_one_kind_can_run_the_image(
    tmp_path: Path, code: bytes, machine: str
) -> None:
    assert look_at_image(sif(tmp_path / "a.sif", code), tmp_path).machine == machine


@pytest.mark.parametrize("inside", [".singularity.d", "bin", "usr"])
def test_a_sandbox_is_a_folder_with_a_system_inside(tmp_path: Path, inside: str) -> None:
    (tmp_path / "torch box" / inside).mkdir(parents=True)
    assert look_at_image(Path("torch box"), tmp_path) == Image(tmp_path / "torch box", size=0, machine="")


def test_a_missing_image_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    sif(tmp_path / "gan_torch.sif")
    assert refusal("gan-torch.sif", tmp_path) == (
        f"there is no container image {tmp_path}/gan-torch.sif",
        f"did you mean {tmp_path}/gan_torch.sif?",
    )
    assert refusal("quite/other.sif", tmp_path)[1] == f"see what there is: ls {tmp_path}/quite"
    assert refusal("gan_torch.sif/inside.sif", tmp_path)[0].startswith("there is no container image")


@pytest.mark.parametrize(
    ("wanted", "where", "name"),
    [
        ("docker://pytorch/pytorch:2.4", "docker://pytorch/pytorch:2.4", "pytorch.sif"),
        ("oras://ghcr.io/me/gan:latest", "oras://ghcr.io/me/gan:latest", "gan.sif"),
        ("https://example.org/gan.sif", "https://example.org/gan.sif", "gan.sif"),
    ],
)
def test_an_image_of_a_registry_is_to_be_fetched_first(
    tmp_path: Path, wanted: str, where: str, name: str
) -> None:
    assert refusal(wanted, tmp_path) == (
        f"the container image must lie on the cluster, and {where} does not",
        f"fetch it once: apptainer pull {name} {where}",
    )


def test_a_file_of_another_kind_is_refused(tmp_path: Path) -> None:
    (tmp_path / "gan.tar").write_bytes(b"x" * 200)
    must = "the container image must be a .sif file or a sandbox folder, not"
    assert refusal("gan.tar", tmp_path) == (
        f"{must} {tmp_path}/gan.tar",
        "make one: apptainer build gan.sif SOURCE",
    )
    os.mkfifo(tmp_path / "pipe.sif")  # opening it would wait for ever
    assert refusal("pipe.sif", tmp_path)[0] == f"{must} {tmp_path}/pipe.sif"


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"x" * 200, b"#!/usr/bin/env run-singularity\n"])
def test_a_file_without_the_header_is_no_image(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "gan.sif"
    path.write_bytes(content)
    assert refusal(path, tmp_path) == (f"{path} is no container image", "build it, or copy it here, again")


def test_half_an_image_is_refused_with_both_sizes(tmp_path: Path) -> None:
    path = sif(tmp_path / "gan.sif", length=WHOLE - 1)
    assert refusal(path, tmp_path) == (
        f"{path} is only a part of an image: {WHOLE - 1} of {WHOLE} bytes",
        "build it, or copy it here, again",
    )


def test_a_folder_without_a_system_is_no_sandbox(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    assert refusal("box", tmp_path) == (
        f"{tmp_path}/box is a folder, and no container: it holds neither .singularity.d nor bin nor usr",
        "give a .sif file, or a folder made by apptainer build --sandbox",
    )


@pytest.mark.parametrize("name", ["a:b.sif", "a,b.sif", "a.sif "])
def test_an_image_whose_path_the_engine_would_split_is_refused(tmp_path: Path, name: str) -> None:
    sif(tmp_path / name)
    assert refusal(name, tmp_path) == (
        f"the path of the container image cannot be mounted in a container: '{tmp_path}/{name}'",
        "rename the folder: no colons, no commas, no blanks at its ends",
    )


def test_a_home_of_nobody_is_an_image_that_is_not_there(tmp_path: Path) -> None:
    assert refusal("~no-such-user/gan.sif", tmp_path)[0].startswith("there is no container image")


def binds(path: str, target: str = "", base: str = "/scratch-ssd", cluster: str = "generic") -> None:
    check_binds([Bind(Path(path), target or path)], replace(shipped(cluster), node_local_base=base))


def test_a_source_that_is_missing_here_is_answered_with_the_nearest() -> None:
    with pytest.raises(HpcSubmitError) as raised:
        binds("/usr/shar/data")
    assert raised.value.message == "--bind /usr/shar/data: there is no such folder or file"
    assert raised.value.hint == "did you mean /usr/share?"
    with pytest.raises(HpcSubmitError, match="there is no such"):
        binds("/etc/passwd/inside")


@pytest.mark.parametrize(
    "source",
    ["/usr/share", "/etc/passwd", "/tmp/only there", "/localscratch/x", "/no-such-top/x", "/usr/disk/x"],
)
def test_a_source_that_is_here_or_may_be_on_the_nodes_is_left_to_them(source: str) -> None:
    binds(source, base="/usr/disk")


@pytest.mark.parametrize("source", ["/tmp/no such", "/no-such-top/x", "/dev/shm/no-such", "/usr/disk/x"])
def test_every_source_must_be_here_where_the_job_runs_here(source: str) -> None:
    with pytest.raises(HpcSubmitError) as raised:
        binds(source, base="/usr/disk", cluster="local")
    assert raised.value.message == f"--bind {source}: there is no such folder or file"
    assert raised.value.hint.startswith(("did you mean /", "see what there is: ls /"))
    binds("/tmp", cluster="local")


@pytest.mark.parametrize("text", ["/a:b", "/a,b", "/a ", "/a\nb", "/a\\b"])
def test_a_mount_that_the_engine_or_the_script_would_break_is_refused(text: str) -> None:
    for source, target in ((text, "/in"), ("/usr", text)):
        with pytest.raises(HpcSubmitError) as raised:
            binds(source, target)
        assert raised.value.message.startswith("the path of --bind ")
        assert raised.value.hint.startswith("rename the folder")


# What root may read all the same, without the two capabilities that let it.
AS_ORDINARY = (
    'drop=-dac_override,-dac_read_search; exec setpriv --inh-caps=$drop --bounding-set=$drop -- "$@"'
    if os.geteuid() == 0
    else 'exec "$@"'
)


def test_what_the_user_may_not_read_is_named_with_a_cure(sandbox: Sandbox) -> None:
    closed, box, file = (sandbox.project / name for name in ("closed", "box", "gan.sif"))
    closed.mkdir()
    sif(closed / "gan.sif")
    sif(file).chmod(0)
    (box / "bin").mkdir(parents=True)
    box.chmod(0)
    closed.chmod(0)
    expected = {
        "gan.sif": f"the container image {file} cannot be read: Permission denied",
        "closed/gan.sif": f"the container image {closed}/gan.sif cannot be read: Permission denied",
        "box": f"the sandbox folder {box} cannot be read",
    }
    for image, error in expected.items():
        done = subprocess.run(
            ["sh", "-c", AS_ORDINARY, "sh", *HPCSUBMIT, "-s", image],
            cwd=sandbox.project,
            env=sandbox.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 1, done
        hint = f"hint: check who may: ls -ld {sandbox.project}/{image}"
        assert done.stderr.splitlines() == [f"error: {error}", hint]
    box.chmod(0o700)
    closed.chmod(0o700)
