"""The states of `core.notification.State` as conditions on rows, and what else tells whether a row may be worked on."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy import (
    ColumnElement,
    Select,
    Text,
    and_,
    case,
    cast,
    exists,
    literal,
    literal_column,
    or_,
    select,
)

from notifyctl.core.batch import BatchHold
from notifyctl.core.health import Cause
from notifyctl.core.model import Channel, Status
from notifyctl.core.notification import State
from notifyctl.store.schema.tables import (
    batches,
    notification_preferences,
    notification_templates,
    notifications,
    provider_configs,
    provider_states,
    user_limits,
)

_n = notifications.c

# A literal, not a parameter: as PostgreSQL plans for how common it is.
PENDING = _n.status == literal_column("'pending'")
# The same, as the partial index of the queue has it. Written plainly, PostgreSQL could find the rows by
# `idx_status_created` instead, and does so where the queue was empty when it last counted: each claim of the burst that
# follows would read and sort all that is due.
QUEUED = _n.status.concat(literal_column("''")) == literal_column("'pending'")
# What claims take of that: nothing that its template or its batch holds back.
IN_QUEUE = and_(QUEUED, _n.parked_at.is_(None))


def still(status: Status) -> ColumnElement[bool]:
    """Return whether a row that is found by its id has this status yet: for writes that compare and set.

    The cast keeps SQLite from finding the rows by their status instead, which walks all that have it for each of them.
    """
    return cast(_n.status, Text) == literal_column(f"'{status.value}'")


def predicates(now: int) -> Mapping[State, ColumnElement[bool]]:
    """Return each state's condition on `notifications` at `now` (milliseconds), in order, without overlap."""
    waits = _n.due_at > now
    for_its_time = and_(_n.send_at.is_not(None), _n.send_at > now)
    free = and_(PENDING, _n.lease_id.is_(None))
    return {
        State.IN_FLIGHT: and_(PENDING, lease_running(now)),
        State.UNKNOWN: and_(PENDING, _n.lease_id.is_not(None), free_at(now)),
        State.SCHEDULED: and_(free, waits, for_its_time),
        State.DEFERRED: and_(free, waits, ~for_its_time, _n.deferred_by.is_not(None)),
        State.RETRYING: and_(free, waits, ~for_its_time, _n.deferred_by.is_(None)),
        State.HELD: and_(free, ~waits, or_(_held_back(), ~_sending(now))),
        State.DUE: and_(free, ~waits, ~_held_back(), _sending(now)),
        # Found by the index of what bounced, not by that of all that was sent.
        State.BOUNCED: and_(still(Status.SENT), _n.bounced_at.is_not(None)),
    }


def state_expression(now: int) -> ColumnElement[str]:
    """Return the state at `now` as a column; a notification that has ended has its status there."""
    return case(*((condition, literal(state.value)) for state, condition in predicates(now).items()), else_=_n.status)


def lease_running(now: int) -> ColumnElement[bool]:
    """Return whether somebody works on the row at `now`."""
    return and_(_n.lease_id.is_not(None), _n.leased_until > now)


def free_at(moment: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether nobody works on the row at `moment`: it has no lease, or one that has ended."""
    return or_(_n.leased_until.is_(None), _n.leased_until <= moment)


def stuck(now: int, age_ms: int) -> ColumnElement[bool]:
    """Return whether it is pending for longer than `age_ms` after the moment it was for, as the schema's query asks."""
    return and_(PENDING, _n.created_at < now - age_ms, or_(_n.send_at.is_(None), _n.send_at < now - age_ms))


def is_ruled(user_id: ColumnElement[str], channel: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a user has a wish or a limit. Where nobody has one, nobody's is looked for."""
    p = notification_preferences.c
    wishes = exists(select(literal_column("1")).where(p.user_id == user_id, p.channel == channel))
    return or_(and_(anybody_wishes(), wishes), is_limited(user_id))


def anybody_wishes() -> ColumnElement[bool]:
    """Return whether there is somebody who has a wish."""
    return exists(select(literal_column("1")).select_from(notification_preferences))


def is_limited(user_id: ColumnElement[str]) -> ColumnElement[bool]:
    """Return whether a user has a limit. Where nobody has one, nobody's is looked for."""
    somebody = exists(select(literal_column("1")).select_from(user_limits))
    return and_(somebody, exists(select(literal_column("1")).where(user_limits.c.user_id == user_id)))


def paused(now: int | ColumnElement[int]) -> ColumnElement[bool]:
    """Return whether the provider of a `provider_states` row is paused at `now`."""
    ends = provider_states.c.paused_until
    return and_(provider_states.c.paused_at.is_not(None), or_(ends.is_(None), ends > now))


def _held_back() -> ColumnElement[bool]:
    """Return whether its template or its batch holds it back."""
    t, b = notification_templates.c, batches.c
    disabled = and_(_n.template_id.is_not(None), _n.template_id.in_(select(t.id).where(~t.is_active)))
    paused = and_(_n.batch_id.is_not(None), _n.batch_id.in_(select(b.id).where(b.hold == BatchHold.PAUSED.value)))
    return or_(_n.parked_at.is_not(None), disabled, paused)


def _sending(now: int) -> ColumnElement[bool]:
    return or_(_n.provider.in_(_those_that_send(now)), *(_goes_by_another(channel, now) for channel in Channel))


def _those_that_send(now: int) -> Select[tuple[str]]:
    return (
        select(provider_configs.c.provider_name)
        .select_from(provider_configs.outerjoin(provider_states))
        .where(provider_configs.c.is_active, or_(provider_states.c.provider_id.is_(None), ~paused(now)))
    )


def _goes_by_another(channel: Channel, now: int) -> ColumnElement[bool]:
    """Return whether its provider fails and another one of the channel stands in for it."""
    c, state = provider_configs.c, provider_states.c
    for_long = or_(state.pause_cause.is_(None), state.pause_cause != Cause.THROTTLED.value)
    failing = (
        select(c.provider_name)
        .join_from(provider_configs, provider_states)
        .where(c.is_active, state.channel == channel.value, paused(now), for_long)
    )
    another = exists(_those_that_send(now).where(state.channel == channel.value))
    return and_(_n.message_type == channel.value, _n.fails_over, _n.provider.in_(failing), another)
