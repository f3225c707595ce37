"""What templates include: which versions of it, and whether all of it is written as templates are."""

from __future__ import annotations

from collections.abc import Mapping

from notifyctl.core.errors import Conflict, NotFound, UsageError
from notifyctl.core.template.source import Source
from notifyctl.core.wording import Template, Wording
from notifyctl.store import template_sources
from notifyctl.store import templates as store
from notifyctl.store.db.tx import Tx
from notifyctl.store.templates import PUBLISHED, VersionKey, VersionRow


def references(said: Wording) -> list[str]:
    """Return the names of the templates that its parts, in all languages, include, extend or import."""
    from notifyctl.core.template.included import included  # here: few commands read templates

    found: set[str] = set()
    for parts in (said.parts, *(said.variants or {}).values()):
        for value in parts.values():
            for text in value.values() if isinstance(value, Mapping) else (value,):
                found |= included(str(text))
    return sorted(found)


def source_of(tx: Tx, template: Template, row: VersionRow) -> Source:
    """Return what a version is rendered from: a draft with what it would be pinned to now."""
    return template_sources.source_of(tx, row, row.pins if row.state == PUBLISHED else pins(tx, template, row.wording))


def pins(tx: Tx, template: Template, said: Wording) -> dict[str, VersionKey]:
    """Return the versions of what it includes that hold now. Raises NotFound, Conflict, UsageError."""
    wanted = references(said)
    named = store.by_name(tx, wanted) if wanted else {}
    found: dict[str, VersionKey] = {}
    for name in wanted:
        included = named.get(name)
        if included is None:
            raise NotFound(f"{template.name} includes {name!r}, which there is not", "notifyctl templates list")
        if included.channel is not template.channel:
            raise UsageError(f"template {template.name} includes {name}, which is for {included.channel}")
        if included.id == template.id:
            raise UsageError(f"template {name} includes itself")
        if not included.published_version:
            raise Conflict(f"template {name} is a draft", f"notifyctl templates publish {name}")
        found[name] = (included.id, included.published_version)
    return found


def check(tx: Tx, said: VersionRow) -> None:
    """Raise TemplateError, which says where, unless all of it is written as templates are."""
    from notifyctl.core.template.render import Renderer  # here: the engine is loaded by whoever needs it

    Renderer().check(template_sources.source_of(tx, said, {}))
