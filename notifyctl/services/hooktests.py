"""A test event, sent to a webhook's receiver now: no delivery is stored, the act is audited."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from notifyctl.core.frozen import dataclass
from notifyctl.core.json_codec import encode
from notifyctl.core.outcome import Fault
from notifyctl.core.sealing import Keyring
from notifyctl.core.timeordered import ordered_id
from notifyctl.core.webhook import keeping
from notifyctl.core.webhook.attempt import HookCall
from notifyctl.core.webhook.event import TEST
from notifyctl.core.webhook.signing import headers
from notifyctl.core.webhook.target import host_of
from notifyctl.core.webhook.telling import VERSION, moment
from notifyctl.core.webhook.webhook import Webhook
from notifyctl.providers.hookwire import HookAnswer, HookWire
from notifyctl.store import webhooks as store
from notifyctl.store.db.database import Database
from notifyctl.store.db.tx import Tx


@dataclass(frozen=True, slots=True)
class HookTest:
    """What was sent to a receiver, and what it said; `id` is the call's own. `ok`: it took it (2xx).

    `problem` says why not; `refused`: nothing was sent, because our own check would not have it. `is_ours`: it is the
    trouble of this machine, or of its proxy.
    """

    id: str
    webhook_id: str
    webhook: str
    host: str
    ok: bool
    status: int | None
    duration_ms: int
    problem: str | None
    refused: bool
    is_ours: bool
    headers: Mapping[str, str]
    request_body: str
    response_body: str


def test(db: Database, keyring: Keyring, ref: str, way_out: Callable[[], HookWire]) -> HookTest:
    """Send a signed test event, once, and return what came of it; one that is disabled is tested as well.

    Raises NotFound, UsageError where several are meant, NotAllowed for a secret that does not open.
    """

    def begin(tx: Tx) -> tuple[Webhook, str, HookCall]:
        owned = store.find(tx, ref)
        webhook, called = owned.webhook, f"{owned.username}/{owned.webhook.name}"
        call = _call(webhook, keeping.secrets(webhook, keyring, tx.now), tx.now)
        tx.audit("test", "webhook", [(webhook.id, {"host": host_of(webhook.url), "webhook-id": call.webhook_id})])
        return webhook, called, call

    webhook, called, call = db.write(begin)
    answer = asyncio.run(_posted(call, way_out))
    return HookTest(
        id=call.webhook_id,
        webhook_id=webhook.id,
        webhook=called,
        host=host_of(webhook.url),
        ok=answer.is_success,
        status=answer.status,
        duration_ms=answer.ms,
        problem=answer.problem,
        refused=answer.refused,
        is_ours=answer.fault in (Fault.HOST, Fault.PROXY),
        headers=headers(call.webhook_id, call.at_s, call.body, call.secrets),
        request_body=call.body.decode(),
        response_body=answer.body,
    )


def _call(webhook: Webhook, secrets: tuple[bytes, ...], now: int) -> HookCall:
    data = {"webhook_id": webhook.id, "name": webhook.name}
    body = encode({"type": TEST, "timestamp": moment(now), "version": VERSION, "data": data})
    return HookCall(webhook.url, ordered_id(now), body, secrets, now // 1_000, webhook.timeout_seconds)


async def _posted(call: HookCall, way_out: Callable[[], HookWire]) -> HookAnswer:
    wire = way_out()
    try:
        return await wire.post(call)
    finally:
        await wire.aclose()
