"""Twilio: text messages over the Messages resource of the API of 2010-04-01."""

from __future__ import annotations

import re

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Credentials, Request, Response
from notifyctl.providers.twilio import answers
from notifyctl.providers.twilio.account import account, authorization, url
from notifyctl.providers.twilio.form import SERVICE, form

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY = re.compile(r"(?:AC|SK)[0-9a-fA-F]{32}")


class Twilio:
    """The adapter. Settings: `from` or `messaging_service_sid` (one is needed), `account_sid`, `base_url`.

    `api_key` is the account's SID, or an API key's (SK...), and then `account_sid` is needed.
    """

    name = "twilio"
    channel = Channel.SMS
    default_url = "https://api.twilio.com"

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("SID (api_key)", credentials.api_key)
        problems += fields.problems_with_secret("token (api_secret)", credentials.api_secret)
        problems += fields.problems_with_base_url(credentials)
        if credentials.api_key and not _KEY.fullmatch(credentials.api_key):
            problems.append("the SID (api_key) is not AC or SK and 32 hexadecimal digits")
        if not _ACCOUNT.fullmatch(account(credentials)):
            problems.append("account_sid is missing or not AC and 32 hexadecimal digits")
        service = credentials.config.get("messaging_service_sid")
        if service and not SERVICE.fullmatch(str(service)):
            problems.append("messaging_service_sid is not MG and 32 hexadecimal digits")
        if not service and not credentials.config.get("from"):
            problems.append('the sender is missing: "from" or "messaging_service_sid"')
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that texts `message`; raise InvalidMessage when none can."""
        return Request(
            "POST",
            url(credentials, self.default_url, "/Messages.json"),
            {
                "Authorization": authorization(credentials),
                "Content-Type": "application/x-www-form-urlencoded",
                "Accept": "application/json",
            },
            form(message, credentials),
        )

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; only a 201 that names the new message's SID is a success."""
        return answers.read(response)


def _account(credentials: Credentials) -> str:
    configured = credentials.config.get("account_sid")
    if configured:
        return str(configured)
    return credentials.api_key if credentials.api_key.startswith("AC") else ""
