"""`@frozen`: values given by name that stay as they are, and dataclasses to whom asks."""

from dataclasses import FrozenInstanceError, asdict, field, fields, is_dataclass, replace

import pytest

from hpcsubmit.frozen import frozen


@frozen
class Part:
    name: str
    count: int = 1
    tags: list[str] = field(default_factory=list)
    line: int = field(default=0, compare=False, repr=False)


@frozen
class Positive:
    number: int

    def __post_init__(self) -> None:
        if self.number <= 0:
            raise ValueError("not positive")

    def __repr__(self) -> str:
        return f"+{self.number}"


def test_values_are_given_by_name_and_the_others_have_their_defaults() -> None:
    part = Part(count=3, name="a")
    assert (part.name, part.count, part.tags, part.line) == ("a", 3, [], 0)


def test_a_default_that_is_made_is_made_for_each() -> None:
    first, second = Part(name="a"), Part(name="b")
    first.tags.append("x")
    assert (first.tags, second.tags) == (["x"], [])


def test_a_value_that_is_missing_is_named() -> None:
    with pytest.raises(TypeError, match="Part needs 'name'"):
        Part()  # type: ignore[call-arg]


def test_a_value_too_many_is_named() -> None:
    with pytest.raises(TypeError, match="Part has no 'size'"):
        Part(name="a", size=2)  # type: ignore[call-arg]


def test_nothing_can_be_changed() -> None:
    part = Part(name="a")
    with pytest.raises(FrozenInstanceError, match="cannot change 'name' of Part"):
        part.name = "b"  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError, match="cannot change 'new' of Part"):
        part.new = 1  # type: ignore[attr-defined]
    with pytest.raises(FrozenInstanceError, match="cannot change 'name' of Part"):
        del part.name
    assert part == Part(name="a")


def test_objects_are_equal_where_all_that_is_compared_is() -> None:
    assert Part(name="a", line=1) == Part(name="a", line=2)
    assert Part(name="a") != Part(name="b")
    others: list[object] = [("a", 1, [], 0), Positive(number=1)]
    assert Part(name="a") not in others


def test_equal_objects_are_one_in_a_set() -> None:
    assert len({Positive(number=1), Positive(number=1), Positive(number=2)}) == 2


def test_an_object_shows_what_it_is_made_from() -> None:
    assert repr(Part(name="a", tags=["x"])) == "Part(name='a', count=1, tags=['x'])"


def test_methods_of_the_class_come_first() -> None:
    assert repr(Positive(number=2)) == "+2"


def test_a_wrong_value_cannot_be_built() -> None:
    with pytest.raises(ValueError, match="not positive"):
        Positive(number=0)
    with pytest.raises(ValueError, match="not positive"):
        replace(Positive(number=1), number=-1)


def test_it_is_a_dataclass_to_whom_asks() -> None:
    part: Part = Part(name="a")
    assert is_dataclass(part)
    assert [each.name for each in fields(part)] == ["name", "count", "tags", "line"]
    assert replace(part, count=2) == Part(name="a", count=2)
    assert asdict(part) == {"name": "a", "count": 1, "tags": [], "line": 0}
    assert (Part(name="b").count, Part(name="b").tags) == (1, [])  # also once somebody has asked
