"""`sandbox`: a local server that speaks the providers' protocols."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Annotated

import typer

from notifyctl.cli.invocation import Invocation, invocation
from notifyctl.cli.noun import single
from notifyctl.cli.types import duration
from notifyctl.core.errors import UsageError
from notifyctl.services import sandbox as service

DEFAULT_PORT = 8025
SENDER = "alerts@example.com"
SMS_SENDER = "+15005550006"


def sandbox(
    ctx: typer.Context,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65_535, help="Where to listen on 127.0.0.1; 0 takes a free port.")
    ] = DEFAULT_PORT,
    inject: Annotated[
        list[str] | None,
        typer.Option(
            "--inject", metavar="FAULT", help="PROVIDER=STATUS|timeout|reset|html[:PROBABILITY][xCOUNT[/each]]."
        ),
    ] = None,
    latency: Annotated[
        int | None, typer.Option("--latency", metavar="D", parser=duration, help="Wait before each answer.")
    ] = None,
    log: Annotated[Path | None, typer.Option("--log", metavar="FILE", help="A JSON line for each request.")] = None,
    service_account: Annotated[
        Path, typer.Option("--service-account", metavar="FILE", help="Where FCM's key file is written.")
    ] = Path("sandbox-service-account.json"),
    seed: Annotated[int | None, typer.Option("--seed", help="Make ids and faults repeatable.")] = None,
) -> None:
    """Serve SendGrid, Twilio and FCM (with its token endpoint) on loopback; nothing is delivered."""
    with invocation(ctx) as run:
        config = service.SandboxConfig(
            port=port,
            rules=tuple(service.parse_rule(text) for text in inject or ()),
            latency_s=(latency or 0) / 1_000,
            log=log,
            service_account=service_account,
            seed=seed,
        )
        try:
            asyncio.run(service.serve(config, lambda url: _announce(run, url, service_account)))
        except OSError as error:
            if error.filename is None:  # not about a file: the reader of stdout may have gone
                raise
            raise UsageError(f"{error.filename}: {error.strerror}", "--log and --service-account name files") from error


def _announce(run: Invocation, url: str, service_account: Path) -> None:
    if run.given.output == "json":
        run.out.document(_facts(url, service_account))
        return
    run.out.write(f"sandbox at {url}; nothing is delivered; Ctrl-C ends it")
    run.out.say(instructions(url, service_account))


def _facts(url: str, service_account: Path) -> dict[str, object]:
    return {
        "url": url,
        "sendgrid": {"api_key": service.SENDGRID_KEY},
        "twilio": {"api_key": service.TWILIO_ACCOUNT, "api_secret": service.TWILIO_TOKEN},
        "fcm": {"credentials": str(service_account.absolute()), "project": service.FCM_PROJECT},
    }


def instructions(url: str, service_account: Path) -> str:
    """Return the commands that make the sandbox the providers; its credentials are no secrets."""
    base = f"--set base_url={url}"
    return f"""\
To use it, in another terminal:

  echo {service.SENDGRID_KEY} |
    notifyctl providers add sendgrid --api-key - {base} --set from={SENDER}
  printf '%s\\n' {service.TWILIO_ACCOUNT} {service.TWILIO_TOKEN} |
    notifyctl providers add twilio --api-key - --api-secret - {base} --set from={SMS_SENDER}
  notifyctl providers add fcm --credentials {service_account.absolute()} {base}"""


app = single("A local server that speaks the providers' protocols.", sandbox)
