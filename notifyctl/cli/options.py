"""Options that several verbs of a noun take, declared once.

A declaration is a function whose parameters are the options, as a verb's are; `@app.command(cls=taking(declaration))`
gives a verb these options as well, and `given(ctx)` returns those that stood on the command line.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum
from typing import Any, Generic, TypeVar

import typer

from notifyctl.cli.noun import Leaf, params_of

E = TypeVar("E", bound=StrEnum)

_GIVEN = "notifyctl.options"


def taking(*declarations: Callable[..., None], kind: type[Leaf] = Leaf) -> type[Leaf]:
    """Return the kind of command that also takes the options of these declarations."""

    class Taking(kind):  # type: ignore[misc, valid-type]
        def __init__(self, name: str | None, **attrs: Any) -> None:
            more = [param for declaration in declarations for param in _params(declaration)]
            attrs["params"] = [*(attrs.get("params") or []), *more]
            super().__init__(name, **attrs)

    return Taking


def given(ctx: Any) -> dict[str, Any]:
    """Return the declared options that were given, by parameter name."""
    return dict(ctx.meta.get(_GIVEN, {}))


class WordOf(Generic[E]):
    """A parser for the words of an enumeration; completion offers them."""

    def __init__(self, kind: type[E]) -> None:
        self.words = list(kind)
        self.__name__ = kind.__name__

    def __call__(self, text: str) -> E:
        """Return the member; raise BadParameter, which names all, for another word."""
        for word in self.words:
            if word.value == text:
                return word
        raise typer.BadParameter(f"{text!r} is none of {', '.join(self.words)}")


def one_of(kind: type[E]) -> Callable[[str], E]:
    """Return a parser for the words of `kind`; it names them where another was given."""
    return WordOf(kind)


def _params(declaration: Callable[..., None]) -> list[Any]:
    params = params_of(declaration)
    for param in params:
        param.expose_value = False
        param.callback = _remember
    return params


def _remember(ctx: Any, param: Any, value: Any) -> Any:
    if value is not None and value is not False:
        ctx.meta.setdefault(_GIVEN, {})[param.name] = value
    return value
