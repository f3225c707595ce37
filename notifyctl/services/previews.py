"""What templates say when they are rendered: shown, compared, before anybody gets it."""

from __future__ import annotations

import difflib
import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from notifyctl.core import content, names, unsubscribe
from notifyctl.core.content import InvalidPayload, NewerPayload
from notifyctl.core.errors import Conflict, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, Message, Subscription, TemplateRef
from notifyctl.core.scope import Scope
from notifyctl.core.template.failure import TemplateError
from notifyctl.core.template.source import UNSET, Source
from notifyctl.core.wording import Template
from notifyctl.services import inclusion, notifications, templates
from notifyctl.store import attachments, categories, users
from notifyctl.store import notifications as stored
from notifyctl.store import templates as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.templates import VersionRow

SOMEWHERE = "https://unsubscribe.invalid/"
"""Where people leave, as far as whoever submits knows: the dispatcher has the address."""


@dataclass(frozen=True, slots=True)
class PreviewInput:
    """What to render from: for a user (an id, username or address), with these variables, or as a notification was.

    What of the variables is not given is taken from their examples. `unsubscribe_url` is what the profile says: mail of
    marketing has a link there whose token acts for nobody.
    """

    user: str | None = None
    variables: Mapping[str, Any] = field(default_factory=dict)
    notification: str | None = None
    language: str | None = None
    unsubscribe_url: str | None = None


@dataclass(frozen=True, slots=True)
class RenderedTemplate:
    """What a version says: `content` has the payload's fields, `examples` are variables that nobody gave a value.

    `one_click`: its headers say how it can be left.
    """

    template: str
    message_type: str
    version: int
    language: str | None
    content: Mapping[str, Any]
    examples: tuple[str, ...]
    one_click: bool = False


@dataclass(frozen=True, slots=True)
class RenderedDifference:
    """How a field of the payload differs between two versions; `diff` is a unified diff, empty where it does not."""

    field: str
    before: Any
    after: Any
    diff: str


def preview(
    db: Database, ref: str, given: PreviewInput, number: int | None = None, *, draft: bool = False
) -> RenderedTemplate:
    """Return what a template says: that version, its draft, what a notification was submitted with, or what holds.

    It is what would be sent, by the same function. Raises NotFound, UsageError (TemplateError, too).
    """
    with db.read() as tx:
        template = store.find(tx, ref)
        start = _start(tx, template, _in_words(given))
        if number is None and not draft and start.ref is not None and start.ref.id == template.id:
            number = start.ref.version
        row = templates.chosen(tx, template, number, draft=draft)
        source = inclusion.source_of(tx, template, row)
    return _rendered(template, row, source, start, given)


def diff(db: Database, ref: str, given: PreviewInput, one: int | None, two: int | None) -> list[RenderedDifference]:
    """Return how two versions differ, rendered from the same; by default what holds, and the draft or what was before.

    Raises NotFound, UsageError, Conflict where there is only one version.
    """
    with db.read() as tx:
        template = store.find(tx, ref)
        start = _start(tx, template, _in_words(given))
        old, new = _two(tx, template, one, two)
        sources = [(row, inclusion.source_of(tx, template, row)) for row in (old, new)]
    before, after = (_rendered(template, row, source, start, given).content for row, source in sources)
    fields = list(dict.fromkeys((*before, *after)))
    labels = (f"{template.name} {old.number}", f"{template.name} {new.number}")
    return [_compared(name, before.get(name), after.get(name), labels) for name in fields]


def json_schema(db: Database, ref: str, number: int | None = None, *, draft: bool = False) -> dict[str, Any]:
    """Return what a version takes, as a JSON Schema. Raises NotFound, UsageError."""
    from notifyctl.core.template import schema  # here: few ask for it

    with db.read() as tx:
        template = store.find(tx, ref)
        source = inclusion.source_of(tx, template, templates.chosen(tx, template, number, draft=draft))
    return schema.json_schema(source)


def rendered(source: Source, message: Message) -> Message:
    """Return a message with its text. Raises TemplateError."""
    # Here: the engine is loaded by whoever needs it.
    from notifyctl.core.rendering import render
    from notifyctl.core.template.render import Renderer

    return render(Renderer(), source, message)


def value_hint(error: TemplateError) -> str | None:
    """Return how a variable is given its value, where that is what is missing."""
    if error.variable == unsubscribe.VARIABLE:
        return "mail of a marketing category has it, where the profile says unsubscribe_url"
    return f"--var {error.variable}=VALUE" if error.variable and "has no value" in error.reason else None


def linked(message: Message, unsubscribe_url: str | None) -> Message:
    """Return a message that can be left with a link there that acts for nobody. Raises UsageError."""
    if message.subscription is None or unsubscribe_url is None:
        return message
    try:
        nobody = unsubscribe.preview_token(message.subscription)
        return unsubscribe.with_link(message, unsubscribe.link(unsubscribe_url, nobody))
    except InvalidPayload as problem:
        raise UsageError(str(problem)) from None


# Helpers


@dataclass(frozen=True, slots=True)
class _Start:
    """A message that is yet to be rendered, and the version that it was submitted with.

    `is_judged`: whether it can be left is said by its own category, and not by the template's.
    """

    message: Message
    ref: TemplateRef | None = None
    is_judged: bool = False


def _in_words(given: PreviewInput) -> PreviewInput:
    """Return it with its language in the usual spelling. Raises UsageError."""
    return given if given.language is None else replace(given, language=names.language(given.language))


def _start(tx: Tx, template: Template, given: PreviewInput) -> _Start:
    if given.notification is not None:
        if given.user is not None:
            raise UsageError("a user and --from-notification exclude each other")
        return _of_notification(tx, template, given)
    language = given.language
    if given.user is not None:
        language = language or users.find(tx, given.user).language
    payload = content.of_template(template.channel, given.variables, data={})
    ref = TemplateRef(template.id, 0, language)
    return _Start(Message(str(uuid.uuid4()), template.channel, None, payload, template=ref))


def _of_notification(tx: Tx, template: Template, given: PreviewInput) -> _Start:
    if tx.actor.grant is not None:  # it shows what a notification says
        tx.actor.grant.require(Scope.NOTIFICATIONS_READ)
    id_ = notifications.resolved(tx, given.notification or "")
    row = stored.get(tx, [id_])[id_]
    if Channel(row.message_type) is not template.channel:
        raise UsageError(f"notification {id_} is {row.message_type}, {template.name} is for {template.channel}")
    try:
        payload = content.parse(attachments.with_files(tx, row.payload), template.channel)
    except (InvalidPayload, NewerPayload) as problem:
        raise Conflict(f"the payload of notification {id_} cannot be read: {problem}") from None
    values = payload.get(content.VARIABLES)
    merged = {**(values if isinstance(values, Mapping) else {}), **given.variables}
    language = given.language or users.find(tx, row.user_id).language
    before = None if row.template_id is None else TemplateRef(row.template_id, row.template_version or 0)
    ref = TemplateRef(template.id, 0, language)
    message = Message(id_, template.channel, None, {**payload, content.VARIABLES: merged}, template=ref)
    if row.category is not None and categories.is_marketing(tx, row.category):
        message = _leavable(message, row.category)
    return _Start(message, before, is_judged=row.category is not None or row.template_id == template.id)


def _leavable(message: Message, category: str) -> Message:
    """Return a mail of marketing as one that can be left: by nobody."""
    if message.channel is not Channel.EMAIL:
        return message
    return message._replace(subscription=Subscription(str(uuid.UUID(int=0)), category, 0))


def _two(tx: Tx, template: Template, one: int | None, two: int | None) -> tuple[VersionRow, VersionRow]:
    known = [each.number for each in store.versions(tx, template.id)]
    new = two if two is not None else template.draft_version or template.published_version
    earlier = [number for number in known if number < new]
    usual = template.published_version if template.published_version != new else next(iter(earlier), None)
    old = one if one is not None else usual
    if not old:
        raise Conflict(f"template {template.name} has only one version", f"notifyctl templates update {template.name}")
    return templates.chosen(tx, template, old), templates.chosen(tx, template, new)


def _rendered(
    template: Template, row: VersionRow, source: Source, start: _Start, given: PreviewInput
) -> RenderedTemplate:
    message, examples = start.message, dict[str, Any]()
    if given.notification is None:
        examples = {
            each.name: each.example
            for each in source.every_variable.values()
            if each.name not in given.variables and each.default is UNSET and each.example is not UNSET
        }
        values = {**examples, **message.content[content.VARIABLES]}
        message = message._replace(content={**message.content, content.VARIABLES: values})
    language = None if message.template is None else message.template.language
    if source.marketing and not start.is_judged:
        message = _leavable(message, source.category or "")
    message = linked(message, given.unsubscribe_url)
    try:
        said = dict(rendered(source, message).content)
    except TemplateError as error:
        error.hint = error.hint or value_hint(error)
        raise
    said.pop("v", None)
    about = (template.name, template.message_type, row.number, language)
    return RenderedTemplate(*about, said, tuple(examples), message.one_click)


def _compared(name: str, before: Any, after: Any, labels: tuple[str, str]) -> RenderedDifference:
    old, new = _lines(before), _lines(after)
    one, two = (f"{label} {name}" for label in labels)
    told = "\n".join(difflib.unified_diff(old, new, one, two, lineterm=""))
    return RenderedDifference(name, before, after, told)


def _lines(value: Any) -> Sequence[str]:
    if value is None:
        return []
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)
    return text.split("\n")
