"""What a notification is about: its category, and what kind that is of."""

from __future__ import annotations

from enum import StrEnum


class CategoryKind(StrEnum):
    """What a category is for. Marketing keeps to contact windows and can be left with one click."""

    TRANSACTIONAL = "transactional"
    MARKETING = "marketing"


class OptOutSource(StrEnum):
    """Who said that a person leaves a category."""

    OPERATOR = "operator"
    ONE_CLICK = "one_click"
