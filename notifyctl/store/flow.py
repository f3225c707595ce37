"""What a batch of answers makes of the providers: paused, slowed down, their breakers opened and closed.

A batch without trouble writes nothing here, and looks at nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from notifyctl.core import flow
from notifyctl.core.decide import describe
from notifyctl.core.flow import Cause
from notifyctl.core.model import Actor, Claim
from notifyctl.core.outcome import Kind, Outcome
from notifyctl.store import audit, providers
from notifyctl.store.dialect import Dialect

Answer = tuple[Claim, Outcome | None]
"""A claim, and what the provider had to say; None where it had no say."""


@dataclass(frozen=True, slots=True)
class Change:
    """What became of a provider by this batch, and by no other: `what` says it to people."""

    provider: str
    what: str


def note(conn: Connection, dialect: Dialect, answers: Sequence[Answer], actor: Actor, now: int) -> list[Change]:
    """Take note of a batch's answers. Of several dispatchers only the one whose write changed a provider returns it."""
    of_providers: dict[str, list[Answer]] = {}
    for claim, outcome in answers:
        if claim.probe or claim.watched or (outcome is not None and outcome.kind is not Kind.ACCEPTED):
            of_providers.setdefault(claim.provider, [])
    for claim, outcome in answers:
        if claim.provider in of_providers:
            of_providers[claim.provider].append((claim, outcome))
    # In the order of their names: two dispatchers wait for each other one way only.
    batches = [_Batch(conn, dialect, name, of_providers[name], actor, now) for name in sorted(of_providers)]
    return [Change(batch.provider, what) for batch in batches for what in batch.changes()]


class _Batch:
    """One provider's answers."""

    def __init__(
        self, conn: Connection, dialect: Dialect, provider: str, answers: Sequence[Answer], actor: Actor, now: int
    ) -> None:
        self.provider = provider
        self._conn, self._dialect, self._actor, self._now = conn, dialect, actor, now
        self._probes = [outcome for claim, outcome in answers if claim.probe]
        self._heard = [(claim, outcome) for claim, outcome in answers if outcome is not None]
        self._said = [(claim, outcome) for claim, outcome in answers if outcome is not None and not claim.probe]

    def changes(self) -> Iterator[str]:
        """Write what follows, and yield what changed."""
        for outcome in self._probes:
            yield from self._probed(outcome)
        yield from self._misconfigured()
        self._throttled()
        yield from self._failing()

    def _probed(self, outcome: Outcome | None) -> Iterator[str]:
        if outcome is None or not flow.works(outcome):
            wish = flow.throttle_ms(outcome.retry_after_ms) if outcome and outcome.kind is Kind.THROTTLED else 0
            providers.probe_in_vain(self._conn, self.provider, self._now, wish)
            return
        reason = "a probe was accepted" if outcome.kind is Kind.ACCEPTED else "a probe was answered"
        for cause, action, what in (
            (Cause.CONFIG, "resume", f"resumed: {reason}"),
            (Cause.BREAKER, "close", f"breaker closed: {reason}"),
        ):
            if providers.resume(self._conn, self.provider, [cause]):
                self._audit(action, {"reason": reason})
                yield what

    def _misconfigured(self) -> Iterator[str]:
        """Pause it where its configuration does not work; one that was changed since the attempt is left alone."""
        versions = {claim.provider_version: outcome for claim, outcome in self._heard if outcome.kind is Kind.CONFIG}
        if not versions:
            return
        config = providers.lock(self._conn, self._dialect, self.provider)
        if config is None or config.updated_at not in versions:
            return
        reason = describe(versions[config.updated_at])
        if self._pause(reason, Cause.CONFIG):
            self._audit("pause", {"reason": reason})
            yield f"paused: {reason}"

    def _throttled(self) -> None:
        """Let everybody leave it alone for as long as it wishes; nobody has to be told."""
        slowed = [outcome for _, outcome in self._said if outcome.kind is Kind.THROTTLED]
        wishes = [outcome.retry_after_ms for outcome in slowed]
        # One that names no time and takes most of what it gets does not mean everybody: those it refused come back.
        if any(wishes) or 2 * len(slowed) > len(self._said):
            longest = max(flow.throttle_ms(wish) for wish in wishes)
            self._pause("it wants to be asked more slowly", Cause.THROTTLED, self._now + longest)

    def _failing(self) -> Iterator[str]:
        """Count, and open the breaker where that is too much."""
        asked = [outcome for _, outcome in self._said if outcome.asked]
        failed = [outcome for outcome in asked if flow.fails(outcome)]
        if not failed and not any(claim.watched for claim, _ in self._said):
            return
        counted = providers.count(self._conn, self._dialect, self.provider, len(asked), len(failed), self._now)
        attempts, failures = counted
        if not failed or not flow.opens(attempts, failures):
            return
        reason = f"{_most_common(failed)} in {failures:,} of {attempts:,}"
        if self._pause(reason, Cause.BREAKER):
            self._audit("open", {"reason": reason})
            yield f"breaker opened: {reason}"

    def _pause(self, reason: str, cause: Cause, until: int | None = None) -> bool:
        return providers.pause(self._conn, self._dialect, self.provider, reason, self._now, until, cause)

    def _audit(self, action: str, facts: Mapping[str, str]) -> None:
        config = providers.get(self._conn, self.provider)
        if config is not None:
            changes = {"provider": self.provider, **facts}
            audit.record(self._conn, self._actor, action, "provider", [(config.id, changes)], self._now)


def _most_common(failed: Sequence[Outcome]) -> str:
    """Return what went wrong most: the status of the answers, or what was said of their absence."""
    said = Counter(str(each.http_status) if each.http_status else describe(each) for each in failed)
    return said.most_common(1)[0][0]
