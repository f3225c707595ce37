"""Whose messages they are: the account in every address, and the login.

Source: twilio.com/docs/usage/requests-to-twilio.
"""

from __future__ import annotations

from base64 import b64encode
from urllib.parse import quote

from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials


def account(credentials: Credentials) -> str:
    """Return the account's SID: configured, or the login where that is the account's own; else an empty text."""
    configured = credentials.config.get("account_sid")
    if configured:
        return str(configured)
    return credentials.api_key if credentials.api_key.startswith("AC") else ""


def authorization(credentials: Credentials) -> str:
    """Return the value of the header Authorization."""
    login = b64encode(f"{credentials.api_key}:{credentials.api_secret or ''}".encode()).decode()
    return f"Basic {login}"


def url(credentials: Credentials, default: str, resource: str) -> str:
    """Return the address of one of the account's resources, such as `/Messages.json`."""
    base = fields.base_url(credentials, default)
    return f"{base}/2010-04-01/Accounts/{quote(account(credentials), safe='')}{resource}"
