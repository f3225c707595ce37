"""How a dispatcher is to run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from pathlib import Path

from notifyctl.core.audit.anchoring import AnchorTerms
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel, OnUnknown
from notifyctl.core.policy import Policy
from notifyctl.core.webhook.target import HookReach


@dataclass(frozen=True, slots=True)
class ChangeCommand:
    """The command that is run when a condition begins or ends: with which words, for which profile, and where."""

    argv: tuple[str, ...]
    profile: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class DispatchOptions:
    """`concurrency` is the number of calls in flight for each provider, so that a slow one never starves another;
    `bytes_in_flight` is for each of them too: how many bytes large messages have, together.

    Times are seconds. `limit` bounds the attempts of the whole run. With `once` the run ends when nothing that was due
    at its start can be sent any more; `due_by` (milliseconds since the epoch) is the start of a run of which this
    dispatcher does only a part. `unsubscribe_url` is where people leave what a mail of marketing is about. Webhooks
    may be at `webhook_reach`; by a `webhook_proxy`, which knows us by what is in a file, all but this machine are
    called. `anchors` say where the ends of the audit trail are kept, `on_change` tells people what begins and ends.
    """

    once: bool = False
    concurrency: int = 64
    bytes_in_flight: int = 64_000_000
    batch_size: int = 128
    lease_s: float = 65.0
    poll_s: float = 1.0
    drain_s: float = 30.0
    max_time_s: float | None = None
    limit: int | None = None
    due_by: int | None = None
    channels: frozenset[Channel] = frozenset(Channel)
    on_unknown: Mapping[Channel, OnUnknown] = field(default_factory=dict)
    policy: Policy = field(default_factory=Policy)
    provider_urls: Mapping[str, str] = field(default_factory=dict)
    unsubscribe_url: str | None = None
    webhook_reach: HookReach = HookReach()
    webhook_proxy: str | None = None
    webhook_proxy_login_file: Path | None = None
    anchors: AnchorTerms = field(default_factory=AnchorTerms)
    on_change: ChangeCommand | None = None
