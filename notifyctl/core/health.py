"""A provider's health: whether it is paused, when a probe tries it, and how its answers change that.

All of it is one frozen value. Dispatchers share it through the database: whoever has answers reads it, asks `after`,
and writes what that returns, one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from notifyctl.core.backoff import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS
from notifyctl.core.outcome import Kind, Outcome, describe

WINDOW_MS = 30_000
LEAST_FAILURES = 20


class Cause(StrEnum):
    """Why a provider is paused; stored as `pause_cause`.

    operator: somebody said so; it ends when somebody says so, or at its time
    config: the credentials or settings do not work; it ends with new ones, or when a probe works
    breaker: too many attempts failed; it ends when a probe works
    throttled: the provider wants to be left alone for a moment; it ends at that moment
    """

    OPERATOR = "operator"
    CONFIG = "config"
    BREAKER = "breaker"
    THROTTLED = "throttled"


class Hold(StrEnum):
    """Why nothing is sent by a provider now; the values are for people."""

    UNKNOWN = "not configured"
    DISABLED = "disabled"
    PAUSED = "paused"
    OPEN = "open"
    THROTTLED = "throttled"
    RATE_LIMIT = "rate limit"

    @property
    def lasts(self) -> bool:
        """Whether others stand in meanwhile: one that is throttled comes back in a moment."""
        return self in (Hold.PAUSED, Hold.OPEN)


_HOLDS = {
    Cause.OPERATOR: Hold.PAUSED,
    Cause.CONFIG: Hold.PAUSED,
    Cause.BREAKER: Hold.OPEN,
    Cause.THROTTLED: Hold.THROTTLED,
}

PROBES = {Cause.CONFIG: (60_000, 30 * 60_000), Cause.BREAKER: (5_000, 60_000)}
"""Of the causes that probes end: the wait for the first one, and the longest wait, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt says about its provider's health; `outcome` is None where it says nothing.

    `recipient` is whom it was for, `version` that of the configuration it went by. `outcome` says whom it blames.
    """

    outcome: Outcome | None
    recipient: str | None
    version: int
    probe: bool = False

    @property
    def says_it_works(self) -> bool:
        """Whether the provider dealt with this message, one way or the other."""
        said = self.outcome
        if said is None or not said.asked:
            return False
        return said.blames == "to" or said.kind in (Kind.ACCEPTED, Kind.PERMANENT, Kind.RECIPIENT)

    @property
    def is_failure(self) -> bool:
        """Whether the provider failed. That it throttles is none, nor what is one recipient's."""
        said = self.outcome
        asked = said is not None and said.asked and said.blames != "to"
        return asked and said is not None and said.kind in (Kind.TRANSIENT, Kind.UNKNOWN)


@dataclass(frozen=True, slots=True)
class News:
    """A change of a provider's health: `action` is the audit trail's word (pause, open ...), `text` is for people."""

    action: str
    reason: str

    @property
    def text(self) -> str:
        """The sentence without its subject."""
        words = {"pause": "paused", "resume": "resumed", "open": "breaker opened", "close": "breaker closed"}
        return f"{words[self.action]}: {self.reason}"


@dataclass(frozen=True, slots=True)
class Health:
    """A provider's pause, probes and breaker. Times are milliseconds since the epoch.

    `paused_at` without `paused_until` is a pause until somebody resumes, or until a probe at `probe_at` or later works.
    The breaker counts within a window that began with a failure.
    """

    paused_at: int | None = None
    paused_until: int | None = None
    pause_reason: str | None = None
    pause_cause: Cause | None = None
    probe_at: int | None = None
    probes: int = 0
    window_started_at: int | None = None
    window_attempts: int = 0
    window_failures: int = 0

    def is_paused(self, now: int) -> bool:
        """Return whether a pause is in force."""
        return self.paused_at is not None and (self.paused_until is None or self.paused_until > now)

    def hold(self, now: int) -> Hold | None:
        """Return why nothing may be sent now; None where something may."""
        if not self.is_paused(now):
            return None
        return _HOLDS[self.pause_cause or Cause.OPERATOR]

    def probe_due(self, now: int) -> bool:
        """Return whether one notification may try whether it works again."""
        return self.probe_at is not None and self.probe_at <= now

    def sure_wait_ms(self, now: int) -> int | None:
        """Return for how long it is sure to be held; None where that is not known."""
        if self.hold(now) is not Hold.THROTTLED or self.paused_until is None:
            return None
        return max(1, self.paused_until - now)

    def is_watched(self, now: int) -> bool:
        """Return whether it failed within the window, so that what succeeds is counted too."""
        began = self.window_started_at
        return bool(self.window_failures) and began is not None and began > now - WINDOW_MS

    def paused(self, cause: Cause, reason: str, now: int, until: int | None = None) -> Health:
        """Return the health with this pause; itself where the pause in force stays.

        It stays, but for a throttled one, which gives way to every other and to a longer one, and an open breaker where
        it turns out that the configuration is why.
        """
        if self.is_paused(now) and not self._gives_way(cause, until):
            return self
        return self.with_pause(cause, reason, now, until)

    def with_pause(self, cause: Cause, reason: str, now: int, until: int | None = None) -> Health:
        """Return the health with this pause, whatever pause is in force."""
        wait = probe_wait_ms(cause, 0)
        return replace(
            self,
            paused_at=now,
            paused_until=until,
            pause_reason=reason,
            pause_cause=cause,
            probe_at=None if wait is None else now + wait,
            probes=0,
        )

    def resumed(self) -> Health:
        """Return the health without a pause; the breaker counts anew."""
        return Health()

    def probing(self, now: int, lease_ms: int) -> Health:
        """Return the health while a probe with a lease of that length is under way.

        There is no other before that has ended: whoever makes it may be lost, and then it is simply made again.
        """
        wait = probe_wait_ms(self.pause_cause, self.probes + 1) or 0
        return replace(self, probe_at=now + max(lease_ms, wait), probes=self.probes + 1)

    def after(self, answers: Sequence[Answer], version: int, now: int) -> tuple[Health, tuple[News, ...]]:
        """Return the health after these answers, and how they changed what may be sent by the provider.

        `version` is the configuration's as it is now: what older credentials or settings caused says nothing any more.
        """
        news: list[News] = []
        health = self
        for each in answers:
            if each.probe:
                health = health._probed(each, now, news)
        health = health._misconfigured(answers, version, now, news)
        said = [each for each in answers if each.outcome is not None and not each.probe]
        health = health._throttled(said, now)
        return health._counted(said, now, news), tuple(news)

    def _gives_way(self, cause: Cause, until: int | None) -> bool:
        if self.pause_cause is Cause.THROTTLED:
            return cause is not Cause.THROTTLED or (self.paused_until or 0) < (until or 0)
        return self.pause_cause is Cause.BREAKER and cause is Cause.CONFIG

    def _probed(self, answer: Answer, now: int, news: list[News]) -> Health:
        if not answer.says_it_works:
            return self._probed_in_vain(answer.outcome, now)
        accepted = answer.outcome is not None and answer.outcome.kind is Kind.ACCEPTED
        reason = "a probe was accepted" if accepted else "a probe was answered"
        action = {Cause.CONFIG: "resume", Cause.BREAKER: "close"}.get(self.pause_cause or Cause.OPERATOR)
        if self.paused_at is None or action is None:
            return self
        news.append(News(action, reason))
        return self.resumed()

    def _probed_in_vain(self, outcome: Outcome | None, now: int) -> Health:
        """Let the next probe wait twice as long as the last, and as long as the provider wishes."""
        wait = probe_wait_ms(self.pause_cause, self.probes)
        if wait is None:
            return self
        throttled = outcome is not None and outcome.kind is Kind.THROTTLED
        wish = throttle_ms(outcome.retry_after_ms) if throttled and outcome is not None else 0
        return replace(self, probe_at=now + max(wait, wish))

    def _misconfigured(self, answers: Sequence[Answer], version: int, now: int, news: list[News]) -> Health:
        """Pause it where its configuration does not work; one that was changed since the attempt is left alone."""
        said = [each.outcome for each in answers if each.outcome is not None and each.version == version]
        wrong = [outcome for outcome in said if outcome.kind is Kind.CONFIG]
        if not wrong:
            return self
        return self._told(self.paused(Cause.CONFIG, reason := describe(wrong[-1]), now), News("pause", reason), news)

    def _throttled(self, said: Sequence[Answer], now: int) -> Health:
        """Let everybody leave it alone for as long as it wishes; nobody has to be told."""
        outcomes = [each.outcome for each in said if each.outcome is not None]
        wishes = [outcome.retry_after_ms for outcome in outcomes if outcome.kind is Kind.THROTTLED]
        # One that names no time and takes most of what it gets does not mean everybody: those it refused come back.
        if not any(wishes) and 2 * len(wishes) <= len(said):
            return self
        longest = max(throttle_ms(wish) for wish in wishes)
        return self.paused(Cause.THROTTLED, "it wants to be asked more slowly", now, now + longest)

    def _counted(self, said: Sequence[Answer], now: int, news: list[News]) -> Health:
        """Count, and open the breaker where that is too much."""
        asked = [each for each in said if each.outcome is not None and each.outcome.asked]
        failed = [each.outcome for each in asked if each.is_failure and each.outcome is not None]
        health = self._with(len(asked), len(failed), now)
        if not failed or not opens(health.window_attempts, health.window_failures):
            return health
        reason = f"{_most_common(failed)} in {health.window_failures:,} of {health.window_attempts:,}"
        return health._told(health.paused(Cause.BREAKER, reason, now), News("open", reason), news)

    def _with(self, attempts: int, failures: int, now: int) -> Health:
        """Count these attempts. A window begins with a failure and has its length: what comes later begins another."""
        began = self.window_started_at
        if began is not None and began > now - WINDOW_MS:
            return replace(
                self,
                window_attempts=self.window_attempts + attempts,
                window_failures=self.window_failures + failures,
            )
        if not failures:
            return self
        return replace(self, window_started_at=now, window_attempts=attempts, window_failures=failures)

    def _told(self, after: Health, news_of_it: News, news: list[News]) -> Health:
        if after is not self:
            news.append(news_of_it)
        return after


def probe_wait_ms(cause: Cause | None, probes: int) -> int | None:
    """Return how long to wait for the next probe after `probes` of them: twice as long each time. None: no probes."""
    if cause not in PROBES:
        return None
    first, longest = PROBES[cause]
    return min(longest, first << min(max(probes, 0), 20))


def opens(attempts: int, failures: int) -> bool:
    """Return whether so many failures within a window open the breaker: enough of them, and half of the attempts."""
    return failures >= LEAST_FAILURES and 2 * failures >= attempts


def throttle_ms(wish_ms: int | None) -> int:
    """Return for how long everybody leaves a provider alone that asks for it: as it wishes, between 1 s and 1 h."""
    return min(max(wish_ms or 0, RETRY_AFTER_MIN_MS), RETRY_AFTER_MAX_MS)


def _most_common(failed: Sequence[Outcome]) -> str:
    """Return what went wrong most: the status of the answers, or what was said of their absence."""
    said = Counter(str(each.http_status) if each.http_status else describe(each) for each in failed)
    return said.most_common(1)[0][0]
