"""`webhooks test`: a test event sent now, with what was sent and what came back."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.output import Field, FieldKind, escaped_lines
from notifyctl.cli.webhooks_fields import WebhookArgument
from notifyctl.core.duration import show_ms
from notifyctl.core.errors import AnswerIsNo
from notifyctl.core.text import word

if TYPE_CHECKING:
    from notifyctl.services.hooktests import HookTest

TRIED = (
    Field("id", FieldKind.ID),
    Field("webhook_id", FieldKind.ID),
    Field("webhook"),
    Field("host"),
    Field("ok", FieldKind.BOOL),
    Field("status", FieldKind.NUMBER),
    Field("duration_ms", FieldKind.NUMBER),
    Field("problem"),
    Field("refused", FieldKind.BOOL),
    Field("headers", FieldKind.JSON),
    Field("request_body", FieldKind.JSON),
    Field("response_body"),
)


def test(ctx: typer.Context, webhook: WebhookArgument) -> None:
    """Send a signed test event (webhook.test) now, and show request and answer; exit 7 unless the answer is 2xx.

    It is tried once, and no delivery is kept of it.
    """
    with invocation(ctx) as run:
        from notifyctl.services import hooktests
        from notifyctl.wiring.hooks import hook_wire

        settings, system = run.settings, run.system
        proxy, login_file = settings.webhook_proxy, settings.webhook_proxy_login_file
        way_out = partial(hook_wire, settings.webhook_reach, proxy, login_file)
        done = hooktests.test(system.db, system.keyring, webhook, way_out)
        if run.out.form == "table" and run.out.fields is None:
            _show(run, done)
        else:
            run.out.record(done, TRIED)
        if not done.ok:
            raise AnswerIsNo(f"webhook {done.webhook}: {done.problem}", _hint(done))


def _show(run: Invocation, done: HookTest) -> None:
    run.out.hanging("POST to ", done.host)
    for name, value in done.headers.items():
        run.out.hanging(f"{name}: ", value)
    run.out.write(f"\n{escaped_lines(done.request_body)}\n")
    if done.status is not None:
        run.out.write(f"HTTP {done.status} after {show_ms(done.duration_ms)}")
    if done.response_body:
        run.out.write(escaped_lines(done.response_body))


def _hint(done: HookTest) -> str:
    if done.refused:
        return f"notifyctl webhooks update {word(done.webhook)} --url URL"
    if done.is_ours:
        return "it is this machine's trouble, or its proxy's: notifyctl config show has webhook_proxy and its login"
    return "its receiver answers 2xx to what it took; notifyctl webhooks listen shows how one is seen"
