"""`@frozen`: what `dataclass(frozen=True, kw_only=True)` makes, at a start's price.

dataclasses writes the source of six methods for every class and compiles it, at every start: 0.2 to 1 ms a
class, and a submission loads thirty. Here all classes share one set of methods, and are made dataclasses when
somebody asks for their fields: `replace`, `fields` and `asdict` take them.
"""

from dataclasses import MISSING, Field, FrozenInstanceError, dataclass, field, fields
from typing import Any, NoReturn, TypeVar, dataclass_transform

_Class = TypeVar("_Class")
_DEFAULTS = "__frozen_defaults__"
"""Where a class keeps its names, in order, each with its default, its dataclasses.field or MISSING."""


@dataclass_transform(frozen_default=True, kw_only_default=True, field_specifiers=(field,))
def frozen(cls: type[_Class]) -> type[_Class]:
    """Make a class whose annotated names are its values, given by name; methods of its own stay as they are.

    Objects without one of their values, or with another one, are refused with TypeError, and a change with
    FrozenInstanceError. `__post_init__` is called once the values are there.
    """
    for name, shared in _SHARED.items():
        if name not in vars(cls):
            setattr(cls, name, shared)
    defaults = {name: getattr(cls, name, MISSING) for name in cls.__annotations__}
    setattr(cls, _DEFAULTS, defaults)
    return cls


class _Fields:
    """The `__dataclass_fields__` of a class: they take its place when they are first asked for."""

    def __get__(self, instance: object, cls: type) -> dict[str, Field[Any]]:
        made: Any = dataclass(init=False, repr=False, eq=False, match_args=False)(cls)
        found: dict[str, Field[Any]] = made.__dataclass_fields__
        return found


def _init(self: Any, **given: Any) -> None:
    values = vars(self)
    for name, default in getattr(self, _DEFAULTS).items():
        values[name] = given.pop(name) if name in given else _default(default, name, self)
    if given:
        raise TypeError(f"{type(self).__name__} has no '{next(iter(given))}'")
    if hasattr(self, "__post_init__"):
        self.__post_init__()


def _default(default: Any, name: str, self: object) -> Any:
    if isinstance(default, Field):
        default = default.default if default.default_factory is MISSING else default.default_factory()
    if default is MISSING:
        raise TypeError(f"{type(self).__name__} needs '{name}'")
    return default


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in fields(self) if each.repr)
    return f"{type(self).__name__}({', '.join(shown)})"


def _compared(self: Any) -> tuple[Any, ...]:
    return tuple(getattr(self, each.name) for each in fields(self) if each.compare)


def _eq(self: Any, other: object) -> bool:
    return _compared(self) == _compared(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(_compared(self))


def _refuse_change(self: Any, name: str, *_: object) -> NoReturn:
    raise FrozenInstanceError(f"cannot change '{name}' of {type(self).__name__}")


_SHARED = {
    "__dataclass_fields__": _Fields(),
    "__init__": _init,
    "__repr__": _repr,
    "__eq__": _eq,
    "__hash__": _hash,
    "__setattr__": _refuse_change,
    "__delattr__": _refuse_change,
}
