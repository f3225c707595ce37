"""Faults on request: which of the requests go wrong, and how."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from random import Random

from notifyctl.core.errors import UsageError

PROVIDERS = ("sendgrid", "twilio", "fcm")
GRAMMAR = "PROVIDER=FAULT[:PROBABILITY][xCOUNT[/each]], such as twilio=429:0.3 or sendgrid=503x2"

_RULE = re.compile(
    r"(?P<provider>[a-z]+)=(?P<fault>[45]\d\d|timeout|reset|html)"
    r"(?::(?P<probability>\d*\.?\d+))?(?:x(?P<count>\d{1,9})(?P<each>/each)?)?"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """One kind of fault.

    `provider` is one of `PROVIDERS`, `token` (FCM's token endpoint), or `all` (the three). `fault` is a status from 400
    to 599, answered with the provider's own body for it; `html` (502 with a proxy's page); `reset` (the connection is
    closed without an answer); or `timeout` (there is never an answer). It strikes with `probability`, `count` times at
    most (None: always): of the provider's requests altogether, or with `each` of those to each recipient.
    """

    provider: str
    fault: str
    probability: float = 1.0
    count: int | None = None
    each: bool = False

    @property
    def status(self) -> int | None:
        """The status to answer with, None for the other faults."""
        return int(self.fault) if self.fault.isdigit() else None


def parse_rule(text: str) -> Rule:
    """Return the rule that `text` writes as GRAMMAR says; raise UsageError when it is none."""
    found = _RULE.fullmatch(text.strip())
    if found is None or found["provider"] not in (*PROVIDERS, "token", "all"):
        raise UsageError(f"{text!r} is not a fault", f"write {GRAMMAR}; faults: 400 to 599, timeout, reset, html")
    probability = float(found["probability"] or 1)
    if not 0 < probability <= 1:
        raise UsageError(f"{text!r}: a probability is over 0 and at most 1")
    return Rule(
        found["provider"],
        found["fault"],
        probability,
        int(found["count"]) if found["count"] else None,
        bool(found["each"]),
    )


class Injector:
    """Decides for each request; the first rule that strikes wins. The same `random` and requests: the same faults."""

    def __init__(self, rules: Iterable[Rule], random: Random) -> None:
        self._rules = tuple(rules)
        self._random = random
        self._struck: Counter[tuple[int, str | None]] = Counter()

    def strike(self, provider: str, recipient: str | None) -> Rule | None:
        """Return the rule by which this request goes wrong, if it does."""
        for number, rule in enumerate(self._rules):
            if rule.provider != provider and (rule.provider != "all" or provider not in PROVIDERS):
                continue
            key = (number, recipient if rule.each else None)
            if rule.count is not None and self._struck[key] >= rule.count:
                continue
            if rule.probability < 1 and self._random.random() >= rule.probability:
                continue
            if rule.count is not None:
                self._struck[key] += 1
            return rule
        return None
