"""What is wrong with the dispatchers themselves: one vanished, or they do not go by the same policy."""

from __future__ import annotations

from notifyctl.core.duration import show_ms
from notifyctl.core.frozen import dataclass
from notifyctl.core.presence import Alive


@dataclass(frozen=True, slots=True)
class Problem:
    """What is wrong, and the command that helps. `code` names the kind for programs."""

    code: str
    message: str
    hint: str


def problems(alive: list[Alive], vanished: list[Alive], now: int) -> list[Problem]:
    """Return what is wrong with those at work, and with those that are gone without having left."""
    return [*_of_policies(alive), *_of_vanished(vanished, now)]


def _of_vanished(vanished: list[Alive], now: int) -> list[Problem]:
    """Return dispatchers that are gone without having left: killed, or on a host that is."""
    if not vanished:
        return []
    last = vanished[0]
    which = f"dispatcher {last.host}:{last.pid} vanished {show_ms(now - last.heartbeat_at)} ago"
    others = f", {len(vanished) - 1:,} more within a day" if len(vanished) > 1 else ""
    in_flight = f"; {last.in_flight:,} were in flight" if last.in_flight else ""
    return [Problem("dispatcher_vanished", which + in_flight + others, "see its log, or its host's: out of memory?")]


def _of_policies(alive: list[Alive]) -> list[Problem]:
    """Return that dispatchers at work have different policies: what one puts off, another would send."""
    policies = {each.policy: each for each in alive if each.policy is not None}
    if len(policies) < 2:
        return []
    names = ", ".join(f"{each.host}:{each.pid}" for each in policies.values())
    message = f"{len(policies)} different policies are at work: {names}"
    return [Problem("different_policies", message, "compare notifyctl config show --origin there, restart what is old")]
