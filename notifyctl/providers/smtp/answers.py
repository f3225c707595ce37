"""What a mail server's replies mean.

Sources: RFC 5321, 4.2 (codes) and 4.3.2 (when), RFC 3463 and IANA's registry of enhanced status codes, RFC 4954, 6;
docs.aws.amazon.com/ses (454), support.google.com/a/answer/3726730 (4.7.28, 5.4.5) for what large services say; the
words of Postfix, Exim, Sendmail, qmail and Exchange.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from notifyctl.core.model import Category
from notifyctl.core.outcome import Blame, Kind, Outcome
from notifyctl.core.suppression import Refusal, SuppressionCause
from notifyctl.core.text import one_line
from notifyctl.providers import reading
from notifyctl.providers.contract import Response

# Before the mail: it is not to blame, whatever is said.
_BEFORE = frozenset({"greeting", "ehlo", "starttls", "auth", "noop"})
_STAGES = _BEFORE | {"mail", "rcpt", "data", "end"}

# By a permanent failure's enhanced status code without its class; what is not here goes by the code alone.
_ENHANCED_CODES: Mapping[str, Kind] = {
    "1.1": Kind.RECIPIENT,  # no such mailbox
    "1.2": Kind.RECIPIENT,  # no such domain
    "1.3": Kind.RECIPIENT,  # no such address can be
    "1.6": Kind.RECIPIENT,  # moved, nobody says where
    "1.10": Kind.RECIPIENT,  # the domain takes no mail
    "1.7": Kind.CONFIG,  # the sender's address cannot be
    "1.8": Kind.CONFIG,  # the sender's domain cannot be
    "4.5": Kind.THROTTLED,  # a limit on what is sent, which is over some time
    "7.8": Kind.CONFIG,  # credentials refused
    "7.9": Kind.CONFIG,  # this way to log in is too weak
    "7.11": Kind.CONFIG,  # TLS is demanded
}
# By code, where no enhanced one says more.
_CODES: Mapping[int, Kind] = {
    250: Kind.ACCEPTED,
    421: Kind.TRANSIENT,
    450: Kind.TRANSIENT,  # also for a mailbox that is full
    451: Kind.TRANSIENT,
    452: Kind.TRANSIENT,
    454: Kind.THROTTLED,  # Amazon's; RFC 4954's comes before the mail, and a recipient's is that one's
    530: Kind.CONFIG,
    534: Kind.CONFIG,
    535: Kind.CONFIG,
    538: Kind.CONFIG,
    550: Kind.PERMANENT,  # also for policy, which says 5.7
    551: Kind.PERMANENT,
    552: Kind.PERMANENT,  # too big, or the mailbox is full for good
    553: Kind.PERMANENT,
    554: Kind.PERMANENT,
}
_EXPLANATIONS: Mapping[str, str] = {
    "greeting": "the server takes no connection: check host and port",
    "ehlo": "the server takes nothing from here: check host and port",
    "starttls": "the server offers no STARTTLS: set security=tls, or none on a network that is trusted",
    "auth": "the login is refused: check user and password, and security",
    "sender": "the server does not send for this sender: set another one as from, or log in as its owner",
}
_RELAYING = (
    "the server does not pass mail on for us: give user and password, or have it take this host's mail; where it does "
    "for others, it refuses this recipient"
)
# Also that it wants a login for that. qmail names the file that lists for whom it takes mail.
_RELAY = re.compile(
    r"\brelay(?:ing)?\b|\brcpthosts\b|\bauthenticat(?:e|ion)\b.{0,20}\b(?:required|first)\b|\bnot authenticated\b"
    r"|\bSMTP AUTH\b.{0,20}\brequired\b",
    re.IGNORECASE,
)
# Many servers judge the sender only when they know a recipient.
_SENDER = re.compile(r"\bsender (?:address )?(?:rejected|denied|verify failed|verification failed)\b", re.IGNORECASE)
_UNVERIFIED = re.compile(r"\bEmail address is not verified\b", re.IGNORECASE)  # Amazon's, of sender or recipient
_ABOUT_THE_SENDER = ("1.", "7.")  # what else is said to MAIL is about the size, the server or the command
_DAY = re.compile(r"\bdaily\b|\b24[ -]hours?\b", re.IGNORECASE)
_DAY_MS = 24 * 3_600_000
_LOGIN_NEEDED = "the server wants a login, or TLS first: give user and password, check security"
# How servers without enhanced codes say that there is no such mailbox (RFC 5321, 4.2.3: 550 is also policy).
_NOBODY = re.compile(
    r"\A(?!.*\bsender\b).*(?:\b(?:no such|unknown|invalid) (?:user|recipient|mailbox)\b"
    r"|\b(?:user|recipient|mailbox)\b.{0,80}\b(?:unknown|not found|does ?n[o']t exist|does not exist)\b)",
    re.IGNORECASE | re.DOTALL,
)
_REFUSAL = re.compile(r"(?P<address>\S+): (?P<code>\d{3}) ?(?P<said>.*)")
_ENHANCED = re.compile(r"([245])\.(\d{1,3}\.\d{1,3})(?=\s|$)")
_QMAILS_ENHANCED = re.compile(r"\(#([245])\.(\d{1,3}\.\d{1,3})\)")
# Postfix, Exim, Sendmail, Amazon, Exchange: what they call the mail from now on.
_QUEUED = re.compile(
    r"(?:queued as ([\w.-]{4,100})|\bid=([\w.-]{4,100})|^([\w.-]{8,100}) Message accepted"
    r"|^Ok ([0-9a-f-]{30,100})|InternalId=(\d{4,30}))(?![\w.-])",
    re.IGNORECASE,
)


def read(response: Response) -> Outcome:
    """Return what the reply means; only a 250 after the whole mail is a success."""
    said, stage, status = _said(response), response.headers.get("stage", ""), response.status
    enhanced, words = _enhanced(said, status)
    meant = _meant(status, enhanced, words) if stage == "rcpt" else enhanced
    kind = _kind(status, meant, stage, response.headers.get("recipients", "1") == "1")
    if kind is Kind.ACCEPTED:
        return reading.outcome(kind, response, message_id=_name(words, response), refusals=_refused(response))
    ours = _by_words(stage, enhanced, words) if kind is Kind.PERMANENT else None
    kind = Kind.CONFIG if ours else kind
    refused = Category.INVALID_RECIPIENT if stage == "rcpt" and not ours else Category.PROVIDER_REJECTED
    explanation = ours or _explanation(kind, status, stage)
    return reading.outcome(
        kind,
        response,
        reading.explained(explanation, f"{status} {reading.text(said)}".strip()),
        code=f"{status // 100}.{enhanced}" if enhanced else str(status),
        category=refused,
        blames=Blame.PAIR if ours else _blamed(status, stage, explanation),
        field="from" if explanation == _EXPLANATIONS["sender"] else None,
        lasts_ms=_DAY_MS if kind is Kind.THROTTLED and _DAY.search(words) else 0,
        refusals=_refused(response),
    )


def read_checkup(response: Response) -> str | None:
    """Return what is wrong with the server or the login, None when it answered the last question well."""
    stage, status = response.headers.get("stage", ""), response.status
    if stage == "noop" and status == 250:
        return None
    kind = _kind(status, _enhanced(_said(response), status)[0], stage, alone=True)
    return _explanation(kind, status, stage) or f"the server answered {status}"


def _kind(status: int, enhanced: str | None, stage: str, alone: bool) -> Kind:
    if stage not in _STAGES or not 200 <= status <= 599:
        return Kind.UNKNOWN
    if 400 <= status < 500:
        return _for_now(status, enhanced, stage)
    if status >= 500:
        return Kind.CONFIG if stage in _BEFORE else _for_good(status, enhanced, stage, alone)
    if stage != "end":  # no reply to anything that was asked, and no mail was handed over
        return Kind.TRANSIENT
    return _CODES.get(status, Kind.UNKNOWN)


def _for_now(status: int, enhanced: str | None, stage: str) -> Kind:
    if enhanced is not None and enhanced.startswith("7."):
        # Of one recipient it is greylisting, which is over in minutes and nothing to slow all others down for; of a
        # login it may be anything.
        return Kind.TRANSIENT if stage in ("rcpt", "auth", "starttls") else Kind.THROTTLED
    return Kind.TRANSIENT if stage in _BEFORE or stage == "rcpt" else _CODES.get(status, Kind.TRANSIENT)


def _for_good(status: int, enhanced: str | None, stage: str, alone: bool) -> Kind:
    found = _ENHANCED_CODES.get(enhanced or "")
    if stage == "mail" and found is None and _is_about_the_sender(status, enhanced):
        return Kind.CONFIG
    if found is Kind.RECIPIENT and not (stage == "rcpt" or (stage == "end" and alone)):
        return Kind.PERMANENT  # nobody says which one
    return found or _CODES.get(status, Kind.PERMANENT)


def _is_about_the_sender(status: int, enhanced: str | None) -> bool:
    """Return whether a refusal of MAIL is: of the recipient and the content nothing is known yet."""
    if status == 553 or enhanced is None:
        return status in (550, 551, 553, 554)
    return enhanced.startswith(_ABOUT_THE_SENDER)


def _by_words(stage: str, enhanced: str | None, words: str) -> str | None:
    """Return what is wrong with the settings, if not with this recipient alone, where only the words tell it."""
    if (stage == "rcpt" and _SENDER.search(words)) or (stage == "end" and _UNVERIFIED.search(words)):
        return _EXPLANATIONS["sender"]
    relaying = stage in ("rcpt", "data", "end") and _RELAY.search(words) is not None
    return _RELAYING if relaying or (stage == "rcpt" and enhanced == "7.1") else None


def _explanation(kind: Kind, status: int, stage: str) -> str | None:
    if kind is not Kind.CONFIG:
        return None
    if stage in _BEFORE:
        return _EXPLANATIONS.get(stage)
    return _LOGIN_NEEDED if status in (530, 534, 535, 538) else _EXPLANATIONS["sender"]


def _blamed(status: int, stage: str, explanation: str | None) -> Blame:
    """Return whom the reply is about: a recipient who gets it later, the sender, or nobody else than all."""
    if explanation == _EXPLANATIONS["sender"]:
        return Blame.SENDER
    return Blame.RECIPIENT if stage == "rcpt" and 400 <= status < 500 and status != 421 else Blame.ACCOUNT


def _said(response: Response) -> str:
    """Return the reply without the recipients that were refused, which stand after an empty line."""
    return response.body.decode(errors="replace").partition("\n\n")[0]


def _refused(response: Response) -> tuple[Refusal, ...]:
    """Return whose copies were refused because nobody is there, as it would be understood of the recipient."""
    if b"\n\n" not in response.body:
        return ()
    lines = map(_REFUSAL.fullmatch, response.body.decode(errors="replace").partition("\n\n")[2].splitlines())
    found = ((each["address"], int(each["code"]), each["said"]) for each in lines if each)
    return tuple(
        Refusal(address, SuppressionCause.BOUNCE, one_line(f"{code} {said}"))
        for address, code, said in found
        if code >= 500 and _for_good(code, _meant(code, *_enhanced(said, code)), "rcpt", alone=True) is Kind.RECIPIENT
    )


def _meant(status: int, enhanced: str | None, words: str) -> str | None:
    """Return the enhanced status code of a refused recipient; what the words say, where a server gives none."""
    return "1.1" if enhanced is None and status in (550, 551, 553) and _NOBODY.search(words) else enhanced


def _enhanced(said: str, status: int) -> tuple[str | None, str]:
    """Return the enhanced status code without its class, and what follows it; none where its class is another."""
    found = _ENHANCED.match(said) or _QMAILS_ENHANCED.search(said)
    if found is None or int(found[1]) != status // 100:
        return None, said
    return found[2], (said[: found.start()] + said[found.end() :]).strip()


def _name(words: str, response: Response) -> str | None:
    """Return what the server calls the mail, else the mail's own Message-ID."""
    found = _QUEUED.search(words)
    ours = response.headers.get("message-id")
    return reading.identifier(next(filter(None, found.groups())) if found else ours)
