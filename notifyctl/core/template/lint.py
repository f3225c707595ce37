"""What is wrong with a template, or soon will be, found before anybody is sent anything."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from notifyctl.core.model import Channel
from notifyctl.core.segments import segments
from notifyctl.core.template import grammar, markup, structure
from notifyctl.core.template.expression import Construct
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.included import included
from notifyctl.core.template.render import Renderer, part_names, unit
from notifyctl.core.template.source import UNSET, Source, Variable
from notifyctl.core.template.structure import Severity
from notifyctl.core.template.tokens import position
from notifyctl.core.template.unit import Unit
from notifyctl.core.template.uses import ITEM, Path, Use, uses
from notifyctl.core.unsubscribe import VARIABLE

SEGMENTS_USUAL, SEGMENTS_MOST = 3, 10
"""More segments cost more than one expects; more than the second are refused on the way."""


class Remark(NamedTuple):
    """What was found. `part` is of the template's own language, else `de:subject`.

    `line` and `column` are of that part, from 1, None where nothing is known of them.
    """

    severity: Severity
    part: str
    line: int | None
    message: str
    column: int | None = None


def lint(
    source: Source, renderer: Renderer, languages: Iterable[str] = (), *, is_part: bool = False
) -> tuple[Remark, ...]:
    """Return what is wrong with a template; `languages` are those that it should speak. Never raises.

    Of what is only a part of others (`is_part`), these may have set what it does not declare.
    """
    broken = tuple(_syntax(source, renderer))
    found = [*broken, *_missing_variants(source, languages)]
    if not broken:
        found += [
            *_clients(source),
            *_variables(source, is_part=is_part),
            *_structure(source),
            *_unsubscribing(source),
            *_lengths(source, renderer),
            *_subjects(source),
        ]
    if not any(each.severity is Severity.ERROR for each in found):
        found += _with_examples(source, renderer, tuple(found))
    once: dict[tuple[object, ...], Remark] = {}  # of several in one line the first
    for each in found:
        once.setdefault(each[:-1], each)
    return tuple(once.values())


def examples(source: Source) -> dict[str, Any]:
    """Return an example of each variable that has one, else its default."""
    found = {each.name: each.default for each in source.every_variable.values() if each.default is not UNSET}
    return found | {each.name: each.example for each in source.every_variable.values() if each.example is not UNSET}


def _parts(source: Source) -> Iterator[tuple[str, str | None, Unit]]:
    """Yield what each part is called, its language, and the part."""
    for tag in (source.language, *source.variants):
        own = source.parts if tag == source.language else source.variants[tag or ""]
        for name in part_names(source, tag):
            if name.partition(".")[0] in own:
                yield (name if tag == source.language else f"{tag}:{name}"), tag, unit(source, name, tag)


def _syntax(source: Source, renderer: Renderer) -> Iterator[Remark]:
    for label, tag, part in _parts(source):
        try:
            renderer.check_part(source, part.part, tag)
            named = included(part.text)
        except TemplateError as error:
            yield Remark(Severity.ERROR, label, error.line, error.reason, error.column)
            continue
        for name in sorted(named - part.includes.keys()):
            yield Remark(Severity.ERROR, label, None, f"there is no template {name} that it could include")


def _uses(part: Unit) -> list[tuple[Use, Unit]]:
    """Return what a part and what it includes take from outside."""
    return [(use, _within(part, use.within) or part) for use in uses(part.tree, lambda names: _tree(part, names))]


def _within(part: Unit, names: Iterable[str]) -> Unit | None:
    """Return what is included by these names in a row."""
    found: Unit | None = part
    for name in names:
        found = None if found is None else found.includes.get(name)
    return found


def _tree(part: Unit, names: Iterable[str]) -> grammar.Body | None:
    unit = _within(part, names)
    return None if unit is None else unit.tree


def _variables(source: Source, *, is_part: bool) -> Iterator[Remark]:
    known, used = source.every_variable, set[str]()
    for label, _, part in _parts(source):
        said: set[str] = set()
        for use, where in _uses(part):
            used.add(use.path[0])
            reason = _undeclared(use, known)
            if reason is None or str(use) in said:
                continue
            said.add(str(use))
            line, column = position(where.text, use.place) if where is part else (None, None)
            inside = "" if where is part else f" (in {where.template})"
            # Values have no methods, and whoever goes by the declarations gives nothing else.
            fails = use.called or (use.path[0] not in known and not use.optional and not is_part)
            yield Remark(Severity.ERROR if fails else Severity.WARNING, label, line, f"{reason}{inside}", column)
    for name in sorted(known.keys() - used):
        if any(each.name == name for each in source.variables):
            yield Remark(Severity.WARNING, "variables", None, f"{name} is declared and not used")


def _undeclared(use: Use, known: Mapping[str, Variable]) -> str | None:
    """Return what is wrong with a use, or None."""
    name = use.path[0]
    if name == VARIABLE:
        return None
    if name not in known:
        return f"{name} is not declared"
    if use.called:
        return f"{use}(): values have no methods; write {name}|upper"
    variable = known[name]
    example = variable.example if variable.example is not UNSET else variable.default
    if example in (UNSET, None) or use.optional or _is_there(example, use.path[1:]):
        return None
    return f"{use} is not in the example of {name}"


def _is_there(value: Any, path: Path) -> bool:
    """Whether a value has what a path leads to; of a list each item has to have it."""
    if not path:
        return True
    if path[0] == ITEM and isinstance(value, (list, tuple)):
        return all(_is_there(each, path[1:]) for each in value)
    if path[0] == ITEM:
        return isinstance(value, (Mapping, str))
    return isinstance(value, Mapping) and path[0] in value and _is_there(value[path[0]], path[1:])


def _missing_variants(source: Source, languages: Iterable[str]) -> Iterator[Remark]:
    for tag in source.variants:
        for name in source.parts.keys() - source.variants[tag].keys():
            yield Remark(Severity.WARNING, f"{tag}:{name}", None, f"is missing: its readers get {_own(source)}")
        for each in source.includes.values():
            if tag not in each.variants and tag != each.language:
                yield Remark(
                    Severity.WARNING, f"{tag}:{_main(source)}", None, f"includes {each.name}, which has no {tag}"
                )
    for tag in sorted({*languages} - {*source.variants, source.language or ""}):
        yield Remark(Severity.WARNING, f"{tag}:{_main(source)}", None, f"there is no variant {tag}")


def _own(source: Source) -> str:
    return f"the one in {source.language}" if source.language else "the template's own"


def _main(source: Source) -> str:
    return "html" if "html" in source.parts else "body"


def _lengths(source: Source, renderer: Renderer) -> Iterator[Remark]:
    if source.channel is not Channel.SMS:
        return
    for label, tag, part in _parts(source):
        about, text = "with the examples", ""
        try:
            text = renderer.render_part(source, part.part, examples(source), tag)
        except TemplateError:
            about, text = "without what is put in", _literal(part)
        length = segments(text)
        if length.count > SEGMENTS_MOST:
            yield Remark(Severity.ERROR, label, None, f"is too long, {about}: {length}, and {SEGMENTS_MOST} at most")
        elif length.count > SEGMENTS_USUAL:
            yield Remark(Severity.WARNING, label, None, f"is long, {about}: {length}")


def _subjects(source: Source) -> Iterator[Remark]:
    """Yield where a subject has a second line whatever is put in: mail is refused for that."""
    for label, _, part in _parts(source):
        if part.part == "subject" and len(_literal(part).strip().splitlines()) > 1:
            yield Remark(Severity.ERROR, label, None, "has more than one line")


def _with_examples(source: Source, renderer: Renderer, told: Sequence[Remark]) -> Iterator[Remark]:
    """Yield what fails with the examples, but for what has none and what was `told` of already."""
    values = {VARIABLE: "https://example.org/", **examples(source)}
    seen = {each.message.partition(" ")[0] for each in told} | (source.every_variable.keys() - values.keys())
    for tag in (source.language, *source.variants):
        try:
            renderer.render(source, values, tag)
        except TemplateError as error:
            variable, part = error.variable or "", error.part or _main(source)
            label = part if tag == source.language else f"{tag}:{part}"
            seen_before = {error.message, variable, variable.partition(".")[0]} & seen
            if seen_before or any(_is_about(each, error, label) for each in told):
                continue
            seen.add(error.message)
            yield Remark(Severity.WARNING, label, error.line, f"fails with the examples: {error.reason}", error.column)


def _is_about(remark: Remark, error: TemplateError, label: str) -> bool:
    """Whether a remark tells what is wrong at the place at which rendering fails."""
    within = remark.message.endswith(f"(in {error.template})")
    return within or (remark.part, remark.line, remark.column) == (label, error.line, error.column)


def _structure(source: Source) -> Iterator[Remark]:
    """Yield what names something that there is not, or stands where nothing of it is shown."""
    for label, _, part in _parts(source):
        for severity, place, message in structure.faults(part):
            line, column = position(part.text, place)
            yield Remark(severity, label, line, message, column)


def _literal(part: Unit) -> str:
    nodes = grammar.walk(grammar.parse(part.text))
    return "".join(part.text[node.start : node.end] for node in nodes if node.kind is Construct.TEXT)


def _unsubscribing(source: Source) -> Iterator[Remark]:
    if source.channel is not Channel.EMAIL or not source.marketing:
        return
    for label, _, part in _parts(source):
        if part.part in ("body", "html") and VARIABLE not in {use.path[0] for use, _ in _uses(part)}:
            message = f"is marketing and has no link to unsubscribe: {{{{ {VARIABLE} }}}}"
            yield Remark(Severity.ERROR, label, None, message)


def _clients(source: Source) -> Iterator[Remark]:
    for label, _, part in _parts(source):
        if part.part == "html":
            for line, message in markup.dropped(part.text):
                yield Remark(Severity.WARNING, label, line, message)
