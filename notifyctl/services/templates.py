"""Templates: made, changed, published, taken back. A version that was published never changes."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import asdict, field, replace
from typing import Any, Final

from notifyctl.core.cursor import Cursor
from notifyctl.core.errors import Conflict, NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import require_release
from notifyctl.core.model import Channel
from notifyctl.core.text import word
from notifyctl.core.wording import Template, TemplateKind, TemplateParts, Wording, checked, template_name
from notifyctl.services import inclusion
from notifyctl.store import categories, users
from notifyctl.store import templates as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import parked
from notifyctl.store.templates import DRAFT, PUBLISHED, TemplateFilter, VersionRow

WHAT: Final = "template"


@dataclass(frozen=True, slots=True)
class ReadyTemplate(Template):
    """A template, and whether it is new."""

    created: bool


@dataclass(frozen=True, slots=True)
class ShownTemplate:
    """A template with what one of its versions says, and all of its versions, the newest first."""

    template: Template
    version: VersionRow
    versions: Sequence[VersionRow]


@dataclass(frozen=True, slots=True)
class NewTemplate:
    """What is to be made. `by` is its creator: an id, username or e-mail address."""

    name: str
    channel: Channel
    said: Wording
    kind: TemplateKind = TemplateKind.MESSAGE
    category: str | None = None
    note: str | None = None
    by: str = ""
    draft: bool = False


@dataclass(frozen=True, slots=True)
class TemplateChanges:
    """What is to be changed; None leaves a thing as it is. `parts` are of the language `variant`, else of its own."""

    parts: TemplateParts = field(default_factory=dict)
    variant: str | None = None
    variables: tuple[Any, ...] | None = None
    language: str | None = None
    category: str | None = None
    note: str | None = None

    def applied(self, said: Wording) -> Wording:
        """Return what the template says with that."""
        if self.language is not None:
            said = replace(said, language=self.language or None)
        if self.variables is not None:
            said = replace(said, variables=self.variables)
        return said.with_parts(self.parts, self.variant)


# Looking


def wanted(**options: Any) -> TemplateFilter:
    """Return the filter that the options mean."""
    return TemplateFilter(**options)


def page(db: Database, wanted: TemplateFilter, after: Cursor | None, limit: int | None) -> Sequence[Template]:
    """Return a page of templates, newest first."""
    with db.read() as tx:
        return store.page(tx, wanted, after, limit)


def count(db: Database, wanted: TemplateFilter) -> int:
    """Return how many templates a filter matches."""
    with db.read() as tx:
        return store.count(tx, wanted)


def show(db: Database, ref: str, number: int | None = None, *, draft: bool = False) -> ShownTemplate:
    """Return a template with a version: that one, its draft, or what is published, else the draft. Raises NotFound."""
    with db.read() as tx:
        template = store.find(tx, ref)
        return ShownTemplate(template, chosen(tx, template, number, draft=draft), store.versions(tx, template.id))


def chosen(tx: Tx, template: Template, number: int | None, *, draft: bool = False) -> VersionRow:
    """Return the version that is meant, as `show` does. Raises NotFound."""
    if draft and template.draft_version is None:
        raise NotFound(f"template {template.name} has no draft", f"notifyctl templates update {template.name}")
    usual = template.draft_version if draft or not template.published_version else template.published_version
    wanted = number if number is not None else usual
    found = None if wanted is None else store.version(tx, (template.id, wanted))
    if found is None:
        raise NotFound(f"template {template.name} has no version {wanted}", f"notifyctl templates show {template.name}")
    return found


def waiting(db: Database, template: Template) -> int:
    """Return how many pending notifications are to be rendered from a template."""
    with db.read() as tx:
        return store.pending(tx, template.id)


def behind(db: Database, template: Template) -> list[str]:
    """Return the names of templates whose published versions include another version of this one than holds now."""
    with db.read() as tx:
        including = store.by_name(tx, store.included_by(tx, template.name, template.id))
        return [name for name, each in sorted(including.items()) if template.name in inclusion.behind(tx, each)]


# Acting


def create(db: Database, wanted: NewTemplate) -> ReadyTemplate:
    """Make a template. Raises UsageError for what cannot be one, NotFound for its creator, Conflict for its name."""
    return db.write(lambda tx: make(tx, wanted))


def ensure(db: Database, wanted: NewTemplate) -> ReadyTemplate:
    """Make a template unless there is one that says the same; else raises as `create`."""
    return db.write(lambda tx: make(tx, wanted, keep=True))


def make(tx: Tx, wanted: NewTemplate, *, keep: bool = False) -> ReadyTemplate:
    """Make a template as `create` does, with `keep` as `ensure`."""
    template_name(wanted.name)
    said = checked(wanted.channel, wanted.kind, wanted.said)
    creator = users.find(tx, wanted.by)
    first = _first(tx, wanted, creator.id)
    version = _blank(first.id, 1, wanted.note, creator.id, tx.now).saying(said)
    if not store.create(tx, first, version):
        return _present(tx, wanted, said, keep=keep)
    inclusion.check(tx, version)
    store.put(tx, version)
    if not wanted.draft:
        _publish(tx, first, version)
    facts = {"name": [None, wanted.name], "message_type": wanted.channel.value, "kind": wanted.kind.value}
    tx.audit("create", WHAT, [(first.id, facts)])
    return ReadyTemplate(**asdict(_again(tx, first)), created=True)


def update(db: Database, ref: str, given: TemplateChanges, by: str | None = None) -> Template:
    """Change what a template says, as its draft, and its category at once. Raises UsageError, NotFound."""
    if given == TemplateChanges(variant=given.variant, note=given.note):
        raise UsageError("nothing to change was given", "notifyctl templates update --help")

    return db.write(lambda tx: change(tx, store.find(tx, ref), given, given.applied, by))


def change(
    tx: Tx, found: Template, given: TemplateChanges, said: Callable[[Wording], Wording], by: str | None
) -> Template:
    """Change a template as `update` does; `said` returns what it says from what it said."""
    template = store.lock(tx, found.id)
    changes = _set_category(tx, template, given.category) | _redraft(tx, template, said, given.note, by)
    if changes:
        tx.audit("update", WHAT, [(template.id, changes)])
    return _again(tx, template)


def publish(db: Database, ref: str) -> Template:
    """Let a template's draft hold from now on; what was submitted before keeps its version.

    Without a draft it is published anew where something that it includes was. Raises NotFound, Conflict.
    """

    return db.write(lambda tx: release(tx, store.find(tx, ref)))


def release(tx: Tx, found: Template) -> Template:
    """Publish a template as `publish` does."""
    template = store.lock(tx, found.id)
    made = _to_publish(tx, template)
    _publish(tx, template, made)
    change = {"published_version": [template.published_version, made.number]}
    tx.audit("publish", WHAT, [(template.id, change)])
    return _again(tx, template)


def rollback(db: Database, ref: str, number: int | None = None) -> Template:
    """Let an earlier version hold again, by default the one published before. Raises NotFound, Conflict."""

    def work(tx: Tx) -> Template:
        template = store.lock(tx, store.find(tx, ref).id)
        before = _earlier(template, store.versions(tx, template.id), number)
        if before.number != template.published_version:
            store.show_published(tx, before)
            change = {"published_version": [template.published_version, before.number]}
            tx.audit("rollback", WHAT, [(template.id, change)])
        return _again(tx, template)

    return db.write(work)


def enable(db: Database, ref: str) -> Template:
    """Let a template be used again. Raises NotFound."""
    return db.write(lambda tx: switch(tx, store.find(tx, ref), active=True))


def disable(db: Database, ref: str) -> Template:
    """Take a template out of use. Raises NotFound."""
    return db.write(lambda tx: switch(tx, store.find(tx, ref), active=False))


def refuse_removal(db: Database, ref: str) -> Template:
    """Return the template that may be deleted. Raises NotFound, Conflict where something needs it."""
    with db.read() as tx:
        template = store.find(tx, ref)
        _refuse_needed(tx, template)
        return template


def remove(db: Database, template_id: str) -> Template:
    """Delete a template with its versions. Raises NotFound, Conflict where something needs it."""

    return db.write(lambda tx: drop(tx, template_id))


def drop(tx: Tx, template_id: str) -> Template:
    """Delete a template as `remove` does."""
    template = store.lock(tx, template_id)
    _refuse_needed(tx, template)
    tx.audit("delete", WHAT, [(template.id, {"name": [template.name, None]})])
    store.remove(tx, template.id)
    return template


def credit(tx: Tx, template: Template, creator_id: str) -> None:
    """Say that somebody else made a template."""
    store.change(tx, template.id, created_by=creator_id)
    tx.audit("update", WHAT, [(template.id, {"created_by": [template.created_by, creator_id]})])


# Helpers


def _first(tx: Tx, wanted: NewTemplate, creator: str) -> Template:
    return Template(
        id=str(uuid.uuid4()),
        name=wanted.name,
        message_type=wanted.channel.value,
        kind=wanted.kind.value,
        is_active=True,
        category=categories.find(tx, wanted.category).name if wanted.category else None,
        published_version=0,
        draft_version=1,
        created_by=creator,
        username=None,
        created_at=tx.now,
        updated_at=tx.now,
    )


def _blank(template_id: str, number: int, note: str | None, by: str | None, now: int) -> VersionRow:
    nothing: dict[str, Any] = dict.fromkeys(
        ("subject", "html", "title", "image", "data", "variables", "language", "variants", "includes", "published_at")
    )
    return VersionRow(template_id, number, DRAFT, body="", note=note or None, created_by=by, created_at=now, **nothing)


def _present(tx: Tx, wanted: NewTemplate, said: Wording, *, keep: bool) -> ReadyTemplate:
    template = store.find(tx, wanted.name)
    now = chosen(tx, template, None).wording
    same = (template.message_type, template.kind) == (wanted.channel.value, wanted.kind.value) and now.is_same(said)
    if keep and same and wanted.category in (None, template.category):
        return ReadyTemplate(**asdict(template), created=False)
    other = ", which says something else" if keep else ""
    raise Conflict(f"there is a template {template.name} already{other}", f"notifyctl templates update {template.name}")


def _set_category(tx: Tx, template: Template, category: str | None) -> dict[str, Any]:
    if category is None or (category or None) == template.category:
        return {}
    name = categories.find(tx, category).name if category else None
    store.change(tx, template.id, category=name)
    return {} if name == template.category else {"category": [template.category, name]}


def _redraft(
    tx: Tx, template: Template, changed: Callable[[Wording], Wording], note: str | None, by: str | None
) -> dict[str, Any]:
    """Make or change the draft; return what the audit trail says of that, nothing where it says the same."""
    before = chosen(tx, template, template.draft_version)
    said = checked(template.channel, TemplateKind(template.kind), changed(before.wording))
    if said.is_same(before.wording):
        return {}
    author = users.find(tx, by).id if by is not None else tx.actor.user_id
    number = template.draft_version or store.latest(tx, template.id) + 1
    draft = _blank(template.id, number, note, author, tx.now).saying(said)
    store.put(tx, draft)
    store.change(tx, template.id)
    inclusion.check(tx, draft)
    return {"draft": number, "changed": _differing(before.wording, said)}


def _differing(old: Wording, new: Wording) -> list[str]:
    """Return what of two wordings is not the same, by name."""
    one, two = asdict(old), asdict(new)
    parts = {*one.pop("parts"), *two.pop("parts")}
    found = [name for name in sorted(parts) if old.parts.get(name) != new.parts.get(name)]
    return found + [name for name in one if one[name] != two[name]]


def _to_publish(tx: Tx, template: Template) -> VersionRow:
    if template.draft_version is not None:
        return chosen(tx, template, template.draft_version)
    now = chosen(tx, template, None)
    if inclusion.pins(tx, template, now.wording) != now.pins:  # something that it includes was published since
        return replace(now, number=store.latest(tx, template.id) + 1, created_at=tx.now, created_by=tx.actor.user_id)
    raise Conflict(
        f"template {template.name} has no draft to publish", f"notifyctl templates update {template.name} makes one"
    )


def _publish(tx: Tx, template: Template, said: VersionRow) -> None:
    pins = inclusion.pins(tx, template, said.wording)
    if pins:
        inclusion.require_shallow(tx, said, pins)
    done = replace(said, state=PUBLISHED, published_at=tx.now).including(pins)
    store.put(tx, done)
    store.show_published(tx, done)


def _earlier(template: Template, versions: Sequence[VersionRow], number: int | None) -> VersionRow:
    name, published = template.name, [each for each in versions if each.state == PUBLISHED]
    if number is None:
        found = next((each for each in published if each.number < template.published_version), None)
        if found is None:
            raise Conflict(f"template {name} has no version before this one", f"notifyctl templates show {name}")
        return found
    found = next((each for each in published if each.number == number), None)
    if found is not None:
        return found
    if any(each.number == number for each in versions):
        raise Conflict(f"version {number} of template {name} is a draft", f"notifyctl templates publish {name}")
    raise NotFound(f"template {name} has no version {number}", f"notifyctl templates show {name}")


def switch(tx: Tx, found: Template, *, active: bool) -> Template:
    """Let a template be used again, or take it out of use.

    Raises NotAllowed for a restricted key that would let go what waits.
    """
    template = store.lock(tx, found.id)
    if template.is_active == active:
        return template
    if active:
        require_release(tx.actor.grant)
    store.change(tx, template.id, is_active=active)
    if active:
        parked.come_back(tx)  # the first of them; dispatchers do the others
    tx.audit("enable" if active else "disable", WHAT, [(template.id, {"is_active": [not active, active]})])
    return _again(tx, template)


def _refuse_needed(tx: Tx, template: Template) -> None:
    waiting = store.pending(tx, template.id)
    if waiting:
        some = "1 pending notification is" if waiting == 1 else f"{waiting:,} pending notifications are"
        name = word(template.name)
        hint = f"notifyctl notifications cancel --template {name}, or notifyctl templates disable {name}"
        raise Conflict(f"{some} made of {template.name}", hint)
    includers = store.included_by(tx, template.name, template.id)
    if includers:
        raise Conflict(f"{template.name} is included by {', '.join(includers)}", "take it out of those first")


def _again(tx: Tx, template: Template) -> Template:
    found = store.get(tx, template.id)
    assert found is not None  # noqa: S101 - its row is locked
    return found
