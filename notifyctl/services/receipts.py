"""Receipts that a provider sent elsewhere: read, checked and written."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict

from notifyctl.core.errors import AnswerIsNo, NotFound, UsageError
from notifyctl.core.frozen import dataclass
from notifyctl.core.model import Channel
from notifyctl.core.receipt import Arrival
from notifyctl.core.sealing import Keyring
from notifyctl.core.weigh import Counts
from notifyctl.providers import registry
from notifyctl.providers.contract import Call as Call
from notifyctl.providers.contract import Calling, MalformedCall, Unread, Unsigned
from notifyctl.providers.reading import unmarked
from notifyctl.providers.unseal import open_credentials
from notifyctl.store import early, providers, receipts
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx
from notifyctl.store.receipts import RecordedReceipts

BATCH = 500
_IN_ADDRESS = re.compile(r"[?&](?:MessageSid|SmsSid)=")
_HINT = "--headers, --url and --auth-token give what is signed and with what, the provider's settings the public key"


@dataclass(frozen=True, slots=True)
class Ingested:
    """How many receipts of a provider said what; see `core.weigh.Counts`.

    `verified`: their signature was checked. `unread` says of each part that is none of the provider's where it stands.
    `paused` is why they paused the provider just now.
    """

    provider: str | None
    verified: bool
    delivered: int
    bounced: int
    underway: int
    ignored: int
    unknown: int
    kept: int
    suppressed: int
    lifted: int
    paused: str | None = None
    unread: Sequence[str] = ()

    @property
    def unreadable(self) -> int:
        """How many parts are none of the provider's."""
        return len(self.unread)


def guess(body: bytes, url: str | None = None) -> str | None:
    """Return whose call it looks like: SendGrid posts JSON, Twilio forms, or calls an address that says it all by GET.

    None where there is nothing in it.
    """
    begins = unmarked(body).lstrip()[:1]
    if not begins and _IN_ADDRESS.search(url or ""):
        return "twilio"
    return ("sendgrid" if begins in (b"[", b"{") else "twilio") if begins else None


def nothing(provider: str | None) -> Ingested:
    """Return what a call with nothing in it comes to; raise NotFound for a provider that is not installed."""
    if provider is not None:
        _adapter(provider)
    return Ingested(provider, verified=False, **asdict(Counts()))


def ingest(db: Database, provider: str, call: Call, *, verified: bool = False) -> Ingested:
    """Write what a provider's calls say.

    Raises NotFound for a provider that is not installed, UsageError for a body of which no part is one of its calls;
    then nothing is written.
    """
    adapter = _adapter(provider)
    try:
        found = adapter.read_call(call)
    except MalformedCall as problem:
        raise UsageError(f"{provider}: {problem}; nothing was written") from problem
    arrivals = [each for each in found if isinstance(each, Arrival)]
    unread = [each.why for each in found if isinstance(each, Unread)]
    if unread and not arrivals:
        raise UsageError(f"{provider}: {unread[0]}; nothing was written")
    counts, paused, channel = Counts(), None, registry.channel_of(provider)
    for start in range(0, len(arrivals), BATCH):
        report = _write(db, provider, arrivals[start : start + BATCH], channel)
        counts.add(report.counts)
        paused = paused or report.paused
    _look_again(db)
    return Ingested(provider, verified, **asdict(counts), paused=paused, unread=unread)


def require_genuine(
    db: Database,
    keyring: Keyring,
    provider: str,
    call: Call,
) -> None:
    """Raise AnswerIsNo unless the provider signed the call.

    Raises UsageError where something needed to see that is missing, NotFound for a provider that is not configured.
    """
    adapter = _adapter(provider)
    with db.read() as tx:
        config = providers.get(tx, provider)
    if config is None:
        raise NotFound(f"there is no provider {provider!r}, whose secret would check it", "notifyctl providers list")
    try:
        genuine = adapter.is_genuine(call, open_credentials(config, keyring, {}))
    except Unsigned as problem:
        raise UsageError(f"{provider}: {problem}", _HINT) from problem
    except MalformedCall as problem:
        raise UsageError(f"{provider}: {problem}; nothing was written") from problem
    if not genuine:
        raise AnswerIsNo(
            f"{provider} did not sign this; nothing was written",
            "the body must be as it came, byte for byte, and the address as the provider called it",
        )


def _look_again(db: Database) -> None:
    """Write what can be said by now of receipts that came too early: where cron dispatches, nobody else may look."""
    with db.read() as tx:
        due = early.is_due(tx)
    if due:
        db.write(lambda tx: receipts.account(tx, receipts.look_again(tx)))


def _write(db: Database, provider: str, arrivals: Sequence[Arrival], channel: Channel | None) -> RecordedReceipts:
    def work(tx: Tx) -> RecordedReceipts:
        report = receipts.record(tx, provider, arrivals, channel)
        receipts.account(tx, {provider: report})
        return report

    return db.write(work)


def _adapter(provider: str) -> Calling:
    adapter = registry.get(provider)
    if not isinstance(adapter, Calling):
        raise UsageError(f"{provider} calls no webhook that could be read here", "sendgrid and twilio do")
    return adapter
