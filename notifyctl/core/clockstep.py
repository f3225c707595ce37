"""What becomes of stored moments when the clock is put back, or another server's is behind.

A wait that was written before the step would last longer by it: two hours for a throttle of a minute. What was written
later than now shows that there was a step, and by how much.
"""

from __future__ import annotations

from dataclasses import replace

from notifyctl.core import ratelimit, senders
from notifyctl.core.health import Cause, Health
from notifyctl.core.provider import ProviderConfig

SLACK_MS = 60_000
"""A transaction's moment is that of its beginning: it may be earlier than what another one wrote meanwhile."""


def in_step(provider: ProviderConfig, now: int) -> ProviderConfig:
    """Return the provider with no moment farther ahead than it can lie; itself where none does."""
    health, permit_us = provider.health, provider.next_permit_us
    ahead = provider.health_at - now
    if ahead > SLACK_MS:
        health = _put_back(health, ahead)
    if provider.rate_limit:
        permit_us = ratelimit.bounded(permit_us, now, provider.rate_limit)
    if (health, permit_us) == (provider.health, provider.next_permit_us):
        return provider
    return replace(provider, health=health, next_permit_us=permit_us)


def _put_back(health: Health, by_ms: int) -> Health:
    """Return the same health, written that much earlier. An operator's pause ends at the time of day that was said."""
    moved = ["window_started_at", "doubt_at"]
    if health.pause_cause not in (None, Cause.OPERATOR):
        moved += ["paused_at", "paused_until", "probe_at"]
    before = {name: getattr(health, name) for name in moved}
    earlier = {name: at - by_ms for name, at in before.items() if at is not None}
    return replace(health, **earlier, held_senders=senders.put_back(health.held_senders, by_ms))
