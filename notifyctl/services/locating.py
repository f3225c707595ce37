"""Where in its files a template is wrong: as editors open it, `welcome.html:3:14`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from notifyctl.core.errors import NotifyctlError
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.frontmatter import TemplateFile
from notifyctl.core.template.source import Source
from notifyctl.services import inclusion
from notifyctl.store.db.tx import Tx


def located(tx: Tx, file: TemplateFile, error: NotifyctlError) -> NotifyctlError:
    """Return the error, its message beginning with the place in the files that it is about."""
    found = _unwritten(file) if isinstance(error, TemplateError) else _including(tx, file, error)
    place, reason = found or (_field(file, error), error.message)
    error.message = f"{place}: {reason}"
    return error


def _texts(file: TemplateFile) -> Iterator[tuple[str | None, str, str]]:
    """Yield the language, the name and the text of each part."""
    for tag, parts in ((None, file.said.parts), *(file.said.variants or {}).items()):
        for name, value in parts.items():
            if isinstance(value, Mapping):
                yield from ((tag, f"{name}.{key}", str(text)) for key, text in value.items())
            else:
                yield tag, name, str(value)


def _unwritten(file: TemplateFile) -> tuple[str, str] | None:
    """Return where something is not written as a template is, and why."""
    from notifyctl.core.template.render import Renderer  # here: the engine is loaded by whoever needs it

    source, renderer = _source(file), Renderer()
    for tag, name, _ in _texts(file):
        try:
            renderer.check_part(source, name, tag or source.language)
        except TemplateError as wrong:
            return file.places[tag, name].at(wrong.line, wrong.column), wrong.reason
    return None


def _source(file: TemplateFile) -> Source:
    said = file.said
    return Source(file.name, file.channel, said.parts, said.language, said.variants or {})


def _including(tx: Tx, file: TemplateFile, error: NotifyctlError) -> tuple[str, str] | None:
    """Return where another template is named that makes the error."""
    from notifyctl.core.template.included import named
    from notifyctl.core.template.tokens import position

    for tag, part, text in _texts(file):
        for name, start in named(text):
            wrong = inclusion.fault(tx, file.name, file.channel, name)
            if wrong is not None and wrong.message == error.message:
                return file.places[tag, part].at(*position(text, start)), error.message
    return None


def _field(file: TemplateFile, error: NotifyctlError) -> str:
    """Return where the field is with which a message begins, or of whose value it tells; else which template it is."""
    said = _FIELD.match(error.message)
    tag, name = said.groups() if said else (None, "")
    if file.category and error.message.endswith(f"category {file.category!r}"):
        name = "category"
    return (file.places.get((tag, name)) or file.places[None, "template"]).at()


_FIELD = re.compile(r"(?:variant ([\w-]+): )?([\w.-]+): ")
