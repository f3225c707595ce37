"""The template engine: the only module that knows which one it is (MiniJinja, whose language is that of Jinja).

How a value prints, wherever `{{ }}` stands: text as it is; null as nothing; `true` and `false`; an integer with all its
digits; a number with the fewest digits that read back as the same one, never with an exponent, and without a fraction
where it has none; lists and objects as JSON. `~`, `join`, `format` and filters that are for texts (`upper`, `trim`,
`safe`, ...) make text of values in the same way. In HTML what is printed is escaped, unless it was marked `safe`.

A template reaches nothing but the values that it is given. It is bounded in steps, in output and in nesting.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import minijinja

from notifyctl.core.template import blame, rules
from notifyctl.core.template.counted import (
    ITEM,
    MEMBER,
    OBJECT,
    OUTPUT_MAX,
    PIECE,
    TOO_MANY_STEPS,
    CountedFilters,
    too_long,
)
from notifyctl.core.template.expression import Node
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.tokens import position
from notifyctl.core.template.unit import Unit, UnitSet
from notifyctl.core.template.values import LISTS, TakenValues, given, lacking, printed, unfit

FUEL = 180_000
"""How many steps a part may take."""

INCLUDES_DEEPEST = 8
"""How many templates may include one another in a row."""

_KEPT = 500
"""How many units a thread keeps compiled."""


class Engine:
    """Renders units. It may be shared by threads: each has an environment of its own, which keeps what it compiled."""

    def __init__(self, functions: Mapping[str, Callable[..., Any]] | None = None) -> None:
        self._functions = dict(functions or {})
        self._local = threading.local()

    def render(self, unit: Unit, values: Mapping[str, Any] | TakenValues) -> str:
        """Return what the unit says with these values, which are what JSON has. Raises TemplateError."""
        found = given(values)
        return self.render_others(unit.alone, found, unit.alone.at_once(found))[unit.part]

    def render_others(self, parts: UnitSet, values: TakenValues, written: dict[str, str] | None) -> dict[str, str]:
        """Return what all parts say, with what was `written` without the engine where that holds."""
        if written is None:
            return {each.part: self._bench().render(each, values.taken) for each in parts.units}
        sure = written if parts.holds else {}
        found = {
            each.part: sure[each.part] if each.part in sure else self._bench().render(each, values.taken)
            for each in parts.units
        }
        if parts.holds is None:
            parts.holds = written.items() <= found.items()
        return found

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
        self._room, self._counted = OUTPUT_MAX, CountedFilters(minijinja.safe)
        self._environment = self._made(functions)

    def _made(self, functions: Mapping[str, Callable[..., Any]]) -> minijinja.Environment:
        made = minijinja.Environment(
            loader=self._load,
            debug=True,  # what it costs comes with an error, whose variable's name is known only so
            fuel=FUEL,
            undefined_behavior="strict",
            auto_escape_callback=lambda key: key.endswith("h"),
            path_join_callback=self._join,
            keep_trailing_newline=True,
            pycompat=False,
            finalizer=self._print,
        )
        for name in ("debug", "dict", "cycler", "joiner"):
            made.remove_global(name)
        for name, function in functions.items():
            made.add_global(name, function)
            made.add_filter(name, function)
        made.add_filter(rules.GUARD, self._plain)
        made.add_filter(rules.TEXT_GUARD, lambda *given: printed(self._plain(*given)))
        made.add_filter(rules.EACH_GUARD, self._each)
        made.add_filter(rules.ABSENT_GUARD, lambda _, where, defined: self._plain(None, where, False))
        made.add_filter(rules.SHOWN_GUARD, self._shown)
        made.add_filter(rules.EACH_SHOWN_GUARD, self._each_shown)
        made.add_filter(rules.PRESENT_GUARD, self._present)
        for guard, scale in ((rules.WEIGHED_GUARD, 0), (rules.COMPARED_GUARD, 1), (rules.LISTED_GUARD, OBJECT)):
            made.add_filter(guard, partial(self._weighed, scale))
        made.add_filter(rules.FORMAT_GUARD, self._formatted)
        for name, function in self._counted.filters.items():
            made.add_filter(name, function)
        return made

    def render(self, unit: Unit, values: Mapping[str, Any]) -> str:
        self._add(unit)
        self._room = OUTPUT_MAX
        self._counted.begin(escapes=unit.escaped)
        try:
            if unit.shadowing <= values.keys():
                text = self._environment.render_template(unit.key, **values)
            else:
                text = self._rendered_apart(unit, values)
        except BaseException as error:
            raise _explained(error, unit, self._units) from None
        if len(text) * 4 > OUTPUT_MAX and len(text.encode(errors="replace")) > OUTPUT_MAX:
            raise too_long().at(unit.template, unit.part)
        return text

    def _rendered_apart(self, unit: Unit, values: Mapping[str, Any]) -> str:
        """Render with the values as globals: where no value has such a name, a dict's method would be found."""
        given = [name for name in values if name not in rules.FUNCTIONS]
        try:
            for name in given:
                self._environment.add_global(name, values[name])
            return self._environment.render_template(unit.key)
        finally:
            for name in given:
                self._environment.remove_global(name)

    def check(self, unit: Unit) -> None:
        self._add(unit)
        try:
            self._environment.add_template(unit.key, unit.guarded[0])
        except BaseException as error:
            raise _explained(error, unit, self._units) from None

    def _add(self, unit: Unit) -> None:
        if unit.key in self._units:
            return
        if len(self._units) > _KEPT:
            self._environment.clear_templates()
            self._units.clear()
        self._put(unit, 0)

    def _put(self, unit: Unit, depth: int) -> None:
        if depth > INCLUDES_DEEPEST:
            raise TemplateError("includes templates that go too deep", template=unit.template, part=unit.part)
        _ = unit.guarded  # raises here, not where the engine asks for it
        for each in unit.includes.values():
            self._put(each, depth + 1)
        self._units[unit.key] = unit

    def _load(self, key: str) -> str | None:
        unit = self._units.get(key)
        return None if unit is None else unit.guarded[0]

    def _join(self, name: str, parent: str) -> str:
        unit = self._units[parent].includes.get(name)
        return name if unit is None else unit.key

    def _shown(self, value: Any, where: str, defined: bool | None = None) -> str:
        """Return a value as it prints, lists and objects as JSON."""
        return self._counted.text(self._present(value, where, defined))

    def _present(self, value: Any, where: str, defined: bool | None = None) -> Any:
        """Return any value. None may stand for none, where it is told; `where` does, where it is given instead."""
        if (value is None and defined is False) or (isinstance(value, str) and value == where):
            raise self._fault(where, "has no value")
        return value

    def _weighed(self, scale: int, value: Any, where: str, defined: bool | None = None) -> Any:
        """Return any value, its texts counted; what it holds counts so many times `scale`."""
        if isinstance(value, LISTS):
            texts = sum(self._counted.compared(each, scale) for each in value) if scale else 0
            self._counted.spend(texts + PIECE * len(value) if scale or isinstance(value, list) else 0)
        return self._counted.passed(self._present(value, where, defined))

    def _each_shown(self, values: Any, where: str, defined: bool | None = None) -> Any:
        """Return the items of a list as they print."""
        if not isinstance(self._present(values, where, defined), LISTS):
            return values  # which a filter that is for each of them refuses or goes through by itself
        self._counted.spend(ITEM * len(values))
        return [self._counted.text(each) for each in values]

    def _formatted(self, value: Any, where: str, defined: bool | None = None) -> Any:
        """Return what `format` puts in: numbers as they are, for it to write."""
        value = self._plain(value, where, defined)
        return printed(value) if value is None or isinstance(value, bool) else value

    def _plain(self, value: Any, where: str, defined: bool | None = None) -> Any:
        """Return the value that a guard is at, unless it is unfit."""
        reason = unfit(self._present(value, where, defined))
        if reason is None:
            return self._counted.passed(value)
        raise self._fault(where, reason)

    def _each(self, values: Any, where: str, attribute: Any, defined: bool | None = None) -> Any:
        """Return a list each of whose items has a member: the engine would take one that it lacks for null."""
        if self._present(values, where, defined) is None:
            return None
        self._counted.spend(MEMBER * len(values) if isinstance(values, LISTS) else 0)
        reason = lacking(values, attribute)
        if reason is None:
            return values
        raise self._fault(where, reason)

    def _fault(self, where: str, reason: str) -> TemplateError:
        key, start, end = where.split(":")
        unit = self._units[key]
        name = unit.text[int(start) : int(end)].strip()
        line, column = position(unit.text, int(start))
        variable = name if blame.PATH.fullmatch(name) else None
        return TemplateError(
            f"{blame.short(name)} {reason}",
            template=unit.template,
            part=unit.part,
            line=line,
            column=column,
            variable=variable,
        )

    def _print(self, value: Any) -> str:
        text = printed(value)
        if text.startswith("minijinja") and "::" in text:
            raise TemplateError("a function cannot be printed")
        self._room -= len(text)
        if self._room < 0:
            raise too_long()
        return text


def _explained(error: BaseException, unit: Unit, units: Mapping[str, Unit]) -> BaseException:
    """Return what the engine raised as a TemplateError that names the unit; what is none of its business as it is."""
    if isinstance(error, minijinja.TemplateError):
        return _failure(error, unit, units)
    if isinstance(error, TemplateError):
        return blame.of_filter(error, unit).at(unit.template, unit.part)
    if isinstance(error, (TypeError, AttributeError, LookupError, ValueError, RecursionError)):
        return blame.of_call(unit)
    if type(error).__name__ == "PanicException":
        return TemplateError("the engine gave up", template=unit.template, part=unit.part)
    return error


def _failure(error: minijinja.TemplateError, unit: Unit, units: Mapping[str, Unit]) -> TemplateError:
    causes = list(_CAUSE.finditer(str(error))) if error.kind == "BadInclude" else []
    if causes and causes[-1][2] in units:
        return _included_failure(causes[-1], units)
    where = units.get(error.name or "", unit)
    detail = error.detail or ""
    variable = _variable(error, where)
    nameless = variable or (_pointed(error, where) if error.kind == "UndefinedError" else None)
    reason = f"{nameless} has no value" if nameless else _reason(error.kind, detail)
    if not nameless and error.kind in _OF_VALUES and (node := _expression(error, where)) is not None:
        reason, variable = f"{blame.shown(where, node)}: {reason}", blame.variable(where, node)
    for key, each in units.items():
        reason = reason.replace(key, each.template)
    line, column = _place(where, error)
    return TemplateError(reason, template=where.template, part=where.part, line=line, column=column, variable=variable)


def _included_failure(cause: re.Match[str], units: Mapping[str, Unit]) -> TemplateError:
    """Return what went wrong in a template that was included: the engine tells of that only in its long text."""
    detail, where, number = cause[1], units[cause[2]], int(cause[3])
    undefined = _UNDEFINED.search(detail)
    variable = undefined[1] if undefined else None
    reason = f"{variable} has no value" if variable else detail.removeprefix("invalid operation: ")
    if "out of fuel" in reason:
        reason = TOO_MANY_STEPS
    lines = where.text.split("\n")
    column = lines[number - 1].find(variable) + 1 if variable and number <= len(lines) else 0
    return TemplateError(
        reason, template=where.template, part=where.part, line=number, column=column or None, variable=variable
    )


def _reason(kind: str, detail: str) -> str:
    if kind == "OutOfFuel":
        return TOO_MANY_STEPS
    if _NAMELESS.search(detail):
        return "a part of it has no value"
    return detail or _CAPITAL.sub(lambda letter: f" {letter[0].lower()}", kind).strip()


_CAPITAL = re.compile("[A-Z]")
_OF_VALUES = frozenset({"InvalidOperation", "CannotUnpack"})
"""Errors of the engine that are about values of which it does not tell the names."""
_NAMELESS = re.compile(r"`[^`]*` is undefined")
_UNDEFINED = re.compile(r"`([^`()\[\]]+)` is undefined")
_CAUSE = re.compile(r"^caused by: (.*) \(in ([0-9a-f]{32}[ht]):(\d+)\)$", re.MULTILINE)


def _variable(error: minijinja.TemplateError, where: Unit) -> str | None:
    """Return the name of what has no value: the engine tells it, or points to it."""
    found = _UNDEFINED.search(error.detail or "")
    if found or error.kind != "UndefinedError":
        return found[1] if found else None
    pointed = _pointed(error, where)
    return pointed if pointed and blame.PATH.fullmatch(pointed) else None


def _pointed(error: minijinja.TemplateError, where: Unit) -> str | None:
    """Return the expression to which the engine points, as it was written."""
    if error.range is None:
        return None
    begin, end = (_in_source(where, place) for place in error.range)
    found = where.text[begin:end].strip()
    if where.text[:begin].rstrip().endswith("|"):
        return f"what {found.partition('(')[0]} is given"
    node = _expression(error, where)
    return found if node is None else blame.shown(where, node)


def _expression(error: minijinja.TemplateError, where: Unit) -> Node | None:
    """Return the expression to which the engine points."""
    if error.range is None:
        return None
    return blame.expression(where, *(_in_source(where, place) for place in error.range))


def _place(unit: Unit, error: minijinja.TemplateError) -> tuple[int | None, int | None]:
    """Return line and column in the source of what the engine points to, in bytes of what it was given."""
    if error.range is None:
        return error.line, None
    return position(unit.text, _in_source(unit, error.range[0]))


def _in_source(unit: Unit, place: int) -> int:
    """Return where in the source is what the engine has at a place, in bytes of what it was given."""
    text, added = unit.guarded
    place = len(text.encode()[:place].decode(errors="replace"))
    return place - sum(min(length, place - at) for at, length in added if at < place)
