"""Conditions of the system that somebody wants to be told of when they begin and when they end. Pure judgement.

What is seen at one look is held against what is kept of the looks before. A condition begins when it was seen for as
long as its kind takes, and ends when it was not seen for as long; what comes of that is told once, whoever looked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from enum import StrEnum
from typing import TypeAlias

from notifyctl.core.burst import Frequency
from notifyctl.core.duration import show_ms
from notifyctl.core.frozen import dataclass
from notifyctl.core.health import Hold
from notifyctl.core.provider import ProviderConfig
from notifyctl.core.text import one_line
from notifyctl.core.webhook.health import LIMIT_MS, HookHealth
from notifyctl.core.webhook.target import host_of
from notifyctl.core.webhook.webhook import Webhook

_S, _MIN = 1_000, 60_000
LOOK_MS = 10 * _S
STALLED_MS = 10 * _MIN
"""For so long the same notification, or delivery, has to be the next one that is due."""
GROWING = 20
"""So many dead letters in an hour are no chance; ten times as many are news again."""
LEVELS = (50, 70, 90)
"""Percent of the time for which a receiver may fail."""
WEBHOOKS = "webhooks"
"""What stands still where no provider does."""


class Condition(StrEnum):
    """What may be so of the system, or of a part of it."""

    PROVIDER_PAUSED = "provider_paused"
    PROVIDER_OPEN = "provider_open"
    DEAD_LETTERS_GROWING = "dead_letters_growing"
    BACKLOG_STALLED = "backlog_stalled"
    SUPPRESSION_BURST = "suppression_burst"
    RECEIVER_FAILING = "receiver_failing"
    RECEIVER_DISABLED = "receiver_disabled"


class Turn(StrEnum):
    """What a condition did."""

    BEGAN = "began"
    ENDED = "ended"


_HOLDS_MS = {Condition.BACKLOG_STALLED: STALLED_MS}
_ENDS_MS = {
    # A breaker that tries again and again closes for moments, and an hour's count swings about its bound.
    Condition.PROVIDER_OPEN: _MIN,
    Condition.DEAD_LETTERS_GROWING: 10 * _MIN,
    Condition.SUPPRESSION_BURST: 10 * _MIN,
}

ConditionKey: TypeAlias = tuple[str, str]


@dataclass(frozen=True, slots=True)
class SeenCondition:
    """What is so at one look: of whom, and in words. A higher `level` is news; another `mark`, another thing."""

    condition: Condition
    subject: str
    text: str
    level: int = 0
    mark: str = ""

    @property
    def key(self) -> ConditionKey:
        """What tells it from all others."""
        return self.condition.value, self.subject


@dataclass(frozen=True, slots=True)
class KeptCondition:
    """What is kept of one; fields are columns. Times are milliseconds since the epoch.

    It is seen since `since`; `has_begun`: that was told. It is not seen any more since `absent_since`.
    """

    condition: str
    subject: str
    since: int
    text: str
    level: int = 0
    mark: str = ""
    has_begun: bool = False
    absent_since: int | None = None

    @property
    def key(self) -> ConditionKey:
        """What tells it from all others."""
        return self.condition, self.subject


@dataclass(frozen=True, slots=True)
class ConditionNews:
    """One thing to tell."""

    turn: Turn
    of: KeptCondition


@dataclass(frozen=True, slots=True)
class Judged:
    """What a look comes to: what is kept anew, what is forgotten, and what is told, ends before beginnings."""

    kept: list[KeptCondition] = field(default_factory=list)
    gone: list[ConditionKey] = field(default_factory=list)
    news: list[ConditionNews] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.kept or self.gone)


def judge(kept: Iterable[KeptCondition], seen: Iterable[SeenCondition], now: int) -> Judged:
    """Return what becomes of what is kept, with what is seen now."""
    before, there = {each.key: each for each in kept}, {each.key: each for each in seen}
    judged = Judged()
    for key in sorted(before.keys() | there.keys()):
        _judge_one(judged, before.get(key), there.get(key), now)
    judged.news.sort(key=lambda each: each.turn is Turn.BEGAN)
    return judged


def _judge_one(judged: Judged, old: KeptCondition | None, one: SeenCondition | None, now: int) -> None:
    if old is not None and (one is None or one.mark != old.mark):
        _absent(judged, old, now, replaced=one is not None)
        old = None
    if one is not None:
        first = KeptCondition(*one.key, since=now, text=one.text, mark=one.mark)
        _seen(judged, old or first, one, now, is_new=old is None)


def _absent(judged: Judged, old: KeptCondition, now: int, *, replaced: bool) -> None:
    """Take note that it is not seen; once that is so for long enough, it ended."""
    ends_ms = 0 if replaced or not old.has_begun else _ENDS_MS.get(Condition(old.condition), 0)
    since = now if old.absent_since is None else old.absent_since
    if now - since >= ends_ms:
        judged.gone.append(old.key)
        if old.has_begun:
            judged.news.append(ConditionNews(Turn.ENDED, old))
    elif old.absent_since is None:
        judged.kept.append(replace(old, absent_since=now))


def _seen(judged: Judged, old: KeptCondition, one: SeenCondition, now: int, *, is_new: bool) -> None:
    """Take note that it is seen; once that is so for long enough, or where it is worse, that is told."""
    holds = now - old.since >= _HOLDS_MS.get(one.condition, 0)
    begins = holds and (not old.has_begun or one.level > old.level)
    new = replace(old, absent_since=None)
    if begins:
        new = replace(new, has_begun=True, level=one.level, text=one.text)
        judged.news.append(ConditionNews(Turn.BEGAN, new))
    if is_new or new != old:
        judged.kept.append(new)


# What is seen


def of_providers(configs: Iterable[ProviderConfig], now: int) -> list[SeenCondition]:
    """Return which providers nothing is sent by: an operator said so, they are configured wrongly, or they fail."""
    kinds = {Hold.PAUSED: Condition.PROVIDER_PAUSED, Hold.OPEN: Condition.PROVIDER_OPEN}
    return [
        SeenCondition(kind, each.provider_name, one_line(f"{each.provider_name} {hold}: {_reason(each)}"))
        for each in configs
        if (hold := each.hold(now)) is not None and (kind := kinds.get(hold)) is not None
    ]


def of_dead_letters(last_hour: int) -> list[SeenCondition]:
    """Return that there are more and more of them, by orders of magnitude; with how many of the last hour."""
    if last_hour < GROWING:
        return []
    level = len(str(last_hour // GROWING))
    text = f"{last_hour:,} dead letters in the last hour"
    return [SeenCondition(Condition.DEAD_LETTERS_GROWING, "", text, level)]


def of_suppressions(pace: Frequency) -> list[SeenCondition]:
    """Return that far more addresses than usual are suppressed."""
    if not pace.is_burst:
        return []
    text = f"{pace.last_hour:,} addresses suppressed in the last hour, usual is {pace.usual:,.0f}"
    return [SeenCondition(Condition.SUPPRESSION_BURST, "", text)]


def of_heads(heads: Mapping[str, tuple[str, int]], now: int) -> list[SeenCondition]:
    """Return which queues may stand still: the next one that is due in each, and since when; it must not stay so."""
    return [
        SeenCondition(
            Condition.BACKLOG_STALLED,
            subject,
            f"{_queue(subject)} stands still: the oldest is due for {show_ms(now - due_at)}, and nothing is sent",
            mark=f"{mark} {due_at}",
        )
        for subject, (mark, due_at) in heads.items()
    ]


def of_receivers(webhooks: Iterable[tuple[Webhook, str]], now: int) -> list[SeenCondition]:
    """Return whose receivers fail for so long that they will be disabled, or were; each webhook with its owner."""
    found = (_of_receiver(webhook, f"{owner}/{webhook.name}", now) for webhook, owner in webhooks)
    return [each for each in found if each is not None]


OF_RECEIVERS = frozenset({Condition.RECEIVER_FAILING, Condition.RECEIVER_DISABLED})


def without_recovery(ended: KeptCondition, webhook: Webhook | None) -> KeptCondition:
    """Return a receiver's condition that ended, with why in words where that is not because it works again.

    A pager reads the end as recovery. `webhook` is None where none is called so any more.
    """
    if webhook is None:
        return replace(
            ended, text=f"webhook {ended.subject} was deleted or is called otherwise: nothing is known of it"
        )
    if webhook.is_active:
        return ended
    why = "by an operator" if webhook.disabled_because is None else f"because {webhook.disabled_because}"
    text = f"webhook {ended.subject} ({host_of(webhook.url)}) was disabled {why}: nothing reaches it"
    return replace(ended, text=one_line(text))


def _of_receiver(webhook: Webhook, subject: str, now: int) -> SeenCondition | None:
    called = f"webhook {subject} ({host_of(webhook.url)})"
    if not webhook.is_active:
        if webhook.disabled_because is None:  # an operator knows it already
            return None
        text = one_line(f"{called} disabled: {webhook.disabled_because}")
        return SeenCondition(Condition.RECEIVER_DISABLED, subject, text)
    percent = HookHealth.of(webhook).share(now) * 100
    level = max((each for each in LEVELS if each <= percent), default=0)
    if not level or webhook.failing_since is None:
        return None
    since = show_ms(now - webhook.failing_since)
    text = f"{called} fails for {since}: at {level} % of the {show_ms(LIMIT_MS)} after which it is disabled"
    return SeenCondition(Condition.RECEIVER_FAILING, subject, text, level)


def _reason(config: ProviderConfig) -> str:
    return config.health.pause_reason or "no reason given"


def _queue(subject: str) -> str:
    return "what webhooks are to be told" if subject == WEBHOOKS else f"what {subject} is to send"
