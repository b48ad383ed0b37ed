"""The pure part of arrays and dependencies: what Slurm 22.05 takes, refuses and prints."""

import pytest

from hpcsubmit.errors import HpcSubmitError
from hpcsubmit.local.array_spec import parse_array, parse_numbers, place_of, short_numbers
from hpcsubmit.local.dependency import parse_dependency
from hpcsubmit.local.gpus import deal, deal_hands


@pytest.mark.parametrize(
    ("text", "numbers", "step", "limit"),
    [
        ("1-3", (1, 2, 3), 1, None),
        ("0-9:5", (0, 5), 5, None),
        ("1,3,7-9", (1, 3, 7, 8, 9), 1, None),
        ("1-3%2", (1, 2, 3), 1, 2),
        ("1-3%0", (1, 2, 3), 1, None),
        ("007", (7,), 1, None),
        ("1-3,2-5", (1, 2, 3, 4, 5), 1, None),
        ("1-10:4,20", (1, 5, 9, 20), 4, None),
        ("1-3:9", (1,), 9, None),
        ("1000", (1000,), 1, None),
    ],
)
def test_every_form_of_an_array(text: str, numbers: tuple[int, ...], step: int, limit: int | None) -> None:
    spec = parse_array(text)
    assert (spec.numbers, spec.step, spec.limit) == (numbers, step, limit)


@pytest.mark.parametrize(
    "text",
    ["x", "1-", "-3", "3-1", "1-3:0", "1-3:2:1", "1:2", "1-3:x", "1-3 ", "4294967294", "1001", "\u0663"],
)
def test_what_slurm_calls_no_array(text: str) -> None:
    with pytest.raises(HpcSubmitError) as refused:
        parse_array(text)
    assert (
        refused.value.message == "sbatch: error: Batch job submission failed: Invalid job array specification"
    )
    assert refused.value.hint.startswith("write numbers below 1001, such as 1-8")


@pytest.mark.parametrize("text", ["1-3%", "1-3%x", "1-3%2%1", "%2", "1-3%2,5", "1,,3"])
def test_what_slurm_lets_pass_by_accident_is_refused_too(text: str) -> None:
    with pytest.raises(HpcSubmitError, match="Invalid job array specification"):
        parse_array(text)


@pytest.mark.parametrize(
    ("spec", "shown"),
    [
        ("1-3", "1-3"),
        ("7-8", "7-8"),
        ("1,3,7-9", "1,3,7-9"),
        ("0-99:10", "0-90:10"),
        ("0-20:2", "0-20:2"),
        ("0-15:3", "0-15:3"),
        ("1-13:2", "1-13:2"),
        ("1-11:2", "1,3,5,7,9,11"),
        ("0-40:10", "0,10,20,30,40"),
        ("1-10:3", "1,4,7,10"),
        ("0-14:2,15", "0,2,4,6,8,10,12,14-15"),
        ("0-11,1", "0-11"),
        ("5", "5"),
    ],
)
def test_numbers_are_written_as_squeue_does(spec: str, shown: str) -> None:
    numbers = parse_array(spec).numbers
    assert short_numbers(numbers) == shown
    assert parse_numbers(shown) == numbers


def test_a_tasks_place_and_that_of_those_that_wait() -> None:
    spec = parse_array("1-8%2")
    task, rest = place_of(spec, 12, 3), place_of(spec, 12, None, {8, 3, 4})
    assert (task.label, task.numbers) == ("12_3", "3")
    assert (rest.label, rest.numbers) == ("12_[3-4,8%2]", "3-4,8%2")
    none = place_of(spec, 12, None)
    assert (none.label, none.numbers) == ("12", "4294967294")
    assert (task.count, task.lowest, task.highest, task.step, task.limit) == (8, 1, 8, 1, 2)
    assert place_of(parse_array("1-2"), 12, None, [1, 2]).label == "12_[1-2]"


@pytest.mark.parametrize(
    ("visible", "nodes", "per_node", "hands"),
    [
        ("4,5,6,7", 1, 1, [("4",), ("5",), ("6",), ("7",)]),
        ("4,5,6,7,8", 1, 2, [("4,5",), ("6,7",)]),
        ("4,5,6,7", 2, 1, [("4", "5"), ("6", "7")]),
        ("4,5,6", 2, 2, []),
        ("", 1, 1, []),
        ("4", 1, 0, []),
    ],
)
def test_gpus_are_dealt_to_jobs_at_the_same_time(
    visible: str, nodes: int, per_node: int, hands: list[tuple[str, ...]]
) -> None:
    environment = {"CUDA_VISIBLE_DEVICES": visible}
    assert deal_hands(environment, nodes=nodes, per_node=per_node) == hands
    assert deal(environment, nodes=nodes, per_node=per_node) == (hands[0] if hands else ("",) * nodes)


@pytest.mark.parametrize(
    ("text", "conditions"),
    [
        ("", []),
        ("singleton", [("singleton", "")]),
        ("afterok:12", [("afterok", "12")]),
        ("afterok:12:13_4,afterany:14_*", [("afterok", "12"), ("afterok", "13_4"), ("afterany", "14")]),
        ("singleton,afterany:1", [("singleton", ""), ("afterany", "1")]),
    ],
)
def test_every_form_of_a_dependency(text: str, conditions: list[tuple[str, str]]) -> None:
    assert [(str(kind), job) for kind, job in parse_dependency(text)] == conditions


@pytest.mark.parametrize(
    "text", ["afterok:", "afterok", "x:1", "afterok:x", "afterok:0", "singleton:1", ",", "1"]
)
def test_what_slurm_calls_a_dependency_problem(text: str) -> None:
    with pytest.raises(HpcSubmitError) as refused:
        parse_dependency(text)
    assert refused.value.message == "sbatch: error: Batch job submission failed: Job dependency problem"
    assert refused.value.hint == "write afterok:JOB, afterany:JOB:JOB or singleton"


@pytest.mark.parametrize(
    "text", ["after:1", "afternotok:1", "aftercorr:1", "afterok:1?afterok:2", "afterok:1+5"]
)
def test_a_dependency_that_only_slurm_has_is_named(text: str) -> None:
    with pytest.raises(HpcSubmitError) as refused:
        parse_dependency(text)
    assert refused.value.message == f"sbatch: error: the cluster `local` has no --dependency={text}"
    assert refused.value.hint == "afterok, afterany and singleton are known here, joined by commas"
