"""What judging submissions needs from the database: read in three statements, however many there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from sqlalchemy import CTE, FromClause, Integer, Select, String, Text, and_, bindparam, func, select, union
from sqlalchemy.types import TypeEngine

from notifyctl.core import content
from notifyctl.core.atrest import PLAIN, AddressLookups
from notifyctl.core.audience import message, own_address
from notifyctl.core.errors import NotifyctlError
from notifyctl.core.gate import Person
from notifyctl.core.model import Channel
from notifyctl.core.policy import UNCONFIGURED, Policy
from notifyctl.core.submission import Draft, Former, Recipient, SubmissionFacts
from notifyctl.core.suppression import AddressKey, asked, asks_none
from notifyctl.core.wording import Template
from notifyctl.store import categories, ids, lookups, providers, standings, suppressions, templates
from notifyctl.store import users as people
from notifyctl.store.addresses import are_sealed, best_address, reason_of
from notifyctl.store.db.dialect import ID, Dialect
from notifyctl.store.db.functions import folded
from notifyctl.store.db.hot import Hot
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue.states import is_ruled
from notifyctl.store.schema.tables import notifications, users
from notifyctl.store.standings import Whom

n = notifications.c


def known(
    tx: Tx, drafts: Sequence[Draft], policy: Policy | None = UNCONFIGURED, *, likely_new: bool = False
) -> list[SubmissionFacts]:
    """Return what is known of each draft, in their order; of what is `likely_new` earlier submissions are not.

    Without a `policy` what rules know is left out: whoever asks them looks for itself.
    """
    recipients, found_by = _recipients(tx, drafts)
    keys = [None if likely_new else _key(draft, who) for draft, who in zip(drafts, recipients, strict=True)]
    before = formers(tx, [key for key in keys if key is not None])
    configs = providers.by_preference(tx)
    named = _templates(tx, drafts)
    theirs = {ref: each.category for ref, each in named.items() if isinstance(each, Template)}
    meant = [draft.category.strip() if draft.category else theirs.get(draft.template) for draft in drafts]
    groups = categories.groups(tx, [name for name in meant if name is not None])
    about = [name if name is None or name in groups else categories.missing(name) for name in meant]
    of_groups = [groups.get(name or "", "") for name in meant]
    rows = zip(drafts, recipients, of_groups, strict=True)
    plain = found_by.are_plain
    wanted = [each for row in rows for each in _further(*row, among_plain=plain)]
    suppressed = suppressions.reasons(tx, wanted, found_by)
    persons = [None] * len(drafts) if policy is None else _persons(tx, drafts, recipients, about, policy)
    return [
        SubmissionFacts(
            who, None if key is None else before.get(key), configs, suppressed, named.get(draft.template), topic, person
        )
        for draft, who, key, topic, person in zip(drafts, recipients, keys, about, persons, strict=True)
    ]


def looked_back(
    tx: Tx, drafts: Sequence[Draft], unsure: Sequence[tuple[int, SubmissionFacts]]
) -> list[tuple[int, SubmissionFacts]]:
    """Return those of drafts (by place) that were submitted before, with that, among these that were `likely_new`."""
    keys = {place: key for place, known in unsure if (key := _key(drafts[place], known.recipient)) is not None}
    found = formers(tx, [*keys.values()])
    return [(place, known._replace(former=found[keys[place]])) for place, known in unsure if keys.get(place) in found]


def formers(tx: Tx, keys: Sequence[str]) -> dict[str, Former]:
    """Return the notifications with these stored idempotency keys, by key."""
    if not keys:
        return {}
    found = tx.rows(_FORMERS, tx.dialect.bind("v", _KEYS, [(key,) for key in keys]))
    return {key: Former(id_, digest) for key, id_, digest in found}


def are_rules_asked(who: Recipient, category: str | None, policy: Policy) -> bool:
    """Return whether there is any rule by which something of that category could be stopped."""
    return who.ruled or category is not None or policy.notification_limit is not None


# Helpers


def _templates(tx: Tx, drafts: Sequence[Draft]) -> dict[str | None, Template | NotifyctlError]:
    """Return the templates that drafts name, by what they say; nothing is asked where none does."""
    wanted = {draft.template for draft in drafts if draft.template is not None}
    if not wanted:
        return {}
    named = templates.by_name(tx, [ref for ref in wanted if ref.isprintable()])
    return {ref: named[ref] if ref in named else _by_id(tx, ref) for ref in wanted}


def _persons(
    tx: Tx,
    drafts: Sequence[Draft],
    recipients: Sequence[Recipient | NotifyctlError],
    about: Sequence[str | NotifyctlError | None],
    policy: Policy,
) -> Sequence[Person | None]:
    """Return what rules know of each draft's user at the moment it is for; nothing is asked where there are none."""
    asked: dict[int, tuple[int, Whom]] = {}
    for place, (draft, who, category) in enumerate(zip(drafts, recipients, about, strict=True)):
        if isinstance(who, NotifyctlError) or isinstance(category, NotifyctlError):
            continue
        if are_rules_asked(who, category, policy):
            asked[place] = draft.due_at(tx.now), Whom(who.id, draft.channel.value, category)
    found: list[Person | None] = [None] * len(drafts)
    for place, known in standings.then(tx, asked, policy).items():
        found[place] = known.person(asked[place][1], critical=drafts[place].critical)
    return found


def _by_id(tx: Tx, ref: str) -> Template | NotifyctlError:
    try:
        return templates.find(tx, ref)
    except NotifyctlError as error:
        return error


class _Found(NamedTuple):
    """A user that the draft `place` may mean, on its channel; `keyed`: addresses are sealed here, or were until now."""

    place: int
    channel: str
    keyed: int | None
    recipient: Recipient


def _key(draft: Draft, who: Recipient | NotifyctlError) -> str | None:
    return content.idempotency_key(who.id, draft.key) if isinstance(who, Recipient) else None


def _further(draft: Draft, who: Recipient | NotifyctlError, group: str, *, among_plain: bool) -> list[AddressKey]:
    """Return which addresses of a draft are still to be looked up; `group` is its category's group of mails.

    `among_plain`: addresses are not sealed, and the user's own was looked up.
    """
    if not isinstance(who, Recipient) or (among_plain and not group and asks_none(draft.payload, who.address)):
        return []
    to = message("", draft.channel, draft.payload, who.address)
    return asked(to._replace(group=group) if group else to, who.address if among_plain else None)


_Ref = tuple[str, Channel, str | None]
"""Who is meant on which channel, and an address that goes before the user's."""


def _recipients(tx: Tx, drafts: Sequence[Draft]) -> tuple[list[Recipient | NotifyctlError], AddressLookups]:
    """Return the recipients, and how addresses are found."""
    places: dict[_Ref, int] = {}  # who is meant often is asked for once
    asking = [
        places.setdefault((draft.user, draft.channel, own_address(draft.channel, draft.payload)), len(places))
        for draft in drafts
    ]
    by_place: list[list[Recipient]] = [[] for _ in places]
    found = _found(tx, [asked for ref, place in places.items() if (asked := _asked(place, ref))])
    found_by = lookups.read(tx) if found and found[0].keyed else PLAIN
    for each in found:
        by_place[each.place].append(_opened(tx, each))
    who = [_meant(ref[0], among) for ref, among in zip(places, by_place, strict=True)]
    return [who[place] for place in asking], found_by


def _opened(tx: Tx, found: _Found) -> Recipient:
    who = found.recipient
    if not lookups.is_sealed(who.address):
        return who
    address = lookups.opened_or_none(tx, who.id, found.channel, who.address)
    return who._replace(address=address, closed=address is None)


def _meant(ref: str, found: Sequence[Recipient]) -> Recipient | NotifyctlError:
    return found[0] if len(found) == 1 else people.unclear(ref, [each.id for each in found]) or found[0]


def _asked(place: int, ref: _Ref) -> tuple[Any, ...] | None:
    """Return the row of the question after users; None where the reference can be nobody's."""
    user, channel, own = ref
    text = user.strip()
    if not text.isprintable():  # neither a name nor an address; a NUL could not even be asked for
        return None
    low, high = (ids.bounds(text) if len(text) >= ids.PREFIX_MIN else None) or ("", "")
    return place, text, people.with_plain_domain(text), low, high, str(channel), own


def _found(tx: Tx, asked: Sequence[tuple[Any, ...]]) -> list[_Found]:
    if not asked:
        return []
    most = len(asked) * (ids.SHOWN_CANDIDATES + 1)
    found = tx.rows(_RECIPIENTS, {**tx.dialect.bind("v", _ASKED, asked), "most": most})
    if len(found) < most or len(asked) == 1:
        return found
    # Somebody's beginning of an id means so many that others may have been cut off.
    half = len(asked) // 2
    return _found(tx, asked[:half]) + _found(tx, asked[half:])


_ASKED: Mapping[str, TypeEngine[Any]] = {
    "place": Integer(),
    "text": Text(),
    "plain": Text(),
    "low": ID,
    "high": ID,
    "channel": String(20),
    "own": Text(),
}
_KEYS: Mapping[str, TypeEngine[Any]] = {"key": String(64)}


def _recipients_of(dialect: Dialect) -> Select[Any]:
    meant = _meant_users(dialect.rowset("v", _ASKED))
    address = func.coalesce(meant.c.own, best_address(meant.c.id, meant.c.channel, meant.c.email)).label("address")
    # Materialized: the address would be found once to be compared and once to be returned.
    found = select(*meant.c, address).cte("found").prefix_with("MATERIALIZED")
    reason = reason_of(found.c.channel, folded(found.c.address))
    ruled = is_ruled(found.c.id, found.c.channel).label("ruled")
    who = (found.c.id, found.c.username, found.c.address, reason, found.c.language, ruled)
    return select(found.c.place, found.c.channel, are_sealed(), *who)


def _meant_users(given: FromClause) -> CTE:
    """Return the users that references may mean: by name, address or beginning of the id, each by its index.

    In one condition PostgreSQL would compare every user with every reference.
    """
    # Materialized: PostgreSQL would take the references apart once for each way, which costs more than to find a user.
    asked = select(given).cte("asked").prefix_with("MATERIALIZED")
    a, u = asked.c, users.c
    by_plain, by_id = and_(a.plain != a.text, u.email == a.plain), and_(a.low != "", u.id.between(a.low, a.high))
    ways = (u.username == a.text, u.email == a.text, by_plain, by_id)
    each = (select(a.place, a.channel, a.own, u.id, u.username, u.email, u.language).where(way) for way in ways)
    most = bindparam("most", type_=Integer())
    return union(*each).limit(most).cte("meant").prefix_with("MATERIALIZED")


def _formers_of(dialect: Dialect) -> Select[Any]:
    v = dialect.rowset("v", _KEYS)
    return select(n.idempotency_key, n.id, n.content_hash).where(n.idempotency_key == v.c.key)


_RECIPIENTS = Hot(_recipients_of, lambda row: _Found(row[0], row[1], row[2], Recipient(*row[3:])))
_FORMERS: Hot[tuple[str, str, str]] = Hot(_formers_of, tuple)
