"""Twilio: text messages over the Messages resource of the API of 2010-04-01."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.core.receipt import Arrival
from notifyctl.providers import content as fields
from notifyctl.providers.contract import Builder, Call, Credentials, InvalidMessage, Request, Response, Trace, Unread
from notifyctl.providers.twilio import answers, callback, checkup, plain, receipts
from notifyctl.providers.twilio.account import account, authorization, url
from notifyctl.providers.twilio.form import SERVICE, form, sender, status_callback

_ACCOUNT = re.compile(r"AC[0-9a-fA-F]{32}")
_KEY = re.compile(r"(?:AC|SK)[0-9a-fA-F]{32}")


class Twilio:
    """The adapter. `api_key` is the account's SID, or an API key's (SK...), and then `account_sid` is needed."""

    name = "twilio"
    channel = Channel.SMS
    default_url = "https://api.twilio.com"
    settings: Mapping[str, str] = {
        "from": "the sender: +14155552345, a short code, a name, whatsapp:+14155552345",
        "messaging_service_sid": "MG..., which stands above from; one of the two is needed",
        "account_sid": "AC..., where the API key is an SK...",
        "status_callback": "where Twilio reports what becomes of messages; it gets notification_id and attempt",
        "receipts": fields.RECEIPTS_HELP,
        "base_url": fields.BASE_URL_HELP,
    }
    traced_at_once = 1
    traces_per_minute = None

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("SID (api_key)", credentials.api_key)
        problems += fields.problems_with_secret("token (api_secret)", credentials.api_secret)
        problems += fields.problems_with_base_url(credentials)
        problems += fields.problems_with_receipts(credentials)
        if credentials.api_key and not _KEY.fullmatch(credentials.api_key):
            problems.append("the SID (api_key) is not AC or SK and 32 hexadecimal digits")
        if not _ACCOUNT.fullmatch(account(credentials)):
            problems.append("account_sid is missing or not AC and 32 hexadecimal digits")
        service = credentials.config.get("messaging_service_sid")
        if service and not SERVICE.fullmatch(str(service)):
            problems.append("messaging_service_sid is not MG and 32 hexadecimal digits")
        if not service and not credentials.config.get("from"):
            problems.append('the sender is missing: "from" or "messaging_service_sid"')
        return [*problems, *_malformed(credentials)]

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that texts `message`; raise InvalidMessage when none can."""
        return Request("POST", self._url(credentials), _headers(credentials), form(message, credentials))

    def builder(self, credentials: Credentials) -> Builder:
        """Return what `build` is with these credentials, quick where it is but text."""
        url, headers, quickly = self._url(credentials), _headers(credentials), plain.encoder(credentials)
        return lambda message: Request("POST", url, headers, quickly(message) or form(message, credentials))

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; only a 201 that names the new message's SID is a success."""
        return answers.read(response)

    def checkup(self, credentials: Credentials) -> Request:
        """Return the request that shows whether the login works and the account is active."""
        return checkup.question(credentials, self.default_url)

    def read_checkup(self, response: Response) -> str | None:
        """Return what is wrong with the login or the account, None when nothing is."""
        return checkup.read(response)

    def trace(self, message_ids: Sequence[str], credentials: Credentials) -> Request:
        """Return the question about one message."""
        return receipts.question(message_ids, credentials, self.default_url)

    def read_trace(self, response: Response, message_ids: Sequence[str]) -> Trace:
        """Return what the answer says of the message."""
        return receipts.read(response, message_ids)

    def read_call(self, call: Call) -> list[Arrival | Unread]:
        """Return what status callbacks say, one a line."""
        return callback.read(call)

    def is_genuine(self, call: Call, credentials: Credentials) -> bool:
        """Return whether Twilio signed it: with the account's auth token, over address and form."""
        return callback.is_genuine(call, credentials)

    def _url(self, credentials: Credentials) -> str:
        return url(credentials, self.default_url, "/Messages.json")


def _headers(credentials: Credentials) -> dict[str, str]:
    return {
        "Authorization": authorization(credentials),
        "Content-Type": "application/x-www-form-urlencoded",
        "Accept": "application/json",
    }


def _malformed(credentials: Credentials) -> Iterator[str]:
    """Yield what no message could be sent with, by what is said of the messages themselves."""
    configured = {key: credentials.config.get(key) for key in ("from", "status_callback")}
    for key, reader in (("from", sender), ("status_callback", status_callback)):
        try:
            if configured[key]:
                reader(configured, credentials)
        except InvalidMessage as problem:
            yield str(problem)
