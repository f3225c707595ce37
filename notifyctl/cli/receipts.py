"""`receipts`: what providers say later of messages that they took."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated

import typer

from notifyctl.cli import files
from notifyctl.cli.callheaders import read_headers
from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.loops import loop_factory
from notifyctl.cli.noun import Noun
from notifyctl.cli.output import Field, FieldKind
from notifyctl.cli.secretfile import read_secret
from notifyctl.core.errors import PartlyDone, UsageError
from notifyctl.core.scope import Scope
from notifyctl.services import receipts as service
from notifyctl.services.receipts import Call
from notifyctl.wiring import poll_receipts

if TYPE_CHECKING:
    from notifyctl.dispatch.polling import Findings

app = Noun("What providers say later of messages that they took: delivered, bounced.")

_COUNTS = (
    Field("delivered", FieldKind.NUMBER, "DELIVERED"),
    Field("bounced", FieldKind.NUMBER, "BOUNCED"),
    Field("underway", FieldKind.NUMBER, "UNDERWAY"),
)
POLLED = (
    Field("provider", title="PROVIDER"),
    Field("asked", FieldKind.NUMBER, "ASKED"),
    *_COUNTS,
    Field("unanswered", FieldKind.NUMBER, "UNANSWERED"),
    Field("suppressed", FieldKind.NUMBER, "SUPPRESSED"),
    Field("problem", title="PROBLEM"),
)
INGESTED = (
    Field("provider"),
    Field("verified", FieldKind.BOOL),
    *_COUNTS,
    Field("ignored", FieldKind.NUMBER),
    Field("unknown", FieldKind.NUMBER),
    Field("kept", FieldKind.NUMBER),
    Field("suppressed", FieldKind.NUMBER),
    Field("lifted", FieldKind.NUMBER),
    Field("unreadable", FieldKind.NUMBER),
)


_Headers = Annotated[
    Path | None,
    typer.Option("--headers", metavar="FILE", help="The call's headers, as lines or JSON: check its signature."),
]
_Url = Annotated[
    str | None,
    typer.Option(
        "--url", metavar="URL", help="The address that was called: it names the notification, and Twilio signs it."
    ),
]
_Token = Annotated[
    str | None,
    typer.Option(
        "--auth-token",
        metavar="-|@FILE",
        help="Twilio's auth token, where an API key (SK...) is stored; a shared key's secret, where that signed.",
    ),
]


@app.command(scope=Scope.RECEIPTS_WRITE, shows=POLLED)
def poll(
    ctx: typer.Context,
    provider: Annotated[
        str | None,
        typer.Option(
            "--provider",
            metavar="P",
            help="Only this one, whatever its settings say, and about all that it took in the last three days.",
        ),
    ] = None,
    limit: Annotated[
        int | None, typer.Option("--limit", min=1, help="Ask about so many messages at most.  [all]")
    ] = None,
) -> None:
    """Ask the providers once about all messages that it is time to ask about.

    Those with the setting receipts=poll are asked; the dispatcher does it by itself. Of a provider that allows few
    questions this takes its time.
    """
    with invocation(ctx) as run:
        found = _asked(run, provider, limit)
        if run.out.asked_form is not None or run.out.on_terminal:
            rows = [SimpleNamespace(**_row(each)) for each in found]
            run.out.records(rows, POLLED, id_name="provider")
        _complain(run, found)


@app.command(scope=Scope.RECEIPTS_WRITE, shows=INGESTED)
def ingest(
    ctx: typer.Context,
    file: Annotated[str, typer.Argument(metavar="FILE|-", help="What the provider posted, as it came; - is stdin.")],
    provider: Annotated[
        str | None, typer.Option("--provider", metavar="P", help="Whose it is, where the content does not tell.")
    ] = None,
    headers: _Headers = None,
    url: _Url = None,
    auth_token: _Token = None,
) -> None:
    """Take what a provider posted to a webhook: SendGrid's events (JSON), what Twilio calls with (a form a line).

    Of Twilio these are status callbacks and messages that came in: STOP and its like suppress, START lifts that.

    With --headers the signature is checked: for SendGrid with the setting webhook_public_key, for Twilio with the
    account's auth token. A wrong one: exit 7, and nothing is taken. A part that is none of the provider's is named,
    with exit 6, and the others are taken. Taken twice, it changes nothing more.
    """
    with invocation(ctx) as run:
        if headers is None and auth_token is not None:
            raise UsageError("--auth-token serves to check a signature, which stands in the --headers")
        if [file, str(headers), auth_token].count("-") > 1:
            raise UsageError("stdin can be only one of FILE, --headers and --auth-token")
        body = files.content(file, "")
        guessed = service.guess(body, url)
        if guessed is None:
            run.out.record(service.nothing(provider), INGESTED, id_name="provider")
            run.out.say(f"there is nothing in {'stdin' if file == '-' else file}: no receipt was taken")
            return
        token = None if auth_token is None else read_secret(auth_token, "--auth-token")
        call = Call(body, {} if headers is None else read_headers(headers), url, token)
        _take(run, provider or guessed, call, check=headers is not None)


# Asking


def _asked(run: Invocation, provider: str | None, limit: int | None) -> list[Findings]:
    with asyncio.Runner(loop_factory=loop_factory()) as runner:
        found = runner.run(poll_receipts(run.system, provider, limit, run.out.say))
    if not found and (run.out.on_terminal or run.given.verbose):
        run.out.say("no provider is to be asked; notifyctl providers update NAME --set receipts=poll changes that")
    return found


def _row(findings: Findings) -> dict[str, object]:
    counts = findings.counts
    return {
        "provider": findings.provider,
        "asked": findings.asked,
        "delivered": counts.delivered,
        "bounced": counts.bounced,
        "underway": counts.underway,
        "unanswered": findings.unanswered,
        "suppressed": counts.suppressed,
        "problem": findings.problem,
    }


def _complain(run: Invocation, found: Sequence[Findings]) -> None:
    """Say what kept answers away; raise PartlyDone where a provider refuses to be asked, which time does not mend."""
    for each in found:
        if each.problem is not None and not each.refused and (run.out.on_terminal or run.given.verbose):
            run.out.say(f"{each.provider}: {each.problem}; asked again later")
    refused = next((each for each in found if each.refused), None)
    if refused is not None:
        raise PartlyDone(
            f"{refused.provider} does not answer: {refused.problem}",
            f"notifyctl providers show {refused.provider}: what may its credentials ask?",
        )


# Being told


def _take(run: Invocation, provider: str, call: Call, *, check: bool) -> None:
    """Write what a call says and show it; raise PartlyDone where parts of it were none."""
    if check:
        service.require_genuine(run.system.db, run.system.keyring, provider, call)
    done = service.ingest(run.system.db, provider, call, verified=check)
    run.out.record(done, INGESTED, id_name="provider")
    if done.paused is not None:
        run.out.say(f"{done.provider} paused: {done.paused}")
    if done.unread:
        more = f", and {done.unreadable - 1} more" if done.unreadable > 1 else ""
        raise PartlyDone(f"{done.provider}: {done.unread[0]}{more}: not taken", "all else was; mend these and repeat")
