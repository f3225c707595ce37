"""What a notification is about: its category, and what kind that is of."""

from __future__ import annotations

from enum import StrEnum

from notifyctl.core.errors import UsageError


class CategoryKind(StrEnum):
    """What a category is for. Marketing keeps to contact windows and can be left with one click."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class OptOutSource(StrEnum):
    """Who said that a person leaves a category."""

    OPERATOR = "operator"
    ONE_CLICK = "one_click"


def provider_group(text: str) -> str | None:
    """Return the id of a group of mails at SendGrid as it is stored, None for no text. Raises UsageError."""
    group = text.strip()
    if not group:
        return None
    number = group.lstrip("0")  # as SendGrid writes it, or who left there is not found
    if not (number.isascii() and number.isdigit() and len(group) <= 20):
        raise UsageError(f"{text!r} is no id of a provider's group", "SendGrid shows it as a number, like 12345")
    return number
