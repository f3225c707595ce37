"""Receipts that a provider sent elsewhere: read, checked and written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

from notifyctl.core.errors import AnswerIsNo, NotFound, UsageError
from notifyctl.core.model import Actor
from notifyctl.core.receipt import Arrival
from notifyctl.core.sealing import Keyring
from notifyctl.providers import registry
from notifyctl.providers.contract import Call, Calling, MalformedCall, Unsigned
from notifyctl.store import providers, receipts
from notifyctl.store.engine import Database
from notifyctl.store.receipts import Counts, Report

BATCH = 500
_HINT = "--headers, --url and --auth-token give what is signed and with what, the provider's settings the public key"


@dataclass(frozen=True, slots=True)
class Ingested:
    """What receipts of a provider came to; see `store.receipts.Counts`.

    `verified`: their signature was checked. `paused` is why they paused the provider just now.
    """

    provider: str
    verified: bool
    delivered: int
    bounced: int
    underway: int
    ignored: int
    unknown: int
    suppressed: int
    paused: str | None = None


def guess(body: bytes) -> str:
    """Return whose call it looks like: SendGrid posts JSON, Twilio forms."""
    return "sendgrid" if body.lstrip()[:1] in (b"[", b"{") else "twilio"


def ingest(db: Database, actor: Actor, provider: str, body: bytes, *, verified: bool = False) -> Ingested:
    """Write what a provider's calls say.

    Raises NotFound for a provider that is not installed, UsageError for a body that is none of its calls; then nothing
    is written.
    """
    adapter = _adapter(provider)
    try:
        arrivals = adapter.read_call(body) if body.strip() else []
    except MalformedCall as problem:
        raise UsageError(f"{provider}: {problem}; nothing was written") from problem
    counts, paused = Counts(), None
    for start in range(0, len(arrivals), BATCH):
        report = _write(db, actor, provider, arrivals[start : start + BATCH])
        counts.add(report.counts)
        paused = paused or report.paused
    return Ingested(provider, verified, **asdict(counts), paused=paused)


def require_genuine(db: Database, keyring: Keyring, provider: str, call: Call) -> None:
    """Raise AnswerIsNo unless the provider signed the call.

    Raises UsageError where something needed to see that is missing, NotFound for a provider that is not configured.
    """
    adapter = _adapter(provider)
    with db.read() as conn:
        config = providers.get(conn, provider)
    if config is None:
        raise NotFound(f"there is no provider {provider!r}, whose secret would check it", "notifyctl providers list")
    try:
        genuine = adapter.is_genuine(call, providers.open_credentials(config, keyring, {}))
    except Unsigned as problem:
        raise UsageError(f"{provider}: {problem}", _HINT) from problem
    except MalformedCall as problem:
        raise UsageError(f"{provider}: {problem}; nothing was written") from problem
    if not genuine:
        raise AnswerIsNo(
            f"{provider} did not sign this; nothing was written",
            "the body must be as it came, byte for byte, and the address as the provider called it",
        )


def _write(db: Database, actor: Actor, provider: str, arrivals: Sequence[Arrival]) -> Report:
    return db.write(lambda conn: receipts.record(conn, db.dialect, provider, arrivals, actor, db.now(conn)))


def _adapter(provider: str) -> Calling:
    adapter = registry.get(provider)
    if not isinstance(adapter, Calling):
        raise UsageError(f"{provider} calls no webhook that could be read here", "sendgrid and twilio do")
    return adapter
