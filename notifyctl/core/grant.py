"""What an API key lets its holder do: scopes, recipients, and until when. A key gives no more on than it has itself."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from notifyctl.core import scope
from notifyctl.core.errors import KeyNotAllowed, NotAllowed
from notifyctl.core.frozen import dataclass
from notifyctl.core.refusal import RefusedFor
from notifyctl.core.scope import Scope, Scopes


@dataclass(frozen=True, slots=True)
class Restrictions:
    """To whom a key may submit: `recipients` are users' ids, None is anybody; `dry_run`: only with --dry-run."""

    recipients: frozenset[str] | None = None
    dry_run: bool = False

    @property
    def written(self) -> str | None:
        """The same as a row of `api_keys` has it; None where there are none."""
        if self == UNRESTRICTED:
            return None
        said: dict[str, Any] = {}
        if self.recipients is not None:
            said["recipients"] = sorted(self.recipients)
        if self.dry_run:
            said["dry_run"] = True
        return json.dumps(said)


UNRESTRICTED = Restrictions()
NOBODY = Restrictions(frozenset(), dry_run=True)


def stored(text: str | None) -> Restrictions:
    """Return the restrictions of a row of `api_keys`. What cannot be understood, or only in part, lets nothing pass."""
    if text is None:
        return UNRESTRICTED
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return NOBODY
    if not isinstance(found, Mapping) or not found.keys() <= {"recipients", "dry_run"}:
        return NOBODY
    recipients, dry_run = found.get("recipients"), found.get("dry_run", False)
    if not isinstance(dry_run, bool) or not (recipients is None or isinstance(recipients, list)):
        return NOBODY
    return Restrictions(None if recipients is None else frozenset(map(str, recipients)), dry_run)


@dataclass(frozen=True, slots=True)
class KeyTerms:
    """What a key is good for; `expires_at` is in milliseconds since the epoch, None is never."""

    scopes: Scopes
    restrictions: Restrictions
    expires_at: int | None


@dataclass(frozen=True, slots=True)
class Grant(KeyTerms):
    """What the key that acts lets its holder do."""

    key_id: str
    name: str

    def require(self, wanted: Scope | None) -> None:
        """Raise NotAllowed unless the key may what this scope is declared on."""
        if wanted is not None and not scope.covers(self.scopes, wanted):
            raise KeyNotAllowed(
                f"NOTIFYCTL_API_KEY: the key {self.name} has not the scope {wanted}",
                "notifyctl keys scopes says which command needs which",
                self.key_id,
                RefusedFor.SCOPE,
            )
        if wanted is Scope.DISPATCH_RUN and self.restrictions.dry_run:
            raise _restricted(self, "is for --dry-run only, and dispatches nothing", "")


_READDRESSING = frozenset(
    {
        *("to", "cc", "bcc", "resent-to", "resent-cc", "resent-bcc", "apparently-to", "envelope-to"),
        *("x-to", "x-cc", "x-bcc", "x-rcpt-to", "x-envelope-to", "x-smtpapi"),
    }
)
_OF_RELAYS = ("x-mc-", "x-msys-", "x-mailgun-", "x-mj-", "x-mailin-", "x-sib-")
"""Headers of mail by which relays (SendGrid, Mandrill, SparkPost, Mailgun, Mailjet, Brevo) write to others as well."""
_ADDRESSEES = ("to", "cc", "bcc", "token", "fid", "topic", "condition")
"""Fields of a payload by which it goes to another address than the user's own, or to further ones."""


def refusal(grant: Grant | None, user_id: str, payload: Any) -> NotAllowed | None:
    """Return why the key may not submit this for this user; None where it may, and without a key.

    Who may write to listed users only may not write to anybody else under their names either.
    """
    recipients = None if grant is None else grant.restrictions.recipients
    if grant is None or recipients is None:
        return None
    if user_id not in recipients:
        return _restricted(grant, "may not submit for this user", f"notifyctl keys show {grant.key_id} says for whom")
    named = _addressee(payload)
    if named is not None:
        return _restricted(grant, f"may submit to users' own addresses only, and not by {named}", "")
    return None


def _addressee(payload: Any) -> str | None:
    """Return by which part of a payload it would go to others; None where it goes to the user's own address only."""
    if not isinstance(payload, Mapping):
        return "what cannot be read"
    headers, settings = payload.get("headers"), payload.get("mail_settings")
    if isinstance(settings, Mapping) and settings.get("bcc"):
        return "mail_settings.bcc"
    told = filter(_readdresses, headers) if isinstance(headers, Mapping) else ()
    return next((f"headers.{each}" for each in told), None) or next((f for f in _ADDRESSEES if payload.get(f)), None)


def _readdresses(header: Any) -> bool:
    name = str(header).strip().lower()
    return name in _READDRESSING or name.startswith(_OF_RELAYS)


def storage_refusal(grant: Grant | None) -> NotAllowed | None:
    """Return that the key may submit for show only; None where it may submit, and without a key."""
    if grant is None or not grant.restrictions.dry_run:
        return None
    return _restricted(grant, "may submit with --dry-run only", "add --dry-run; nothing was stored")


def require_release(grant: Grant | None) -> None:
    """Raise NotAllowed where the key may not let go what is held, whoever submitted it."""
    if grant is not None and grant.restrictions != UNRESTRICTED:
        raise _restricted(grant, "is restricted, and may not let go what others submitted", "")


def require_hearing(grant: Grant | None, user_id: str, *, all_users: bool) -> None:
    """Raise NotAllowed where a webhook of this user's would be told of others than the key may submit for."""
    recipients = None if grant is None else grant.restrictions.recipients
    if grant is None or recipients is None or (user_id in recipients and not all_users):
        return
    what = (
        "has a webhook told of listed users only, and not of all" if all_users else "has no webhook of this user told"
    )
    raise _restricted(grant, what, f"notifyctl keys show {grant.key_id} says for whom it is")


def _restricted(grant: Grant, what: str, hint: str) -> KeyNotAllowed:
    return KeyNotAllowed(f"the key {grant.name} {what}", hint, grant.key_id, RefusedFor.RESTRICTED)


def require_within(maker: Grant | None, terms: KeyTerms) -> None:
    """Raise NotAllowed, which names what is more, unless a key with these terms may no more than its maker's key.

    Without a key (None) it is an operator, who may make any.
    """
    if maker is None:
        return
    more = [*_more_scopes(maker.scopes, terms.scopes), *_more_recipients(maker.restrictions, terms.restrictions)]
    if maker.expires_at is not None and (terms.expires_at is None or terms.expires_at > maker.expires_at):
        more.append("it would live longer")
    if more:
        raise KeyNotAllowed(
            f"the key {maker.name} cannot make one that may more than itself: {', '.join(more)}",
            "ask for no more than it has, or let an operator without a key make it",
            maker.key_id,
            RefusedFor.RESTRICTED,
        )


def _more_scopes(own: Scopes, asked: Scopes) -> list[str]:
    if own is None:
        return []
    if asked is None:
        return ["every scope"]
    implied = {other for each in own if each in {*Scope} for other in scope.covered(Scope(each))}
    return [f"the scope {each}" for each in asked if each not in {*own, *implied}]


def _more_recipients(own: Restrictions, asked: Restrictions) -> list[str]:
    more = []
    if own.recipients is not None and (asked.recipients is None or not asked.recipients <= own.recipients):
        more.append("other recipients")
    if own.dry_run and not asked.dry_run:
        more.append("not only --dry-run")
    return more
