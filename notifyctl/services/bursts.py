"""What holds much back, and what happens far more often than usual, for `status`."""

from __future__ import annotations

from collections.abc import Mapping

from notifyctl.services import batches
from notifyctl.services.presence import Problem
from notifyctl.store import bursts, templates
from notifyctl.store.db.tx import Tx


def problems(tx: Tx) -> list[Problem]:
    """Return what is held by templates and batches, and what is unusual about the last hour."""
    return [*_of_templates(templates.holding(tx)), *batches.problems(tx), *_unusual(tx)]


def _unusual(tx: Tx) -> list[Problem]:
    """Return what happens far more often than usual: a list that was imported by mistake, a sender that is blocked."""
    found = []
    if (pace := bursts.suppressed(tx)).is_burst:
        why = ", ".join(f"{cause} {number:,}" for cause, number in bursts.causes(tx))
        said = f"{pace.last_hour:,} addresses suppressed in the last hour, usual is {pace.usual:,.0f}: {why}"
        found.append(Problem("suppression_burst", said, "notifyctl suppressions list --since 1h"))
    if (pace := bursts.cancelled(tx)).is_burst:
        said = f"{pace.last_hour:,} notifications cancelled in the last hour, usual is {pace.usual:,.0f}"
        found.append(Problem("cancellation_burst", said, "notifyctl notifications list --status cancelled"))
    return found


def _of_templates(holding: Mapping[str, int]) -> list[Problem]:
    """Return which disabled templates hold back how many."""
    return [
        Problem(
            "template_disabled", f"template {name} is disabled; {count:,} held", f"notifyctl templates enable {name}"
        )
        for name, count in holding.items()
    ]
