"""What fits on a node's own disk, as the profile knows it: data, the environment, and their broadcasts."""

from dataclasses import replace
from pathlib import Path

import pytest

from golden.cases import context, shipped
from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.node_disks import Load, PackedData
from hpcsubmit.plan import Plan, plan
from hpcsubmit.request import Request
from hpcsubmit.values import Memory, Walltime
from hpcsubmit.virtualenv import Virtualenv

MIB = 1 << 20
ENVIRONMENT = (250, 250, 250, 250)  # MiB of each archive


def planned(
    disk: str | None, *, nodes: int = 8, data: int = 0, transfer: str | None = None, packed: bool = True
) -> Plan:
    """A job with 1000M of environment and some MiB of data, in files of 100 MiB each."""
    path = Path("/home/u/gan/.virtual_envs/0123456789abcdef")
    environment = Virtualenv(path=path, manifest=path.with_name(f"{path.name}.manifest"))
    if packed:
        sizes = tuple(size * MIB for size in ENVIRONMENT)
        environment = environment._replace(room=1000 * 1024, sizes=sizes)
    files = tuple([100 * MIB] * (data // 100))
    named = PackedData(Path("/m"), Path("/a"), data * 1024, ("datasets",), sizes=files) if data else None
    facts = replace(context(), virtualenv=environment, data=named)
    profile = replace(shipped("plai"), node_local_size=Memory.parse(disk) if disk else None)
    request = Request(num_nodes=nodes, time=Walltime(seconds=3600), data_transfer=transfer)
    return plan(request, profile, facts)


def chosen(made: Plan) -> tuple[str | None, str | None]:
    """How the data and the environment come to the nodes."""
    data, environment = made.data, made.virtualenv
    return data.transfer if data else None, environment.transfer if environment else None


@pytest.mark.parametrize(
    ("disk", "data", "expected"),
    [
        (None, 0, (None, "broadcast")),
        ("1512M", 0, (None, "broadcast")),  # 1000 and two rounds of 256
        ("1511M", 0, (None, "direct")),
        ("1000M", 0, (None, "direct")),
        ("1700M", 200, ("broadcast", "direct")),  # 200, 1000 and two rounds of 256
        ("1712M", 200, ("broadcast", "broadcast")),
        ("3000M", 2000, ("broadcast", "direct")),  # 2000 and two rounds of 256; no rounds beside all
    ],
)
def test_a_broadcast_is_chosen_where_its_rounds_fit_too(
    disk: str | None, data: int, expected: tuple[str | None, str]
) -> None:
    assert chosen(planned(disk, data=data)) == expected


def test_how_the_others_are_compressed_does_not_make_a_large_file_larger() -> None:
    for others in ((90 * MIB,) * 9, (40 * MIB,) * 9):
        assert not Load(1200 * 1024, (290 * MIB, *others)).is_one_archive
        assert Load(1100 * 1024, (290 * MIB, *others)).is_one_archive


def test_few_nodes_read_themselves_whatever_fits() -> None:
    assert chosen(planned("9000M", nodes=2, data=100)) == ("direct", "direct")


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (0, "the environment needs 1000M, and a node's own disk has 999M in the profile 'plai'"),
        (
            300,
            "the data and the environment need 1300M, and a node's own disk has 999M in the profile 'plai'",
        ),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(data: int, message: str) -> None:
    with pytest.raises(HpcSubmitError) as error:
        planned("999M", data=data)
    assert (error.value.message, error.value.hint) == (message, "leave out --env-on-node")


def test_an_environment_that_is_not_packed_yet_is_not_counted() -> None:
    assert chosen(planned("300M", data=300, transfer="direct", packed=False)) == ("direct", "direct")


def test_a_broadcast_of_the_environment_that_was_asked_for_and_does_not_fit_is_refused() -> None:
    with pytest.raises(HpcSubmitError) as error:
        planned("1300M", transfer="broadcast")
    assert error.value.message == (
        "the environment needs 1512M during a broadcast, "
        "and a node's own disk has 1300M in the profile 'plai'"
    )
    assert error.value.hint == "write --data-transfer direct, which needs 1000M"
