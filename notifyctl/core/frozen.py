"""Frozen dataclasses with slots that are cheap to declare: nothing is made of their fields before they are asked for.

The standard decorator looks into each field and compiles six functions for each class while its module is loaded. Most
commands make values of few of the classes that they load, and all the others took a sixth of their time.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from operator import attrgetter
from typing import TYPE_CHECKING, Any, TypeVar, cast

T = TypeVar("T")

_MISSING = dataclasses.MISSING

if TYPE_CHECKING:
    from dataclasses import dataclass as dataclass
else:

    def dataclass(*, frozen: bool = False, slots: bool = False) -> Callable[[type[T]], type[T]]:
        """Do what `dataclasses.dataclass` does."""
        return _frozen if frozen and slots else dataclasses.dataclass(frozen=frozen, slots=slots)


def _frozen(cls: type[T]) -> type[T]:
    """Return the class again, with slots; a class that is there already cannot be given any."""
    known = {name: each for name, each in vars(cls).items() if name not in ("__dict__", "__weakref__")}
    names = [name for name, type_ in cls.__annotations__.items() if "ClassVar" not in str(type_)]
    usual = {name: known.pop(name) for name in names if name in known}
    taken = {slot for base in cls.__mro__ for slot in getattr(base, "__slots__", ())}
    before = getattr(cls, "__match_args__", ())
    own = (name for name in names if name not in before and _is_taken(usual.get(name)))
    fields, kind = _Fields(usual), type(cls)
    known |= {
        "__slots__": tuple(name for name in names if name not in taken),
        "__match_args__": (*before, *own),
        "__dataclass_fields__": fields,
    }
    made = fields.owner = cast(Any, kind)(cls.__name__, cls.__bases__, known)

    def __init__(self: Any, *args: Any, **values: Any) -> None:
        _complete(made)
        made.__init__(self, *args, **values)

    made.__init__ = __init__
    made.__setattr__, made.__delattr__ = _refuse_to_set, _refuse_to_delete
    made.__getstate__, made.__setstate__ = _state, _set_state
    made.__eq__, made.__hash__ = known.get("__eq__", _equal), known.get("__hash__") or _hash
    made.__repr__ = known.get("__repr__", _repr)
    return made  # type: ignore[no-any-return]


class _Fields:
    """Stands for what the standard library knows of a class, until somebody asks for it."""

    def __init__(self, usual: dict[str, Any]) -> None:
        self.owner: Any = None
        self._usual = usual

    def __get__(self, _: object, __: object) -> Any:
        owner = self.owner
        names = {"__annotations__": owner.__annotations__, "__module__": owner.__module__, "__doc__": "Its fields."}
        bases: Any = tuple(base for base in owner.__bases__ if dataclasses.is_dataclass(base))
        plain: Any = type(owner.__name__, bases, {**self._usual, **names})
        made = dataclasses.dataclass(init=False, repr=False, eq=False)(plain)
        owner.__dataclass_params__, owner.__dataclass_fields__ = made.__dataclass_params__, made.__dataclass_fields__
        return made.__dataclass_fields__


def _complete(cls: Any) -> None:
    """Give a class what its values work with, quicker than before; called for the first that is made."""
    values, own = _values(cls), vars(cls)
    if own["__eq__"] is _equal:
        cls.__eq__ = lambda self, other: (
            values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented
        )
    if own["__hash__"] is _hash:
        cls.__hash__ = lambda self: hash(values(self))
    cls.__init__ = _compiled(cls)


def _compiled(cls: Any) -> Any:
    """Return the `__init__` of a class; what it does not take (`init=False`) is left to its `__post_init__`."""
    known: dict[str, Any] = {"__missing__": _MISSING}
    parameters, lines = ["self"], []
    for name, usual, make in ((each.name, each.default, each.default_factory) for each in _taken(cls)):
        # The slot's own way: `object.__setattr__` would look for it each time.
        known |= {f"__set_{name}__": getattr(cls, name).__set__, f"__usual_{name}__": usual, f"__make_{name}__": make}
        has_usual = usual is not _MISSING or make is not _MISSING
        parameters.append(f"{name}=__usual_{name}__" if has_usual else name)
        value = name if make is _MISSING else f"__make_{name}__() if {name} is __missing__ else {name}"
        lines.append(f"__set_{name}__(self, {value})")
    lines += ["self.__post_init__()"] if hasattr(cls, "__post_init__") else []
    text = f"def __init__({', '.join(parameters)}):\n " + "\n ".join(lines or ["pass"])
    exec(text, known)  # noqa: S102 - names of fields, as `dataclasses` does
    known["__init__"].__qualname__ = f"{cls.__qualname__}.__init__"
    return known["__init__"]


def _is_taken(usual: Any) -> bool:
    return not isinstance(usual, dataclasses.Field) or usual.init


def _taken(cls: Any) -> Iterator[dataclasses.Field[Any]]:
    return (each for each in dataclasses.fields(cls) if each.init)


def _values(cls: Any) -> Callable[[Any], Any]:
    """Return what a class compares by, of one of its values."""
    compared = [each.name for each in dataclasses.fields(cls) if each.compare]
    return attrgetter(*compared) if compared else lambda _: ()


def _equal(self: Any, other: object) -> Any:
    values = _values(self.__class__)
    return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented


def _hash(self: Any) -> int:
    return hash(_values(self.__class__)(self))


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
