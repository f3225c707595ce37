"""What is rendered: a version of a template with the versions of what it includes."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from sqlalchemy import select

from notifyctl.core.category import CategoryKind
from notifyctl.core.errors import UsageError
from notifyctl.core.template.failure import TemplateError
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
    """Return what a version, perhaps a draft, is rendered from, with these versions of what it includes.

    What is gone of that is left out: whoever renders it says so. Raises TemplateError for what cannot be read.
    """
    rows: dict[VersionKey, VersionRow] = {}
    wanted = set(pins.values())
    while wanted:  # what they include in turn: a version is pinned to such as were published before it
        found = templates.versions_of(tx, sorted(wanted))
        rows |= found
        wanted = {key for each in found.values() for key in each.pins.values()} - rows.keys()
    ids = {row.template_id, *(id_ for id_, _ in rows)}
    named = templates.get_many(tx, ids)
    marketing = _marketing(tx, {each.category for each in named.values() if each.category is not None})
    if row.template_id not in named:  # its versions outlived it: it was deleted past the foreign key
        raise TemplateError(f"template {row.template_id} is gone")
    made: dict[VersionKey, Source] = {}

    def included(pinned: Mapping[str, VersionKey]) -> dict[str, Source]:
        there = {name: key for name, key in pinned.items() if key in rows and key[0] in named}
        return {name: made.get(key) or make(key) for name, key in there.items()}

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
    try:
        declared = variables(list(said.variables))
    except UsageError as error:  # of another program's
        raise TemplateError(error.message, template=template.name, hint=error.hint) from None
    return Source(
        name=template.name,
        channel=template.channel,
        parts=said.parts,
        language=said.language,
        variants=said.variants or {},
        variables=declared,
        includes=included,
        category=template.category,
        marketing=template.category in marketing,
    )
