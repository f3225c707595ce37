"""A provider's health: whether it is paused, when a probe tries it, and how its answers change that.

All of it is one frozen value. Dispatchers share it through the database: whoever has answers reads it, asks `after`,
and writes what that returns, one at a time.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from enum import StrEnum

from notifyctl.core import doubt
from notifyctl.core.audit.words import Action
from notifyctl.core.backoff import RETRY_AFTER_MAX_MS, RETRY_AFTER_MIN_MS
from notifyctl.core.frozen import dataclass
from notifyctl.core.outcome import Blame, Kind, Outcome, describe

WINDOW_MS = 30_000
LEAST_FAILURES = 20
UNBOUNDED = 256
"""With so many calls in flight one that was throttled is as any other."""


class Cause(StrEnum):
    """Why a provider is paused; stored as `pause_cause`.

    operator: somebody said so; it ends when somebody says so, or at its time
    config: the credentials or settings do not work; it ends with new ones, or when a probe works
    breaker: too many attempts failed; it ends when a probe works
    throttled: the provider wants to be asked more slowly; it ends when a probe works
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

TOLD_MS = 3_600_000
"""People are told of a throttled provider where that takes longer."""

PROBES = {
    Cause.CONFIG: (60_000, 30 * 60_000),
    Cause.BREAKER: (5_000, 60_000),
    Cause.THROTTLED: (2_000, 15 * 60_000),
}
"""Of the causes that probes end: the wait for the first one, and the longest wait, in milliseconds."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What one attempt says about its provider's health; `outcome` is None where it says nothing.

    `recipient` is whom it was for, `version` that of the configuration it went by. `sender` is what the message names
    as such, empty where it is the configured one. `outcome` says whom it blames.
    """

    outcome: Outcome | None
    recipient: str | None
    version: int
    probe: bool = False
    sender: str = ""

    @property
    def says_it_works(self) -> bool:
        """Whether the provider dealt with this message, one way or the other."""
        said = self.outcome
        if said is None or not said.asked:
            return False
        return said.blames is not Blame.ACCOUNT or said.kind in (Kind.ACCEPTED, Kind.PERMANENT, Kind.RECIPIENT)

    @property
    def is_failure(self) -> bool:
        """Whether the provider failed. That it throttles is none, nor what is one recipient's or target's."""
        said = self.outcome
        asked = said is not None and said.asked and said.blames is Blame.ACCOUNT
        return asked and said is not None and said.kind in (Kind.TRANSIENT, Kind.UNKNOWN)

    @property
    def was_accepted(self) -> bool:
        """Whether the message went out."""
        return self.outcome is not None and self.outcome.kind is Kind.ACCEPTED


@dataclass(frozen=True, slots=True)
class News:
    """A change of a provider's health: `action` is the audit trail's word (pause, open ...), `text` is for people."""

    action: Action
    reason: str

    @property
    def text(self) -> str:
        """The sentence without its subject."""
        words = {"pause": "paused", "resume": "resumed", "open": "breaker opened", "close": "breaker closed"}
        return f"{words[self.action]}: {self.reason}"

    @property
    def is_good(self) -> bool:
        """Whether more may be sent than before."""
        return self.action in ("resume", "close")


@dataclass(frozen=True, slots=True)
class Health:
    """A provider's pause, probes and breaker. Times are milliseconds since the epoch.

    `paused_at` without `paused_until` is a pause until somebody resumes, or until a probe at `probe_at` or later works.
    `probe_of` is the notification that made the last one. The breaker counts within a window that began with a failure.

    `ceiling` is how many calls each dispatcher may have in flight after it was throttled; it grows with what succeeds,
    and so long `probes` says how long the next wait is. `doubt` is a refusal that may be the configuration's
    fault, `doubt_about` whose (`doubt.digest`). `held_senders` are those whose queue is full (`core.senders`).
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
    ceiling: int | None = None
    probe_of: str | None = None
    doubt: str | None = None
    doubt_about: str | None = None
    doubt_at: int | None = None
    held_senders: str | None = None

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
        ends = self.probe_at if self.paused_until is None else self.paused_until
        return None if self.hold(now) is not Hold.THROTTLED or ends is None else max(1, ends - now)

    def throttled_until(self, now: int) -> int | None:
        """Return when a provider that is throttled may be asked again; None where it is not throttled."""
        return self.probe_at if self.hold(now) is Hold.THROTTLED else None

    def is_watched(self, now: int) -> bool:
        """Return whether what succeeds matters too: it failed within the window, is in doubt, or was throttled."""
        began = self.window_started_at
        fails = bool(self.window_failures) and began is not None and began > now - WINDOW_MS
        return fails or self._doubts(now) or not (self.ceiling is None and self.held_senders is None)

    def paused(self, cause: Cause, reason: str, now: int, until: int | None = None) -> Health:
        """Return the health with this pause; itself where the pause in force stays.

        It stays, but for a throttled one, which gives way to every other, and an open breaker where it turns out that
        the configuration is why.
        """
        if self.is_paused(now) and not self._gives_way(cause):
            return self
        return self.with_pause(cause, reason, now, until)

    def with_pause(self, cause: Cause, reason: str, now: int, until: int | None = None) -> Health:
        """Return the health with this pause, whatever pause is in force."""
        wait = probe_wait_ms(cause, 0)
        probe_at = None if wait is None else now + wait
        sure = replace(self, probe_at=probe_at, probes=0, probe_of=None, doubt=None, doubt_about=None, doubt_at=None)
        return replace(sure, paused_at=now, paused_until=until, pause_reason=reason, pause_cause=cause)

    def resumed(self) -> Health:
        """Return the health without a pause; the breaker counts anew."""
        return Health()

    def probing(self, now: int, lease_ms: int, notification: str | None = None) -> Health:
        """Return the health while a probe with a lease of that length is under way.

        There is no other before that has ended: whoever makes it may be lost, and then it is simply made again.
        """
        wait = probe_wait_ms(self.pause_cause, self.probes + 1) or 0
        return replace(self, probe_at=now + max(lease_ms, wait), probes=self.probes + 1, probe_of=notification)

    def after(
        self, answers: Sequence[Answer], version: int, now: int, chance: float = 0.0
    ) -> tuple[Health, tuple[News, ...]]:
        """Return the health after these answers, and how they changed what may be sent by the provider.

        `version` is the configuration's as it is now: what older credentials or settings caused says nothing any more.
        `chance` is a uniform draw from [0, 1) for the jitter.
        """
        news: list[News] = []
        health = self
        for each in answers:
            if each.probe:
                health = health._probed(each, now, chance, news)
        health = health._misconfigured(answers, version, now, news)
        health = health._doubted(answers, version, now, news)
        said = [each for each in answers if each.outcome is not None and not each.probe]
        health = health._throttled(said, now, chance, news)._grown(said)
        return health._counted(said, now, news), tuple(news)

    def _gives_way(self, cause: Cause) -> bool:
        if self.pause_cause is Cause.THROTTLED:
            return cause is not Cause.THROTTLED
        return self.pause_cause is Cause.BREAKER and cause is Cause.CONFIG

    def _probed(self, answer: Answer, now: int, chance: float, news: list[News]) -> Health:
        if not answer.says_it_works or self._refused_again(answer.outcome):
            return self._probed_in_vain(answer.outcome, now, chance)
        if self.paused_at is None or self.pause_cause not in PROBES:
            return self
        reason = "a probe was accepted" if answer.was_accepted else "a probe was answered"
        if self.pause_cause is Cause.THROTTLED:
            if now - self.paused_at > TOLD_MS:
                news.append(News("resume", reason))
            return replace(self.resumed(), ceiling=1, probes=self._learned())
        news.append(News("resume" if self.pause_cause is Cause.CONFIG else "close", reason))
        return self.resumed()

    def _learned(self) -> int:
        """Return how many probes in vain are remembered when one works: the next wait is half of what the last was."""
        first, longest = PROBES[Cause.THROTTLED]
        until_longest = (longest // first).bit_length()  # more of them lengthened no wait
        return max(0, min(self.probes - 1, until_longest) - 1)

    def _refused_again(self, outcome: Outcome | None) -> bool:
        """Return whether that is the refusal for which it is paused."""
        if outcome is None or self.pause_cause is not Cause.CONFIG:
            return False
        return outcome.is_doubtful and outcome.refusal == self.doubt

    def _probed_in_vain(self, outcome: Outcome | None, now: int, chance: float) -> Health:
        """Let the next probe wait twice as long as the last, and as long as the provider wishes."""
        wait = probe_wait_ms(self.pause_cause, self.probes)
        if wait is None:
            return self
        wish = _wished_ms(outcome) if outcome is not None and outcome.kind is Kind.THROTTLED else 0
        slower = chance if self.pause_cause is Cause.THROTTLED else 0.0
        return replace(self, probe_at=now + _lengthened(max(wait, wish), slower))

    def _misconfigured(self, answers: Sequence[Answer], version: int, now: int, news: list[News]) -> Health:
        """Pause it where its configuration does not work; one that was changed since the attempt is left alone."""
        said = [each.outcome for each in answers if each.outcome is not None and each.version == version]
        wrong = [outcome for outcome in said if outcome.kind is Kind.CONFIG and not outcome.is_doubtful]
        if not wrong:
            return self
        return self._told(self.paused(Cause.CONFIG, reason := describe(wrong[-1]), now), News("pause", reason), news)

    def _doubted(self, answers: Sequence[Answer], version: int, now: int, news: list[News]) -> Health:
        """Pause it where the same is refused to different recipients, and nothing has gone out since the first."""
        said = [each for each in answers if each.version == version]
        if any(each.was_accepted and not each.sender for each in said):
            return self if self.doubt is None else replace(self, doubt=None, doubt_about=None, doubt_at=None)
        health = self
        for each in said:
            if each.outcome is not None and each.outcome.is_doubtful and health.hold(now) is not Hold.PAUSED:
                health = health._in_doubt(each.outcome, doubt.digest(each.recipient), now, news)
        return health

    def _in_doubt(self, outcome: Outcome, about: str, now: int, news: list[News]) -> Health:
        known, health, reason = self._doubts(now) and self.doubt == outcome.refusal, self, describe(outcome)
        if known and self.doubt_about == about:
            return self
        if known:
            health = self._told(self.paused(Cause.CONFIG, reason, now), News("pause", reason), news)
        return replace(health, doubt=outcome.refusal, doubt_about=about, doubt_at=now)

    def _doubts(self, now: int) -> bool:
        return self.doubt_at is not None and self.doubt_at > now - doubt.LASTS_MS

    def _throttled(self, said: Sequence[Answer], now: int, chance: float, news: list[News]) -> Health:
        """Let everybody leave it alone for as long as it wishes, or twice as long as the last time.

        Nobody has to be told, but of what lasts for long.
        """
        outcomes = [each.outcome for each in said if each.outcome is not None]
        slower = [each for each in outcomes if each.kind is Kind.THROTTLED and each.blames is Blame.ACCOUNT]
        # One that names no time and takes most of what it gets does not mean everybody: those it refused come back.
        if not any(map(_names_a_time, slower)) and 2 * len(slower) <= len(said):
            return self
        last = max(slower, key=_wished_ms)
        before = 0 if self.ceiling is None else self.probes
        wait = max(_wished_ms(last), probe_wait_ms(Cause.THROTTLED, before) or 0)
        probe_at = now + _lengthened(wait, chance)
        if self.hold(now) is Hold.THROTTLED:
            # Those in flight when it began say nothing new, unless they name a later time.
            later = _names_a_time(last) and probe_at > (self.probe_at or 0)
            return replace(self, probe_at=probe_at) if later else self
        health = self.paused(Cause.THROTTLED, reason := describe(last), now)
        if health is self:
            return self
        if wait > TOLD_MS:
            news.append(News("pause", reason))
        return replace(health, probe_at=probe_at, probes=before, ceiling=None)

    def _grown(self, said: Sequence[Answer]) -> Health:
        """Let one more call be in flight for each that succeeded: their number doubles with each round."""
        more = sum(each.was_accepted for each in said)
        if self.ceiling is None or not more:
            return self
        ceiling = self.ceiling + more
        return replace(self, ceiling=ceiling) if ceiling < UNBOUNDED else replace(self, ceiling=None, probes=0)

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


def _wished_ms(outcome: Outcome) -> int:
    return max(outcome.lasts_ms, throttle_ms(outcome.retry_after_ms))


def _names_a_time(outcome: Outcome) -> bool:
    return bool(outcome.retry_after_ms or outcome.lasts_ms)


def _lengthened(wait_ms: int, chance: float) -> int:
    """Return a wait with jitter, a quarter at the most: it is never shorter."""
    return wait_ms + int(chance * wait_ms / 4)


def _most_common(failed: Sequence[Outcome]) -> str:
    """Return what went wrong most: the status of the answers, or what was said of their absence."""
    said = Counter(str(each.http_status) if each.http_status else describe(each) for each in failed)
    return said.most_common(1)[0][0]
