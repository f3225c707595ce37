"""Statements for completion: a value, words about it and a moment of each row, by the beginning of the value."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Select, null, select

from notifyctl.store.schema.tables import (
    api_keys,
    batches,
    categories,
    notification_dlq,
    notification_templates,
    notification_webhooks,
    notifications,
    provider_configs,
    provider_states,
    users,
)


def users_like(beginning: str, most: int) -> Select[Any]:
    """Select usernames with their addresses."""
    name = users.c.username
    found = select(name, users.c.email, null()).where(name.startswith(beginning, autoescape=True))
    return found.order_by(users.c.created_at.desc(), users.c.id.desc()).limit(most)


def providers_like(beginning: str, most: int) -> Select[Any]:
    """Select providers' names with their channels."""
    name = provider_configs.c.provider_name
    joined = provider_configs.join(provider_states, provider_states.c.provider_id == provider_configs.c.id)
    found = select(name, provider_states.c.channel, null()).select_from(joined)
    return found.where(name.startswith(beginning, autoescape=True)).order_by(name).limit(most)


def templates_like(beginning: str, most: int) -> Select[Any]:
    """Select templates' names with their channels and kinds."""
    t = notification_templates.c
    found = select(t.name, t.message_type, t.kind, null()).where(t.name.startswith(beginning, autoescape=True))
    return found.order_by(t.name).limit(most)


def notifications_like(beginning: str, most: int) -> Select[Any]:
    """Select notifications: channel, status, whose."""
    n = notifications.c
    found = select(n.id, n.message_type, n.status, users.c.username, n.created_at)
    found = found.join(users, users.c.id == n.user_id).where(n.id.startswith(beginning, autoescape=True))
    return found.order_by(n.created_at.desc(), n.id.desc()).limit(most)


def dead_letters_like(beginning: str, most: int) -> Select[Any]:
    """Select the notifications of unresolved dead letters: why, channel, whose."""
    d, n = notification_dlq.c, notifications.c
    found = select(d.notification_id, d.failure_reason, n.message_type, users.c.username, d.moved_to_dlq_at)
    found = found.join(notifications, n.id == d.notification_id).join(users, users.c.id == n.user_id)
    found = found.where(d.resolved.is_(False), d.notification_id.startswith(beginning, autoescape=True))
    return found.order_by(d.moved_to_dlq_at.desc(), d.id.desc()).limit(most)


def keys_like(beginning: str, most: int) -> Select[Any]:
    """Select API keys: name, whose."""
    found = select(api_keys.c.id, api_keys.c.name, users.c.username, api_keys.c.created_at)
    found = found.join(users, users.c.id == api_keys.c.user_id)
    found = found.where(api_keys.c.id.startswith(beginning, autoescape=True))
    return found.order_by(api_keys.c.created_at.desc(), api_keys.c.id.desc()).limit(most)


def categories_like(beginning: str, most: int) -> Select[Any]:
    """Select categories' names with their kinds."""
    name = categories.c.name
    found = select(name, categories.c.kind, null()).where(name.startswith(beginning, autoescape=True))
    return found.order_by(name).limit(most)


def batches_like(beginning: str, most: int) -> Select[Any]:
    """Select batches' names with their sources."""
    b = batches.c
    found = select(b.name, b.source, b.created_at).where(b.name.startswith(beginning, autoescape=True))
    return found.order_by(b.created_at.desc(), b.id.desc()).limit(most)


def webhooks_like(beginning: str, most: int) -> Select[Any]:
    """Select webhooks' names, with whose they are."""
    w = notification_webhooks.c
    found = select(w.name, users.c.username, w.created_at).join_from(
        notification_webhooks, users, users.c.id == w.user_id
    )
    found = found.where(w.name.startswith(beginning, autoescape=True))
    return found.order_by(w.created_at.desc(), w.id.desc()).limit(most)
