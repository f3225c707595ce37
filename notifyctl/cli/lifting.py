"""Before what a person asked for is undone, whoever does it is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from notifyctl.cli.invocation import Invocation
from notifyctl.core.suppression import SuppressionCause


def agree_to_lift(run: Invocation, held: Sequence[Any], *, yes: bool, confirm: str | None) -> None:
    """Ask before what a person asked for is undone; raise UsageError unless it is agreed to."""
    wishes = [each for each in held if SuppressionCause(each.cause).is_wish]
    if not wishes:
        return
    said = "; ".join(
        f"{each.cause}{f' of group {each.group_id}' if each.group_id else ''}, {run.out.time(each.created_at)}: "
        f"{each.reason}"
        for each in wishes
    )
    question = f"{wishes[0].address} asked not to be written to ({said}). Lift that?"
    run.confirm(question, yes=yes, confirm=confirm)
