"""Where a delivery stands, in one word."""

from __future__ import annotations

from enum import StrEnum


class DeliveryStanding(StrEnum):
    """Where a delivery stands: to be tried first, being tried, to be tried again, done, or ended without that."""

    WAITING = "waiting"
    IN_FLIGHT = "in-flight"
    RETRYING = "retrying"
    DELIVERED = "delivered"
    GIVEN_UP = "given-up"
    DISABLED = "disabled"
