"""What is rendered: a version of a template with the versions of what it includes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from notifyctl.core.category import CategoryKind
from notifyctl.core.template.source import Source, variables
from notifyctl.core.wording import Template
from notifyctl.store import templates
from notifyctl.store.db.tx import Tx
from notifyctl.store.schema.tables import categories
from notifyctl.store.templates import VersionKey, VersionRow


def source(tx: Tx, key: VersionKey) -> Source | None:
    """Return what a version is rendered from, each of what it includes in the version to which that is pinned."""
    row = templates.version(tx, key)
    return None if row is None else source_of(tx, row, row.pins)


def source_of(tx: Tx, row: VersionRow, pins: Mapping[str, VersionKey]) -> Source:
    """Return what a version, perhaps a draft, is rendered from, with these versions of what it includes."""
    rows: dict[VersionKey, VersionRow] = {}
    wanted = set(pins.values())
    while wanted:  # what they include in turn: a version is pinned to such as were published before it
        found = templates.versions_of(tx, sorted(wanted))
        rows |= found
        wanted = {key for each in found.values() for key in each.pins.values()} - rows.keys()
    ids = {row.template_id, *(id_ for id_, _ in rows)}
    named = templates.get_many(tx, ids)
    marketing = _marketing(tx, {each.category for each in named.values() if each.category is not None})
    made: dict[VersionKey, Source] = {}

    def included(pinned: Mapping[str, VersionKey]) -> dict[str, Source]:
        return {name: made.get(key) or make(key) for name, key in pinned.items() if key in rows}

    def make(key: VersionKey) -> Source:
        made[key] = _as_source(named[key[0]], rows[key], included(rows[key].pins), marketing)
        return made[key]

    return _as_source(named[row.template_id], row, included(pins), marketing)


# Helpers


def _marketing(tx: Tx, names: Collection[str]) -> Collection[str]:
    """Return which of these categories are marketing."""
    if not names:
        return ()
    c = categories.c
    statement = select(c.name).where(tx.dialect.is_any(c.name, names), c.kind == CategoryKind.MARKETING.value)
    return set(tx.execute(statement).scalars())


def _as_source(
    template: Template, row: VersionRow, included: Mapping[str, Source], marketing: Collection[str]
) -> Source:
    said = row.wording
    return Source(
        name=template.name,
        channel=template.channel,
        parts=said.parts,
        language=said.language,
        variants=said.variants or {},
        variables=variables(list(said.variables)),
        includes=included,
        category=template.category,
        marketing=template.category in marketing,
    )
