"""The one plan of all roads in: from drafts to rows that a provider takes, to what was stored before, or to refusals.

One submission is a plan of one; a file, a fixture and an application's call are plans of many. Nothing is said twice:
`core.submission` judges, the provider's adapter checks what it would be asked to send.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from typing import Protocol, TypeVar

from notifyctl.core import submission
from notifyctl.core.errors import Conflict, NotAllowed, NotFound, NotifyctlError, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.grant import Grant, refusal, storage_refusal
from notifyctl.core.json_codec import lenient
from notifyctl.core.model import Message
from notifyctl.core.policy import UNCONFIGURED, Policy
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.submission import Draft, Former, New, NoProvider, Plan, Recipient, SubmissionFacts
from notifyctl.core.wording import Template
from notifyctl.providers import registry
from notifyctl.providers.contract import Adapter, Credentials, InvalidMessage, Request, checker
from notifyctl.providers.registry import BrokenProvider
from notifyctl.services import previews
from notifyctl.store import submissions, templates
from notifyctl.store.db.tx import Tx
from notifyctl.store.queue import submit as queue

Checkers = dict[str, Callable[[Message], object]]
"""By the name of a provider what raises InvalidMessage for what it would not take."""
Planned = Plan | Former | NotifyctlError
"""What a draft comes to: a row to insert, the notification that said the same before, or why it is refused."""


@dataclass(frozen=True, slots=True)
class SubmissionTerms:
    """What the configuration says of submissions: the providers' addresses, the policy, where people unsubscribe."""

    urls: Mapping[str, str] = field(default_factory=dict)
    policy: Policy = UNCONFIGURED
    unsubscribe_url: str | None = None


class Storable(Protocol):
    """What is stored of a plan: whoever has very many keeps no more of each."""

    @property
    def key(self) -> str:
        """The idempotency key as it was given."""

    @property
    def row(self) -> New:
        """What is inserted."""

    @property
    def template(self) -> Template | None:
        """What it is rendered from."""

    @property
    def files(self) -> Mapping[str, str]:
        """The contents that its payload refers to, by digest."""


S = TypeVar("S", bound=Storable)


def plan_all(
    tx: Tx,
    drafts: Sequence[Draft],
    ids: Sequence[str],
    terms: SubmissionTerms,
    batch_id: str | None = None,
    *,
    likely_new: bool = False,
) -> list[Planned]:
    """Return what each draft comes to, in their order; `ids` are those of the rows to be, which are of that batch.

    Of two drafts with one key the first is the submission, the second repeats it or says something else. What a
    template says is checked when it is rendered, not here. Of those that are `likely_new` nobody is asked whether they
    were submitted before, but of the ones that would be refused: of the others whoever stores them finds out.
    """
    found = list[Planned]()
    first: dict[str, New] = {}
    checkers: Checkers = {}
    loadable: dict[str, bool] = {}
    unsure = list[tuple[int, SubmissionFacts]]()
    grant = tx.actor.grant
    facts = submissions.known(tx, drafts, terms.policy, likely_new=likely_new)
    for draft, known, id_ in zip(drafts, facts, ids, strict=True):
        planned = plan(draft, known, id_, tx.now, grant, batch_id, loadable)
        before = None
        if isinstance(planned, Plan):
            row = planned.row
            before = first.get(row.idempotency_key)
            if before is None:
                planned = checked(planned, terms, checkers)
            else:
                planned = submission.repeated(draft, Former(before.id, before.content_hash), row.content_hash)
            if isinstance(planned, Plan):
                first[row.idempotency_key] = row
        if likely_new and before is None and isinstance(planned, NotifyctlError):
            unsure.append((len(found), known))
        found.append(planned)
    for place, known in submissions.looked_back(tx, drafts, unsure):
        found[place] = plan(drafts[place], known, ids[place], tx.now, grant, batch_id, loadable)
    return found


def plan(
    draft: Draft,
    known: SubmissionFacts,
    id_: str,
    now: int,
    grant: Grant | None,
    batch_id: str | None = None,
    loadable: dict[str, bool] | None = None,
) -> Planned:
    """Return what a draft comes to, by a provider whose adapter can be loaded; `loadable` keeps which can.

    What the key that acts (its `grant`) may not submit is refused before anything is said of it.
    """
    if grant is not None and isinstance(known.recipient, Recipient):
        barred = refusal(grant, known.recipient.id, draft.payload)
        if barred is not None:
            return barred
    loadable = {} if loadable is None else loadable
    planned = submission.plan(draft, _with_channels(known, draft), id_, now, batch_id)
    if isinstance(planned, NoProvider):
        names = " or ".join(adapter.name for adapter in registry.for_channel(draft.channel)) or "NAME"
        return Conflict(planned.message, f"notifyctl providers add {names}")
    if isinstance(planned, Plan) and draft.provider is None:
        name = planned.row.provider
        if name not in loadable:
            loadable[name] = _is_loadable(name)
        if loadable[name]:
            return planned
        others = [each for each in known.providers if each.provider_name != planned.row.provider]
        return plan(draft, known._replace(providers=others), id_, now, grant, batch_id, loadable)
    return planned


def checked(planned: Plan, terms: SubmissionTerms, checkers: Checkers | None = None) -> Plan | NotifyctlError:
    """Return the plan, or that the provider's API would refuse what it says; that of a template is not known yet.

    No secret is needed to know that: a host that only submits has no keys. `checkers` keeps what was made for a
    provider, for the others of one transaction.
    """
    if planned.template is not None:
        return planned
    try:
        message = previews.linked(planned.message, terms.unsubscribe_url)
    except UsageError as error:
        return error
    return refused(planned, message, terms, checkers) or planned


def refused(
    planned: Plan, message: Message, terms: SubmissionTerms, checkers: Checkers | None = None
) -> NotifyctlError | None:
    """Return that the provider's API would refuse the plan's message, as it is by now; None where nothing goes there.

    None, too, where it would be taken.
    """
    if planned.unaddressed is not None:
        return None
    name = planned.provider.provider_name
    check = None if checkers is None else checkers.get(name)
    try:
        if check is None:
            check = _checker(planned.provider, terms)
            if checkers is not None:
                checkers[name] = check
        check(message)
    except InvalidMessage as error:
        return _would_refuse(name, error)
    except NotifyctlError as error:
        return error
    return None


def _checker(provider: ProviderConfig, terms: SubmissionTerms) -> Callable[[Message], object]:
    settings = dict(provider.config)
    if provider.provider_name in terms.urls:
        settings["base_url"] = terms.urls[provider.provider_name]
    return checker(registry.get(provider.provider_name), Credentials(api_key="", config=settings))


def _would_refuse(name: str, error: InvalidMessage) -> UsageError:
    return UsageError(f"{name} would refuse it: {error}")


def built(adapter: Adapter, message: Message, credentials: Credentials) -> Request:
    """Return the request that would send the message. Raises UsageError where the provider would refuse it."""
    try:
        return adapter.build(message, credentials)
    except InvalidMessage as error:
        raise _would_refuse(adapter.name, error) from error


def store_all(tx: Tx, plans: Sequence[S]) -> dict[str, S | Former | NotifyctlError]:
    """Insert the rows of plans, and return what became of each by its row's id: the plan itself where it is stored.

    Another one may store the same submission at this moment: then that one's, or that it says something else. Raises
    NotAllowed where the key that acts may only look at what would be stored.
    """
    require_storing(tx)
    made_of = {each.template.id for each in plans if each.template is not None}
    there = templates.keep(tx, sorted(made_of)) if made_of else set()
    found: dict[str, S | Former | NotifyctlError] = {each.row.id: each for each in plans}
    wanted = [each for each in plans if each.template is None or each.template.id in there]
    if len(wanted) < len(plans):
        gone = (each for each in plans if each.template is not None and each.template.id not in there)
        found |= {each.row.id: _template_gone(each) for each in gone}
    files = {digest: content for each in wanted if each.files for digest, content in each.files.items()}
    stored = queue.submit(tx, [each.row for each in wanted], files)
    late = [each for each in wanted if each.row.id not in stored]
    former = submissions.formers(tx, [each.row.idempotency_key for each in late])
    for each in late:
        found[each.row.id] = became(each, former.get(each.row.idempotency_key))
    return found


class Sendable(Protocol):
    """A notification that is there, and that somebody wants to have sent (again)."""

    @property
    def user_id(self) -> str:
        """Whose it is."""

    @property
    def payload(self) -> str:
        """What is in it."""


def require_storing(tx: Tx) -> None:
    """Raise NotAllowed where the key that acts may only look at what would be submitted, and this is no rehearsal."""
    barred = storage_refusal(tx.actor.grant)
    if tx.stores and barred is not None:
        raise barred


def resubmission_refusal(tx: Tx, row: Sendable) -> NotAllowed | None:
    """Return why the key that acts may not have this one sent; None where it may.

    The roads on which a notification goes out that was planned before: sent again, retried, restored, put forward.
    """
    grant = tx.actor.grant
    barred = storage_refusal(grant) if tx.stores else None
    return barred or refusal(grant, row.user_id, lenient(row.payload))


def unmade(notification_id: str, hint: str) -> Conflict:
    """Return that there is nothing any more to render one from."""
    return Conflict(f"the template of {notification_id} is deleted: there is nothing to make its text from", hint)


def became(planned: S, former: Former | None) -> S | Former | NotifyctlError:
    """Return what became of a plan that was to be stored, where its key is a former submission's by now."""
    if former is not None and former.id == planned.row.id:
        return planned
    if former is None:
        return Conflict(f"notification {planned.row.id} was deleted at this moment", "repeat the command")
    if former.content_hash == planned.row.content_hash:
        return former
    return submission.other_content(planned.key, former.id)


def _template_gone(planned: Storable) -> Conflict:
    name = "" if planned.template is None else planned.template.name
    return Conflict(f"template {name} was deleted at this moment", "notifyctl templates list")


def _with_channels(known: SubmissionFacts, draft: Draft) -> SubmissionFacts:
    """Let the adapters say of which channel a provider is, where nobody has written it down yet."""
    for each in known.providers:
        if each.channel is None:
            return known._replace(providers=[_with_channel(other, draft) for other in known.providers])
    return known


def _with_channel(config: ProviderConfig, draft: Draft) -> ProviderConfig:
    asked_for = config.provider_name == draft.provider
    if config.channel is not None or not (asked_for or _is_loadable(config.provider_name)):
        return config
    return replace(config, channel=registry.get(config.provider_name).channel)


def _is_loadable(name: str) -> bool:
    try:
        registry.get(name)
    except (BrokenProvider, NotFound):
        return False
    return True
