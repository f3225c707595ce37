"""Frozen dataclasses with slots that are cheap to declare: `__init__` is compiled when the first value is made.

The standard decorator compiles six functions for each class while its module is loaded. Most commands make values of
few of the classes that they load, and all the others took a sixth of their time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar

T = TypeVar("T")

_MISSING = dataclasses.MISSING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type[T]], type[T]]:
        """Do what `dataclasses.dataclass` does."""
        return _frozen if frozen and slots else dataclasses.dataclass(frozen=frozen, slots=slots)


def _frozen(cls: type[T]) -> type[T]:
    made: Any = dataclasses.dataclass(init=False, repr=False, eq=False, slots=True)(cls)

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        made.__init__ = _compiled(made)
        made.__init__(self, *args, **values)

    made.__init__ = __init__
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    made.__getstate__, made.__setstate__ = _state, _set_state
    equal, made.__hash__ = _comparing(made)
    made.__repr__, made.__eq__ = vars(cls).get("__repr__", _repr), vars(cls).get("__eq__", equal)
    return made  # type: ignore[no-any-return]


def _compiled(cls: Any) -> Any:
    """Return the `__init__` of a class; what it does not take (`init=False`) is left to its `__post_init__`."""
    known: dict[str, Any] = {"__missing__": _MISSING, "__set__": object.__setattr__}
    parameters, lines = ["self"], []
    for name, usual, make in ((each.name, each.default, each.default_factory) for each in _taken(cls)):
        known |= {f"__usual_{name}__": usual, f"__make_{name}__": make}
        has_usual = usual is not _MISSING or make is not _MISSING
        parameters.append(f"{name}=__usual_{name}__" if has_usual else name)
        value = name if make is _MISSING else f"__make_{name}__() if {name} is __missing__ else {name}"
        lines.append(f"__set__(self, {name!r}, {value})")
    lines += ["self.__post_init__()"] if hasattr(cls, "__post_init__") else []
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
    exec(text, known)  # noqa: S102 - names of fields, as `dataclasses` does
    known["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return known["__init__"]


def _taken(cls: Any) -> Iterator[dataclasses.Field[Any]]:
    return (each for each in dataclasses.fields(cls) if each.init)


def _comparing(cls: Any) -> tuple[Any, Any]:
    """Return `__eq__` and `__hash__` of a class, by the values of its fields."""
    compared = [each.name for each in dataclasses.fields(cls) if each.compare]
    values: Callable[[Any], Any] = attrgetter(*compared) if compared else lambda _: ()

    def __eq__(self: Any, other: object) -> Any:
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    def __hash__(self: Any) -> int:
        return hash(values(self))

    return __eq__, __hash__


def _repr(self: Any) -> str:
    shown = (f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
    return f"{type(self).__qualname__}({', '.join(shown)})"


def _refuse_to_set(self: Any, name: str, value: Any) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")


def _refuse_to_delete(self: Any, name: str) -> None:
    raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _set_state(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
