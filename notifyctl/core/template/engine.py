"""The template engine: the only module that knows which one it is (MiniJinja, whose language is that of Jinja).

How a value prints, wherever `{{ }}` stands: text as it is; null as nothing; `true` and `false`; an integer with all its
digits; a number with the fewest digits that read back as the same one, never with an exponent, `2.0` with its zero;
lists and objects as JSON. In HTML what is printed is escaped, unless it was marked `safe`.

A template reaches nothing but the values that it is given. It is bounded in steps, in output and in nesting.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import minijinja

from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.values import given, printed

OUTPUT_MAX = 1_000_000
"""How many bytes a part may have when it is rendered."""
SOURCE_MAX = 500_000
"""How many characters the source of a part may have."""
FUEL = 250_000
"""How many steps a part may take."""

_KEPT = 500
"""How many units a thread keeps compiled."""


@dataclass(frozen=True)
class Unit:
    """One text to be rendered: a part of a template; `includes` has what it may include, by name.

    `escaped` says that it is HTML.
    """

    template: str
    part: str
    text: str
    escaped: bool = False
    includes: Mapping[str, Unit] = field(default_factory=dict)

    @cached_property
    def key(self) -> str:
        """What tells it from others; the same for the same text."""
        known = hashlib.sha256(f"{self.template}\0{self.part}\0{self.escaped}\0".encode())
        known.update(self.text.encode(errors="surrogatepass"))
        for name in sorted(self.includes):
            known.update(f"\0{name}\0{self.includes[name].key}".encode())
        return known.hexdigest()[:32] + ("h" if self.escaped else "t")


class Engine:
    """Renders units. It may be shared by threads: each has an environment of its own, which keeps what it compiled."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions = dict(functions or {})
        self._local = threading.local()

    def render(self, unit: Unit, values: Mapping[str, Any]) -> str:
        """Return what the unit says with these values, which are what JSON has. Raises TemplateError."""
        return self._bench().render(unit, values)

    def check(self, unit: Unit) -> None:
        """Raise TemplateError unless the unit is written as a template is; nothing is rendered."""
        self._bench().check(unit)

    def _bench(self) -> _Bench:
        bench = getattr(self._local, "bench", None)
        if bench is None:
            bench = self._local.bench = _Bench(self._functions)
        return bench


class _Bench:
    """One thread's environment, and the units that it has compiled, by their keys."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        self._units: dict[str, Unit] = {}
        self._room = OUTPUT_MAX
        self._environment = minijinja.Environment(
            loader=self._load,
            debug=True,  # what it costs comes with an error, whose variable's name is known only so
            fuel=FUEL,
            undefined_behavior="strict",
            auto_escape_callback=_is_html,
            path_join_callback=self._join,
            finalizer=self._print,
            keep_trailing_newline=True,
            pycompat=False,
        )
        self._environment.remove_global("debug")
        for name, function in functions.items():
            self._environment.add_global(name, function)
            self._environment.add_filter(name, function)

    def render(self, unit: Unit, values: Mapping[str, Any]) -> str:
        self._add(unit)
        self._room = OUTPUT_MAX
        with _explained(unit, self._units):
            text = self._environment.render_template(unit.key, **given(values))
        if len(text) > OUTPUT_MAX or len(text.encode(errors="replace")) > OUTPUT_MAX:
            raise _too_long().at(unit.template, unit.part)
        return text

    def check(self, unit: Unit) -> None:
        self._add(unit)
        with _explained(unit, self._units):
            self._environment.add_template(unit.key, unit.text)

    def _add(self, unit: Unit) -> None:
        if unit.key in self._units:
            return
        if len(self._units) > _KEPT:
            self._environment.clear_templates()
            self._units.clear()
        self._put(unit)

    def _put(self, unit: Unit) -> None:
        self._units[unit.key] = unit
        for each in unit.includes.values():
            self._put(each)

    def _load(self, key: str) -> str | None:
        unit = self._units.get(key)
        return None if unit is None else unit.text

    def _join(self, name: str, parent: str) -> str:
        unit = self._units[parent].includes.get(name)
        return name if unit is None else unit.key

    def _print(self, value: Any) -> str:
        text = printed(value)
        self._room -= len(text)
        if self._room < 0:
            raise _too_long()
        return text


def _is_html(key: str) -> bool:
    return key.endswith("h")


def _too_long() -> TemplateError:
    return TemplateError(f"it is longer than {OUTPUT_MAX:,} bytes when it is rendered")


@contextmanager
def _explained(unit: Unit, units: Mapping[str, Unit]) -> Iterator[None]:
    """Turn whatever the engine raises into a TemplateError that names the unit."""
    try:
        yield
    except minijinja.TemplateError as error:
        raise _failure(error, unit, units) from None
    except TemplateError as error:
        raise error.at(unit.template, unit.part) from None
    except (TypeError, AttributeError, LookupError, ValueError, RecursionError):
        raise TemplateError("calls what is no function", template=unit.template, part=unit.part) from None
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TemplateError("the engine gave up", template=unit.template, part=unit.part) from None


def _failure(error: minijinja.TemplateError, unit: Unit, units: Mapping[str, Unit]) -> TemplateError:
    where = units.get(error.name or "", unit)
    detail = error.detail or ""
    variable = _variable(error.kind, detail)
    reason = f"{variable} has no value" if variable else _reason(error.kind, detail)
    for key, each in units.items():
        reason = reason.replace(key, each.template)
    return TemplateError(
        reason,
        template=where.template,
        part=where.part,
        line=error.line,
        column=_column(where.text, error.range),
        variable=variable,
    )


def _reason(kind: str, detail: str) -> str:
    if kind == "OutOfFuel":
        return "it takes too many steps"
    return detail or _REASONS.get(kind, "it cannot be rendered")


_REASONS = {"UndefinedError": "something has no value", "SyntaxError": "it is not written as a template is"}
_UNDEFINED = re.compile(r"`([^`]+)` is undefined")


def _variable(kind: str, detail: str) -> str | None:
    found = _UNDEFINED.search(detail)
    return found[1] if found else None


def _column(text: str, span: tuple[int, int] | None) -> int | None:
    """Return the column of where the engine points to, in bytes from the beginning."""
    if span is None:
        return None
    before = text.encode(errors="replace")[: span[0]].decode(errors="replace")
    return len(before) - (before.rfind("\n") + 1) + 1
