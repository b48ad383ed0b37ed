"""Lists of nodes, counts per node, and which task runs where."""

import pytest

from hpcsubmit.local.layout import Step, distribute
from hpcsubmit.local.nodelist import counts, expand, node_list


@pytest.mark.parametrize(
    ("indices", "text"),
    [((0,), "local1"), ((4,), "local5"), ((0, 1), "local[1-2]"), ((0, 2, 3, 4, 8), "local[1,3-5,9]")],
)
def test_lists_are_written_short_and_read_back(indices: tuple[int, ...], text: str) -> None:
    assert node_list(indices) == text
    assert expand(text) == [f"local{index + 1}" for index in indices]


@pytest.mark.parametrize(
    ("text", "hosts"),
    [
        ("a", ["a"]),
        ("a,b", ["a", "b"]),
        ("a[08-11]", ["a08", "a09", "a10", "a11"]),
        ("r[1-2]n[1,3]", ["r1n1", "r1n3", "r2n1", "r2n3"]),
        ("a[1]-ib,b2", ["a1-ib", "b2"]),
    ],
)
def test_every_form_of_a_host_list(text: str, hosts: list[str]) -> None:
    assert expand(text) == hosts


def test_counts_are_written_short() -> None:
    assert [counts([2]), counts([2, 2]), counts([2, 2, 1])] == ["2", "2(x2)", "2(x2),1"]


@pytest.mark.parametrize(
    ("tasks", "nodes", "per_node", "result"),
    [
        (4, 2, None, (2, 2)),
        (3, 2, None, (2, 1)),
        (1, 2, None, (1,)),
        (7, 3, None, (3, 2, 2)),
        (2, 2, 1, (1, 1)),
        (3, 3, 2, (2, 1)),
    ],
)
def test_tasks_are_spread_over_the_nodes(
    tasks: int, nodes: int, per_node: int | None, result: tuple[int, ...]
) -> None:
    assert distribute(tasks, nodes, per_node) == result


def test_ranks_count_through_the_nodes() -> None:
    step = Step(id=0, nodes=(0, 2), per_node=(2, 1), cpus_per_task=1, gpus=None)
    assert [(task.rank, task.local_rank, task.node) for task in step.tasks] == [
        (0, 0, 0),
        (1, 1, 0),
        (2, 0, 2),
    ]
    assert (step.node_list, step.task_counts) == ("local[1,3]", "2,1")
