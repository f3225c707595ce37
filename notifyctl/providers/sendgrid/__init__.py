"""SendGrid: e-mail over the Mail Send API, version 3."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from notifyctl.core.model import Channel, Message
from notifyctl.core.outcome import Outcome
from notifyctl.core.receipt import Arrival
from notifyctl.providers import content as fields
from notifyctl.providers.contract import (
    Builder,
    Call,
    Credentials,
    InvalidMessage,
    ListPage,
    Request,
    Response,
    Trace,
    Unread,
)
from notifyctl.providers.sendgrid import answers, checkup, lists, plain, receipts, webhook
from notifyctl.providers.sendgrid.mail import encoded, replies, sender


class SendGrid:
    """The adapter; what it has to know besides its key stands in `settings`."""

    name = "sendgrid"
    channel = Channel.EMAIL
    default_url = "https://api.sendgrid.com"
    settings: Mapping[str, str] = {
        "from": "the sender, a@b or Name <a@b>; needed",
        "reply_to": "where answers go",
        "sandbox_mode": "true: SendGrid checks the mails and sends none",
        "receipts": fields.RECEIPTS_HELP,
        "webhook_public_key": "the verification key of the signed event webhook",
        "base_url": fields.BASE_URL_HELP,
    }
    traced_at_once = receipts.AT_ONCE
    traces_per_minute = receipts.PER_MINUTE
    lists = lists.NAMES

    def check(self, credentials: Credentials) -> list[str]:
        """Return what is missing or malformed in the settings, one sentence each."""
        problems = fields.problems_with_secret("API key", credentials.api_key)
        problems += fields.problems_with_base_url(credentials)
        problems += fields.problems_with_receipts(credentials) + webhook.problems(credentials)
        if not isinstance(credentials.config.get("sandbox_mode", False), bool):
            problems.append("sandbox_mode must be true or false")
        configured = credentials.config.get("from")
        if not configured:
            return [*problems, 'the sender "from" is missing']
        for reader in (sender, replies):
            try:
                reader({}, credentials)
            except InvalidMessage as problem:
                problems.append(str(problem))
        return problems

    def build(self, message: Message, credentials: Credentials) -> Request:
        """Return the request that mails `message`; raise InvalidMessage when none can."""
        return Request("POST", self._url(credentials), _headers(credentials), encoded(message, credentials))

    def builder(self, credentials: Credentials) -> Builder:
        """Return what `build` is with these credentials, quick where a mail is a usual one."""
        url, headers, quickly = self._url(credentials), _headers(credentials), plain.encoder(credentials)
        return lambda message: Request("POST", url, headers, quickly(message) or encoded(message, credentials))

    def judge(self, credentials: Credentials) -> Callable[[Message], object]:
        """Return what is true of usual messages that can be built."""
        return plain.encoder(credentials)

    def read(self, response: Response) -> Outcome:
        """Return what the answer means; a 202 counts even without its `X-Message-Id`."""
        return answers.read(response)

    def checkup(self, credentials: Credentials) -> Request:
        """Return the request that shows whether the key works and may send mail."""
        return checkup.question(credentials, self.default_url)

    def read_checkup(self, response: Response) -> str | None:
        """Return what is wrong with the key, None when nothing is."""
        return checkup.read(response)

    def trace(self, message_ids: Sequence[str], credentials: Credentials) -> Request:
        """Return the question about these mails."""
        return receipts.question(message_ids, credentials, self.default_url)

    def read_trace(self, response: Response, message_ids: Sequence[str]) -> Trace:
        """Return what the answer says of them."""
        return receipts.read(response, message_ids)

    def suppresses(self, name: str) -> bool:
        """Return whether who is on a list is written to no more."""
        return lists.suppresses(name)

    def list_request(self, name: str, offset: int, limit: int, credentials: Credentials) -> Request:
        """Return the request for a page of a list."""
        return lists.question(name, offset, limit, credentials, self.default_url)

    def read_list(self, name: str, response: Response) -> ListPage:
        """Return what a page of a list says."""
        return lists.read(name, response)

    def read_call(self, call: Call) -> list[Arrival | Unread]:
        """Return what events say."""
        return webhook.read(call.body)

    def is_genuine(self, call: Call, credentials: Credentials) -> bool:
        """Return whether SendGrid signed it: with the key that `webhook_public_key` belongs to."""
        return webhook.is_genuine(call, credentials)

    def _url(self, credentials: Credentials) -> str:
        return fields.base_url(credentials, self.default_url) + "/v3/mail/send"


def _headers(credentials: Credentials) -> dict[str, str]:
    return {
        "Authorization": f"Bearer {credentials.api_key}",
        "Content-Type": "application/json",
        "Accept": "application/json",
    }
