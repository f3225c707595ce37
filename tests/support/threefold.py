"""Three providers that are one scripted server, and a user who can be reached on every channel."""

from __future__ import annotations

import json

from tests.support.command import Cli, Result
from tests.support.scripted import service_account
from tests.support.world import KEYS

ACCOUNT = f"AC{'0' * 31}1"
SECRETS = {"sendgrid": "SG.scripted-key", "twilio": "scripted-token"}
SENDER = {"sendgrid": "from=alerts@example.com", "twilio": "from=+15005550006"}


def add_providers(cli: Cli, url: str, *names: str, timeout: int = 30) -> None:
    """Add the providers of these names, or all three, with credentials that look like real ones."""
    cli.env["NOTIFYCTL_ENCRYPTION_KEYS"] = KEYS
    for name in names or ("sendgrid", "twilio", "fcm"):
        _add(cli, name, "--set", f"base_url={url}", "--timeout", str(timeout), url=url).ok()


def _add(cli: Cli, name: str, *options: str, url: str) -> Result:
    add = ("providers", "add", name, *options)
    if name == "fcm":
        file = cli.home / "account.json"
        file.write_text(json.dumps(service_account(url)))
        return cli.call(*add, "--credentials", str(file))
    secrets = ("--api-key", "-") if name == "sendgrid" else ("--api-key", "-", "--api-secret", "-")
    given = SECRETS[name] if name == "sendgrid" else f"{ACCOUNT}\n{SECRETS[name]}\n"
    return cli.call(*add, *secrets, "--set", SENDER[name], input=given)
