"""`sandbox`: a local server that speaks the providers' protocols."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import Leaf, single
from notifyctl.cli.types import duration
from notifyctl.config import contents, expanded
from notifyctl.core.errors import UsageError
from notifyctl.core.scope import OPEN
from notifyctl.sandbox import (
    FCM_PROJECT,
    RECEIPT_SECONDS,
    SENDGRID_KEY,
    SENDGRID_KEYS,
    SMTP_PASSWORD,
    SMTP_USER,
    TWILIO_ACCOUNT,
    TWILIO_TOKEN,
    TWILIO_TOKENS,
    Line,
    SandboxConfig,
    parse_rule,
    parse_script,
    serve,
    webhook_public_key,
)

DEFAULT_PORT = 8025
SENDER = "alerts@example.com"
SMS_SENDER = "+15005550006"
HELP = """A local server that speaks the providers' protocols.

It checks what they check and delivers nothing. With a browser, it shows what
it received. Twilio's magic numbers work.

Receipts can be asked for, and come as Twilio's StatusCallback if that is on
this machine; GET /sendgrid/events answers what SendGrid's webhook would post,
signed (-o json tells the key). Mail to bounce@... and blocked@..., and texts to
+150055 and an error code (+15005530005), are accepted and fail later.

\b
--inject PROVIDER[.send|.read]=FAULT[@SECONDS][:SHARE][xCOUNT[/each]]
  PROVIDER  sendgrid twilio fcm smtp, token (FCM's tokens), all
  .send     only messages; .read: only questions (receipts, credentials)
  FAULT     400 to 599, or the provider's own: twilio=21211,
            fcm=UNREGISTERED, sendgrid=credits, token=invalid_grant
            html, redirect   a proxy's page; sent elsewhere
            timeout, hang    never an answer
            reset, cut       the connection breaks before the answer, in it
            slow             one byte a second
            garbage, oversized, gzip   noise, a body without end, a bomb
            receipt:30005    accepted; the receipt says undelivered
                             (sendgrid=receipt:not_delivered)
  @SECONDS  a Retry-After
  SHARE     of the requests, 1 if not given; xCOUNT: so many times at most,
            with /each: to each recipient

\b
--script FILE: a line says what happens to the 1st, 2nd, ... message
  sendgrid: ok ok 503 hang ok*         # * goes on for ever, else all is ok
  twilio +15558675310: 429@30x2 21610  # for one recipient
  twilio.read: 503x3                   # to questions
"""


_Port = Annotated[
    int,
    typer.Option("--port", min=0, max=65_535, help="Where to listen on 127.0.0.1, for mail at the next; 0: free ones."),
]
_Inject = Annotated[
    list[str] | None,
    typer.Option("--inject", metavar="RULE", help="Make a share of the requests go wrong; see above."),
]
_Script = Annotated[
    Path | None, typer.Option("--script", metavar="FILE", help="What happens to each request; see above.")
]
_Latency = Annotated[
    int | None, typer.Option("--latency", metavar="D", parser=duration, help="Wait before each answer.  [0s]")
]
_Receipts = Annotated[
    int | None,
    typer.Option("--receipts", metavar="D", parser=duration, help="Time until a message is delivered.  [2s]"),
]
_Log = Annotated[Path | None, typer.Option("--log", metavar="FILE", help="A JSON line for each request.")]
_ServiceAccount = Annotated[
    Path, typer.Option("--service-account", metavar="FILE", help="Where FCM's key file is written.")
]
_NextAccount = Annotated[
    Path | None,
    typer.Option("--next-service-account", metavar="FILE", help="Where another key of it is written, for a rotation."),
]
_Seed = Annotated[int | None, typer.Option("--seed", help="Make ids and faults repeatable.  [random]")]


def sandbox(
    ctx: typer.Context,
    port: _Port = DEFAULT_PORT,
    inject: _Inject = None,
    script: _Script = None,
    latency: _Latency = None,
    receipts: _Receipts = None,
    log: _Log = None,
    service_account: _ServiceAccount = Path("sandbox-service-account.json"),
    next_service_account: _NextAccount = None,
    seed: _Seed = None,
) -> None:
    """Serve SendGrid, Twilio, FCM (with its token endpoint) and SMTP on loopback; nothing is delivered."""
    with invocation(ctx) as run:
        config = SandboxConfig(
            port=port,
            rules=tuple(parse_rule(text) for text in inject or ()),
            script=_script(script) if script else (),
            receipts_s=RECEIPT_SECONDS if receipts is None else receipts / 1_000,
            latency_s=(latency or 0) / 1_000,
            log=None if log is None else expanded(log),
            service_account=expanded(service_account),
            next_service_account=None if next_service_account is None else expanded(next_service_account),
            seed=seed,
        )
        try:
            asyncio.run(serve(config, lambda url: _announce(run, url, service_account)))
        except OSError as error:
            if error.filename is None:  # not about a file: the reader of stdout may have gone
                raise
            raise UsageError(f"{error.filename}: {error.strerror}", "--log and --service-account name files") from error


def _script(file: Path) -> tuple[Line, ...]:
    try:
        return parse_script(contents(file).decode(), str(file))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise UsageError(f"{file}: {reason}", "--script names a text file") from error


def _announce(run: Invocation, url: str, service_account: Path) -> None:
    if run.given.output in ("json", "yaml"):
        run.out.document(_facts(url, service_account))
        return
    run.out.write(f"sandbox at {url}; nothing is delivered; Ctrl-C ends it")
    run.out.say(f"What it receives is shown there: open {url}/ with a browser.\n")
    run.out.say(instructions(url, service_account))


def _facts(url: str, service_account: Path) -> dict[str, object]:
    return {
        "url": url,
        "unsubscribe_url": f"{url}/unsubscribe",
        "sendgrid": {
            "api_key": SENDGRID_KEY,
            "next_api_key": SENDGRID_KEYS[1],
            "webhook_public_key": webhook_public_key(),
        },
        "twilio": {"api_key": TWILIO_ACCOUNT, "api_secret": TWILIO_TOKEN, "next_api_secret": TWILIO_TOKENS[1]},
        "fcm": {"credentials": str(service_account.absolute()), "project": FCM_PROJECT},
        "smtp": {
            "host": "127.0.0.1",
            "port": _mail_port(url),
            "security": "none",
            "api_key": SMTP_USER,
            "api_secret": SMTP_PASSWORD,
        },
    }


def _mail_port(url: str) -> int:
    return (urlsplit(url).port or 0) + 1


def instructions(url: str, service_account: Path) -> str:
    """Return the commands that make the sandbox the providers; its credentials are no secrets."""
    base = f"--set base_url={url}"
    return f"""\
To use it, in another terminal:

  echo {SENDGRID_KEY} |
    notifyctl providers add sendgrid --api-key - {base} --set from={SENDER}
  printf '%s\\n' {TWILIO_ACCOUNT} {TWILIO_TOKEN} |
    notifyctl providers add twilio --api-key - --api-secret - {base} --set from={SMS_SENDER}
  notifyctl providers add fcm --credentials {service_account.absolute()} {base}
  notifyctl providers add smtp --set host=127.0.0.1 --set port={_mail_port(url)} \\
    --set security=none --set from={SENDER}

To rehearse a rotation, these are good as well:

  echo {SENDGRID_KEYS[1]} | notifyctl providers update sendgrid --api-key - --test
  echo {TWILIO_TOKENS[1]} | notifyctl providers update twilio --api-secret - --test

So that mail of marketing can be left with one click, the profile says:

  unsubscribe_url = '{url}/unsubscribe'"""


class _FactsLeaf(Leaf):
    """Says where it listens, to a person or as a document."""

    formats = ("plain", "json", "yaml")


app = single(HELP, sandbox, _FactsLeaf, scope=OPEN)
