"""`hpcsubmit gpus --cluster`: what is free on the nodes, from one sinfo; and the words of Slurm it reads."""

import json
from pathlib import Path

import pytest

from hpcsubmit.gpus.gres import gpus_in, used_of
from hpcsubmit.gpus.sinfo_text import COLUMNS, parse_nodes, takes_jobs, totals
from sandbox import Sandbox

RECORDED = Path(__file__).parents[1] / "recorded"
CEDAR, PLAI = (RECORDED / f"sinfo-gpus-{name}-22.05.8.txt" for name in ("cedar", "plai"))
SINFO = """#!/bin/sh
echo "$*" >>"{root}/sinfo.argv"
env | grep ^SINFO_ >"{root}/sinfo.env"
cat "{answer}"
"""


def sinfo(sandbox: Sandbox, answer: Path) -> None:
    """Let sinfo print a file."""
    sandbox.install("sinfo", SINFO.format(root=sandbox.root, answer=answer))


def row(**cells: str) -> str:
    """A line of sinfo about a node that is idle, but for what is given."""
    usual = {"NodeList": "n1", "Partition": "gpu*", "Available": "up", "StateLong": "idle"}
    usual |= {"CPUsState": "0/32/0/32", "Memory": "192000", "AllocMem": "0"}
    usual |= {"Gres": "gpu:a100:4", "GresUsed": "gpu:a100:1(IDX:0)"}
    return "".join((usual | cells)[name].ljust(width) for name, width in COLUMNS.items()) + "\n"


def free(**cells: str) -> int:
    """How many GPUs of a node are free."""
    (each,) = parse_nodes(row(**cells))
    return each.free


@pytest.mark.parametrize(
    ("gres", "gpus"),
    [
        ("gpu:v100l:4", {"v100l": 4}),
        ("gpu:v100l:4(S:0-1)", {"v100l": 4}),
        ("gpu:8", {"": 8}),
        ("gpu:8(S:0,2)", {"": 8}),
        ("gpu:v100l:2(IDX:0-1)", {"v100l": 2}),
        ("gpu:v100l:0(IDX:N/A)", {"v100l": 0}),
        ("gpu:(null):3(IDX:0,2-3)", {"": 3}),
        ("gpu:a100:2(S:0),gpu:a100_1g.5gb:7(S:1)", {"a100": 2, "a100_1g.5gb": 7}),
        ("gpu:h100_1g.10gb:4(IDX:0,2,4,6),gpu:h100:1(IDX:1)", {"h100_1g.10gb": 4, "h100": 1}),
        ("gpu:nvidia_h100_80gb_hbm3_2g.20gb:3", {"nvidia_h100_80gb_hbm3_2g.20gb": 3}),
        ("gpu:a100:1(S:0),gpu:a100:1(S:1)", {"a100": 2}),
        ("shard:a100:32(0/8,4/8),gpu:a100:4,mps:400", {"a100": 4}),
        ("lscratch:gpu:7,craynetwork:4", {}),
        ("shard:32", {}),
        ("(null)", {}),
        ("", {}),
        ("gpu", {}),
        ("gpu:a100", {}),
    ],
)
def test_gpus_are_read_out_of_every_form_of_gres(gres: str, gpus: dict[str, int]) -> None:
    assert gpus_in(gres) == gpus


@pytest.mark.parametrize(
    ("total", "used", "each"),
    [
        ({"a100": 4}, {"a100": 3}, {"a100": 3}),
        ({"a100": 4}, {}, {"a100": 0}),
        ({"": 8}, {"a100": 3}, {"": 3}),
        ({"a100": 8}, {"": 3}, {"a100": 3}),
        ({"a100": 4, "v100": 2}, {"v100": 1}, {"a100": 0, "v100": 1}),
        ({"a100": 4}, {"a100": 9}, {"a100": 4}),
        ({}, {"a100": 9}, {}),
    ],
)
def test_used_gpus_are_taken_from_the_type_that_they_are_of(
    total: dict[str, int], used: dict[str, int], each: dict[str, int]
) -> None:
    assert used_of(total, used) == each


@pytest.mark.parametrize(
    "state", ["idle", "mixed", "allocated", "allocated+", "completing", "planned", "mixed-", "idle~", "idle#"]
)
def test_nodes_in_these_states_take_jobs(state: str) -> None:
    assert takes_jobs(state)
    assert free(StateLong=state) == 3


@pytest.mark.parametrize(
    "state",
    [
        "down", "down*", "down~", "drained", "drained*", "draining", "draining@", "fail", "failing", "future",
        "idle*", "mixed*", "idle$", "idle@", "mixed@", "idle^", "idle!", "idle%", "inval", "maint", "maint*",
        "perfctrs", "power_down", "powering_down", "reboot_issued", "reserved", "unknown", "blocked", "",
    ],
)  # fmt: skip
def test_nodes_in_these_states_have_nothing_free(state: str) -> None:
    assert not takes_jobs(state)
    (each,) = parse_nodes(row(StateLong=state))
    assert (each.total, each.used, each.free) == (4, 1, 0)


def test_a_node_without_a_core_or_memory_left_has_nothing_free() -> None:
    assert free(CPUsState="32/0/0/32") == 0
    assert free(AllocMem="192000") == 0
    assert free(CPUsState="31/1/0/32", AllocMem="191999") == 3
    assert free(CPUsState="?", Memory="") == 3, "not known is not none"


def test_a_node_is_free_where_one_of_its_partitions_is_up() -> None:
    assert free(Available="down") == 0
    both = parse_nodes(row(Available="down") + row(Partition="other"))
    assert [(each.free, each.partitions) for each in both] == [(3, ("gpu", "other"))]
    (each,) = parse_nodes(row(Available="inact"))
    assert each.state == "idle, partition inact"


def test_several_types_on_a_node_are_counted_each() -> None:
    gres = {
        "Gres": "gpu:a100:2,gpu:a100_1g.5gb:7",
        "GresUsed": "gpu:a100:1(IDX:0),gpu:a100_1g.5gb:7(IDX:1-7)",
    }
    found = parse_nodes(row(**gres) + row(NodeList="n2"))
    assert [(each.node, each.kind, each.free) for each in found] == [
        ("n1", "a100", 1),
        ("n1", "a100_1g.5gb", 0),
        ("n2", "a100", 3),
    ]
    assert [tuple(each) for each in totals(found)] == [("a100", 6, 2, 4), ("a100_1g.5gb", 7, 7, 0)]


def test_nodes_without_gpus_and_lines_that_are_none_are_left_out() -> None:
    assert (
        parse_nodes(row(Gres="(null)", GresUsed="") + row(Gres="shard:8") + "\n" + "CLUSTER: cedar\n") == ()
    )


def test_what_a_real_slurm_printed_becomes_two_tables(sandbox: Sandbox) -> None:
    sinfo(sandbox, CEDAR)
    said = sandbox.hpcsubmit("gpus", "--cluster")
    assert (said.code, said.stderr) == (0, "")
    assert said.stdout.splitlines() == [
        "NODE  TYPE   TOTAL  USED  FREE  CPUS FREE  MEMORY FREE  STATE",
        "cdr1  v100l  4      2     2     31         187 GB       mixed",
        "cdr2  v100l  4      0     0     32         187 GB       idle*",
        "cdr3  v100l  4      1     0     0          187 GB       draining",
        "cdr4  p100   4      0     0     0          125 GB       drained",
        "",
        "TYPE   TOTAL  USED  FREE  UNAVAILABLE",
        "p100   4      0     0     4",
        "v100l  12     3     2     7",
    ]


def test_gpus_without_types_and_a_node_without_memory_of_a_real_slurm(sandbox: Sandbox) -> None:
    sinfo(sandbox, PLAI)
    assert sandbox.hpcsubmit("gpus", "--cluster").stdout.splitlines() == [
        "NODE   TYPE  TOTAL  USED  FREE  CPUS FREE  MEMORY FREE  STATE",
        "plai1  -     8      3     5     31         249 GB       mixed",
        "plai2  -     8      1     0     31         0 GB         mixed",
        "plai3  -     8      0     0     32         250 GB       maint",
        "",
        "TYPE  TOTAL  USED  FREE  UNAVAILABLE",
        "-     24     4     5     15",
    ]


def test_json_has_the_same_numbers(sandbox: Sandbox) -> None:
    sinfo(sandbox, PLAI)
    told = json.loads(sandbox.hpcsubmit("gpus", "--cluster", "--json").stdout)
    assert told["types"] == [{"type": None, "total": 24, "used": 4, "free": 5, "unavailable": 15}]
    assert told["nodes"][1] == {
        "node": "plai2", "type": None, "total": 8, "used": 1, "free": 0, "cpus_free": 31,
        "memory_free_mib": 0, "state": "mixed", "partitions": ["plai", "plai-preempt"],
    }  # fmt: skip


def test_sinfo_is_asked_once_and_without_the_users_own_settings_of_it(sandbox: Sandbox) -> None:
    sinfo(sandbox, CEDAR)
    environ = sandbox.environ | {"SINFO_PARTITION": "rrg", "SINFO_FORMAT": "%N"}
    assert sandbox.hpcsubmit("gpus", "--cluster", environ=environ, cwd=sandbox.root).code == 0
    assert (sandbox.root / "sinfo.env").read_text() == ""
    wanted = ",".join(f"{name}:{width}" for name, width in COLUMNS.items())
    assert (sandbox.root / "sinfo.argv").read_text() == f"--noheader --Node --Format={wanted}\n"


def test_a_cluster_without_gpus_says_so(sandbox: Sandbox) -> None:
    (sandbox.root / "answer").write_text(row(Gres="(null)", GresUsed=""))
    sinfo(sandbox, sandbox.root / "answer")
    said = sandbox.hpcsubmit("gpus", "--cluster")
    assert (said.code, said.stdout) == (0, "no node of this cluster has GPUs\n")
    told = json.loads(sandbox.hpcsubmit("gpus", "--cluster", "--json").stdout)
    assert told == {"types": [], "nodes": []}


def test_the_local_cluster_has_no_slurm_to_ask(sandbox: Sandbox) -> None:
    said = sandbox.refuses("gpus", "--cluster", HPCSUBMIT_CLUSTER="local")
    assert said.error == "the cluster is 'local', this machine itself: there is no Slurm to ask"
    assert said.hint == "write hpcsubmit gpus, or log in to a cluster first"


def test_a_cluster_without_sinfo_is_an_error(sandbox: Sandbox) -> None:
    (sandbox.root / "none").mkdir()
    said = sandbox.refuses("gpus", "--cluster", PATH=str(sandbox.root / "none"))
    assert said.error == "there is no sinfo on the PATH, which knows the cluster's nodes"
    assert said.hint.startswith("log in to the cluster first; hpcsubmit gpus without --cluster")


def test_a_controller_that_is_down_is_an_error_with_sinfos_words(sandbox: Sandbox) -> None:
    words = "slurm_load_partitions: Unable to contact slurm controller (connect failure)"
    sandbox.install("sinfo", f"#!/bin/sh\necho '{words}' >&2\nexit 1\n")
    said = sandbox.refuses("gpus", "--cluster")
    assert said.error == f"sinfo failed (exit code 1): {words}"
    assert said.hint.startswith("where the controller is busy or down, try again in a minute")


def test_a_sinfo_that_leaves_a_column_out_is_not_believed(sandbox: Sandbox) -> None:
    refused = RECORDED / "sinfo-unknown-field-22.05.8.txt"
    sandbox.install("sinfo", f"#!/bin/sh\ncat '{refused}' >&2\ncat '{CEDAR}'\n")
    said = sandbox.refuses("gpus", "--cluster")
    assert said.error == f"sinfo cannot tell what is free: {refused.read_text().strip()}"
    assert said.hint.startswith("this Slurm may be too old; sinfo -o '%N %G %T'")


def test_the_controller_is_not_asked_too_often(sandbox: Sandbox) -> None:
    said = sandbox.refuses("gpus", "--cluster", "--watch", "9.5", code=2)
    assert said.error == "--watch 9.5 asks Slurm's controller too often"
    assert said.hint == "write --watch 10 or more with --cluster"
