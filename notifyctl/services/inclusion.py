"""What templates include: which versions of it, and whether all of it is written as templates are."""

from __future__ import annotations

from collections.abc import Mapping

from notifyctl.core.errors import Conflict, NotFound, NotifyctlError, UsageError
from notifyctl.core.model import Channel
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
        if (wrong := _unfit(template.name, template.channel, name, included)) is not None:
            raise wrong
        assert included is not None  # noqa: S101 - or it were wrong
        found[name] = (included.id, included.published_version)
    return found


def behind(tx: Tx, template: Template) -> dict[str, tuple[int, int]]:
    """Return what the published version includes as it was: which version of it, and which one holds now."""
    row = store.version(tx, (template.id, template.published_version)) if template.published_version else None
    pinned = {} if row is None else row.pins
    now = store.published(tx, [id_ for id_, _ in pinned.values()]) if pinned else {}
    return {name: (number, now[id_]) for name, (id_, number) in pinned.items() if now.get(id_, number) != number}


def fault(tx: Tx, template: str, channel: Channel, name: str) -> NotifyctlError | None:
    """Return why a template cannot include that of a name, or None."""
    return _unfit(template, channel, name, store.by_name(tx, [name]).get(name))


def _unfit(template: str, channel: Channel, name: str, included: Template | None) -> NotifyctlError | None:
    if included is None:
        return NotFound(f"{template} includes {name!r}, which there is not", "notifyctl templates list")
    if included.channel is not channel:
        return UsageError(f"template {template} includes {name}, which is for {included.channel}")
    if name == template:
        return UsageError(f"template {name} includes itself")
    if not included.published_version:
        return Conflict(f"template {name} is a draft", f"notifyctl templates publish {name}")
    return None


def require_shallow(tx: Tx, row: VersionRow, pinned: Mapping[str, VersionKey]) -> None:
    """Raise UsageError where templates include one another so deep that none of it would be rendered."""
    from notifyctl.core.template.engine import INCLUDES_DEEPEST  # here: the engine is loaded by whoever needs it

    level, depth = [template_sources.source_of(tx, row, pinned)], -1
    while level:
        level, depth = list({id(each): each for one in level for each in one.includes.values()}.values()), depth + 1
        if depth > INCLUDES_DEEPEST:
            raise UsageError(f"what it includes includes others deeper than {INCLUDES_DEEPEST} levels")


def check(tx: Tx, said: VersionRow) -> None:
    """Raise TemplateError, which says where, unless all of it is written as templates are."""
    from notifyctl.core.template.render import Renderer  # here: the engine is loaded by whoever needs it

    Renderer().check(template_sources.source_of(tx, said, {}))
