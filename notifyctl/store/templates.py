"""Templates and their versions.

The template's row holds what its published version says; a version that was published never changes. A row that another
program wrote has no version of its own: it is its version.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, and_, delete, func, select, update

from notifyctl.core.content import canonical
from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import NotFound
from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import is_amiss, stored
from notifyctl.core.model import Channel
from notifyctl.core.wording import Template, TemplateState, Wording
from notifyctl.store import ids
from notifyctl.store.db.dialect import ID
from notifyctl.store.db.tx import Tx
from notifyctl.store.page import newest_first
from notifyctl.store.queue.states import PENDING, QUEUED
from notifyctl.store.schema.tables import notification_templates, notifications, template_versions, users

VersionKey = tuple[str, int]
"""A template's id and the number of a version."""

_OWN_PARTS = ("subject", "body", "html", "title", "image")
_KINDS: Mapping[str, type] = {"variables": list, "data": dict, "variants": dict}
DRAFT, PUBLISHED = "draft", "published"

t, v, n = notification_templates.c, template_versions.c, notifications.c
_creator = users.alias("creator")


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One version of a template as it is stored: `data`, `variables`, `variants` and `includes` are JSON.

    `author` is the name of who made it. Times are milliseconds since the epoch.
    """

    template_id: str
    number: int
    state: str
    subject: str | None
    body: str
    html: str | None
    title: str | None
    image: str | None
    data: str | None
    variables: str | None
    language: str | None
    variants: str | None
    includes: str | None
    note: str | None
    created_by: str | None
    created_at: int
    published_at: int | None
    author: str | None = None

    @property
    def wording(self) -> Wording:
        """What it says."""
        own = {name: value for name in _OWN_PARTS if (value := getattr(self, name))}
        data: dict[str, Any] = stored(self.data, {})
        variants: dict[str, Any] = stored(self.variants, {})
        declared: list[Any] = stored(self.variables, [])
        return Wording({**own, **({"data": data} if data else {})}, tuple(declared), self.language, variants or None)

    @property
    def unread(self) -> list[str]:
        """The names of its parts that are no JSON of their kind: what it says is without them."""
        return [name for name, kind in _KINDS.items() if is_amiss(getattr(self, name), kind)]

    @property
    def pins(self) -> dict[str, VersionKey]:
        """The versions of what it includes, by the names of those templates."""
        found: dict[str, list[Any]] = stored(self.includes, {})
        return {name: (str(id_), int(number)) for name, (id_, number) in found.items()}

    def including(self, pins: Mapping[str, VersionKey]) -> VersionRow:
        """Return the version, pinned to these."""
        return replace(self, includes=json.dumps(pins, sort_keys=True) if pins else None)

    def saying(self, said: Wording) -> VersionRow:
        """Return the version with other words."""
        part, data = said.parts.get, said.parts.get("data")
        return replace(
            self,
            subject=part("subject"),
            body=part("body") or "",
            html=part("html"),
            title=part("title"),
            image=part("image"),
            data=canonical(data) if data else None,
            variables=json.dumps(list(said.variables), ensure_ascii=False) if said.variables else None,
            language=said.language,
            variants=canonical(said.variants) if said.variants else None,
        )


@dataclass(frozen=True, slots=True)
class TemplateFilter:
    """Which templates; None narrows nothing. Of state DRAFT are all that have a draft."""

    channel: Channel | None = None
    kind: str | None = None
    state: TemplateState | None = None


# Looking


def find(tx: Tx, ref: str) -> Template:
    """Return a template by its name or id. Raises NotFound, UsageError for a beginning of several ids."""
    found = by_name(tx, [ref]).get(ref) if ref.isprintable() else None
    if found is None and ids.bounds(ref):
        found = get(tx, ids.resolve(tx, notification_templates, ref, "template"))
    if found is None:
        raise unknown(ref)
    return found


def unknown(ref: str) -> NotFound:
    """Return that there is no such template."""
    return NotFound(f"there is no template {ids.shown(ref)}", "notifyctl templates list")


def get(tx: Tx, template_id: str) -> Template | None:
    """Return a template by its id."""
    return next(iter(_many(tx, _select().where(t.id == template_id))), None)


def get_many(tx: Tx, template_ids: Iterable[str]) -> dict[str, Template]:
    """Return templates by their ids."""
    found = _many(tx, _select().where(tx.dialect.is_any(t.id, list(template_ids))))
    return {each.id: each for each in found}


def by_name(tx: Tx, names: Iterable[str]) -> dict[str, Template]:
    """Return the templates of these names, by name."""
    return {each.name: each for each in _many(tx, _select().where(tx.dialect.is_any(t.name, list(names))))}


def of_category(tx: Tx, name: str) -> list[tuple[str, str]]:
    """Return the ids and names of the templates that are of a category, in the order of the names."""
    found = tx.execute(select(t.id, t.name).where(t.category == name))
    return sorted(map(tuple, found), key=lambda each: each[1])


def published(tx: Tx, template_ids: Iterable[str]) -> dict[str, int]:
    """Return which version of these templates holds now."""
    columns = select(t.id, t.published_version)
    statement = columns.where(tx.dialect.is_any(t.id, list(template_ids)), t.published_version > 0)
    return {row.id: row.published_version for row in tx.execute(statement)}


def held(tx: Tx, template_ids: Iterable[str]) -> frozenset[str]:
    """Return those of these templates that are disabled."""
    return frozenset(tx.execute(select(t.id).where(tx.dialect.is_any(t.id, template_ids), ~t.is_active)).scalars())


def gone(tx: Tx, template_ids: Iterable[str | None]) -> set[str]:
    """Return those of these templates that were deleted."""
    wanted = {each for each in template_ids if each is not None}
    return wanted - set(tx.execute(select(t.id).where(tx.dialect.is_any(t.id, wanted))).scalars()) if wanted else set()


def holding(tx: Tx) -> dict[str, int]:
    """Return how many notifications that left the queue disabled templates hold back, by their names."""
    statement = (
        select(t.name, func.count())
        .join(notifications, n.template_id == t.id)
        .where(~t.is_active, PENDING, n.parked_at.is_not(None))
        .group_by(t.name)
        .order_by(t.name)
    )
    return {row[0]: row[1] for row in tx.execute(statement)}


def keep(tx: Tx, template_ids: Iterable[str]) -> set[str]:
    """Return those of these templates that are there; none of them can be deleted before the transaction ends."""
    statement = select(t.id).where(tx.dialect.is_any(t.id, list(template_ids))).order_by(t.id)
    return set(tx.execute(statement.with_for_update(read=True, key_share=True)).scalars())


def page(tx: Tx, wanted: TemplateFilter, after: Cursor | None, limit: int | None) -> list[Template]:
    """Return those that a filter matches, newest first."""
    return _many(tx, newest_first(_select().where(*_conditions(wanted)), t.created_at, t.id, after, limit))


def everything(tx: Tx) -> list[Template]:
    """Return all templates."""
    return _many(tx, _select())


def count(tx: Tx, wanted: TemplateFilter) -> int:
    """Return how many `page` would give."""
    statement = select(func.count()).select_from(notification_templates).where(*_conditions(wanted))
    return tx.execute(statement).scalar_one()


def versions(tx: Tx, template_id: str) -> list[VersionRow]:
    """Return all versions of a template, the newest first."""
    found = _versions(tx, _version_rows().where(v.template_id == template_id).order_by(v.number.desc()))
    return found or _of_rows(tx, [template_id])


def version(tx: Tx, key: VersionKey) -> VersionRow | None:
    """Return one version."""
    return next(iter(versions_of(tx, [key]).values()), None)


def versions_of(tx: Tx, keys: Sequence[VersionKey]) -> dict[VersionKey, VersionRow]:
    """Return those of these versions that are there."""
    asked = tx.dialect.rowset("asked", {"template_id": ID, "number": Integer()}, keys)
    same = and_(v.template_id == asked.c.template_id, v.number == asked.c.number)
    statement = _version_rows().join(asked, same)
    found = {(each.template_id, each.number): each for each in _versions(tx, statement)}
    lacking = [key for key in keys if key not in found]
    if lacking:
        rows = _of_rows(tx, [template_id for template_id, _ in lacking])
        found |= {key: each for each in rows if (key := (each.template_id, each.number)) in lacking}
    return found


# Changing


def lock(tx: Tx, template_id: str) -> Template:
    """Return the template, locked until the transaction ends, each of its versions written down. Raises NotFound."""
    tx.execute(tx.dialect.lock_row(select(t.id).where(t.id == template_id))).all()
    found = get(tx, template_id)
    if found is None:
        raise unknown(template_id)
    if latest(tx, template_id) == 0:
        for each in _of_rows(tx, [template_id]):
            put(tx, each)
    return found


def latest(tx: Tx, template_id: str) -> int:
    """Return the highest number of a version that is kept; 0 where none is."""
    statement = select(func.coalesce(func.max(v.number), 0)).where(v.template_id == template_id)
    return int(tx.execute(statement).scalar_one())


def create(tx: Tx, template: Template, said: VersionRow) -> bool:
    """Store a new template with its first version's text in its row; return False when the name is taken."""
    row = {name: value for name, value in asdict(template).items() if name in t and name != "username"}
    row |= _in_row(said)
    statement = tx.dialect.insert(notification_templates).values(row)
    added = tx.execute(statement.on_conflict_do_nothing().returning(t.id)).first()
    return added is not None


def put(tx: Tx, said: VersionRow) -> None:
    """Store a version; one of that number that is there is replaced."""
    row = {name: value for name, value in asdict(said).items() if name in v}
    statement = tx.dialect.insert(template_versions).values(id=str(uuid.uuid4()), **row)
    new = {name: getattr(statement.excluded, name) for name in row if name not in ("template_id", "number")}
    tx.execute(statement.on_conflict_do_update(index_elements=[v.template_id, v.number], set_=new))


def show_published(tx: Tx, said: VersionRow) -> None:
    """Let a version be the one that holds."""
    values = {**_in_row(said), "published_version": said.number, "updated_at": tx.now}
    tx.execute(update(notification_templates).where(t.id == said.template_id).values(values))


def change(tx: Tx, template_id: str, **values: Any) -> None:
    """Change columns of a template's row."""
    tx.execute(update(notification_templates).where(t.id == template_id).values(updated_at=tx.now, **values))


def remove(tx: Tx, template_id: str) -> None:
    """Delete a template and its versions; notifications that were made of it stay."""
    tx.execute(delete(notification_templates).where(t.id == template_id))


def pending(tx: Tx, template_id: str) -> int:
    """Return how many notifications wait to be rendered from it."""
    statement = select(func.count()).select_from(notifications).where(n.template_id == template_id, QUEUED)
    return tx.execute(statement).scalar_one()


def included_by(tx: Tx, name: str, template_id: str) -> list[str]:
    """Return the names of other templates of which a version includes the one of that name and id."""
    mentions = v.includes.contains(template_id, autoescape=True)
    statement = select(t.name).distinct().join(template_versions, v.template_id == t.id).where(mentions, t.name != name)
    return list(tx.execute(statement.order_by(t.name)).scalars())


# Helpers

_DRAFT = (
    select(func.max(v.number))
    .where(v.template_id == t.id, v.state == DRAFT)
    .correlate(notification_templates)
    .scalar_subquery()
)
_COLUMNS: Mapping[str, ColumnElement[Any]] = {
    "draft_version": _DRAFT.label("draft_version"),
    "username": _creator.c.username,
}
_TEXT = ("subject", "body", "variables")


_STATES: Mapping[TemplateState, ColumnElement[bool]] = {
    TemplateState.ACTIVE: and_(t.is_active, t.published_version > 0),
    TemplateState.DISABLED: ~t.is_active,
    TemplateState.DRAFT: _DRAFT.is_not(None),
}


def _in_row(said: VersionRow) -> dict[str, Any]:
    return {name: getattr(said, name) for name in _TEXT}


def _select() -> Select[Any]:
    columns = [_COLUMNS[each.name] if each.name in _COLUMNS else t[each.name] for each in fields(Template)]
    joined = notification_templates.outerjoin(_creator, _creator.c.id == t.created_by)
    return select(*columns).select_from(joined)


def _many(tx: Tx, statement: Select[Any]) -> list[Template]:
    return [Template(*row) for row in tx.execute(statement)]


def _version_rows() -> Select[Any]:
    columns = [_creator.c.username if each.name == "author" else v[each.name] for each in fields(VersionRow)]
    return select(*columns).select_from(template_versions.outerjoin(_creator, _creator.c.id == v.created_by))


def _versions(tx: Tx, statement: Select[Any]) -> list[VersionRow]:
    return [VersionRow(*row) for row in tx.execute(statement)]


def _of_rows(tx: Tx, template_ids: Sequence[str]) -> list[VersionRow]:
    """Return what rows say that other programs wrote, as their versions."""
    columns = (t.id, t.published_version, t.subject, t.body, t.variables, t.created_by, t.created_at, t.updated_at)
    statement = select(*columns, _creator.c.username).outerjoin(_creator, _creator.c.id == t.created_by)
    return [
        VersionRow(
            template_id=id_,
            number=number,
            state=PUBLISHED,
            subject=subject,
            body=body,
            html=None,
            title=None,
            image=None,
            data=None,
            variables=variables,
            language=None,
            variants=None,
            includes=None,
            note=None,
            created_by=by,
            created_at=created_at,
            published_at=updated_at,
            author=author,
        )
        for id_, number, subject, body, variables, by, created_at, updated_at, author in tx.execute(
            statement.where(tx.dialect.is_any(t.id, template_ids))
        )
        if number
    ]


def _conditions(wanted: TemplateFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.channel is not None:
        found.append(t.message_type == wanted.channel.value)
    if wanted.kind is not None:
        found.append(t.kind == wanted.kind)
    if wanted.state is not None:
        found.append(_STATES[wanted.state])
    return found
