"""What will stop those that were accepted, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notifyctl.cli.rejecting import TOLD

if TYPE_CHECKING:
    from notifyctl.services.rowfiles.tallying import StopTally


def stopped(tally: StopTally, *, dry: bool) -> list[str]:
    """Return what becomes of those that are accepted, and are not sent at their time, in lines."""
    said = (("cancelled", tally.suppressed), ("put off", tally.deferred), ("dead letters", tally.dead))
    be = "would be" if dry else "will be"
    return [f"{number:,} {be} {what}: {why}" for what, kinds in said for why, number in kinds.most_common(TOLD)]
