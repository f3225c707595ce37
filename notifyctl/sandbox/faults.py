"""Faults on request: which of the requests go wrong, and how."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random

from notifyctl.core.errors import UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.sandbox import fcm, sendgrid, tokens, twilio
from notifyctl.sandbox.exchange import Reply

PROVIDERS = ("sendgrid", "twilio", "fcm", "smtp")
GRAMMAR = "PROVIDER[.send|.read]=FAULT[@SECONDS][:SHARE][xCOUNT[/each]], such as twilio=429@120:0.3 or sendgrid=503x2"
SILENCES = frozenset({"timeout", "hang", "reset"})
"""The faults by which there is no answer at all."""
SPOILED = frozenset({"cut", "slow", "garbage", "oversized", "redirect", "gzip"})
"""The faults by which the answer arrives damaged."""
RECEIPT = "receipt:"

_HTTP = SILENCES | SPOILED | {"html"}
# What makes sense where no HTTP is spoken.
_SMTP = frozenset({"timeout", "hang", "reset", "cut", "slow", "garbage"})
_REFUSALS: Mapping[str, Callable[[str, float], Reply | None]] = {
    "sendgrid": sendgrid.refusal,
    "twilio": twilio.refusal,
    "fcm": fcm.refusal,
    "token": tokens.refusal,
}
_FATES: Mapping[str, re.Pattern[str]] = {
    "twilio": re.compile(r"sent|failed|[1-9]\d{4}"),
    "sendgrid": re.compile(r"processed|not_delivered|blocked"),
}
_STATUS = re.compile(r"[45]\d\d")
_RULE = re.compile(
    r"(?P<provider>[a-z]+)(?:\.(?P<only>send|read))?=(?P<fault>receipt:\w+?|\w+?)(?:@(?P<wait>\d{1,9}))?"
    r"(?::(?P<share>\d*\.?\d+))?(?:x(?P<count>\d{1,9})(?P<each>/each)?)?",
    re.ASCII,
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault.

    `provider` is one of `PROVIDERS`, `token` (FCM's token endpoint), or `all` (all of `PROVIDERS`). `fault` is a status
    from 400 to 599, answered with the provider's own body for it; one of the provider's own codes; `html` (502 with a
    proxy's page); one of `SILENCES` and `SPOILED`; or `receipt:` and what the receipt says later. It strikes with
    `probability`, `count` times at most (None: always): of the provider's requests altogether, or with `each` of those
    to each recipient. `wait_s` is a Retry-After, `only` one of `send` and `read` (messages, questions; None: both).
    """

    provider: str
    fault: str
    probability: float = 1.0
    count: int | None = None
    each: bool = False
    wait_s: int | None = None
    only: str | None = None

    @property
    def status(self) -> int | None:
        """The status to answer with, None for the other faults."""
        return int(self.fault) if _STATUS.fullmatch(self.fault) else None

    @property
    def fate(self) -> str | None:
        """What the receipt says later; None for what happens at once."""
        return self.fault.removeprefix(RECEIPT) if self.fault.startswith(RECEIPT) else None

    @property
    def accepts(self) -> bool:
        """Whether the message counts as accepted all the same: it is the answer that goes wrong."""
        return self.fault in SILENCES | SPOILED - {"redirect"}

    def concerns(self, provider: str, sends: bool) -> bool:
        """Return whether a request to this provider may be struck."""
        named = self.provider == provider or (self.provider == "all" and provider in PROVIDERS)
        return named and self.only in (None, "send" if sends else "read")


def parse_rule(text: str) -> Rule:
    """Return the rule that `text` writes as GRAMMAR says; raise UsageError when it is none."""
    found = _RULE.fullmatch(text.strip())
    if found is None or found["provider"] not in (*PROVIDERS, "token", "all"):
        raise UsageError(f"{text!r} is not a fault", f"write {GRAMMAR}; {_known(None)}")
    provider, fault = found["provider"], found["fault"]
    if not _exists(provider, fault):
        raise UsageError(f"{text!r}: {provider} has no fault {fault!r}", f"write {GRAMMAR}; {_known(provider)}")
    share = float(found["share"] or 1)
    if not 0 < share <= 1:
        raise UsageError(f"{text!r}: a share is over 0 and at most 1", f"write {GRAMMAR}")
    if found["wait"] and (fault in _HTTP or fault.startswith(RECEIPT)):
        raise UsageError(f"{text!r}: only an answer can ask to wait", f"write {GRAMMAR}")
    return Rule(
        provider,
        fault,
        share,
        int(found["count"]) if found["count"] else None,
        bool(found["each"]),
        int(found["wait"]) if found["wait"] else None,
        found["only"],
    )


def refusal(provider: str, rule: Rule, now: float) -> Reply | None:
    """Return what the provider answers by this rule, with the wait it asks for; None when the rule wants no refusal."""
    known = _REFUSALS.get(provider)
    reply = known(rule.fault, now) if known else None
    if reply is None or rule.wait_s is None:
        return reply
    return Reply(reply.status, reply.body, reply.content_type, {**reply.headers, "Retry-After": str(rule.wait_s)})


class Injector:
    """Decides which fault each request gets; the first rule that strikes wins. The same `seed` and requests: the same.

    Messages and questions are counted apart and have chances of their own, so that asking for receipts changes nothing
    about which messages go wrong; and so has what their receipts will be.
    """

    def __init__(self, rules: Iterable[Rule], seed: int | None) -> None:
        self._rules = tuple(rules)
        self._seed = seed
        self._chances: dict[tuple[bool, bool], Random] = {}
        self._struck: Counter[tuple[int, bool, str | None]] = Counter()

    def strike(self, provider: str, recipient: str | None, *, sends: bool = True) -> Rule | None:
        """Return the rule whose fault this request gets, None for none."""
        return self._first(provider, recipient, sends, later=False)

    def fate(self, provider: str, recipient: str | None) -> str | None:
        """Return what the receipt of an accepted message is to say, None when no rule says."""
        rule = self._first(provider, recipient, sends=True, later=True)
        return rule.fate if rule else None

    def _first(self, provider: str, recipient: str | None, sends: bool, *, later: bool) -> Rule | None:
        for number, rule in enumerate(self._rules):
            if (rule.fate is not None) is not later or not rule.concerns(provider, sends):
                continue
            key = (number, sends, recipient if rule.each else None)
            if rule.count is not None and self._struck[key] >= rule.count:
                continue
            if rule.probability < 1 and self._chance(sends, later).random() >= rule.probability:
                continue
            if rule.count is not None:
                self._struck[key] += 1
            return rule
        return None

    def _chance(self, sends: bool, later: bool) -> Random:
        if (sends, later) not in self._chances:
            self._chances[sends, later] = Random(self._seed)  # noqa: S311  # nothing here is a secret
        return self._chances[sends, later]


def _exists(provider: str, fault: str) -> bool:
    if fault.startswith(RECEIPT):
        fates = _FATES.get(provider)
        return fates is not None and fates.fullmatch(fault.removeprefix(RECEIPT)) is not None
    if fault.isdecimal() and (len(fault) < 5 or provider != "twilio"):
        return _STATUS.fullmatch(fault) is not None
    if fault in (_SMTP if provider == "smtp" else _HTTP):
        return True
    known = _REFUSALS.get(provider)
    return known is not None and known(fault, 0.0) is not None


def _known(provider: str | None) -> str:
    """Return the faults in words: those of every provider, and this one's own."""
    codes = {
        "sendgrid": sendgrid.CODES,
        "twilio": map(str, twilio.CODES),
        "fcm": fcm.CODES,
        "token": tokens.CODES,
    }.get(provider or "", ())
    own = ", ".join(sorted(codes))
    common = f"faults: 400 to 599, {', '.join(sorted(_SMTP if provider == 'smtp' else _HTTP))}"
    return f"{common}, {own}" if own else common
